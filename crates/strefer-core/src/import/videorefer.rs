//! VideoRefer-700K records (`reference`: DAMO-NLP-SG/VideoRefer, `training.md`).
//!
//! Masks are keyed by source frame numbers; `<region>` is written once an object, in the objects' order.

use serde_json::Value;

use super::conversation::{ORDER, in_order, names, read_regions, read_turns, write_regions, write_turns};
use super::{Fields, is_folder, name_of, refused, take, video_id};
use crate::error::{Error, Result};
use crate::masklet::IndexSpace;
use crate::sample::{Media, MediaKind, Origin, OriginFormat, RegionMode, Sample};

/// Reads one record; `position` names it when it has no id.
///
/// # Errors
/// A field of another kind than documented, or other numbers of `<region>` and of objects.
pub fn import(mut fields: Fields, position: usize) -> Result<Sample> {
    let id = name_of(&fields, position);
    let order = names(&fields);
    let mut turns = read_turns(&id, take(&mut fields, &id, "conversations")?.unwrap_or_default())?;
    let annotation = take(&mut fields, &id, "annotation")?;
    let had_annotation = annotation.is_some();
    let regions = read_regions(&id, annotation, &mut turns, IndexSpace::Source, RegionMode::Multi)?;
    let size = match (take(&mut fields, &id, "height")?, take(&mut fields, &id, "width")?) {
        (Some(height), Some(width)) => Some((height, width)),
        (None, None) => None,
        _ => return Err(refused(&id, "height and width go together")),
    };
    let video: Option<String> = take(&mut fields, &id, "video")?;
    let image: Option<String> = take(&mut fields, &id, "image")?;
    let media = match (video, image) {
        (Some(_), Some(_)) => return Err(refused(&id, "both a video and an image")),
        (Some(uri), None) => {
            let kind = if is_folder(&uri) { MediaKind::Frames } else { MediaKind::Video };
            vec![Media { kind, uri, segment: None, size }]
        }
        (None, Some(uri)) => vec![Media { kind: MediaKind::Image, uri, segment: None, size }],
        (None, None) => Vec::new(),
    };
    let video_id = media.first().map_or_else(|| id.clone(), |media| video_id(&media.uri));
    let mut sample = Sample::new(id, video_id, media);
    sample.conversations = turns;
    if had_annotation && regions.is_empty() {
        fields.insert("annotation".to_owned(), Value::Array(Vec::new()));
    }
    sample.regions = regions;
    fields.insert(ORDER.to_owned(), order);
    sample.origin = Some(Origin { format: OriginFormat::VideoRefer, fields });
    Ok(sample)
}

/// Writes one record.
///
/// # Errors
/// Times, masks keyed by another index space, or regions that are not mentioned once each in order.
pub fn export(sample: &Sample) -> Result<Fields> {
    let format = "VideoRefer-700K";
    let refuse = |reason: &str| Error::Export { id: sample.id.clone(), format, reason: reason.to_owned() };
    if !sample.times.is_empty() {
        return Err(refuse("it refers to times"));
    }
    if sample.media.len() > 1 {
        return Err(refuse("it shows more than one medium"));
    }
    let (turns, annotation) = write_regions(sample, format, |space| space == IndexSpace::Source)?;
    let mut fields = Fields::new();
    let origin = sample.origin.as_ref().filter(|origin| origin.format == OriginFormat::VideoRefer);
    match origin {
        Some(origin) => fields.clone_from(&origin.fields),
        None => {
            fields.insert("id".to_owned(), Value::String(sample.id.clone()));
        }
    }
    let order = fields.shift_remove(ORDER);
    if let Some(media) = sample.media.first() {
        if media.segment.is_some() {
            return Err(refuse("it shows only a part of the video"));
        }
        let name = if media.kind == MediaKind::Image { "image" } else { "video" };
        fields.insert(name.to_owned(), Value::String(media.uri.clone()));
    }
    fields.insert("conversations".to_owned(), write_turns(&turns));
    if !sample.regions.is_empty() {
        fields.insert("annotation".to_owned(), annotation);
    }
    if let Some((height, width)) = sample.media.first().and_then(|media| media.size) {
        fields.insert("height".to_owned(), height.into());
        fields.insert("width".to_owned(), width.into());
    }
    Ok(in_order(order.as_ref(), fields))
}

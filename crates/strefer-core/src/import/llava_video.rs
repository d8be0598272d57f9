//! LLaVA-Video-178K records: video conversations without regions or times.

use serde_json::Value;

use super::conversation::{ORDER, in_order, names, read_turns, write_turns};
use super::{Fields, is_folder, name_of, refused, take, video_id};
use crate::error::{Error, Result};
use crate::sample::{Media, MediaKind, Origin, OriginFormat, Sample};

/// Reads one record; `position` names it when it has no id.
///
/// # Errors
/// No `video`, or a field of another kind than documented.
pub fn import(mut fields: Fields, position: usize) -> Result<Sample> {
    let id = name_of(&fields, position);
    let order = names(&fields);
    let turns = read_turns(&id, take(&mut fields, &id, "conversations")?.unwrap_or_default())?;
    let uri: String = take(&mut fields, &id, "video")?.ok_or_else(|| refused(&id, "no video"))?;
    let kind = if is_folder(&uri) { MediaKind::Frames } else { MediaKind::Video };
    let mut sample = Sample::new(id, video_id(&uri), vec![Media { kind, uri, segment: None, size: None }]);
    sample.conversations = turns;
    fields.insert(ORDER.to_owned(), order);
    sample.origin = Some(Origin { format: OriginFormat::LlavaVideo, fields });
    Ok(sample)
}

/// Writes one record.
///
/// # Errors
/// Regions, times, or another number of videos than one.
pub fn export(sample: &Sample) -> Result<Fields> {
    let format = "LLaVA-Video-178K";
    let refuse = |reason: &str| Error::Export { id: sample.id.clone(), format, reason: reason.to_owned() };
    if !sample.regions.is_empty() || !sample.times.is_empty() {
        return Err(refuse("it refers to regions or times"));
    }
    let [media] = sample.media.as_slice() else { return Err(refuse("it does not show one video")) };
    let mut fields = Fields::new();
    match sample.origin.as_ref().filter(|origin| origin.format == OriginFormat::LlavaVideo) {
        Some(origin) => fields.clone_from(&origin.fields),
        None => {
            fields.insert("id".to_owned(), Value::String(sample.id.clone()));
        }
    }
    let order = fields.shift_remove(ORDER);
    fields.insert("conversations".to_owned(), write_turns(&sample.conversations));
    fields.insert("video".to_owned(), Value::String(media.uri.clone()));
    Ok(in_order(order.as_ref(), fields))
}

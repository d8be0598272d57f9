//! Records of the Strefer release (`blip-3-strefer`, `assets/inference_sample.json`).
//!
//! Masks are keyed by positions in 32 uniform frames, unless the record says `videorefer` or lies below one of
//! VideoRefer's folders. One pair of times a record, written `<start_time>` and `<end_time>`.

use serde_json::Value;

use super::conversation::{ORDER, in_order, names, read_regions, read_turns, write_regions, write_turns};
use super::{Fields, is_folder, name_of, refused, take, video_id};
use crate::error::{Error, Result};
use crate::masklet::IndexSpace;
use crate::sample::{
    Media, MediaKind, Origin, OriginFormat, RegionMode, Sample, Segment, TimeRef, TimeStyle,
};
use crate::time::{clock_hms, parse_clock};

/// First folders of the paths that belong to VideoRefer's part of the recipe.
const VIDEOREFER_FOLDERS: [&str; 4] = ["A2D-Sentences", "MeViS", "Refer-YouTube-VOS", "VideoRefer-700K"];

const TAGS: [(&str, &str); 2] = [("<start_time>", "<time:0>"), ("<end_time>", "<time:1>")];

/// Reads one record; `position` names it when it has no id.
///
/// # Errors
/// No `path`, one of two times, times that are no clock text, or other numbers of `<region>` and of objects.
pub fn import(mut fields: Fields, position: usize) -> Result<Sample> {
    let id = name_of(&fields, position);
    let order = names(&fields);
    let uri: String = take(&mut fields, &id, "path")?.ok_or_else(|| refused(&id, "no path"))?;
    let flagged = fields.get("videorefer").and_then(Value::as_bool);
    let by_path = uri.split('/').next().is_some_and(|folder| VIDEOREFER_FOLDERS.contains(&folder));
    let (space, mode) = if flagged.unwrap_or(by_path) {
        (IndexSpace::Source, RegionMode::Multi)
    } else {
        (IndexSpace::STREFER, RegionMode::SingleRandom)
    };
    let mut turns = read_turns(&id, take(&mut fields, &id, "conversations")?.unwrap_or_default())?;
    let annotation = take(&mut fields, &id, "annotation")?;
    let regions = read_regions(&id, annotation, &mut turns, space, mode)?;
    let clock = |name: &str, fields: &Fields| match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => parse_clock(text).map(Some).map_err(|error| refused(&id, error)),
        Some(other) => Err(refused(&id, format!("{name}: {other} is not clock text"))),
    };
    let times = match (clock("start_time", &fields)?, clock("end_time", &fields)?) {
        (Some(start_s), Some(end_s)) => {
            // The reference replaces them in the first question and the first answer only.
            for turn in turns.iter_mut().take(2) {
                for (tag, ours) in TAGS {
                    turn.text = turn.text.replace(tag, ours);
                }
            }
            let time = |tid, s| TimeRef { tid, s, rel_to: "media:0".to_owned(), style: TimeStyle::Token };
            vec![time(0, start_s), time(1, end_s)]
        }
        (None, None) => Vec::new(),
        _ => return Err(refused(&id, "one of start_time and end_time is missing")),
    };
    let segment = match take::<[f64; 2]>(&mut fields, &id, "clip_timestamps")? {
        Some([start_s, end_s]) if start_s >= 0.0 && start_s < end_s => {
            Some(Segment { start_s, end_s: Some(end_s) })
        }
        Some([start_s, end_s]) => return Err(refused(&id, Error::BadSpan { start_s, end_s })),
        None => None,
    };
    let kind = if is_folder(&uri) { MediaKind::Frames } else { MediaKind::Video };
    let mut sample = Sample::new(id, video_id(&uri), vec![Media { kind, uri, segment, size: None }]);
    sample.conversations = turns;
    sample.regions = regions;
    sample.times = times;
    fields.insert(ORDER.to_owned(), order);
    sample.origin = Some(Origin { format: OriginFormat::Strefer, fields });
    Ok(sample)
}

/// Writes one record.
///
/// # Errors
/// More or fewer than two times, mixed index spaces, or regions that are not mentioned once each in order.
pub fn export(sample: &Sample) -> Result<Fields> {
    let format = "Strefer";
    let refuse = |reason: String| Error::Export { id: sample.id.clone(), format, reason };
    let [media] = sample.media.as_slice() else {
        return Err(refuse(format!("it shows {} media", sample.media.len())));
    };
    let space = sample.regions.first().map_or(IndexSpace::STREFER, |region| region.index_space);
    if space != IndexSpace::STREFER && space != IndexSpace::Source {
        return Err(refuse("its masks are not keyed by 32 uniform frames or by source frames".to_owned()));
    }
    let (mut turns, annotation) = write_regions(sample, format, |other| other == space)?;
    let mut fields = Fields::new();
    let origin = sample.origin.as_ref().filter(|origin| origin.format == OriginFormat::Strefer);
    if let Some(origin) = origin {
        fields.clone_from(&origin.fields);
    }
    let order = fields.shift_remove(ORDER);
    fields.insert("path".to_owned(), Value::String(media.uri.clone()));
    match sample.times.as_slice() {
        [] => {}
        [start, end] => {
            for (name, time) in [("start_time", start), ("end_time", end)] {
                let kept = fields.get(name).and_then(Value::as_str).and_then(|text| parse_clock(text).ok());
                if kept != Some(time.s) {
                    fields.insert(name.to_owned(), Value::String(clock_hms(time.s)));
                }
            }
            for turn in turns.iter_mut() {
                for (tag, ours) in TAGS {
                    turn.text = turn.text.replace(ours, tag);
                }
            }
        }
        times => return Err(refuse(format!("it refers to {} times; the format has one pair", times.len()))),
    }
    if let Some(Segment { start_s, end_s }) = media.segment {
        let end_s = end_s.ok_or_else(|| refuse("its segment has no end".to_owned()))?;
        fields.insert("clip_timestamps".to_owned(), vec![start_s, end_s].into());
    }
    fields.insert("conversations".to_owned(), write_turns(&turns));
    if !sample.regions.is_empty() {
        fields.insert("annotation".to_owned(), annotation);
        if origin.is_none() && space == IndexSpace::Source {
            fields.insert("videorefer".to_owned(), Value::Bool(true));
        }
    }
    Ok(in_order(order.as_ref(), fields))
}

//! Conversations and annotations as the LLaVA family writes them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Fields, refused};
use crate::error::{Error, Result};
use crate::masklet::{FrameKey, FrameMap, IndexSpace};
use crate::placeholder::number_regions;
use crate::sample::{Region, RegionMode, Role, Sample, Turn};
use crate::segmentation::FrameMask;

/// One turn of the LLaVA family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignTurn {
    from: String,
    value: String,
}

pub fn read_turns(id: &str, turns: Vec<ForeignTurn>) -> Result<Vec<Turn>> {
    let role = |from: &str| match from {
        "human" => Ok(Role::User),
        "gpt" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        other => Err(refused(id, format!("nobody is called {other:?} (human, gpt or system)"))),
    };
    turns.into_iter().map(|turn| Ok(Turn { role: role(&turn.from)?, text: turn.value })).collect()
}

pub fn write_turns(turns: &[Turn]) -> Value {
    let name = |role| match role {
        Role::User => "human",
        Role::Assistant => "gpt",
        Role::System => "system",
    };
    turns.iter().map(|turn| json!({"from": name(turn.role), "value": turn.text})).collect()
}

/// One object of an annotation: frame keys to what is said about it there.
pub type ForeignObject = FrameMap<Map<String, Value>>;

/// Objects of VideoRefer's annotations as regions, in their order.
///
/// # Errors
/// A frame whose `segmentation` is neither run lengths, polygons nor null, or that says more; named by `id`.
pub fn read_objects(
    id: &str,
    objects: Vec<ForeignObject>,
    index_space: IndexSpace,
    mode: RegionMode,
) -> Result<Vec<Region>> {
    let region = |(rid, object): (usize, ForeignObject)| {
        let masks: Result<FrameMap<FrameMask>> =
            object.into_iter().map(|(key, entry)| Ok((key, read_mask(id, key, entry)?))).collect();
        Ok(Region { rid, eid: None, masks: masks?, index_space, mode, fixed_key: None })
    };
    objects.into_iter().enumerate().map(region).collect()
}

/// Turns `annotation` into regions and numbers the text's `<region>` placeholders.
pub fn read_regions(
    id: &str,
    annotation: Option<Vec<ForeignObject>>,
    turns: &mut [Turn],
    index_space: IndexSpace,
    mode: RegionMode,
) -> Result<Vec<Region>> {
    let regions = read_objects(id, annotation.unwrap_or_default(), index_space, mode)?;
    let mentioned = number_regions(turns.iter_mut().map(|turn| &mut turn.text));
    if mentioned != regions.len() {
        return Err(refused(
            id,
            format!("{mentioned} <region> in the text, {} objects in the annotation", regions.len()),
        ));
    }
    Ok(regions)
}

fn read_mask(id: &str, key: FrameKey, mut entry: Map<String, Value>) -> Result<FrameMask> {
    let mask = match entry.shift_remove("segmentation") {
        None => FrameMask::Missing,
        Some(Value::Null) => FrameMask::Null,
        Some(value) => {
            let read = if value.is_array() {
                serde_json::from_value(value).map(FrameMask::Polygons)
            } else {
                serde_json::from_value(value).map(FrameMask::Rle)
            };
            read.map_err(|error| refused(id, format!("frame {key}: segmentation: {error}")))?
        }
    };
    match entry.keys().next() {
        Some(name) => Err(refused(id, format!("frame {key}: unknown field {name:?}"))),
        None => Ok(mask),
    }
}

/// The annotation of a sample's regions; the text's placeholders lose their numbers.
pub fn write_regions(
    sample: &Sample,
    format: &'static str,
    index_space: impl Fn(IndexSpace) -> bool,
) -> Result<(Vec<Turn>, Value)> {
    let refuse = |reason: String| Error::Export { id: sample.id.clone(), format, reason };
    let mut next = 0;
    let mut turns = sample.conversations.clone();
    for turn in &mut turns {
        while let Some(at) = turn.text.find("<region:") {
            let expected = format!("<region:{next}>");
            if !turn.text[at..].starts_with(&expected) {
                return Err(refuse(format!("regions are not mentioned once each in order ({expected})")));
            }
            turn.text.replace_range(at..at + expected.len(), "<region>");
            next += 1;
        }
    }
    if next != sample.regions.len() {
        return Err(refuse(format!("{next} regions in the text, {} listed", sample.regions.len())));
    }
    let mut objects = Vec::new();
    for region in &sample.regions {
        if !index_space(region.index_space) {
            return Err(refuse(format!("region {} counts frames in another way", region.rid)));
        }
        let frames: Map<String, Value> = region
            .masks
            .iter()
            .map(|(key, mask)| {
                let entry = match mask {
                    FrameMask::Rle(rle) => json!({"segmentation": rle}),
                    FrameMask::Polygons(polygons) => json!({"segmentation": polygons}),
                    FrameMask::Null => json!({"segmentation": null}),
                    FrameMask::Missing => json!({}),
                };
                (key.to_string(), entry)
            })
            .collect();
        objects.push(Value::Object(frames));
    }
    Ok((turns, Value::Array(objects)))
}

/// Puts fields at the places that they had, or at the end in the order given.
pub fn in_order(order: Option<&Value>, mut fields: Fields) -> Fields {
    let mut ordered = Fields::new();
    for name in order.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if let Some(value) = fields.shift_remove(name) {
            ordered.insert(name.to_owned(), value);
        }
    }
    ordered.append(&mut fields);
    ordered
}

/// The names of a record's fields, in order.
pub fn names(fields: &Fields) -> Value {
    fields.keys().cloned().map(Value::String).collect()
}

/// The name under which the order of fields is kept among a sample's foreign fields.
pub const ORDER: &str = "//order";

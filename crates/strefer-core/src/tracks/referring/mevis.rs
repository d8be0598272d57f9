//! MeViS (arXiv 2308.08544): expressions that mean one object or several at once, and run lengths by annotation.
//!
//! `meta_expressions.json` lists a video's frames and its expressions, each with the annotations that it means (`anno_id`);
//! `mask_dict.json` has a mask or null a frame for each annotation. An entity is a set of annotations that an expression
//! means; its mask is their union, as the dataset's own loader has it.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::{NOUN, Take, entities, entity, places, provenance, tidy};
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::rle::{Rle, RleRecord};
use crate::tracks::collect::{Collector, wrong};
use crate::tracks::file;

const DATASET: &str = "mevis";

#[derive(Debug, Deserialize)]
struct Meta {
    videos: IndexMap<String, Video>,
}

#[derive(Debug, Deserialize)]
struct Video {
    frames: Vec<String>,
    expressions: IndexMap<String, Expression>,
}

#[derive(Debug, Deserialize)]
struct Expression {
    exp: String,
    anno_id: Option<Vec<Id>>,
}

/// Written as a number or as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The masks of an annotation, by frame.
type Masks = Vec<Option<RleRecord>>;

/// A video whose masks have not all come yet.
struct Waiting {
    id: String,
    frames: Vec<String>,
    /// Annotations, and the expressions that mean them together.
    sets: IndexMap<Vec<String>, Vec<String>>,
    /// Annotations that have come.
    masks: HashMap<String, Masks>,
    missing: usize,
}

/// Reads a subset's folder. Masks are read as a stream; a video is given away when its last one has come.
pub(super) fn read(dir: &Path, fps: Option<f64>, take: &mut Take<'_>) -> Result<()> {
    let expressions = dir.join("meta_expressions.json");
    let meta: Meta = file::json(&expressions)?;
    let mut waiting = Vec::with_capacity(meta.videos.len());
    let mut owners: HashMap<String, usize> = HashMap::new();
    for (at, (id, video)) in meta.videos.into_iter().enumerate() {
        let mut sets: IndexMap<Vec<String>, Vec<String>> = IndexMap::new();
        for (number, expression) in video.expressions {
            let bad = |reason: &str| wrong(&expressions, format!("video {id}, expression {number}"), reason);
            let annotations =
                expression.anno_id.ok_or_else(|| bad("no anno_id: train and valid_u have masks"))?;
            let mut set: Vec<String> = annotations.iter().map(Id::to_string).collect();
            set.sort();
            set.dedup();
            if set.is_empty() || tidy(&expression.exp).is_empty() {
                return Err(bad("no annotation or no words"));
            }
            sets.entry(set).or_default().push(tidy(&expression.exp));
        }
        let mut missing = 0;
        for annotation in sets.keys().flatten() {
            match owners.insert(annotation.clone(), at) {
                None => missing += 1,
                Some(other) if other != at => {
                    let reason = format!("annotation {annotation} is another video's, too");
                    return Err(wrong(&expressions, format!("video {id}"), reason));
                }
                Some(_) => {}
            }
        }
        let mut frames = video.frames;
        frames.sort();
        waiting.push(Waiting { id, frames, sets, masks: HashMap::new(), missing });
    }
    let path = dir.join("mask_dict.json");
    each_annotation(&path, |annotation, masks| {
        let Some(video) = owners.get(&annotation).map(|at| &mut waiting[*at]) else { return Ok(()) };
        let record = || format!("annotation {annotation} of video {}", video.id);
        if masks.len() != video.frames.len() {
            let reason = format!("{} masks, the video has {} frames", masks.len(), video.frames.len());
            return Err(wrong(&path, record(), reason));
        }
        // Of a video that was given away all have come.
        if video.missing == 0 || video.masks.contains_key(&annotation) {
            return Err(wrong(&path, record(), "it comes twice"));
        }
        video.masks.insert(annotation, masks);
        video.missing -= 1;
        if video.missing == 0 { give(&path, dir, video, fps, take) } else { Ok(()) }
    })?;
    match waiting.iter().find(|video| video.missing > 0) {
        Some(video) => {
            let lacks = video.sets.keys().flatten().find(|name| !video.masks.contains_key(*name));
            let name = lacks.map_or("?", String::as_str);
            Err(wrong(&path, format!("annotation {name} of video {}", video.id), "it is missing"))
        }
        None => Ok(()),
    }
}

/// The records of a video whose masks are there; they are forgotten.
fn give(path: &Path, dir: &Path, video: &mut Waiting, fps: Option<f64>, take: &mut Take<'_>) -> Result<()> {
    let places = places(&dir.join("JPEGImages").join(&video.id), &video.frames)?;
    let mut collector = Collector::new(path);
    let mut items = Vec::with_capacity(video.sets.len());
    for (at, (set, expressions)) in video.sets.iter().enumerate() {
        let eid = format!("e{at}");
        collector.declare(&eid, None);
        for (frame, &place) in places.iter().enumerate() {
            let record = format!("annotation {} of video {}, frame {frame}", set.join("+"), video.id);
            let written = set.iter().filter_map(|name| video.masks.get(name)?[frame].clone());
            let masks = written.map(Rle::try_from).collect::<Result<Vec<Rle>>>();
            let masks = masks.map_err(|error| wrong(path, &record, error))?;
            match masks.as_slice() {
                [] => {}
                [one] => collector.add_rle(&eid, place, one.clone(), &record)?,
                several => {
                    let mut union: Mask = several[0].to_mask();
                    for more in &several[1..] {
                        union = union.union(&more.to_mask()).map_err(|error| wrong(path, &record, error))?;
                    }
                    collector.add(&eid, place, &union, &record)?;
                }
            }
        }
        items.push(entity(&eid, expressions, NOUN));
    }
    video.masks = HashMap::new();
    let n_frames = places.iter().max().map(|last| *last as usize + 1);
    let mut masklets = collector.finish(video.id.clone(), fps, n_frames)?;
    masklets.provenance = Some(provenance(DATASET));
    take(entities(DATASET, &video.id, items), masklets)
}

/// Goes through a file that is too large to be held at once.
fn each_annotation(path: &Path, take: impl FnMut(String, Masks) -> Result<()>) -> Result<()> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let mut own = None;
    let each = Each { take, own: &mut own };
    let read = each.deserialize(&mut serde_json::Deserializer::from_reader(BufReader::new(file)));
    match (own, read) {
        (Some(error), _) => Err(error),
        (None, Err(source)) => Err(Error::Json { path: path.to_owned(), line: source.line(), source }),
        (None, Ok(())) => Ok(()),
    }
}

/// Gives entries of a JSON object away as they come; an error of ours is kept beside serde's.
struct Each<'a, F> {
    take: F,
    own: &'a mut Option<Error>,
}

impl<'de, F: FnMut(String, Masks) -> Result<()>> DeserializeSeed<'de> for Each<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(String, Masks) -> Result<()>> Visitor<'de> for Each<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("masks by annotation")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some((annotation, masks)) = map.next_entry::<String, Masks>()? {
            if let Err(error) = (self.take)(annotation, masks) {
                *self.own = Some(error);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

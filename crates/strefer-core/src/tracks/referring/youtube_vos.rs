//! Refer-YouTube-VOS: an expression means one object, whose number is a colour of palette PNGs.
//!
//! `meta_expressions/train/meta_expressions.json` lists frames and expressions with `obj_id`; `train/Annotations` holds a
//! PNG a frame; `train/meta.json`, where it is, says each object's category. Other subsets have no masks.

use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;

use super::{NOUN, Take, entities, entity, places, provenance, tidy};
use crate::error::Result;
use crate::tracks::collect::{Collector, wrong};
use crate::tracks::{davis, file, picture};

const DATASET: &str = "ref-youtube-vos";

/// Pixels of a palette that nobody annotated.
const VOID: u16 = 255;

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
    obj_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Categories {
    videos: IndexMap<String, CategoriesOfVideo>,
}

#[derive(Debug, Default, Deserialize)]
struct CategoriesOfVideo {
    objects: IndexMap<String, Category>,
}

#[derive(Debug, Deserialize)]
struct Category {
    category: String,
}

/// Reads the training videos.
pub(super) fn read(dir: &Path, fps: Option<f64>, take: &mut Take<'_>) -> Result<()> {
    let path = dir.join("meta_expressions/train/meta_expressions.json");
    let meta: Meta = file::json(&path)?;
    let train = dir.join("train");
    let named = train.join("meta.json");
    let categories: Categories = if named.is_file() { file::json(&named)? } else { Categories::default() };
    for (id, video) in &meta.videos {
        // By the objects' numbers, which are colours.
        let mut objects: IndexMap<u16, Vec<String>> = IndexMap::new();
        for (number, expression) in &video.expressions {
            let bad = |reason: String| wrong(&path, format!("video {id}, expression {number}"), reason);
            let object = expression.obj_id.as_deref().ok_or_else(|| bad("no obj_id".to_owned()))?;
            let object = object.parse::<u16>().ok().filter(|object| (1..VOID).contains(object));
            let object = object
                .ok_or_else(|| bad(format!("obj_id {:?} is no colour of an object", expression.obj_id)))?;
            if tidy(&expression.exp).is_empty() {
                return Err(bad("no words".to_owned()));
            }
            objects.entry(object).or_default().push(tidy(&expression.exp));
        }
        objects.sort_keys();
        let mut frames = video.frames.clone();
        frames.sort();
        let places = places(&train.join("JPEGImages").join(id), &frames)?;
        let folder = train.join("Annotations").join(id);
        let mut collector = Collector::new(&folder);
        let eid = |object: u16| format!("e{}", object - 1);
        objects.keys().for_each(|object| collector.declare(&eid(*object), None));
        for (frame, &place) in frames.iter().zip(&places) {
            let picture = picture::read(&folder.join(format!("{frame}.png")))?;
            // Objects that no expression means stay out.
            for (object, mask) in davis::masks(&picture, |number| !objects.contains_key(&number)) {
                collector.add(&eid(object), place, &mask, &format!("frame {frame}"))?;
            }
        }
        let n_frames = places.iter().max().map(|last| *last as usize + 1);
        let mut masklets = collector.finish(id.clone(), fps, n_frames)?;
        masklets.provenance = Some(provenance(DATASET));
        let noun = |object: u16| {
            let video = categories.videos.get(id);
            let found = video.and_then(|video| video.objects.get(&object.to_string()));
            found.map_or(NOUN.to_owned(), |found| found.category.replace('_', " "))
        };
        let items = objects.iter().map(|(&object, words)| entity(&eid(object), words, &noun(object)));
        take(entities(DATASET, id, items.collect()), masklets)?;
    }
    Ok(())
}

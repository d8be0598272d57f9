//! Captions as the COCO caption toolkit keeps them (`captions_*.json` and its results), or one JSON object a line.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::record::{CaptionRecord, PredictionRecord};
use crate::error::Result;
use crate::records::{self, checked, read_json, read_lines};

/// A file of references, as far as scores need it.
#[derive(Deserialize)]
struct CocoReferences {
    annotations: Vec<CocoCaption>,
}

/// A sentence of a person or of a model.
#[derive(Deserialize)]
struct CocoCaption {
    #[serde(deserialize_with = "records::id")]
    image_id: String,
    caption: String,
}

fn is_coco(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "json")
}

/// References; a file that ends with `.json` is one of the toolkit's, where `image_id` is the caption's id.
///
/// # Errors
/// A file that holds something else, or a caption without a reference.
pub fn read_references(path: &Path) -> Result<Vec<CaptionRecord>> {
    if !is_coco(path) {
        return read_lines(path);
    }
    let mut captions: Vec<CaptionRecord> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for CocoCaption { image_id, caption } in read_json::<CocoReferences>(path)?.annotations {
        let place = *places.entry(image_id.clone()).or_insert(captions.len());
        if place == captions.len() {
            captions.push(CaptionRecord { id: image_id, references: Vec::new() });
        }
        captions[place].references.push(caption);
    }
    checked(path, captions.into_iter().map(|caption| (caption, None)))
}

/// Predictions; a file that ends with `.json` is a result for the toolkit: an array of `image_id` and `caption`.
///
/// # Errors
/// A file that holds something else, or two predictions for one caption.
pub fn read_predictions(path: &Path) -> Result<Vec<PredictionRecord>> {
    if !is_coco(path) {
        return read_lines(path);
    }
    let said = read_json::<Vec<CocoCaption>>(path)?.into_iter();
    let record = |it: CocoCaption| (PredictionRecord { id: it.image_id, prediction: it.caption }, None);
    checked(path, said.map(record))
}

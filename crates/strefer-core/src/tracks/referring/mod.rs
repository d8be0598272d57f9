//! Datasets whose masks come with expressions that mean them, read as entities and masklets of each video.
//!
//! | dataset | folder | expressions | masks |
//! |---|---|---|---|
//! | [`mevis`] | `train` or `valid_u` | `meta_expressions.json` | `mask_dict.json`: run lengths by annotation |
//! | [`youtube_vos`] | the one with `train` and `meta_expressions` | `meta_expressions/train/meta_expressions.json` | `train/Annotations`: palette PNGs |
//! | [`a2d`] | the one with `a2d_annotation.txt`, or above it | `a2d_annotation.txt` | PNGs that were made of the HDF5 files |
//!
//! Layouts are those that public loaders of the datasets read; no file of the datasets themselves was seen. Keys count
//! source frames. An entity's expression is the first one; further ones are attributes, `expression_2` and so on.

pub mod a2d;
pub mod mevis;
pub mod youtube_vos;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::collect::wrong;
use crate::error::{Error, Result};
use crate::records::{Entities, Entity, FactMap, Masklets};
use crate::sample::{Provenance, Schema};

/// What an entity is called where the dataset has no category.
pub const NOUN: &str = "object";

/// A dataset with expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dataset {
    /// MeViS (arXiv 2308.08544).
    Mevis,
    /// Refer-YouTube-VOS, which URVOS came with.
    RefYoutubeVos,
    /// A2D-Sentences (arXiv 1803.07485).
    A2dSentences,
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Videos.
    pub videos: usize,
    /// Entities.
    pub objects: usize,
    /// Expressions that mean them.
    pub expressions: usize,
    /// Masks.
    pub masks: usize,
    /// Expressions that were left out: of videos that are not for training, or known mistakes.
    pub skipped: usize,
}

/// Takes the records of one video.
pub type Take<'a> = dyn FnMut(Entities, Masklets) -> Result<()> + 'a;

/// Reads a dataset, video by video. `fps`: frames a second, without which masklets have no times.
///
/// # Errors
/// A file that is missing or of another form, with the file and the record at fault; whatever `take` says.
pub fn read(dataset: Dataset, dir: &Path, fps: Option<f64>, take: &mut Take<'_>) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut count = |entities: Entities, masklets: Masklets| {
        counts.videos += 1;
        counts.objects += entities.items.len();
        counts.expressions += entities.items.iter().map(|item| 1 + item.attributes.len()).sum::<usize>();
        counts.masks += masklets.objects.iter().map(|object| object.frames.len()).sum::<usize>();
        take(entities, masklets)
    };
    let skipped = match dataset {
        Dataset::Mevis => mevis::read(dir, fps, &mut count).map(|()| 0),
        Dataset::RefYoutubeVos => youtube_vos::read(dir, fps, &mut count).map(|()| 0),
        Dataset::A2dSentences => a2d::read(dir, fps, &mut count),
    }?;
    Ok(Counts { skipped, ..counts })
}

/// Entities in a record of a dataset.
fn entities(dataset: &str, video_id: &str, items: Vec<Entity>) -> Entities {
    Entities {
        schema: Schema::V1,
        video_id: video_id.to_owned(),
        provenance: Some(provenance(dataset)),
        paragraph: None,
        items,
    }
}

fn provenance(dataset: &str) -> Provenance {
    Provenance { dataset: dataset.to_owned(), stage: Some("import".to_owned()), ..Provenance::default() }
}

/// An entity with all expressions that mean it.
fn entity(eid: &str, expressions: &[String], noun: &str) -> Entity {
    let further = expressions.iter().enumerate().skip(1);
    Entity {
        eid: eid.to_owned(),
        expression: expressions.first().cloned().unwrap_or_default(),
        noun: noun.to_owned(),
        general_noun: noun.to_owned(),
        active: true,
        source_span: None,
        attributes: further
            .map(|(at, text)| (format!("expression_{}", at + 1), text.clone()))
            .collect::<FactMap>(),
    }
}

/// An expression on one line, as it was written otherwise.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The places that frames have among the pictures of a video's folder: the numbers by which the video is read.
fn places(folder: &Path, frames: &[String]) -> Result<Vec<u32>> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let mut stems = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path: PathBuf = entry.map_err(io)?.path();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        if ending.is_some_and(|ending| ["jpg", "jpeg", "png"].contains(&ending.as_str())) {
            stems.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    stems.sort();
    let place = |frame: &String| match stems.binary_search(frame) {
        Ok(at) => Ok(at as u32),
        Err(_) => Err(wrong(folder, format!("frame {frame}"), "the folder has no such picture")),
    };
    frames.iter().map(place).collect()
}

//! A family's folder: `config.json` and the headers of all weights that belong to it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use strefer_nn::Weights;

use super::fields::Fields;
use super::{Family, Layout, parts, vision};
use crate::error::{Error, Result};
use crate::video_llm::prefix;

/// A folder whose `config.json` has been read.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    pub dir: &'a Path,
    path: PathBuf,
    json: &'a Value,
    /// How the folder names its tensors.
    pub layout: &'static Layout,
    /// Under our names; tensors without one keep theirs.
    pub weights: Weights,
}

impl<'a> Folder<'a> {
    /// Opens the weights: those of the folder, parts in files of their own, and a vision tower in a folder of its own.
    pub fn open(dir: &'a Path, family: Family, json: &'a Value) -> Result<Self> {
        let weights = Weights::open(dir)?;
        let layout = Layout::of(&weights, family).unwrap_or(&family.layouts()[0]);
        if layout.family != family {
            return Err(Error::OtherFamily { path: dir.to_owned(), expected: family, found: layout.family });
        }
        let ours = |name: &str| Some(layout.ours(name).unwrap_or_else(|| name.to_owned()));
        let path = dir.join("config.json");
        let mut folder = Self { dir, path, json, layout, weights: weights.renamed(ours)? };
        folder.weights = parts::join(dir, folder.weights)?;
        if !folder.has_part(prefix::VISION)
            && let Some(tower) = folder.separate_tower()
        {
            folder.weights = folder.weights.joined(vision::open_tower(&tower)?)?;
        }
        Ok(folder)
    }

    /// What a folder with these tensors, under our names, would be. `dir` is where other small files are looked for.
    pub fn of_parts(dir: &'a Path, family: Family, json: &'a Value, weights: Weights) -> Self {
        Self { dir, path: dir.join("config.json"), json, layout: &family.layouts()[0], weights }
    }

    /// Its settings.
    pub fn fields(&self) -> Fields<'_> {
        Fields { path: &self.path, json: self.json }
    }

    /// A vision tower that lies in a folder of its own, where the settings name one that is there.
    pub fn separate_tower(&self) -> Option<PathBuf> {
        vision::separate_folder(self.dir, self.json)
    }

    /// Rows of a tensor, by our name.
    pub fn rows(&self, name: &str) -> Option<usize> {
        self.weights.shape(name)?.first().copied()
    }

    fn has_part(&self, part: &str) -> bool {
        parts::has(&self.weights, part)
    }
}

//! Records of stages as evidence about samples: one's own, or those of another teacher.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::facts::Facts;
use crate::stages;

/// What the records of one folder say, video by video.
#[derive(Debug)]
pub struct Evidence {
    /// The folder.
    pub folder: PathBuf,
    videos: BTreeMap<String, Facts>,
}

impl Evidence {
    /// Reads a folder of records.
    ///
    /// # Errors
    /// Files that are missing, or records that contradict each other.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut videos = BTreeMap::new();
        for stages in stages::read(folder)? {
            let facts = Facts::new(&stages?)?;
            videos.insert(facts.video.video_id.clone(), facts);
        }
        Ok(Self { folder: folder.to_owned(), videos })
    }

    /// What is said about a video.
    pub fn about(&self, video_id: &str) -> Option<&Facts> {
        self.videos.get(video_id)
    }
}

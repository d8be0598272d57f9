//! The stage records of one video, together.

use std::path::Path;

use strefer_core::jsonl;
use strefer_core::records::{Clips, Entities, Masklets, Record, Transcript, Video};

use crate::error::{Error, Result};

/// What the stages know about one video.
#[derive(Debug, Clone, PartialEq)]
pub struct Stages {
    /// The video and its measures.
    pub video: Video,
    /// What acts in it.
    pub entities: Entities,
    /// Where it is, frame by frame.
    pub masklets: Masklets,
    /// Its parts.
    pub clips: Clips,
    /// What every entity does in every part.
    pub transcript: Transcript,
}

impl Stages {
    /// Checks that all records are about one video.
    pub fn check_ids(&self) -> Result<()> {
        let video_id = &self.video.video_id;
        let others = [
            ("entities", &self.entities.video_id),
            ("masklets", &self.masklets.video_id),
            ("clips", &self.clips.video_id),
            ("transcript", &self.transcript.video_id),
        ];
        match others.into_iter().find(|(_, other)| *other != video_id) {
            Some((stage, found)) => {
                Err(Error::MixedVideos { video_id: video_id.clone(), stage, found: found.clone() })
            }
            None => Ok(()),
        }
    }

    /// As lines, in the order of the stages.
    pub fn into_records(self) -> [Record; 5] {
        [
            Record::Video(self.video),
            Record::Entities(self.entities),
            Record::Masklets(self.masklets),
            Record::Clips(self.clips),
            Record::Transcript(self.transcript),
        ]
    }
}

/// The files of an output folder that hold one record a video, without their ending.
pub const STAGE_FILES: [&str; 5] = ["videos", "entities", "masklets", "clips", "transcript"];

/// Reads the stage records that [`crate::pipeline::Run::join`] wrote, video by video.
///
/// # Errors
/// A missing file, a bad line, or files about different videos.
pub fn read(dir: &Path) -> Result<impl Iterator<Item = Result<Stages>>> {
    let file = |name: &str| {
        let plain = dir.join(format!("{name}.jsonl"));
        if plain.is_file() { plain } else { dir.join(format!("{name}.jsonl.zst")) }
    };
    let [videos, entities, masklets, clips, transcript] = STAGE_FILES.map(file);
    let mut videos = jsonl::read_records::<Video>(videos)?;
    let mut entities = jsonl::read_records::<Entities>(entities)?;
    let mut masklets = jsonl::read_records::<Masklets>(masklets)?;
    let mut clips = jsonl::read_records::<Clips>(clips)?;
    let mut transcripts = jsonl::read_records::<Transcript>(transcript)?;
    let dir = dir.to_owned();
    Ok(std::iter::from_fn(move || {
        let video = videos.next()?;
        let missing = || Error::OutputFolder {
            dir: dir.clone(),
            reason: "its files have different lengths".to_owned(),
        };
        let together = || {
            let stages = Stages {
                video: video?,
                entities: entities.next().ok_or_else(missing)??,
                masklets: masklets.next().ok_or_else(missing)??,
                clips: clips.next().ok_or_else(missing)??,
                transcript: transcripts.next().ok_or_else(missing)??,
            };
            stages.check_ids()?;
            Ok(stages)
        };
        Some(together())
    }))
}

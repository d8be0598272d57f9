//! What a world is like.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which part of the data a clip belongs to. Test clips show combinations of attributes that the others never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// To learn from.
    Train,
    /// To watch while learning; the same combinations as in training.
    Val,
    /// To measure at the end.
    Test,
}

impl Split {
    /// The word used in names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

/// What a world is like. Probabilities are of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorldConfig {
    /// Sides of the square picture, in pixels.
    pub image_size: u32,
    /// Frames a second.
    pub fps: f64,
    /// Length of a clip.
    pub duration_s: f64,
    /// Fewest bodies.
    pub min_objects: usize,
    /// Most bodies; where they find no room there are fewer.
    pub max_objects: usize,
    /// The camera pans or moves slowly.
    pub camera_motion: f64,
    /// The picture cuts to another viewpoint and background.
    pub cut: f64,
    /// A body enters after the start.
    pub late_entry: f64,
    /// A body leaves before the end.
    pub leaving: f64,
    /// A body leaves and comes back.
    pub coming_back: f64,
    /// A body is meant to pass behind another.
    pub occlusion: f64,
    /// Two bodies share their shape and one more attribute, so that words alone do not tell them apart.
    pub look_alikes: f64,
    /// Constant rate factor of the video files.
    pub crf: u8,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            image_size: 128,
            fps: 24.0,
            duration_s: 4.0,
            min_objects: 2,
            max_objects: 4,
            camera_motion: 0.3,
            cut: 0.1,
            late_entry: 0.15,
            leaving: 0.12,
            coming_back: 0.08,
            occlusion: 0.25,
            look_alikes: 0.8,
            crf: 20,
        }
    }
}

impl WorldConfig {
    /// Longer clips with more bodies, for tests that go beyond the training data.
    pub fn long() -> Self {
        Self { duration_s: 10.0, min_objects: 3, max_objects: 5, cut: 0.3, ..Self::default() }
    }

    /// Number of frames of a clip.
    pub fn n_frames(&self) -> usize {
        (self.duration_s * self.fps).round() as usize
    }

    /// Rejects what cannot be meant.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: String| Err(Error::BadConfig { what });
        if !(32..=2048).contains(&self.image_size) || !self.image_size.is_multiple_of(2) {
            return bad(format!("image_size {} is not an even number from 32 to 2048", self.image_size));
        }
        if !(self.fps >= 1.0 && self.fps <= 240.0) {
            return bad(format!("fps {} is not from 1 to 240", self.fps));
        }
        if !(self.duration_s >= 3.9 && self.duration_s <= 600.0) {
            return bad(format!("duration_s {} is not from 3.9 to 600", self.duration_s));
        }
        if self.min_objects == 0 || self.min_objects > self.max_objects || self.max_objects > 8 {
            let (least, most) = (self.min_objects, self.max_objects);
            return bad(format!("min_objects {least} and max_objects {most} are not 1 <= min <= max <= 8"));
        }
        for (name, share) in [
            ("camera_motion", self.camera_motion),
            ("cut", self.cut),
            ("late_entry", self.late_entry),
            ("leaving", self.leaving),
            ("coming_back", self.coming_back),
            ("occlusion", self.occlusion),
            ("look_alikes", self.look_alikes),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return bad(format!("{name} {share} is not a probability"));
            }
        }
        if self.late_entry + self.leaving + self.coming_back > 1.0 {
            return bad("late_entry, leaving and coming_back add up to more than 1".into());
        }
        if self.crf > 51 {
            return bad(format!("crf {} is above 51", self.crf));
        }
        Ok(())
    }
}

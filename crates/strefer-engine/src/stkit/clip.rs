//! The record that readers of annotations and of pseudo-labels write, and that questions are made from.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::stkit::fault::Fault;
use crate::stkit::track::{Track, check_times};
use crate::stkit::vector::{Point, Up};

/// Where positions come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Annotated or measured.
    Gt,
    /// Lifted from the video itself.
    Pseudo,
}

/// One object of a clip. Lists have one entry a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipObject {
    /// Unique within the clip.
    pub id: String,
    /// What it is.
    pub category: String,
    /// Its centre in metres, in the world; `null` where it is not known.
    pub xyz: Vec<Option<Point>>,
    /// Its box in pixels (left, top, right, bottom); `null` where it cannot be seen.
    pub boxes: Vec<Option<[f64; 4]>>,
    /// Where the positions come from.
    pub source: Source,
}

/// Frames at a steady rate, and where objects are in them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// Its name.
    pub clip_id: String,
    /// Frames a second of `frames`.
    pub fps: f64,
    /// Which way is up in the world.
    pub up: Up,
    /// Height and width of the frames in pixels, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u32, u32)>,
    /// Paths of the frames.
    pub frames: Vec<String>,
    /// Seconds of the frames from the start of the clip.
    #[serde(rename = "times")]
    pub times_s: Vec<f64>,
    /// The objects.
    pub objects: Vec<ClipObject>,
}

impl Clip {
    /// Reads one clip from a JSON file.
    ///
    /// # Errors
    /// The file cannot be read, is no such record, or contradicts itself.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let clip: Self =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.to_owned(), source })?;
        clip.validate()?;
        Ok(clip)
    }

    /// Refuses a clip that contradicts itself.
    ///
    /// # Errors
    /// Lists of different lengths, times that do not increase, boxes without an inside, an id used twice.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(|fault| Error::Clip { clip_id: self.clip_id.clone(), fault })?;
        for (at, object) in self.objects.iter().enumerate() {
            let twice = self.objects[..at].iter().any(|other| other.id == object.id);
            let checked = if twice { Err(Fault::IdTwice) } else { self.check_object(object) };
            checked.map_err(|fault| self.blame(object, fault))?;
        }
        Ok(())
    }

    fn check(&self) -> std::result::Result<(), Fault> {
        check_length("frames", self.frames.len(), self.times_s.len())?;
        check_times(&self.times_s)?;
        if !(self.fps.is_finite() && self.fps > 0.0) {
            return Err(Fault::Measure { what: "fps", found: self.fps });
        }
        match self.size {
            Some((height, width)) if height == 0 || width == 0 => {
                Err(Fault::Measure { what: "a side of the frames", found: 0.0 })
            }
            _ => Ok(()),
        }
    }

    fn check_object(&self, object: &ClipObject) -> std::result::Result<(), Fault> {
        check_length("positions", object.xyz.len(), self.times_s.len())?;
        check_length("boxes", object.boxes.len(), self.times_s.len())?;
        let is_box = |[x0, y0, x1, y1]: [f64; 4]| {
            x0 < x1 && y0 < y1 && [x0, y0, x1, y1].iter().all(|side| side.is_finite())
        };
        let mut boxes = object.boxes.iter().enumerate().filter_map(|(sample, bbox)| Some((sample, (*bbox)?)));
        match boxes.find(|(_, bbox)| !is_box(*bbox)) {
            Some((sample, bbox)) => Err(Fault::Box { sample, bbox }),
            None => Ok(()),
        }
    }

    /// Says which object of which clip has the fault.
    pub(super) fn blame(&self, object: &ClipObject, fault: Fault) -> Error {
        Error::ClipObject { clip_id: self.clip_id.clone(), object: object.id.clone(), fault }
    }

    /// The positions of an object on the clip's clock.
    ///
    /// # Errors
    /// As [`Self::validate`] for this object's positions.
    pub fn track(&self, object: &ClipObject) -> Result<Track> {
        Track::new(self.times_s.clone(), object.xyz.clone()).map_err(|fault| self.blame(object, fault))
    }

    /// Length in seconds: the last frame is shown as long as any other.
    pub fn duration_s(&self) -> f64 {
        self.times_s.last().map_or(0.0, |last| last + 1.0 / self.fps)
    }

    /// Cuts a clip that passed [`Self::validate`] into clips of at most `most` frames, each on a clock of its own. A
    /// rest of fewer than `fewest` frames is dropped; a clip that is short enough stays as it is.
    pub fn cut(self, most: usize, fewest: usize) -> Vec<Self> {
        if self.frames.len() <= most {
            return vec![self];
        }
        let starts = (0..self.frames.len()).step_by(most);
        let parts = starts.map(|start| start..(start + most).min(self.frames.len()));
        parts
            .filter(|part| part.len() >= fewest)
            .enumerate()
            .map(|(number, part)| Self {
                clip_id: format!("{}-{number:02}", self.clip_id),
                frames: self.frames[part.clone()].to_vec(),
                times_s: part.clone().map(|at| self.times_s[at] - self.times_s[part.start]).collect(),
                objects: self.objects.iter().map(|object| object.cut(part.clone())).collect(),
                ..self.clone()
            })
            .collect()
    }
}

impl ClipObject {
    fn cut(&self, part: std::ops::Range<usize>) -> Self {
        Self { xyz: self.xyz[part.clone()].to_vec(), boxes: self.boxes[part].to_vec(), ..self.clone() }
    }
}

fn check_length(what: &'static str, found: usize, expected: usize) -> std::result::Result<(), Fault> {
    if found == expected { Ok(()) } else { Err(Fault::Length { what, found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(n: usize) -> Clip {
        Clip {
            clip_id: "a".to_owned(),
            fps: 2.0,
            up: Up::Z,
            size: None,
            frames: (0..n).map(|at| format!("{at}.jpg")).collect(),
            times_s: (0..n).map(|at| at as f64 * 0.5).collect(),
            objects: vec![ClipObject {
                id: "car".to_owned(),
                category: "vehicle.car".to_owned(),
                xyz: (0..n).map(|at| Some([at as f64, 0.0, 0.0])).collect(),
                boxes: vec![Some([0.0, 0.0, 5.0, 5.0]); n],
                source: Source::Gt,
            }],
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let text = r#"{"clip_id": "a", "fps": 2.0, "up": [0, 0, 1], "frames": ["0.jpg"], "times": [0.0], "objects": [
            {"id": "car", "category": "car", "xyz": [null], "boxes": [[1, 2, 3, 4]], "source": "pseudo"}]}"#;
        let read: Clip = serde_json::from_str(text).unwrap();
        assert!(read.validate().is_ok());
        let again = serde_json::from_str::<Clip>(&serde_json::to_string(&read).unwrap()).unwrap();
        assert_eq!(again, read);
        assert!(serde_json::from_str::<Clip>(&text.replacen("fps", "rate", 1)).is_err());
    }

    #[test]
    fn what_is_wrong_is_named_with_clip_and_object() {
        let refused = |change: &dyn Fn(&mut Clip)| {
            let mut clip = clip(4);
            change(&mut clip);
            clip.validate().unwrap_err().to_string()
        };
        assert_eq!(refused(&|it| it.frames.clear()), "clip a: 0 frames for 4 times");
        assert_eq!(refused(&|it| it.fps = 0.0), "clip a: fps is 0");
        assert!(refused(&|it| it.times_s[2] = 0.5).starts_with("clip a: sample 2 at 0.5 s"));
        let short = refused(&|it| it.objects[0].xyz.truncate(3));
        assert_eq!(short, "clip a, object car: 3 positions for 4 times");
        assert!(refused(&|it| it.objects[0].boxes[1] = Some([3.0, 0.0, 3.0, 1.0])).contains("sample 1"));
        assert!(refused(&|it| it.objects.push(it.objects[0].clone())).contains("twice"));
        assert!(refused(&|it| it.size = Some((0, 9))).contains("side"));
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.json");
        assert!(matches!(Clip::load(&path), Err(Error::Io { .. })));
        std::fs::write(&path, "{}").unwrap();
        assert!(Clip::load(&path).unwrap_err().to_string().contains("clip.json"));
        std::fs::write(&path, serde_json::to_string(&clip(3)).unwrap()).unwrap();
        assert_eq!(Clip::load(&path).unwrap(), clip(3));
    }

    #[test]
    fn long_clips_are_cut_and_short_rests_dropped() {
        let lengths = |n| clip(n).cut(40, 8).iter().map(|part| part.frames.len()).collect::<Vec<_>>();
        assert_eq!([lengths(40), lengths(47), lengths(48)], [vec![40], vec![40], vec![40, 8]]);
        let parts = clip(90).cut(40, 8);
        assert_eq!((parts[2].clip_id.as_str(), parts[2].times_s[..2].to_vec()), ("a-02", vec![0.0, 0.5]));
        assert_eq!(parts[1].objects[0].xyz[0], Some([40.0, 0.0, 0.0]));
        assert_eq!((parts[1].duration_s(), parts[2].duration_s()), (20.0, 5.0));
        assert!(parts.iter().all(|part| part.validate().is_ok()));
        assert_eq!(clip(3).cut(40, 8), [clip(3)]);
    }
}

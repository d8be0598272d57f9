//! Datasets on disk become [`Clip`]s: one a recording (a scene, a log, a take, a video).
//!
//! | | where objects are | where frames are |
//! |---|---|---|
//! | [`nuscenes`] | annotated, in the world | pictures of one camera, at its keyframes |
//! | `argoverse` (feature `argoverse`) | annotated, as seen from the car | pictures of one camera |
//! | `nuplan` (feature `sql`) | found by the dataset's own perception, in the world | pictures of one camera |
//! | [`ego_exo`] | the wearer of glasses, by their own odometry | the video of a camera that looks on |
//! | [`pseudo`] | lifted from masks and depth | the video itself |
//! | [`clips`] | given | as given |
//!
//! All of them are written from the documented layouts; which were run on the datasets themselves, the book says.

#[cfg(feature = "argoverse")]
pub mod argoverse;
pub mod aria;
pub mod clips;
pub mod configs;
pub mod ego_exo;
#[cfg(feature = "argoverse")]
mod feather;
mod masks;
#[cfg(feature = "sql")]
pub mod nuplan;
#[cfg(feature = "sql")]
mod nuplan_log;
pub mod nuscenes;
#[cfg(feature = "sql")]
mod pickle;
pub mod pseudo;
mod table;
mod tables;
#[cfg(any(feature = "argoverse", feature = "sql", test))]
mod timeline;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::pipeline::digest::Digests;
use crate::pipeline::store::Note;
use crate::stkit::clip::{Clip, ClipObject};

/// A dataset on disk.
pub trait Reader: Send + Sync {
    /// Names of its recordings, each once.
    fn recordings(&self) -> &[String];

    /// The folder that the frames of a recording's clip are relative to.
    fn root(&self, recording: usize) -> PathBuf;

    /// A digest of all that a recording's clip is made from, without where that lies.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn content(&self, recording: usize, digests: &Digests) -> Result<String>;

    /// Reads a recording. The clip is called like it.
    ///
    /// # Errors
    /// A file, row or video that cannot be used, by its name.
    fn read(&self, recording: usize) -> Result<Made>;
}

/// What became of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The clip; none where the recording was looked at and is not believed, which a note says.
    pub clip: Option<Clip>,
    /// What was left out.
    pub notes: Vec<Note>,
}

impl Made {
    /// A clip without those objects that were seen in no frame or whose place is known in fewer than two.
    pub fn of(mut clip: Clip, notes: Vec<Note>) -> Self {
        let is_seen = |object: &ClipObject| {
            object.boxes.iter().any(Option::is_some) && object.xyz.iter().flatten().count() >= 2
        };
        clip.objects.retain(is_seen);
        Self { clip: Some(clip), notes }
    }
}

/// Whether things of a category can move at all: nobody asks how far a traffic cone travels.
pub fn can_move(category: &str) -> bool {
    const NEVER: [&str; 14] = [
        "barrier",
        "barricade",
        "cone",
        "bollard",
        "sign",
        "static_object",
        "movable_object",
        "generic_object",
        "message_board",
        "traffic_light",
        "construction_barrel",
        "bicycle_rack",
        "debris",
        "pushable",
    ];
    let category = category.to_ascii_lowercase();
    !NEVER.iter().any(|word| category.contains(word))
}

/// The names in a file, one a line; `#` begins a remark.
///
/// # Errors
/// A file that cannot be read.
pub fn names(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// The file, if it is there.
///
/// # Errors
/// It is not.
fn existing(path: PathBuf) -> Result<PathBuf> {
    match path.exists() {
        true => Ok(path),
        false => Err(Error::Io { path, source: std::io::ErrorKind::NotFound.into() }),
    }
}

/// The entries of a folder, by name; hidden ones do not count.
///
/// # Errors
/// A folder that cannot be read.
#[cfg(any(feature = "argoverse", feature = "sql"))]
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| Error::Io { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_move_is_known_by_its_category() {
        for category in ["vehicle.car", "human.pedestrian.adult", "REGULAR_VEHICLE", "BICYCLIST", "animal"] {
            assert!(can_move(category), "{category}");
        }
        for category in
            ["movable_object.trafficcone", "BOLLARD", "STOP_SIGN", "static_object.bicycle_rack", "czone_sign"]
        {
            assert!(!can_move(category), "{category}");
        }
    }
}

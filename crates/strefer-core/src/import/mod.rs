//! Published training formats become samples, and samples become them again.
//!
//! Whatever a format knows and a sample does not is kept in [`Origin::fields`](crate::sample::Origin), so that a
//! record that is read and written again is equal to itself.

mod file;
mod format;
pub mod grounded_video_llm;
pub mod llava_video;
pub mod qvhighlights;
pub mod strefer;
pub mod videorefer;

mod conversation;

use serde_json::{Map, Value};

pub use conversation::{ForeignObject, read_objects};
pub use file::read;
pub use format::SampleFormat;

use crate::error::{Error, Result};

/// One record of a foreign format: a JSON object.
pub type Fields = Map<String, Value>;

fn refused(id: &str, reason: impl ToString) -> Error {
    Error::Import { id: id.to_owned(), reason: reason.to_string() }
}

/// Takes a field out of a record and reads it.
fn take<T: serde::de::DeserializeOwned>(fields: &mut Fields, id: &str, name: &str) -> Result<Option<T>> {
    let Some(value) = fields.shift_remove(name) else { return Ok(None) };
    serde_json::from_value(value).map(Some).map_err(|error| refused(id, format!("field {name:?}: {error}")))
}

/// The id of a record for messages: its own, or where it stands.
fn name_of(fields: &Fields, position: usize) -> String {
    match fields.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => format!("#{position}"),
    }
}

/// A path without its ending: the name of the video.
fn video_id(path: &str) -> String {
    let file = path.rfind('/').map_or(0, |slash| slash + 1);
    let end = path[file..].rfind('.').map_or(path.len(), |dot| file + dot);
    path[..end].to_owned()
}

fn is_folder(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let ending = file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    !matches!(
        ending.as_deref(),
        Some("mp4" | "avi" | "mkv" | "webm" | "mov" | "gif" | "m4v" | "mpg" | "mpeg")
    )
}

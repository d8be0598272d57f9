//! Whole files and folders, written in one step.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::collect::wrong;
use crate::error::{Error, Result};

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

/// The text of a file.
pub(super) fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(io(path))
}

/// A JSON file.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = text(path)?;
    serde_json::from_str(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        line: source.line(),
        source,
    })
}

/// Writes a file beside its place and moves it there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        io(path)(error)
    })
}

/// Makes a folder that was not there: `fill` puts files into one beside it, which takes its name at last.
pub(super) fn folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.exists() {
        return Err(wrong(path, "folder", "it exists"));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new().prefix(".masks").tempdir_in(parent).map_err(io(parent))?;
    let inner = temporary.path().join("files");
    std::fs::create_dir(&inner).map_err(io(&inner))?;
    fill(&inner)?;
    std::fs::rename(&inner, path).map_err(io(path))
}

/// The pictures of a folder with the numbers that they are named by, in order.
///
/// # Errors
/// No picture, or two of one number.
pub(super) fn numbered(folder: &Path) -> Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
        if let (Some(number), Some("png")) = (number, path.extension().and_then(|ending| ending.to_str())) {
            found.push((number, path));
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(wrong(
            folder,
            "folder",
            "no pictures named by the numbers of frames (00012.png) are here",
        ));
    }
    match found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(wrong(folder, format!("frame {}", pair[0].0), "two pictures of it")),
        None => Ok(found),
    }
}

/// The number at the end of a file's name without its ending: `a/00012.jpg` → 12.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let file = name.rsplit(['/', '\\']).next()?;
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let digits = stem.len() - stem.bytes().rev().take_while(u8::is_ascii_digit).count();
    stem[digits..].parse().ok()
}

/// The folder of a file's name, for a video as images; empty where there is none.
pub(super) fn folder_of(name: &str) -> &str {
    name.rsplit_once(['/', '\\']).map_or("", |(folder, _)| folder)
}

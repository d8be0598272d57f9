//! Frames become files: H.264 videos and folders of PNG images. Files appear under their name when they are complete.

mod frames;
#[cfg(feature = "ffmpeg")]
mod video;
#[cfg(not(feature = "ffmpeg"))]
mod without_ffmpeg;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use frames::write_frames_dir;
#[cfg(feature = "ffmpeg")]
pub use video::VideoWriter;
#[cfg(not(feature = "ffmpeg"))]
pub use without_ffmpeg::VideoWriter;

/// How frames are encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encoding {
    /// Frames a second.
    pub fps: f64,
    /// Constant rate factor of x264: 0 is lossless, 51 is worst. Other encoders get a setting near it.
    pub crf: u8,
    /// Speed preset of x264.
    pub preset: String,
    /// Encoder by FFmpeg's name; otherwise x264, or the first that is there.
    pub encoder: Option<String>,
    /// Frames from one key frame to the next.
    pub key_interval: Option<u32>,
    /// Frames in a row that may refer to a later one.
    pub b_frames: Option<u32>,
    /// Puts the index of an MP4 file before the pictures, so that a browser can play it while it loads.
    pub fast_start: bool,
    /// Further options of the encoder, by FFmpeg's names.
    pub options: Vec<(String, String)>,
}

impl Default for Encoding {
    fn default() -> Self {
        Self {
            fps: 24.0,
            crf: 18,
            preset: "veryfast".into(),
            encoder: None,
            key_interval: None,
            b_frames: None,
            fast_start: false,
            options: Vec::new(),
        }
    }
}

/// A name beside the target for a file or folder that is not complete yet; it keeps the extension.
fn unfinished(target: &Path) -> PathBuf {
    let stem = target.file_stem().unwrap_or_default().to_string_lossy();
    let mut name = format!(".{stem}.{}.part", std::process::id());
    if let Some(extension) = target.extension() {
        name = format!("{name}.{}", extension.to_string_lossy());
    }
    target.with_file_name(name)
}

//! A video file becomes frames with timestamps, and back.
//!
//! A [`VideoSource`] is a video file or a folder of images; both give exact frames at indices or at times, or one after
//! the other. [`sample`] chooses which frames, [`transform`] turns them into pixels for a model, [`draw`] puts masks,
//! boxes and labels on them, [`mod@write`] makes files of them again.
//!
//! ```no_run
//! use strefer_video::{Limits, VideoSource, sample};
//!
//! # fn main() -> strefer_video::Result<()> {
//! let video = VideoSource::open("park.mp4", &Limits::default())?;
//! let indices = sample::linspace_trunc(video.info().n_frames(), 32);
//! for frame in video.frames_at_indices(&indices)? {
//!     println!("frame {} at {:.3} s", frame.index, frame.time_s);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Without the feature `ffmpeg` the crate builds on a machine without FFmpeg and knows folders of frames only.

mod bicubic;
pub mod draw;
mod error;
mod frame;
pub mod jpeg;
mod limits;
pub mod sample;
mod source;
pub mod transform;
pub mod write;

pub use error::{Error, Result};
pub use frame::{Frame, VideoInfo};
pub use limits::Limits;
pub use source::{Frames, VideoSource, is_image};

/// The version of FFmpeg's libavutil that is linked, such as `57.28.100`.
#[cfg(feature = "ffmpeg")]
pub fn ffmpeg_version() -> String {
    let version = video_rs::ffmpeg::util::version();
    format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

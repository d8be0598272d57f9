//! Objects that a person points at in one frame, found and followed through a video by SAM 2.1.
//!
//! ```no_run
//! use candle_core::{DType, Device};
//! use strefer_core::{Gesture, PixelPoint};
//! use strefer_model::question::{Mark, MarkShape};
//! use strefer_model::tracking::Tracker;
//! use strefer_video::{Limits, VideoSource};
//!
//! # fn main() -> strefer_model::Result<()> {
//! let tracker = Tracker::open("sam2.1-hiera-tiny".as_ref(), &Device::Cpu, DType::F32)?;
//! let video = VideoSource::open("park.mp4", &Limits::default())?;
//! let shape = MarkShape::Gesture(Gesture::Points(vec![PixelPoint { x: 310, y: 122 }]));
//! let marks = [Mark::Once { shape, at_s: 2.5 }];
//! for tracked in tracker.track("park", &video, &marks, &[0, 30, 60, 90], |_, _| ())?.into_iter().flatten() {
//!     println!("seen in frames {:?}", tracked.masks.keys());
//! }
//! # Ok(())
//! # }
//! ```

mod prompts;
mod tracker;

pub use prompts::prompt;
pub use tracker::{Tracked, Tracker};

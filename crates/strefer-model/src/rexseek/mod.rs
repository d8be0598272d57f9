//! RexSeek (arXiv 2503.08507): which of the boxes drawn on an image does an expression mean? CLIP and ConvNeXt look at the
//! image, every box becomes a token, and a Qwen2.5 answers with indices of boxes. Folders have the published names.
//!
//! ```no_run
//! use candle_core::{DType, Device};
//! use strefer_model::rexseek::{RexSeek, RexSeekOptions};
//!
//! # fn main() -> strefer_model::Result<()> {
//! let model = RexSeek::load("RexSeek-3B", &Device::Cpu, DType::F32, RexSeekOptions::default())?;
//! let image = image::RgbImage::new(640, 480);
//! let boxes = [[10.0, 20.0, 200.0, 400.0], [300.0, 20.0, 500.0, 400.0]];
//! let scene = model.scene(&image, &boxes)?;
//! for answer in scene.ask(&["the person on the left", "the person with a hat"]) {
//!     let answer = answer?;
//!     println!("{:?} with {:?}", answer.indices, answer.log_probabilities);
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod boxes;
mod config;
mod image;
mod model;
mod options;
mod prompt;
mod scene;
mod vision;
mod weights;

pub use answer::{Answer, Group, indices, parse, parse_as_evaluated};
pub use boxes::to_canvas;
pub use config::RexSeekConfig;
pub use image::{Prepared, prepare};
pub use model::RexSeek;
pub use options::RexSeekOptions;
pub use prompt::{Chunk, Prompt};
pub use scene::Scene;
pub use vision::{ImageFeatures, Vision};

//! Nouns and file formats: masks, masklets, time spans, samples, mixtures, JSON Lines, random numbers.
//!
//! No tensors live here. The record that everything meets in is [`Sample`]: the engine writes it, the mixture reads
//! it, evaluators and the command line build it.
//!
//! ```
//! use strefer_core::{Mask, Rle};
//!
//! let mask = Mask::from_fn(4, 6, |y, x| y > 0 && x < 3);
//! let rle = Rle::from_mask(&mask);
//! assert_eq!(rle.area(), 9);
//! assert_eq!(rle.to_mask(), mask);
//! ```

pub mod error;
pub mod gesture;
#[cfg(feature = "testing")]
pub mod golden;
pub mod import;
pub mod jsonl;
pub mod marks;
pub mod mask;
pub mod masklet;
pub mod mixture;
mod morphology;
pub mod placeholder;
pub mod quiz;
pub mod records;
pub mod rle;
pub mod rng;
pub mod sample;
pub mod segmentation;
pub mod settings;
pub mod stkit;
pub mod time;
pub mod tracks;
pub mod validate;

pub use error::{Error, Result};
pub use gesture::{Gesture, PixelPoint};
pub use marks::Colour;
pub use mask::{Mask, PixelBox};
pub use masklet::{FrameKey, IndexSpace, UniformRule};
pub use quiz::{OtherObject, QuizFacts};
pub use records::Record;
pub use rle::{Rle, RleRecord};
pub use rng::Rng;
pub use sample::Sample;
pub use segmentation::FrameMask;
pub use stkit::{StkitAnswer, StkitFacts, StkitTask};
pub use time::Span;

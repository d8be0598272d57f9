//! Where a video is cut into parts.
//!
//! Two passes. [`shots`] finds cuts as PySceneDetect's detectors do, from the [`score`] of neighbouring frames. [`semantic`]
//! then parts long shots where what is seen changes, and joins what looks the same, on features of sampled frames
//! ([`features`]). [`detect()`] does both, with work that does not grow with the length of a video beyond set bounds.

mod detect;
pub mod features;
pub mod score;
pub mod semantic;
pub mod shots;

pub use detect::{Found, detect};
pub use features::{ColourFeatures, FrameFeatures, SiglipFeatures};
pub use semantic::SemanticConfig;
pub use shots::{Detector, ShotConfig};

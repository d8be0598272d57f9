//! How much masks overlap.

use strefer_core::{Mask, Result};

/// Intersection over union; two empty masks agree fully.
///
/// # Errors
/// Masks of different sizes.
pub fn jaccard(found: &Mask, truth: &Mask) -> Result<f64> {
    found.iou(truth)
}

//! Grounding DINO as the detector.

use strefer_vision::grounding_dino::{self, batch};

use super::FrameStore;
use crate::masklets::seam::{Detection, Detector, Seen};

pub use strefer_vision::grounding_dino::Thresholds;

/// Nouns of one question; the model's text has room for 256 tokens.
const NOUNS_AT_ONCE: usize = 32;

/// Grounding DINO over the frames of a store.
#[derive(Debug)]
pub struct BoxEyes<'a> {
    frames: &'a FrameStore,
    model: &'a grounding_dino::Detector,
    thresholds: Thresholds,
}

impl<'a> BoxEyes<'a> {
    /// The published thresholds of boxes and tokens.
    pub const PUBLISHED: Thresholds = Thresholds { score: 0.25, token: 0.3 };

    /// Looks at the frames of `frames`.
    pub fn new(frames: &'a FrameStore, model: &'a grounding_dino::Detector, thresholds: Thresholds) -> Self {
        Self { frames, model, thresholds }
    }
}

impl Detector for BoxEyes<'_> {
    fn detect(&mut self, position: usize, nouns: &[String]) -> Seen<Vec<Detection>> {
        let image = self.frames.frame(position)?;
        let (height, width) = (image.height() as usize, image.width() as usize);
        let pixels = batch(&[(image.as_raw(), height, width)])?;
        let mut detections = Vec::new();
        for (part, asked) in nouns.chunks(NOUNS_AT_ONCE).enumerate() {
            let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
            let found = self.model.detect(&pixels, &[(height, width)], &asked, self.thresholds)?;
            detections.extend(found.into_iter().flatten().map(|found| Detection {
                area: found.area.map(f64::from),
                score: f64::from(found.best),
                label: found.label,
                noun: Some(part * NOUNS_AT_ONCE + found.phrase),
                expression: None,
            }));
        }
        Ok(detections)
    }
}

//! SigLIP compares cut-outs of a frame with expressions.

use image::RgbImage;
use serde::{Deserialize, Serialize};
use strefer_video::transform::{Resize, normalise, to_square};
use strefer_vision::siglip::Siglip;

use super::share::best;
use crate::masklets::eyes::FrameStore;
use crate::masklets::seam::{Answer, Area, Referee, Seen};

/// How cut-outs are made and judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimilarityOptions {
    /// What is shown round a box, as a share of its sides: an expression often names what an object stands beside.
    pub margin: f64,
    /// Logits below this are no answer. SigLIP was trained so that above 0 a text rather fits than not; most texts that
    /// fit stay below that. Every best box is an answer when absent.
    pub least_logit: Option<f64>,
}

impl Default for SimilarityOptions {
    fn default() -> Self {
        Self { margin: 0.1, least_logit: None }
    }
}

/// SigLIP over the frames of a store. It sees one box at a time, so it knows what things look like and not where they
/// are beside others.
#[derive(Debug)]
pub struct SimilarityReferee<'a> {
    frames: &'a FrameStore,
    model: &'a Siglip,
    options: SimilarityOptions,
}

impl<'a> SimilarityReferee<'a> {
    /// Looks at the frames of `frames`.
    pub fn new(frames: &'a FrameStore, model: &'a Siglip, options: SimilarityOptions) -> Self {
        Self { frames, model, options }
    }

    fn cut(&self, image: &RgbImage, [x0, y0, x1, y1]: Area) -> RgbImage {
        let (right, bottom) = (f64::from(image.width()), f64::from(image.height()));
        let (wide, high) = (self.options.margin * (x1 - x0), self.options.margin * (y1 - y0));
        let left = (x0 - wide).floor().clamp(0.0, right - 1.0);
        let top = (y0 - high).floor().clamp(0.0, bottom - 1.0);
        let width = ((x1 + wide).ceil().min(right) - left).max(1.0);
        let height = ((y1 + high).ceil().min(bottom) - top).max(1.0);
        image::imageops::crop_imm(image, left as u32, top as u32, width as u32, height as u32).to_image()
    }
}

impl Referee for SimilarityReferee<'_> {
    fn name(&self) -> &str {
        "siglip"
    }

    fn refer(&mut self, position: usize, boxes: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>> {
        if boxes.is_empty() || expressions.is_empty() {
            return Ok(vec![Answer::default(); expressions.len()]);
        }
        let image = self.frames.worked(position)?;
        let side = self.model.image_size() as u32;
        let mut pixels = Vec::with_capacity(boxes.len() * 3 * (side * side) as usize);
        for &area in boxes {
            pixels.extend(normalise(&to_square(&self.cut(&image, area), side, Resize::Square)));
        }
        let (images, texts) = (self.model.images(pixels)?, self.model.texts(expressions)?);
        let logits = self.model.pair().logits(&texts, &images)?.to_dtype(candle_core::DType::F64)?;
        let fits = |top: f64| self.options.least_logit.is_none_or(|least| top >= least);
        Ok(logits.to_vec2::<f64>()?.iter().map(|row| best(row, fits)).collect())
    }
}

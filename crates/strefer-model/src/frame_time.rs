//! When a frame is shown, told to its features by learned vectors (the media time embedding of Flamingo,
//! arXiv 2204.14198).

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;

use crate::inputs::Inputs;

/// One learned vector for each of the frames shown; frames between two of them get a mix of both.
#[derive(Debug, Clone)]
pub struct FrameTime {
    embedding: Tensor,
}

impl FrameTime {
    /// Parameter `media_time_embeds`, `(count, dv)`, below `vb`.
    pub fn new(count: usize, vision_dim: usize, vb: VarBuilder) -> Result<Self> {
        let init = Init::Randn { mean: 0.0, stdev: 0.2 };
        Ok(Self { embedding: vb.get_with_hints((count, vision_dim), "media_time_embeds", init)? })
    }

    /// Adds its vector to every patch of a frame.
    ///
    /// # Shapes
    /// - `feats`: `(all frames, n, dv)`, the frames of the rows of `batch` one after the other
    /// - returns: the same
    pub fn forward(&self, feats: &Tensor, batch: &[Inputs]) -> Result<Tensor> {
        let count = self.embedding.dim(0)?;
        let mut weights = Vec::with_capacity(feats.dim(0)? * count);
        for inputs in batch {
            let shown = inputs.shown_frames();
            for &frame in &inputs.frame_indices {
                let at = position(&shown, frame);
                weights.extend((0..count).map(|slot| (1.0 - (at - slot as f32).abs()).max(0.0)));
            }
        }
        let weights = Tensor::from_vec(weights, (feats.dim(0)?, count), feats.device())?;
        let vectors = weights.to_dtype(self.embedding.dtype())?.matmul(&self.embedding)?;
        // On a processor features are f32 where weights are narrower.
        feats.broadcast_add(&vectors.unsqueeze(1)?.to_dtype(feats.dtype())?)
    }
}

/// Where a source frame lies among the shown ones, counted from 0; those outside count as the first or the last.
fn position(shown: &[usize], frame: usize) -> f32 {
    if !shown.is_sorted() {
        // Shown in another order: in the place of the nearest frame, the first of several.
        let nearest = (0..shown.len()).min_by_key(|&at| shown[at].abs_diff(frame));
        return nearest.unwrap_or(0) as f32;
    }
    let after = shown.partition_point(|&other| other < frame);
    match (after.checked_sub(1).map(|before| shown[before]), shown.get(after)) {
        (Some(before), Some(&next)) => (after - 1) as f32 + (frame - before) as f32 / (next - before) as f32,
        (None, _) => 0.0,
        (_, None) => shown.len().saturating_sub(1) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_between_shown_ones_lie_between_them() {
        let shown = [10, 20, 40];
        let positions: Vec<f32> = [0, 10, 15, 20, 25, 40, 99].map(|frame| position(&shown, frame)).to_vec();
        assert_eq!(positions, [0.0, 0.0, 0.5, 1.0, 1.25, 2.0, 2.0]);
        assert_eq!(position(&[40, 20, 10], 12), 2.0);
        // A video shorter than what is shown repeats frames.
        assert_eq!(position(&[0, 0, 1, 1], 1), 2.0);
    }
}

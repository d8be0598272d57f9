//! The neck: maps of all stages become equally wide, and the coarser ones are added on the way down.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::Linear;

use super::VisionConfig;
use crate::layers::pointwise;

/// A feature pyramid over the stages of the trunk.
#[derive(Debug, Clone)]
pub(super) struct Neck {
    /// From the coarsest level to the finest, as published.
    convs: Vec<Linear>,
    top_down: Vec<usize>,
}

/// Every cell twice in either direction: `(b, h, w, c)` → `(b, 2h, 2w, c)`.
fn double(xs: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = xs.dims4()?;
    xs.reshape((b, h, 1, w, 1, c))?.broadcast_as((b, h, 2, w, 2, c))?.reshape((b, 2 * h, 2 * w, c))
}

impl Neck {
    pub(super) fn new(cfg: &VisionConfig, vb: VarBuilder) -> Result<Self> {
        let widths = cfg.backbone_config.embed_dim_per_stage.iter().rev().enumerate();
        let conv = |(at, &width)| pointwise(width, cfg.fpn_hidden_size, vb.pp("convs").pp(at));
        let convs = widths.map(conv).collect::<Result<_>>()?;
        Ok(Self { convs, top_down: cfg.fpn_top_down_levels.clone() })
    }

    /// Maps from the finest to the coarsest, the coarsest of all left out.
    pub(super) fn forward(&self, stages: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut maps: Vec<Tensor> = Vec::with_capacity(stages.len());
        for (level, conv) in (0..stages.len()).rev().zip(&self.convs) {
            let lateral = conv.forward(&stages[level])?;
            let map = match maps.last() {
                Some(above) if self.top_down.contains(&level) => (lateral + double(above)?)?,
                _ => lateral,
            };
            maps.push(map);
        }
        maps.reverse();
        maps.pop();
        Ok(maps)
    }
}

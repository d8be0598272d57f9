//! Mask pooling, token merge and the two-layer MLP.

use candle_core::{DType, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use strefer_nn::{Linear, linear, ops};

use super::merge::{adjacent_similarities, merge_groups};
use super::place::{MaskPlace, Place};

/// The region connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionConfig {
    /// The most tokens of one object; more frames are merged.
    pub max_tokens: usize,
    /// Whether tokens are told where and when each mask lies and how it moves from and to its neighbours, by a vector added in
    /// the language space, where what is pooled does not drown it (Osprey, arXiv 2312.10032, has a spatial token made of the
    /// mask).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub place: bool,
    /// Whether they are told the outline of each mask, too: 12 by 12 cells of its box. Needs `place`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outline: bool,
}

impl Default for RegionConfig {
    fn default() -> Self {
        Self { max_tokens: 4, place: false, outline: false }
    }
}

/// One object: where its masks lie in a stack of frame features.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionRows {
    /// Rows of the stack, in the order of merging.
    pub rows: Vec<u32>,
    /// One mask on the patch grid a row, row-major 0 or 1.
    pub grid_masks: Vec<Vec<f32>>,
    /// One place a row, for connectors that are told places.
    pub places: Vec<MaskPlace>,
}

/// Turns masked features into tokens of the language model.
#[derive(Debug, Clone)]
pub struct RegionEncoder {
    fc1: Linear,
    fc2: Linear,
    place: Option<Place>,
    max_tokens: usize,
}

/// What [`RegionEncoder::forward`] gives, step by step.
#[derive(Debug, Clone)]
pub struct RegionTokens {
    /// Features under each mask, `(k, dv)` in f32.
    pub pooled: Tensor,
    /// After merging, `(tokens, dv)` in f32.
    pub merged: Tensor,
    /// In the language space, `(tokens, d)`.
    pub tokens: Tensor,
    /// Tokens of each object.
    pub counts: Vec<usize>,
}

impl RegionEncoder {
    /// Parameters `feat_linear.{0,2}` below `vb`, and `place` where tokens are told places.
    pub fn new(cfg: &RegionConfig, vision_dim: usize, text_dim: usize, vb: VarBuilder) -> Result<Self> {
        let fc1 = linear(vision_dim, text_dim, vb.pp("feat_linear.0"))?;
        let fc2 = linear(text_dim, text_dim, vb.pp("feat_linear.2"))?;
        let place = match cfg.place {
            true => Some(Place::new(cfg.outline, text_dim, vb.pp("place"))?),
            false if cfg.outline => bail!("region.outline is told as part of region.place, which is off"),
            false => None,
        };
        Ok(Self { fc1, fc2, place, max_tokens: cfg.max_tokens })
    }

    /// Tokens of all objects, one after the other. Pooling and merging run in f32; similarities carry no gradient.
    ///
    /// # Shapes
    /// - `feats`: `(f, n, dv)`
    /// - `regions`: masks of `n` patches
    pub fn forward(&self, feats: &Tensor, regions: &[RegionRows]) -> Result<RegionTokens> {
        let (f, n, _dv) = feats.dims3()?;
        let mut pooled = ops::Pooled::over(n);
        for region in regions {
            if region.rows.len() != region.grid_masks.len() || region.rows.is_empty() {
                bail!("a region of {} frames with {} masks", region.rows.len(), region.grid_masks.len());
            }
            for (&row, mask) in region.rows.iter().zip(&region.grid_masks) {
                if row as usize >= f || mask.len() != n {
                    bail!("row {row} of {f} frames, a mask of {} for {n} patches", mask.len());
                }
                pooled.push(row, mask);
            }
        }
        let pooled = ops::mask_pool(&feats.to_dtype(DType::F32)?, pooled)?; // (k, dv)
        let groups = self.groups(&pooled, regions)?;
        let merged = groups.average(&pooled)?;
        let xs = merged.to_dtype(feats.dtype())?;
        let mut tokens = self.fc2.forward(&self.fc1.forward_gelu(&xs)?)?;
        if let Some(place) = &self.place {
            let places = groups.average(&place.forward(regions, feats.dtype(), feats.device())?)?;
            tokens = (tokens + places.to_dtype(feats.dtype())?)?;
        }
        Ok(RegionTokens { pooled, merged, tokens, counts: groups.counts })
    }

    /// Which frames of each object become one token: those whose pooled features resemble each other.
    fn groups(&self, pooled: &Tensor, regions: &[RegionRows]) -> Result<Groups> {
        if regions.iter().all(|region| region.rows.len() <= self.max_tokens) {
            let counts = regions.iter().map(|region| region.rows.len()).collect();
            return Ok(Groups { counts, weights: None });
        }
        let values = pooled.detach().to_vec2::<f32>()?;
        let k = values.len();
        let (mut weights, mut counts, mut first) = (Vec::new(), Vec::new(), 0);
        for region in regions {
            let own = &values[first..first + region.rows.len()];
            let groups = merge_groups(&adjacent_similarities(own), self.max_tokens);
            counts.push(groups.len());
            for group in groups {
                let share = 1.0 / group as f32;
                weights.extend(
                    (0..k).map(|row| if (first..first + group).contains(&row) { share } else { 0.0 }),
                );
                first += group;
            }
        }
        let weights = Tensor::from_vec(weights, (counts.iter().sum::<usize>(), k), pooled.device())?;
        Ok(Groups { counts, weights: Some(weights) })
    }
}

/// The token merge of all objects of a batch.
struct Groups {
    /// Tokens of each object.
    counts: Vec<usize>,
    /// `(tokens, k)`, the shares of frames in tokens; none where every frame keeps its own.
    weights: Option<Tensor>,
}

impl Groups {
    /// `(k, d)` → `(tokens, d)`.
    fn average(&self, frames: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Some(weights) => weights.matmul(frames),
            None => Ok(frames.clone()),
        }
    }
}

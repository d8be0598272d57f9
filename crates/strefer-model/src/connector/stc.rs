//! Spatial-temporal convolution connector (VideoLLaMA 2, arXiv 2406.07476) as VideoRefer uses it: convolution blocks on
//! every frame, a convolution that halves time, rows and columns, blocks again, and an MLP.

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use serde::{Deserialize, Serialize};
use strefer_nn::{Linear, linear, ops};

use super::reg_block::RegBlock;

/// Spatial-temporal convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StcConfig {
    /// Blocks before and behind the sampler, each.
    pub blocks: usize,
    /// Zeros around time, rows and columns before they are halved: none in v3.5, one in the plain connector.
    pub sampler_padding: usize,
}

impl StcConfig {
    /// `stc_connector_v35`, the connector of VideoRefer-7B.
    pub const V35: Self = Self { blocks: 4, sampler_padding: 0 };
    /// `stc_connector`, the connector of VideoLLaMA 2.
    pub const PLAIN: Self = Self { blocks: 4, sampler_padding: 1 };

    /// What the sampler makes of `size` frames, rows or columns.
    fn sampled(&self, size: usize) -> usize {
        size / 2 + self.sampler_padding
    }

    pub(super) fn token_count(&self, t: usize, side: usize) -> usize {
        self.sampled(t) * self.sampled(side).pow(2)
    }

    pub(super) fn validate(&self, t: usize, side: usize) -> std::result::Result<(), String> {
        if self.blocks == 0 || self.sampler_padding > 1 {
            return Err("connector: blocks is at least one, sampler_padding at most one".to_owned());
        }
        if self.token_count(t, side) == 0 {
            return Err(format!("connector: {t} frames of {side}x{side} patches leave no token"));
        }
        Ok(())
    }
}

/// 2×2×2 convolution of stride 2: the eight values of a channel in a cube lie side by side, and one product takes all.
#[derive(Debug, Clone)]
struct Sampler {
    weight: Tensor,
    bias: Tensor,
    padding: usize,
}

impl Sampler {
    /// Parameters `weight` `(d, d, 2, 2, 2)` and `bias` below `vb`.
    fn new(dim: usize, padding: usize, vb: VarBuilder) -> Result<Self> {
        let bound = 1.0 / (8.0 * dim.max(1) as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let weight = vb.get_with_hints((dim, dim, 2, 2, 2), "weight", init)?;
        Ok(Self { weight, bias: vb.get_with_hints(dim, "bias", Init::Const(0.))?, padding })
    }
}

impl Module for Sampler {
    /// `xs`: `(b, t, h, w, d)` → `(b, t/2, h/2, w/2, d)`; an odd last frame, row or column is left out
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut xs = xs.clone();
        for axis in 1..4 {
            if self.padding > 0 {
                xs = xs.pad_with_zeros(axis, self.padding, self.padding)?;
            }
            let size = xs.dim(axis)?;
            if size < 2 {
                bail!("the connector halves time, rows and columns, and cannot halve {:?}", xs.shape());
            }
            xs = xs.narrow(axis, 0, size / 2 * 2)?;
        }
        let (b, t, h, w, d) = xs.dims5()?;
        let (t, h, w) = (t / 2, h / 2, w / 2);
        let cubes = xs.reshape(vec![b, t, 2, h, 2, w, 2, d])?.permute(vec![0, 1, 3, 5, 7, 2, 4, 6])?;
        let cubes = cubes.contiguous()?.reshape((b, t, h, w, d * 8))?;
        ops::silu(&ops::linear(&cubes, &self.weight.flatten_from(1)?, Some(&self.bias))?)
    }
}

/// Convolutions over rows, columns and time.
#[derive(Debug, Clone)]
pub struct Stc {
    s1: Vec<RegBlock>,
    sampler: Sampler,
    s2: Vec<RegBlock>,
    fc1: Linear,
    fc2: Linear,
}

impl Stc {
    /// Parameters `s1.b*`, `sampler.0`, `s2.b*` and `readout.{0,2}` below `vb`; blocks count from one.
    pub fn new(cfg: &StcConfig, vision_dim: usize, text_dim: usize, vb: VarBuilder) -> Result<Self> {
        let stage = |first: usize, vb: VarBuilder| -> Result<Vec<RegBlock>> {
            let block = |block: usize| {
                let input = if block == 1 { first } else { text_dim };
                RegBlock::new(input, text_dim, vb.pp(format!("b{block}")))
            };
            (1..=cfg.blocks).map(block).collect()
        };
        Ok(Self {
            s1: stage(vision_dim, vb.pp("s1"))?,
            sampler: Sampler::new(text_dim, cfg.sampler_padding, vb.pp("sampler.0"))?,
            s2: stage(text_dim, vb.pp("s2"))?,
            fc1: linear(text_dim, text_dim, vb.pp("readout.0"))?,
            fc2: linear(text_dim, text_dim, vb.pp("readout.2"))?,
        })
    }

    /// Tokens in the order of time, rows, columns.
    ///
    /// # Shapes
    /// - `feats`: `(b, t, h, w, dv)`
    /// - returns: `(b, tokens, d)`
    pub fn forward(&self, feats: &Tensor) -> Result<Tensor> {
        let (b, t, h, w, dv) = feats.dims5()?;
        let frames = feats.reshape((b * t, h, w, dv))?;
        let mut maps = self.s1.iter().try_fold(frames, |maps, block| block.forward(&maps))?; // (b*t, h, w, d)
        let d = maps.dim(3)?;
        maps = maps.reshape((b, t, h, w, d))?;
        let volume = maps.apply(&self.sampler)?;
        drop(maps);
        let (_b, t, h, w, _d) = volume.dims5()?;
        let maps = volume.reshape((b * t, h, w, d))?;
        let maps = self.s2.iter().try_fold(maps, |maps, block| block.forward(&maps))?;
        let tokens = maps.reshape((b, t * h * w, d))?;
        self.fc1.forward_gelu(&tokens)?.apply(&self.fc2)
    }
}

//! Two-layer MLP and bilinear pooling of the patch grid (LLaVA-OneVision, arXiv 2408.03326).

use candle_core::{Device, Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use serde::{Deserialize, Serialize};
use strefer_nn::{Linear, linear, ops};

use super::kind::square_side;

/// Two-layer MLP and bilinear pooling of the patch grid (LLaVA-OneVision).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// Side of the token grid of a frame; the patch grid is resized to it.
    pub pooled_side: usize,
    /// Where the learned newline vector goes.
    pub newline: Newline,
}

impl MlpConfig {
    pub(super) fn token_count(&self, t: usize) -> usize {
        let frame = self.pooled_side.pow(2);
        match self.newline {
            Newline::NoToken => t * frame,
            Newline::OneToken => t * frame + 1,
            Newline::Frame => t * (frame + 1),
        }
    }

    pub(super) fn validate(&self, side: usize) -> std::result::Result<(), String> {
        if self.pooled_side == 0 || self.pooled_side > side {
            return Err(format!("connector.pooled_side is not between 1 and {side}"));
        }
        Ok(())
    }
}

/// Where the learned newline vector goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Newline {
    /// There is none.
    #[default]
    NoToken,
    /// One after the last frame.
    OneToken,
    /// One after each frame.
    Frame,
}

/// Maps patch features to language tokens, frame by frame.
#[derive(Debug, Clone)]
pub struct MlpConnector {
    fc1: Linear,
    fc2: Linear,
    image_newline: Option<Tensor>,
    cfg: MlpConfig,
}

/// The weights `(out, in)` of a bilinear resize with half-pixel centres and no antialiasing.
fn bilinear_weights(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; to * from];
    let scale = from as f64 / to as f64;
    for target in 0..to {
        let at = (scale * (target as f64 + 0.5) - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        let second = (first + 1).min(from - 1);
        let part = at - first as f64;
        weights[target * from + first] += (1.0 - part) as f32;
        weights[target * from + second] += part as f32;
    }
    weights
}

/// The weights `(to * to, from * from)` of the resize of a square map.
fn pool_matrix(from: usize, to: usize, device: &Device) -> Result<Tensor> {
    let axis = bilinear_weights(from, to);
    let mut weights = Vec::with_capacity(to * to * from * from);
    for (row, column) in (0..to).flat_map(|row| (0..to).map(move |column| (row, column))) {
        for (y, x) in (0..from).flat_map(|y| (0..from).map(move |x| (y, x))) {
            weights.push(axis[row * from + y] * axis[column * from + x]);
        }
    }
    Tensor::from_vec(weights, (to * to, from * from), device)
}

impl MlpConnector {
    /// Parameters `mm_projector.{0,2}` and `image_newline` below `vb`.
    pub fn new(cfg: &MlpConfig, vision_dim: usize, text_dim: usize, vb: VarBuilder) -> Result<Self> {
        let fc1 = linear(vision_dim, text_dim, vb.pp("mm_projector.0"))?;
        let fc2 = linear(text_dim, text_dim, vb.pp("mm_projector.2"))?;
        let image_newline = match cfg.newline {
            Newline::NoToken => None,
            _ => {
                let stdev = 1.0 / (text_dim as f64).sqrt();
                Some(vb.get_with_hints(text_dim, "image_newline", Init::Randn { mean: 0.0, stdev })?)
            }
        };
        Ok(Self { fc1, fc2, image_newline, cfg: *cfg })
    }

    /// Tokens of `b` videos of equally many frames.
    ///
    /// # Shapes
    /// - `feats`: `(b, t, n, dv)`, `n` a square number, rows first
    /// - returns: `(b, tokens, d)`
    pub fn forward(&self, feats: &Tensor) -> Result<Tensor> {
        let (b, t, n, dv) = feats.dims4()?;
        let side = square_side(n)?;
        let to = self.cfg.pooled_side;
        let xs = feats.reshape((b * t, n, dv))?;
        let xs = self.fc2.forward(&ops::gelu_erf(&self.fc1.forward(&xs)?)?)?; // (b*t, n, d)
        let d = xs.dim(2)?;
        let xs = if side == to {
            xs
        } else {
            let pool = pool_matrix(side, to, xs.device())?.to_dtype(xs.dtype())?;
            let maps = xs.transpose(1, 2)?.contiguous()?; // (b*t, d, n)
            ops::linear(&maps, &pool, None)?.transpose(1, 2)?.contiguous()? // (b*t, to*to, d)
        };
        let newline = |count: usize| -> Result<Option<Tensor>> {
            self.image_newline
                .as_ref()
                .map(|token| token.reshape((1, 1, d))?.broadcast_as((count, 1, d)))
                .transpose()
        };
        match self.cfg.newline {
            Newline::NoToken => xs.reshape((b, t * to * to, d)),
            Newline::OneToken => {
                let xs = xs.reshape((b, t * to * to, d))?;
                newline(b)?.map_or_else(|| Ok(xs.clone()), |token| Tensor::cat(&[&xs, &token], 1))
            }
            Newline::Frame => {
                let xs =
                    newline(b * t)?.map_or_else(|| Ok(xs.clone()), |token| Tensor::cat(&[&xs, &token], 1))?;
                xs.reshape((b, t * (to * to + 1), d))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;
    use strefer_nn::ParamStore;

    use super::*;

    #[test]
    fn halving_a_grid_averages_four_patches() {
        assert_eq!(bilinear_weights(4, 2), [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]);
        // 27 to 14, as LLaVA-OneVision pools: the first target lies at (0 + 0.5) * 27 / 14 - 0.5 = 0.4643.
        let weights = bilinear_weights(27, 14);
        assert!((weights[0] - 0.535_714).abs() < 1e-5 && (weights[1] - 0.464_286).abs() < 1e-5);
        for row in weights.chunks(27) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn tokens_are_counted_as_they_come_and_all_weights_learn() -> Result<()> {
        for newline in [Newline::NoToken, Newline::OneToken, Newline::Frame] {
            let cfg = MlpConfig { pooled_side: 2, newline };
            let store = ParamStore::new(1, &Device::Cpu, DType::F32).trainable(|_| true);
            let connector = MlpConnector::new(&cfg, 6, 8, store.var_builder())?;
            let feats = strefer_nn::testing::randn(1, &[2, 3, 16, 6]);
            let tokens = connector.forward(&feats)?;
            assert_eq!(tokens.dims3()?, (2, cfg.token_count(3), 8));
            strefer_nn::testing::assert_all_grads(&store.vars(), &tokens.sqr()?.sum_all()?.backward()?);
        }
        Ok(())
    }
}

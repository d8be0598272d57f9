//! Two-layer MLP and bilinear pooling of the patch grid (LLaVA-OneVision, arXiv 2408.03326).

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use serde::{Deserialize, Serialize};
use strefer_nn::{Linear, linear};

use super::bilinear;
use super::kind::square_side;
use crate::tiles::Tiling;

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
        let xs = self.project(&feats.reshape((b * t, n, dv))?)?; // (b*t, n, d)
        let d = xs.dim(2)?;
        let xs =
            bilinear::resize(&xs.reshape((b * t, side, side, d))?, to, to)?.reshape((b * t, to * to, d))?;
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

    /// Tokens of one image that was cut into tiles: those of the whole in small, unpooled, then the map of its tiles without
    /// what was added to the image, row by row, each with a newline behind it.
    ///
    /// # Shapes
    /// - `feats`: `(1 + rows * columns, n, dv)`, the whole in small and the tiles row by row, `n` a square number
    /// - returns: `(tokens, d)`
    pub fn forward_tiles(&self, feats: &Tensor, tiling: &Tiling) -> Result<Tensor> {
        let (count, n, _) = feats.dims3()?;
        let side = square_side(n)?;
        let Tiling { rows, columns, kept, shrunk } = *tiling;
        let Some(newline) = &self.image_newline else { bail!("tiles need a newline token") };
        if count != 1 + rows * columns {
            bail!("{count} pictures are not one and {rows} by {columns} tiles");
        }
        let xs = self.project(feats)?;
        let d = xs.dim(2)?;
        let map = xs.narrow(0, 1, rows * columns)?.reshape((rows, columns, side, side * d))?;
        let map = map.transpose(1, 2)?.reshape((rows * side, columns * side, d))?;
        let map = map.narrow(0, (rows * side - kept.0) / 2, kept.0)?.narrow(
            1,
            (columns * side - kept.1) / 2,
            kept.1,
        )?;
        let map = bilinear::resize(&map.unsqueeze(0)?, shrunk.0, shrunk.1)?.squeeze(0)?; // (h, w, d)
        let newlines = newline.reshape((1, 1, d))?.broadcast_as((shrunk.0, 1, d))?;
        let map = Tensor::cat(&[&map, &newlines], 1)?.reshape((shrunk.0 * (shrunk.1 + 1), d))?;
        Tensor::cat(&[&xs.get(0)?, &map], 0)
    }

    /// `(m, n, dv)` → `(m, n, d)`
    fn project(&self, feats: &Tensor) -> Result<Tensor> {
        self.fc2.forward(&self.fc1.forward_gelu(feats)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use strefer_nn::ParamStore;

    use super::*;

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

    #[test]
    fn tiles_lie_where_they_were_cut_and_all_weights_learn() -> Result<()> {
        let cfg = MlpConfig { pooled_side: 1, newline: Newline::OneToken };
        let store = ParamStore::new(1, &Device::Cpu, DType::F32).trainable(|_| true);
        let connector = MlpConnector::new(&cfg, 6, 8, store.var_builder())?;
        let feats = strefer_nn::testing::randn(1, &[7, 4, 6]);
        let tiling = Tiling { rows: 2, columns: 3, kept: (2, 6), shrunk: (2, 6) };
        let tokens = connector.forward_tiles(&feats, &tiling)?;
        assert_eq!(tokens.dims2()?, (tiling.token_count(2), 8));
        let patches = connector.project(&feats)?;
        // Behind four tokens of the whole: the lower rows of the upper tiles, the upper rows of the lower ones.
        for (token, (tile, patch)) in
            [(0, (0, 0)), (4, (1, 2)), (6, (2, 2)), (9, (3, 3)), (13, (5, 0)), (16, (6, 1))]
        {
            let found = tokens.get(token)?.to_vec1::<f32>()?;
            assert_eq!(found, patches.get(tile)?.get(patch)?.to_vec1::<f32>()?, "token {token}");
        }
        assert!(connector.forward_tiles(&feats.narrow(0, 0, 6)?, &tiling).is_err());
        let shrunk = connector.forward_tiles(&feats, &Tiling { shrunk: (1, 3), ..tiling })?;
        assert_eq!(shrunk.dims2()?, (4 + 4, 8));
        strefer_nn::testing::assert_all_grads(&store.vars(), &shrunk.sqr()?.sum_all()?.backward()?);
        Ok(())
    }
}

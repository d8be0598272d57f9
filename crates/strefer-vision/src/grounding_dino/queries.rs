//! The cells of the enhanced image that fit the text best become the first boxes.

use candle_core::{DType, Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::{LayerNorm, Linear, linear};

use super::{GroundingDinoConfig, Levels};
use crate::layers::Mlp;

/// The head that makes a box out of a vector.
pub(super) fn box_head(d: usize, vb: VarBuilder) -> Result<Mlp> {
    let names: Vec<String> = (0..3).map(|at| format!("layers.{at}")).collect();
    Mlp::relu(&[d, d, d, 4], &names, vb)
}

/// Scores every cell against every token.
#[derive(Debug, Clone)]
pub(super) struct QuerySelection {
    enc_output: Linear,
    enc_output_norm: LayerNorm,
    encoder_output_bbox_embed: Mlp,
    count: usize,
}

/// The cells that were selected.
#[derive(Debug, Clone)]
pub struct Selected {
    /// How well each cell fits each token, `(b, n, s)`; padding counts, too.
    pub scores: Tensor,
    /// The box of each cell before the sigmoid, `(b, n, 4)`; infinite for cells that are no place to look.
    pub boxes: Tensor,
    /// The best cells of each image, best first.
    pub cells: Vec<Vec<u32>>,
    /// Their boxes by centre and size, `(b, q, 4)`.
    pub references: Tensor,
}

impl QuerySelection {
    pub(super) fn new(cfg: &GroundingDinoConfig, vb: VarBuilder) -> Result<Self> {
        let d = cfg.d_model;
        Ok(Self {
            enc_output: linear(d, d, vb.pp("enc_output"))?,
            enc_output_norm: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("enc_output_norm"))?,
            encoder_output_bbox_embed: box_head(d, vb.pp("encoder_output_bbox_embed"))?,
            count: cfg.num_queries,
        })
    }

    /// # Shapes
    /// - `image`: `(b, n, d)`, `text`: `(b, s, d)`; `tokens`: `(b, s)` flags, row by row
    pub(super) fn forward(
        &self,
        image: &Tensor,
        text: &Tensor,
        tokens: &[bool],
        levels: &Levels,
    ) -> Result<Selected> {
        let (b, n, _d) = image.dims3()?;
        let s = text.dim(1)?;
        let (proposals, usable) = levels.proposals(image.device())?;
        let usable = usable.into_iter().map(|usable| f32::from(u8::from(usable)));
        let usable =
            Tensor::from_iter(usable, image.device())?.reshape((b, n, 1))?.to_dtype(image.dtype())?;
        let cells = image.broadcast_mul(&usable)?.apply(&self.enc_output)?.apply(&self.enc_output_norm)?;
        let scores = cells.matmul(&text.t()?)?; // (b, n, s)
        let boxes = self.encoder_output_bbox_embed.forward(&cells)?.to_dtype(DType::F32)?;
        let boxes = (boxes + proposals)?;
        let on_host: Vec<f32> = scores.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let best = |image: usize| {
            let tokens = &tokens[image * s..][..s];
            let score = |row: &[f32]| {
                let of_tokens = row.iter().zip(tokens).filter(|(_, token)| **token).map(|(score, _)| *score);
                of_tokens.fold(f32::NEG_INFINITY, f32::max)
            };
            let scores: Vec<f32> = on_host[image * n * s..][..n * s].chunks_exact(s).map(score).collect();
            let mut order: Vec<u32> = (0..n as u32).collect();
            order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
            order.truncate(self.count);
            order
        };
        let cells: Vec<Vec<u32>> = (0..b).map(best).collect();
        let chosen = cells.iter().enumerate().map(|(image, cells)| {
            boxes.get(image)?.index_select(&Tensor::new(cells.as_slice(), boxes.device())?, 0)
        });
        let chosen = Tensor::stack(&chosen.collect::<Result<Vec<_>>>()?, 0)?;
        Ok(Selected { references: candle_nn::ops::sigmoid(&chosen)?, scores, boxes, cells })
    }
}

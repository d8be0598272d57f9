//! Attention that reads a few places of each map.

use candle_core::{D, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use strefer_nn::{Linear, linear, ops};

use crate::layers::deformable;

/// Deformable attention with its linear layers.
#[derive(Debug, Clone)]
pub(super) struct DeformableAttention {
    sampling_offsets: Linear,
    attention_weights: Linear,
    value_proj: Linear,
    output_proj: Linear,
    heads: usize,
    levels: usize,
    points: usize,
}

/// What is read: all maps as one sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maps<'a> {
    /// `(b, n, d)`
    pub(super) cells: &'a Tensor,
    /// `(b, n, 1)`, 0 for cells that do not show the image
    pub(super) shown: &'a Tensor,
    pub(super) sizes: &'a [(usize, usize)],
}

impl DeformableAttention {
    pub(super) fn new(d: usize, heads: usize, levels: usize, points: usize, vb: VarBuilder) -> Result<Self> {
        let chosen = heads * levels * points;
        Ok(Self {
            sampling_offsets: linear(d, 2 * chosen, vb.pp("sampling_offsets"))?,
            attention_weights: linear(d, chosen, vb.pp("attention_weights"))?,
            value_proj: linear(d, d, vb.pp("value_proj"))?,
            output_proj: linear(d, d, vb.pp("output_proj"))?,
            heads,
            levels,
            points,
        })
    }

    /// # Shapes
    /// - `queries`: `(b, q, d)`, positions added
    /// - `references`: `(b, q, levels, 2)`, places, or `(b, q, levels, 4)`, boxes by centre and size
    /// - returns: `(b, q, d)`
    pub(super) fn forward(&self, queries: &Tensor, references: &Tensor, maps: Maps<'_>) -> Result<Tensor> {
        let (b, q, d) = queries.dims3()?;
        let n = maps.cells.dim(1)?;
        let (heads, levels, points) = (self.heads, self.levels, self.points);
        let values = maps.cells.apply(&self.value_proj)?.broadcast_mul(maps.shown)?;
        let values = values.reshape((b, n, heads, d / heads))?;
        let weights = queries.apply(&self.attention_weights)?.reshape((b, q, heads, levels * points))?;
        let weights = ops::softmax_last(&weights)?.reshape((b, q, heads, levels, points))?;
        let offsets = queries.apply(&self.sampling_offsets)?.reshape((b, q, heads, levels, points, 2))?;
        let references = references.unsqueeze(2)?.unsqueeze(4)?; // (b, q, 1, levels, 1, 2 or 4)
        let places = references.narrow(D::Minus1, 0, 2)?;
        let offsets = match references.dim(D::Minus1)? {
            2 => {
                let sizes = maps.sizes.iter().flat_map(|(h, w)| [*w as f32, *h as f32]);
                let sizes = Tensor::from_iter(sizes, queries.device())?.to_dtype(queries.dtype())?;
                offsets.broadcast_div(&sizes.reshape((levels, 1, 2))?)?
            }
            4 => {
                let sizes = (references.narrow(D::Minus1, 2, 2)? * 0.5)?;
                (offsets / points as f64)?.broadcast_mul(&sizes)?
            }
            other => bail!("references of {other} numbers are neither places nor boxes"),
        };
        let places = offsets.broadcast_add(&places)?;
        self.output_proj.forward(&deformable(&values, maps.sizes, &places, &weights)?)
    }
}

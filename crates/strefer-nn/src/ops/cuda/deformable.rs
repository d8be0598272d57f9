//! Deformable attention.

use candle_core::{DType, Result, Tensor};

use super::card::{tensor, with_tensors};
use crate::kernels::{self, Deformable};

/// See [`crate::ops::deformable_on_card`].
pub(in crate::ops) fn deformable(
    values: &Tensor,
    levels: &[(usize, usize)],
    places: &Tensor,
    weights: &Tensor,
) -> Result<Tensor> {
    let (batch, cells, heads, hd) = values.dims4()?;
    let (_b, queries, _heads, of_levels, points) = weights.dims5()?;
    let sizes: Vec<u32> = levels.iter().flat_map(|&(h, w)| [h as u32, w as u32]).collect();
    let sizes = Tensor::from_vec(sizes, 2 * levels.len(), values.device())?;
    let (places, weights) = (places.to_dtype(DType::F32)?, weights.to_dtype(DType::F32)?);
    let shape = Deformable { batch, queries, cells, heads, hd, levels: of_levels, points };
    let ys = with_tensors(&[values, &sizes, &places, &weights], |card, given| {
        kernels::deformable(card, given[0], given[1], given[2], given[3], shape)
    })?;
    tensor(ys, (batch, queries, heads * hd))
}

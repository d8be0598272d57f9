//! Sums of the squares of gradients.

use candle_core::{Result, Tensor};

use super::applies;
use super::card::{tensor, with_tensors};
use crate::kernels::{self, Squares};

/// The sums in f32, in the order of the gradients, by two launches for those of one type and card. None where the kernels do not
/// take them all. All is under way before a card is waited for.
pub(crate) fn squares(grads: &[&Tensor]) -> Result<Option<Vec<f64>>> {
    if !grads.iter().all(|grad| applies([*grad])) {
        return Ok(None);
    }
    let mut found = Vec::new();
    let mut left: Vec<usize> = (0..grads.len()).collect();
    while let Some(&first) = left.first() {
        let first = grads[first];
        let is_like = |at: &usize| {
            grads[*at].dtype() == first.dtype() && grads[*at].device().same_device(first.device())
        };
        let (alike, others): (Vec<usize>, Vec<usize>) = left.iter().partition(|at| is_like(at));
        let own: Vec<&Tensor> = alike.iter().map(|at| grads[*at]).collect();
        let sums = with_tensors(&own, |card, values| {
            let squares = Squares::new(values)?;
            let list = Tensor::new(squares.list(), first.device())?;
            with_tensors(&[&list], |_, lists| kernels::squares(card, &squares, lists[0]))
        })?;
        found.push((tensor(sums, alike.len())?, alike));
        left = others;
    }
    let mut all = vec![0.0; grads.len()];
    for (sums, places) in found {
        for (place, sum) in places.into_iter().zip(sums.to_vec1::<f32>()?) {
            all[place] = f64::from(sum);
        }
    }
    Ok(Some(all))
}

//! Cross-entropy of a linear layer. Scores of a chunk of rows become the loss and the gradients in one go, while they
//! are in the cache; the backward only hands the gradients out. A weight in bf16 is widened piece by piece; sums are f32.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};
use half::bf16;
use rayon::prelude::*;

use super::bf16::{WIDENED, wide_slice, widened};
use super::data::{slice, stored};
use super::linear::column_sums;
use super::matrix::{Matrix, product, product_of};
use super::simd;
use super::softmax::softmax_row;

/// About this many scores stay in the cache.
const SCORES: usize = 1 << 20;

/// Rows per piece of work.
const ROWS: usize = 8;

/// The weight as it lies, `(v, d)`.
#[derive(Clone, Copy)]
enum Weight<'a> {
    Wide(&'a [f32]),
    Half(&'a [bf16]),
}

impl Weight<'_> {
    fn len(self) -> usize {
        match self {
            Self::Wide(values) => values.len(),
            Self::Half(values) => values.len(),
        }
    }

    /// `scores = keep * scores + h weightᵀ`, where `scores` has a row for each of `h`.
    fn score(self, scores: &mut [f32], h: Matrix<'_>, d: usize, keep: bool) -> Result<()> {
        let v = self.len() / d;
        match self {
            Self::Wide(values) => product(scores, h, Matrix::new(values, v, d, d).t(), keep, true),
            Self::Half(values) => pieces(values, d, |first, piece| {
                let width = piece.len() / d;
                let part = product_of(h, Matrix::new(piece, width, d, d).t())?;
                for (row, part) in scores.chunks_exact_mut(v).zip(part.chunks_exact(width)) {
                    let row = &mut row[first..first + width];
                    match keep {
                        true => row.iter_mut().zip(part).for_each(|(score, part)| *score += part),
                        false => row.copy_from_slice(part),
                    }
                }
                Ok(())
            }),
        }
    }

    /// `out = dscores weight`, for so many rows of scores.
    fn back(self, out: &mut [f32], dscores: &[f32], rows: usize, d: usize) -> Result<()> {
        let v = self.len() / d;
        match self {
            Self::Wide(values) => {
                product(out, Matrix::new(dscores, rows, v, v), Matrix::new(values, v, d, d), false, true)
            }
            Self::Half(values) => pieces(values, d, |first, piece| {
                let width = piece.len() / d;
                let part = Matrix::new(&dscores[first..], rows, width, v);
                product(out, part, Matrix::new(piece, width, d, d), first > 0, true)
            }),
        }
    }
}

/// Hands out a weight in pieces of whole rows, with the number of the first.
fn pieces(values: &[bf16], d: usize, mut job: impl FnMut(usize, &[f32]) -> Result<()>) -> Result<()> {
    let rows = (WIDENED / d).max(1);
    let mut pieces = values.chunks(rows * d).enumerate();
    pieces.try_for_each(|(at, piece)| job(at * rows, &widened(piece)))
}

struct CrossEntropy {
    labels: Vec<u32>,
    chunk: usize,
    bias: bool,
    /// Which of hidden, weight and bias want a gradient.
    wanted: [bool; 3],
    grads: OnceLock<[Option<Tensor>; 3]>,
    /// The loss of each row.
    losses: Arc<OnceLock<Vec<f32>>>,
}

impl CrossEntropy {
    fn run(
        &self,
        hidden: &[f32],
        weight: Weight<'_>,
        bias: &[f32],
        d: usize,
    ) -> Result<(Vec<f32>, [Option<Tensor>; 3])> {
        let (n, v) = (self.labels.len(), weight.len() / d);
        let chunk = self.chunk.min((SCORES / v).max(64)).max(1);
        let [want_hidden, want_weight, want_bias] = self.wanted;
        let mut dhidden = vec![0.0; if want_hidden { n * d } else { 0 }];
        let mut dweight = vec![0.0; if want_weight { v * d } else { 0 }];
        let mut dbias = vec![0.0; if want_bias { v } else { 0 }];
        let mut scores = vec![0.0; chunk.min(n) * v];
        let mut losses = vec![0.0; n];
        for start in (0..n).step_by(chunk) {
            let rows = chunk.min(n - start);
            let scores = &mut scores[..rows * v];
            if self.bias {
                for row in scores.chunks_exact_mut(v) {
                    row.copy_from_slice(bias);
                }
            }
            let h = Matrix::new(&hidden[start * d..(start + rows) * d], rows, d, d);
            weight.score(scores, h, d, self.bias)?;
            let (labels, losses) = (&self.labels[start..], &mut losses[start..start + rows]);
            for (loss, (row, label)) in losses.iter_mut().zip(scores.chunks_exact(v).zip(labels)) {
                *loss = -row[*label as usize];
            }
            // Scores become probabilities less the label's one; each loss gains its row's logarithm of the sum.
            let mut logs = vec![0.0; rows];
            let labels = &labels[..rows];
            scores
                .par_chunks_mut(ROWS * v)
                .zip(logs.par_chunks_mut(ROWS))
                .zip(labels.par_chunks(ROWS))
                .for_each(|((scores, logs), labels)| {
                    simd::run(
                        #[inline(always)]
                        || {
                            let rows = scores.chunks_exact_mut(v).zip(labels);
                            for (log, (row, label)) in logs.iter_mut().zip(rows) {
                                *log = softmax_row(row);
                                row[*label as usize] -= 1.0;
                            }
                        },
                    );
                });
            losses.iter_mut().zip(&logs).for_each(|(loss, log)| *loss += log);
            if want_hidden {
                weight.back(&mut dhidden[start * d..(start + rows) * d], scores, rows, d)?;
            }
            if want_weight {
                product(&mut dweight, Matrix::new(scores, rows, v, v).t(), h, true, true)?;
            }
            if want_bias {
                dbias.iter_mut().zip(column_sums(scores, v)).for_each(|(sum, part)| *sum += part);
            }
        }
        let tensor = |wanted: bool, values: Vec<f32>, shape: Shape| {
            wanted.then(|| Tensor::from_vec(values, shape, &Device::Cpu)).transpose()
        };
        let grads = [
            tensor(want_hidden, dhidden, (n, d).into())?,
            tensor(want_weight, dweight, (v, d).into())?,
            tensor(want_bias, dbias, v.into())?,
        ];
        Ok((losses, grads))
    }
}

impl CustomOp3 for CrossEntropy {
    fn name(&self) -> &'static str {
        "linear-cross-entropy"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_n, d) = hidden_layout.shape().dims2()?;
        let weight = match (weight, weight_layout.contiguous_offsets()) {
            (CpuStorage::BF16(values), Some((start, end))) => Weight::Half(&values[start..end]),
            _ => Weight::Wide(slice(weight, weight_layout)?),
        };
        let (hidden, bias) = (wide_slice(hidden, hidden_layout)?, wide_slice(bias, bias_layout)?);
        let (losses, grads) = self.run(&hidden, weight, &bias, d)?;
        let loss = losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() as f32;
        // An operation runs once; were it run again, these would be the same.
        let _ = (self.grads.set(grads), self.losses.set(losses));
        Ok(stored(vec![loss], ()))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _loss: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let factor = f64::from(grad.to_scalar::<f32>()?);
        let scaled = |at: usize, input: &Tensor| match self.grads.get().and_then(|grads| grads[at].as_ref()) {
            Some(grad) if factor == 1.0 => grad.to_dtype(input.dtype()).map(Some),
            Some(grad) => grad.affine(factor, 0.0)?.to_dtype(input.dtype()).map(Some),
            None => Ok(None),
        };
        Ok((scaled(0, hidden)?, scaled(1, weight)?, scaled(2, bias)?))
    }
}

/// See [`crate::ops::composed::linear_cross_entropy`].
pub(crate) fn linear_cross_entropy(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    labels: Vec<u32>,
    chunk: usize,
) -> Result<(Tensor, Tensor)> {
    let losses = Arc::default();
    let op = CrossEntropy {
        labels,
        chunk,
        bias: bias.is_some(),
        wanted: [hidden.track_op(), weight.track_op(), bias.is_some_and(Tensor::track_op)],
        grads: OnceLock::new(),
        losses: Arc::clone(&losses),
    };
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(1, weight.dtype(), &Device::Cpu)?,
    };
    let loss = hidden.contiguous()?.apply_op3(&weight.contiguous()?, &bias, op)?;
    let losses = losses.get().cloned().unwrap_or_default();
    let count = losses.len();
    Ok((loss, Tensor::from_vec(losses, count, &Device::Cpu)?))
}

//! Cross-entropy of a linear layer. Scores of a chunk of rows become the loss and the gradients in one go, while they
//! are in the cache; the backward only hands the gradients out.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::data::{slice, stored};
use super::linear::column_sums;
use super::matrix::{Matrix, product};
use super::simd;
use super::softmax::softmax_row;

/// About this many scores stay in the cache.
const SCORES: usize = 1 << 20;

/// Rows per piece of work.
const ROWS: usize = 8;

struct CrossEntropy {
    labels: Vec<u32>,
    chunk: usize,
    bias: bool,
    /// Which of hidden, weight and bias want a gradient.
    wanted: [bool; 3],
    grads: OnceLock<[Option<Tensor>; 3]>,
}

impl CrossEntropy {
    fn run(
        &self,
        hidden: &[f32],
        weight: &[f32],
        bias: &[f32],
        d: usize,
    ) -> Result<(f32, [Option<Tensor>; 3])> {
        let (n, v) = (self.labels.len(), weight.len() / d);
        let chunk = self.chunk.min((SCORES / v).max(64)).max(1);
        let [want_hidden, want_weight, want_bias] = self.wanted;
        let mut dhidden = vec![0.0; if want_hidden { n * d } else { 0 }];
        let mut dweight = vec![0.0; if want_weight { v * d } else { 0 }];
        let mut dbias = vec![0.0; if want_bias { v } else { 0 }];
        let mut scores = vec![0.0; chunk.min(n) * v];
        let mut losses = vec![0.0; n];
        let weight_matrix = Matrix::new(weight, v, d, d);
        for start in (0..n).step_by(chunk) {
            let rows = chunk.min(n - start);
            let scores = &mut scores[..rows * v];
            if self.bias {
                for row in scores.chunks_exact_mut(v) {
                    row.copy_from_slice(bias);
                }
            }
            let h = Matrix::new(&hidden[start * d..(start + rows) * d], rows, d, d);
            product(scores, h, weight_matrix.t(), self.bias, true)?;
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
            let dscores = Matrix::new(scores, rows, v, v);
            if want_hidden {
                product(&mut dhidden[start * d..(start + rows) * d], dscores, weight_matrix, false, true)?;
            }
            if want_weight {
                product(&mut dweight, dscores.t(), h, true, true)?;
            }
            if want_bias {
                dbias.iter_mut().zip(column_sums(scores, v)).for_each(|(sum, part)| *sum += part);
            }
        }
        let loss = losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() as f32;
        let tensor = |wanted: bool, values: Vec<f32>, shape: Shape| {
            wanted.then(|| Tensor::from_vec(values, shape, &Device::Cpu)).transpose()
        };
        let grads = [
            tensor(want_hidden, dhidden, (n, d).into())?,
            tensor(want_weight, dweight, (v, d).into())?,
            tensor(want_bias, dbias, v.into())?,
        ];
        Ok((loss, grads))
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
        let (hidden, weight) = (slice(hidden, hidden_layout)?, slice(weight, weight_layout)?);
        let (loss, grads) = self.run(hidden, weight, slice(bias, bias_layout)?, d)?;
        // An operation runs once; were it run again, the gradients would be the same.
        let _ = self.grads.set(grads);
        Ok(stored(vec![loss], ()))
    }

    fn bwd(
        &self,
        _hidden: &Tensor,
        _weight: &Tensor,
        _bias: &Tensor,
        _loss: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let factor = f64::from(grad.to_scalar::<f32>()?);
        let scaled = |at: usize| match self.grads.get().and_then(|grads| grads[at].as_ref()) {
            Some(grad) if factor == 1.0 => Ok(Some(grad.clone())),
            Some(grad) => grad.affine(factor, 0.0).map(Some),
            None => Ok(None),
        };
        Ok((scaled(0)?, scaled(1)?, scaled(2)?))
    }
}

/// See [`crate::ops::composed::linear_cross_entropy`].
pub(crate) fn linear_cross_entropy(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    labels: Vec<u32>,
    chunk: usize,
) -> Result<Tensor> {
    let op = CrossEntropy {
        labels,
        chunk,
        bias: bias.is_some(),
        wanted: [hidden.track_op(), weight.track_op(), bias.is_some_and(Tensor::track_op)],
        grads: OnceLock::new(),
    };
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(1, weight.dtype(), &Device::Cpu)?,
    };
    hidden.contiguous()?.apply_op3(&weight.contiguous()?, &bias, op)
}

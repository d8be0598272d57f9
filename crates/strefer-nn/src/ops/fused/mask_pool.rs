//! Features averaged under masks, without copies of the frames that several masks share.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::data::{slice, stored, tensor_like, with_slice};
use super::simd;
use crate::ops::Pooled;

/// Less work than this many products stays on one thread.
const WORTH_THREADS: usize = 1 << 16;

struct MaskPool {
    pooled: Pooled,
    /// What each patch counts, `(k, n)`.
    shares: Vec<f32>,
}

/// `sum += share * values`
#[inline(always)]
fn add(sum: &mut [f32], share: f32, values: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += share * value;
    }
}

impl MaskPool {
    /// Runs `kernel` on pieces of `size` values, with their number.
    fn pieces(&self, out: &mut [f32], size: usize, d: usize, kernel: impl Fn(usize, &mut [f32]) + Sync) {
        let size = size.max(1);
        if self.shares.len() * d < WORTH_THREADS {
            out.chunks_mut(size).enumerate().for_each(|(at, out)| kernel(at, out));
        } else {
            out.par_chunks_mut(size).enumerate().for_each(|(at, out)| kernel(at, out));
        }
    }

    /// Shares of one mask.
    fn mask(&self, nth: usize) -> &[f32] {
        let n = self.pooled.patches;
        &self.shares[nth * n..(nth + 1) * n]
    }
}

impl CustomOp1 for MaskPool {
    fn name(&self) -> &'static str {
        "mask-pool"
    }

    fn cpu_fwd(&self, feats: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let feats = slice(feats, layout)?;
        let (_f, n, d) = layout.shape().dims3()?;
        let k = self.pooled.rows.len();
        let mut out = vec![0.0; k * d];
        self.pieces(&mut out, d, d, |nth, out| {
            let frame = &feats[self.pooled.rows[nth] as usize * n * d..][..n * d];
            simd::run(
                #[inline(always)]
                || {
                    for (values, &share) in frame.chunks_exact(d).zip(self.mask(nth)) {
                        if share != 0.0 {
                            add(out, share, values);
                        }
                    }
                },
            );
        });
        Ok(stored(out, (k, d)))
    }

    fn bwd(&self, feats: &Tensor, _pooled: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (f, n, d) = feats.dims3()?;
        let mut of_frame = vec![Vec::new(); f];
        for (nth, &row) in self.pooled.rows.iter().enumerate() {
            of_frame[row as usize].push(nth);
        }
        let dfeats = with_slice(grad, |grad| {
            let mut dfeats = vec![0.0; f * n * d];
            // The masks of a frame are added in their order, whatever the number of threads.
            self.pieces(&mut dfeats, n * d, d, |frame, dfeats| {
                simd::run(
                    #[inline(always)]
                    || {
                        for &nth in &of_frame[frame] {
                            let grad = &grad[nth * d..][..d];
                            for (dfeats, &share) in dfeats.chunks_exact_mut(d).zip(self.mask(nth)) {
                                if share != 0.0 {
                                    add(dfeats, share, grad);
                                }
                            }
                        }
                    },
                );
            });
            Ok(dfeats)
        })?;
        tensor_like(dfeats, feats).map(Some)
    }
}

/// See [`crate::ops::mask_pool`].
pub(crate) fn mask_pool(feats: &Tensor, pooled: Pooled) -> Result<Tensor> {
    let shares = pooled.shares();
    feats.contiguous()?.apply_op1(MaskPool { pooled, shares })
}

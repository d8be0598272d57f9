//! Values in the order of their shape, copied on all threads.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::data::{stored, strided};

/// About this many values make one piece of work.
const PIECE: usize = 1 << 14;

/// Runs of values that lie together, and the dimensions around them from the outermost on, as sizes and strides.
struct Runs {
    len: usize,
    around: Vec<(usize, usize)>,
}

impl Runs {
    fn of(layout: &Layout) -> Self {
        let mut runs = Self { len: 1, around: Vec::new() };
        for (&size, &stride) in layout.dims().iter().zip(layout.stride()).rev() {
            if runs.around.is_empty() && (stride == runs.len || size == 1) {
                runs.len *= size;
            } else {
                runs.around.insert(0, (size, stride));
            }
        }
        runs
    }

    /// Where the `nth` run begins.
    fn start(&self, nth: usize) -> usize {
        let mut rest = nth;
        let mut start = 0;
        for (size, stride) in self.around.iter().rev() {
            start += rest % size * stride;
            rest /= size;
        }
        start
    }
}

struct Copy;

impl CustomOp1 for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = strided(xs, layout)?;
        let runs = Runs::of(layout);
        let count = layout.shape().elem_count();
        if count == 0 {
            return Ok(stored(Vec::new(), layout.shape()));
        }
        let mut ys: Vec<f32> = Vec::with_capacity(count);
        let of_piece = (PIECE / runs.len).max(1);
        let pieces = ys.spare_capacity_mut()[..count].par_chunks_mut(of_piece * runs.len);
        pieces.enumerate().for_each(|(piece, ys)| {
            for (at, ys) in ys.chunks_exact_mut(runs.len).enumerate() {
                let values = &values[runs.start(piece * of_piece + at)..][..runs.len];
                for (y, x) in ys.iter_mut().zip(values) {
                    y.write(*x);
                }
            }
        });
        // SAFETY: every run has been written.
        unsafe { ys.set_len(count) };
        Ok(stored(ys, layout.shape()))
    }

    fn bwd(&self, _xs: &Tensor, _ys: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.clone()))
    }
}

/// See [`crate::ops::contiguous`].
pub(crate) fn contiguous(xs: &Tensor) -> Result<Tensor> {
    // Short runs and few values are copied as fast by one thread.
    if xs.is_contiguous() || xs.elem_count() < 2 * PIECE || Runs::of(xs.layout()).len < 16 {
        return xs.contiguous();
    }
    xs.apply_op1(Copy)
}

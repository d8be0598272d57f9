//! Runs inner loops compiled for the widest vectors the processor has, and spreads rows over threads.

use rayon::prelude::*;

/// Work of fewer values than this stays on one thread.
const WORTH_THREADS: usize = 1 << 15;

/// About this many values make one piece of work.
const PIECE: usize = 1 << 13;

/// Runs `kernel`, a closure over plain loops, in a copy compiled with AVX-512, AVX2 and FMA, or neither, whichever
/// the processor knows. Everything the closure calls must be inlined to profit.
#[inline]
pub(crate) fn run<R>(kernel: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(kernel)
}

/// Rows of `width` values per piece of work.
fn rows_per_piece(width: usize) -> usize {
    (PIECE / width.max(1)).max(1)
}

/// Fills rows of `width` values; `kernel` gets the first row's number and several rows at a time.
pub(crate) fn fill_rows(out: &mut [f32], width: usize, kernel: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = rows_per_piece(width);
    let piece = rows * width.max(1);
    if out.len() < WORTH_THREADS {
        out.chunks_mut(piece).enumerate().for_each(|(at, out)| kernel(at * rows, out));
    } else {
        out.par_chunks_mut(piece).enumerate().for_each(|(at, out)| kernel(at * rows, out));
    }
}

/// As [`fill_rows`] for two results at a time.
pub(crate) fn fill_rows_2(
    out: &mut [f32],
    other: &mut [f32],
    width: usize,
    kernel: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    let rows = rows_per_piece(width);
    let piece = rows * width.max(1);
    if out.len() < WORTH_THREADS {
        let pieces = out.chunks_mut(piece).zip(other.chunks_mut(piece)).enumerate();
        pieces.for_each(|(at, (out, other))| kernel(at * rows, out, other));
    } else {
        let pieces = out.par_chunks_mut(piece).zip(other.par_chunks_mut(piece)).enumerate();
        pieces.for_each(|(at, (out, other))| kernel(at * rows, out, other));
    }
}

/// Sums over rows: `kernel` adds rows `from..to` to a sum of `width` values that starts at zero. The rows are cut in
/// the same blocks, and the blocks' sums are added in the same order, whatever the number of threads.
pub(crate) fn sum_rows(
    rows: usize,
    width: usize,
    kernel: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let block = (4 * rows_per_piece(width)).max(16);
    let blocks = rows.div_ceil(block);
    let part = |at: usize| {
        let mut sum = vec![0.0; width];
        kernel(at * block, ((at + 1) * block).min(rows), &mut sum);
        sum
    };
    let parts: Vec<Vec<f32>> = if rows * width < WORTH_THREADS {
        (0..blocks).map(part).collect()
    } else {
        (0..blocks).into_par_iter().map(part).collect()
    };
    let mut parts = parts.into_iter();
    let mut sum = parts.next().unwrap_or_else(|| vec![0.0; width]);
    for part in parts {
        for (sum, part) in sum.iter_mut().zip(part) {
            *sum += part;
        }
    }
    sum
}

/// Sums are kept in this many lanes, which is one AVX-512 register.
pub(crate) const LANES: usize = 16;

/// Adds up `f(i)` for `i` below `n`, in lanes that are added up at the end.
#[inline(always)]
pub(crate) fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = n - n % LANES;
    let mut at = 0;
    while at < whole {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(at + lane);
        }
        at += LANES;
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    while at < n {
        total += f(at);
        at += 1;
    }
    total
}

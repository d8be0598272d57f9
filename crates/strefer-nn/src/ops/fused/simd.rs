//! Runs inner loops compiled for the widest vectors the processor has, and spreads rows over threads.

use std::mem::MaybeUninit;

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

/// `f` of every value, in memory that nobody cleared first.
pub(crate) fn map(xs: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let mut ys = Vec::with_capacity(xs.len());
    let room = &mut ys.spare_capacity_mut()[..xs.len()];
    let piece = |(ys, xs): (&mut [MaybeUninit<f32>], &[f32])| {
        run(
            #[inline(always)]
            || {
                for (y, x) in ys.iter_mut().zip(xs) {
                    y.write(f(*x));
                }
            },
        );
    };
    if xs.len() < WORTH_THREADS {
        room.chunks_mut(PIECE).zip(xs.chunks(PIECE)).for_each(piece);
    } else {
        room.par_chunks_mut(PIECE).zip(xs.par_chunks(PIECE)).for_each(piece);
    }
    // SAFETY: every place has been written.
    unsafe { ys.set_len(xs.len()) };
    ys
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

/// Adds up `f` of every entry, in lanes that are added up at the end.
#[inline(always)]
pub(crate) fn sum(xs: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = xs.as_chunks::<LANES>();
    for xs in whole {
        for (sum, x) in lanes.iter_mut().zip(xs) {
            *sum += f(*x);
        }
    }
    rest.iter().fold(total(lanes), |sum, x| sum + f(*x))
}

/// Puts `f` of every entry in its place and adds them up as [`sum`] does.
#[inline(always)]
pub(crate) fn replace_and_sum(xs: &mut [f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = xs.as_chunks_mut::<LANES>();
    for xs in whole {
        for (sum, x) in lanes.iter_mut().zip(xs) {
            *x = f(*x);
            *sum += *x;
        }
    }
    rest.iter_mut().fold(total(lanes), |sum, x| {
        *x = f(*x);
        sum + *x
    })
}

/// As [`sum`], over entries of two slices.
#[inline(always)]
pub(crate) fn sum_2<X: Copy, Y: Copy>(xs: &[X], ys: &[Y], f: impl Fn(X, Y) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((xs, x_rest), (ys, y_rest)) = (xs.as_chunks::<LANES>(), ys.as_chunks::<LANES>());
    for (xs, ys) in xs.iter().zip(ys) {
        for ((sum, x), y) in lanes.iter_mut().zip(xs).zip(ys) {
            *sum += f(*x, *y);
        }
    }
    x_rest.iter().zip(y_rest).fold(total(lanes), |sum, (x, y)| sum + f(*x, *y))
}

/// As [`sum`], over entries of three slices.
#[inline(always)]
pub(crate) fn sum_3(xs: &[f32], ys: &[f32], zs: &[f32], f: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((xs, x_rest), (ys, y_rest)) = (xs.as_chunks::<LANES>(), ys.as_chunks::<LANES>());
    let (zs, z_rest) = zs.as_chunks::<LANES>();
    for ((xs, ys), zs) in xs.iter().zip(ys).zip(zs) {
        for (((sum, x), y), z) in lanes.iter_mut().zip(xs).zip(ys).zip(zs) {
            *sum += f(*x, *y, *z);
        }
    }
    let rest = x_rest.iter().zip(y_rest).zip(z_rest);
    rest.fold(total(lanes), |sum, ((x, y), z)| sum + f(*x, *y, *z))
}

/// The lanes' sum, by halves.
#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for at in 0..half {
            lanes[at] += lanes[at + half];
        }
        half /= 2;
    }
    lanes[0]
}

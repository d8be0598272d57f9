//! Maps of another size: linear, linear with smoothing when shrinking, and cubic. Pixel centres are aligned, edges
//! repeated; or corner pixels lie on corner pixels.

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

/// How values between samples are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Between the two nearest samples.
    Linear,
    /// Between the two nearest samples; the first and the last one stay the first and the last.
    Corners,
    /// As linear when growing; a shrunk map averages all samples that fall together.
    Antialias,
    /// Cubic convolution with a = -0.75 over four samples.
    Cubic,
}

/// The samples that one result is made of.
#[derive(Debug, Clone)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

fn taps(from: usize, to: usize, filter: Filter) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    let last = from as i64 - 1;
    let neighbours = |base: f32, offset: i64, weights: &[f32]| {
        let place = |tap: usize| (base as i64 + offset + tap as i64).clamp(0, last) as usize;
        let (first, end) = (place(0), place(weights.len() - 1));
        let mut merged = vec![0.0; end - first + 1];
        for (tap, weight) in weights.iter().enumerate() {
            merged[place(tap) - first] += weight;
        }
        Taps { first, weights: merged }
    };
    let one = |at: usize| match filter {
        Filter::Linear => {
            let place = ((at as f32 + 0.5) * scale - 0.5).max(0.0);
            let t = place - place.floor();
            neighbours(place.floor(), 0, &[1.0 - t, t])
        }
        Filter::Corners => {
            let step = if to > 1 { last as f32 / (to - 1) as f32 } else { 0.0 };
            let place = at as f32 * step;
            let t = place - place.floor();
            neighbours(place.floor(), 0, &[1.0 - t, t])
        }
        Filter::Cubic => {
            const A: f32 = -0.75;
            let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
            let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
            let place = (at as f32 + 0.5) * scale - 0.5;
            let t = place - place.floor();
            neighbours(place.floor(), -1, &[far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)])
        }
        Filter::Antialias => {
            let stretch = scale.max(1.0);
            let centre = scale * (at as f32 + 0.5);
            let first = ((centre - stretch + 0.5) as i64).max(0) as usize;
            let end = ((centre + stretch + 0.5) as usize).min(from);
            let weight = |sample: usize| (1.0 - ((sample as f32 + 0.5 - centre) / stretch).abs()).max(0.0);
            let weights: Vec<f32> = (first..end.max(first + 1)).map(weight).collect();
            let sum: f32 = weights.iter().sum();
            Taps { first, weights: weights.into_iter().map(|weight| weight / sum).collect() }
        }
    };
    (0..to).map(one).collect()
}

/// The weights of `from` samples for each of `to` results, as rows.
pub(crate) fn dense_weights(from: usize, to: usize, filter: Filter) -> Vec<Vec<f32>> {
    let dense = |taps: Taps| {
        let mut row = vec![0.0; from];
        row[taps.first..taps.first + taps.weights.len()].copy_from_slice(&taps.weights);
        row
    };
    taps(from, to, filter).into_iter().map(dense).collect()
}

/// Maps of another size. On the CPU only the samples that count are read, and no gradient is kept.
///
/// # Shapes
/// - `xs`: `(b, c, h, w)` → `(b, c, to_h, to_w)`, f32 on the CPU
pub(crate) fn resize(xs: &Tensor, (to_h, to_w): (usize, usize), filter: Filter) -> Result<Tensor> {
    let (b, c, h, w) = xs.dims4()?;
    if (h, w) == (to_h, to_w) {
        return Ok(xs.clone());
    }
    if !xs.device().is_cpu() {
        let (down, across) = (matrix(h, to_h, filter, xs)?, matrix(w, to_w, filter, xs)?);
        return down.broadcast_matmul(xs)?.contiguous()?.broadcast_matmul(&across.t()?);
    }
    let values = xs.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let (down, across) = (taps(h, to_h, filter), taps(w, to_w, filter));
    let mut tall = vec![0f32; b * c * to_h * w];
    tall.par_chunks_mut(w.max(1)).enumerate().for_each(|(at, out)| {
        let (plane, taps) = (at / to_h, &down[at % to_h]);
        for (row, weight) in (plane * h + taps.first..).zip(&taps.weights) {
            for (out, x) in out.iter_mut().zip(&values[row * w..(row + 1) * w]) {
                *out += weight * x;
            }
        }
    });
    let mut ys = vec![0f32; b * c * to_h * to_w];
    ys.par_chunks_mut(to_w.max(1)).zip(tall.par_chunks(w.max(1))).for_each(|(out, row)| {
        for (out, taps) in out.iter_mut().zip(&across) {
            let xs = &row[taps.first..taps.first + taps.weights.len()];
            *out = xs.iter().zip(&taps.weights).map(|(x, weight)| x * weight).sum();
        }
    });
    Tensor::from_vec(ys, (b, c, to_h, to_w), &Device::Cpu)
}

fn matrix(from: usize, to: usize, filter: Filter, like: &Tensor) -> Result<Tensor> {
    let rows: Vec<f32> = dense_weights(from, to, filter).into_iter().flatten().collect();
    Tensor::from_vec(rows, (to, from), like.device())?.to_dtype(like.dtype())
}

#[cfg(test)]
mod tests {
    use strefer_nn::testing::{assert_close, randn};

    use super::*;

    const ALL: [Filter; 4] = [Filter::Linear, Filter::Corners, Filter::Antialias, Filter::Cubic];

    #[test]
    fn resizing_to_the_same_size_changes_nothing_and_weights_sum_to_one() {
        for filter in ALL {
            for (at, weights) in dense_weights(5, 5, filter).into_iter().enumerate() {
                assert!(weights.iter().enumerate().all(|(i, w)| (w - f32::from(i == at)).abs() < 1e-6));
            }
            for weights in dense_weights(5, 12, filter).into_iter().chain(dense_weights(9, 4, filter)) {
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn corners_stay_where_they_are() {
        let weights = dense_weights(3, 5, Filter::Corners);
        assert_eq!(weights[0], [1.0, 0.0, 0.0]);
        assert_eq!(weights[1], [0.5, 0.5, 0.0]);
        assert_eq!(weights[4], [0.0, 0.0, 1.0]);
        assert_eq!(dense_weights(3, 1, Filter::Corners), [[1.0, 0.0, 0.0]]);
    }

    #[test]
    fn samples_that_count_give_what_all_samples_give() {
        let xs = randn(1, &[2, 3, 7, 10]);
        for filter in ALL {
            for size in [(14, 5), (3, 31), (7, 4)] {
                let (down, across) =
                    (matrix(7, size.0, filter, &xs).unwrap(), matrix(10, size.1, filter, &xs).unwrap());
                let wanted = down.broadcast_matmul(&xs).unwrap().contiguous().unwrap();
                let wanted = wanted.broadcast_matmul(&across.t().unwrap()).unwrap();
                assert_close(&resize(&xs, size, filter).unwrap(), &wanted, 1e-6);
            }
        }
    }
}

//! What the maps of all stages say about boxes, as RexSeek reads them: maps brought to the size of the first, the mean over
//! a box (RoIAlign, arXiv 1703.06870), and beside it where the box lies.

use std::f32::consts::TAU;

use candle_core::{Device, Result, Tensor, bail};

use crate::layers::{Filter, Waves, dense_weights};

/// Bins of a box in either direction.
const BINS: usize = 7;

/// The share that each of `size` samples of a line has in the mean over `from..to`, read at evenly spread places in bins.
/// Places more than one sample outside count as zeros.
fn shares(from: f32, to: f32, size: usize) -> Vec<f32> {
    // What is smaller than a cell is read as one cell.
    let length = (to - from).max(1.0);
    let bin = length / BINS as f32;
    let places = bin.ceil() as usize;
    let mut shares = vec![0.0; size];
    let share = 1.0 / (BINS * places) as f32;
    for nth in 0..BINS {
        for at in 0..places {
            let place = from + nth as f32 * bin + (at as f32 + 0.5) * bin / places as f32;
            if place < -1.0 || place > size as f32 {
                continue;
            }
            let place = place.max(0.0);
            let low = place as usize;
            if low + 1 >= size {
                shares[size - 1] += share;
            } else {
                let t = place - low as f32;
                shares[low] += share * (1.0 - t);
                shares[low + 1] += share * t;
            }
        }
    }
    shares
}

/// Shares of `from.len()` samples as those of the `to` samples that they are interpolated from.
fn of_coarser(shares: &[f32], to: usize) -> Vec<f32> {
    if shares.len() == to {
        return shares.to_vec();
    }
    let mut coarse = vec![0.0; to];
    for (share, weights) in shares.iter().zip(dense_weights(to, shares.len(), Filter::Linear)) {
        for (coarse, weight) in coarse.iter_mut().zip(weights) {
            *coarse += share * weight;
        }
    }
    coarse
}

/// The mean of every map over each box, one map's channels after the other's. All steps are linear, so no map is ever
/// enlarged: each box has shares of the cells as they are.
///
/// # Shapes
/// - `maps`: of one image, `(1, h, w, c)`, the finest first
/// - `boxes`: left, top, right, bottom in pixels of the image
/// - `stride`: side of a cell of the first map in pixels
/// - returns: `(k, sum of all c)`
pub fn box_features(maps: &[Tensor], boxes: &[[f32; 4]], stride: usize) -> Result<Tensor> {
    let Some(first) = maps.first() else { bail!("box features of no maps") };
    let (one, height, width, _) = first.dims4()?;
    if one != 1 || stride == 0 {
        bail!("box features of {one} images, cells of {stride} pixels");
    }
    let scale = 1.0 / stride as f32;
    let line = |from: f32, to: f32, size: usize| shares(from * scale, to * scale, size);
    let fine: Vec<(Vec<f32>, Vec<f32>)> = boxes
        .iter()
        .map(|&[left, top, right, bottom]| (line(top, bottom, height), line(left, right, width)))
        .collect();
    let of_map = |map: &Tensor| -> Result<Tensor> {
        let (_, h, w, c) = map.dims4()?;
        let mut weights = Vec::with_capacity(boxes.len() * h * w);
        for (down, across) in &fine {
            let (down, across) = (of_coarser(down, h), of_coarser(across, w));
            weights.extend(down.iter().flat_map(|y| across.iter().map(move |x| x * y)));
        }
        let weights = Tensor::from_vec(weights, (boxes.len(), h * w), map.device())?.to_dtype(map.dtype())?;
        weights.matmul(&map.reshape((h * w, c))?)
    };
    Tensor::cat(&maps.iter().map(of_map).collect::<Result<Vec<_>>>()?, 1)
}

/// Where boxes lie, as waves: the middle's row and column, width and height, as shares of a square of `side` pixels.
///
/// # Shapes
/// - `boxes`: left, top, right, bottom in pixels
/// - returns: `(k, width)`, a quarter of the width for each number
pub fn box_positions(boxes: &[[f32; 4]], side: usize, width: usize, dev: &Device) -> Result<Tensor> {
    let side = side as f32;
    let waves = Waves::new(width / 4, 10000.0);
    let numbers = boxes.iter().flat_map(|&[left, top, right, bottom]| {
        [(top + bottom) / 2.0, (left + right) / 2.0, right - left, bottom - top].map(|pixels| pixels / side)
    });
    let values = waves.of(numbers.map(|number| number * TAU));
    Tensor::from_vec(values, (boxes.len(), width / 4 * 4), dev)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_line_add_up_where_it_lies_inside() {
        assert_eq!(shares(2.0, 2.0, 9).iter().filter(|share| **share > 0.0).count(), 2);
        for (from, to) in [(0.0, 9.0), (3.2, 7.9), (2.0, 2.0)] {
            assert!((shares(from, to, 12).iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert!((shares(-8.0, 8.0, 12).iter().sum::<f32>() - 1.0).abs() > 0.3);
        let coarse = of_coarser(&shares(0.0, 12.0, 12), 3);
        assert!((coarse.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

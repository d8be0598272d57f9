//! Maps of several sizes as one sequence of cells: where each lies, and which of them show the image.

use std::f32::consts::TAU;

use candle_core::{Device, Result, Tensor};

use crate::layers::Waves;

/// A cell whose size or place is within this of the edges is no place to look for a box.
const MARGIN: f32 = 0.01;

/// Share of the image that a box has in the beginning, on the finest map.
const FIRST_SIZE: f32 = 0.05;

/// Sizes of the maps, and of the part of each that shows the image; the rest pads the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    sizes: Vec<(usize, usize)>,
    /// For each image and map: rows and columns that show the image.
    shown: Vec<Vec<(usize, usize)>>,
}

/// How many of `to` samples, each the nearest of `from`, lie among the first `shown`.
fn nearest(shown: usize, from: usize, to: usize) -> usize {
    let scale = from as f32 / to as f32;
    (0..to).filter(|at| ((*at as f32 * scale) as usize).min(from.saturating_sub(1)) < shown).count()
}

impl Levels {
    /// Maps of `sizes` made from a batch of `padded` (height, width), in whose top left corners images of sizes `images` lie.
    pub fn new(sizes: Vec<(usize, usize)>, padded: (usize, usize), images: &[(usize, usize)]) -> Self {
        let part = |image: &(usize, usize)| {
            let size =
                |&(h, w): &(usize, usize)| (nearest(image.0, padded.0, h), nearest(image.1, padded.1, w));
            sizes.iter().map(size).collect()
        };
        Self { shown: images.iter().map(part).collect(), sizes }
    }

    /// Height and width of each map.
    pub fn sizes(&self) -> &[(usize, usize)] {
        &self.sizes
    }

    /// Images.
    pub(super) fn batch(&self) -> usize {
        self.shown.len()
    }

    /// Cells of all maps.
    pub(super) fn cells(&self) -> usize {
        self.sizes.iter().map(|(h, w)| h * w).sum()
    }

    /// Calls `visit` for every cell of an image: its map, row and column, and whether it shows the image.
    fn each(&self, image: usize, mut visit: impl FnMut(usize, usize, usize, bool)) {
        for (level, (&(h, w), &(rows, columns))) in self.sizes.iter().zip(&self.shown[image]).enumerate() {
            for y in 0..h {
                (0..w).for_each(|x| visit(level, y, x, y < rows && x < columns));
            }
        }
    }

    /// Which cells show the image, `(b, n)`, row by row.
    pub(super) fn valid(&self) -> Vec<bool> {
        let mut valid = Vec::with_capacity(self.batch() * self.cells());
        (0..self.batch()).for_each(|image| self.each(image, |_, _, _, shown| valid.push(shown)));
        valid
    }

    /// The share of each map that shows the image, `(b, levels, 2)`: width, then height.
    pub(super) fn ratios(&self, dev: &Device) -> Result<Tensor> {
        let ratio = |shown: &Vec<(usize, usize)>| -> Vec<f32> {
            let parts = shown.iter().zip(&self.sizes);
            parts
                .flat_map(|(&(rows, columns), &(h, w))| [columns as f32 / w as f32, rows as f32 / h as f32])
                .collect()
        };
        let values: Vec<f32> = self.shown.iter().flat_map(ratio).collect();
        Tensor::from_vec(values, (self.batch(), self.sizes.len(), 2), dev)
    }

    /// Positions of all cells, rows and columns counted over what shows the image and scaled to one turn: `(b, n, d)`.
    pub(super) fn positions(&self, d: usize, temperature: f64, dev: &Device) -> Result<Tensor> {
        let half = d / 2;
        let waves = Waves::new(half, temperature as f32);
        let mut values = Vec::with_capacity(self.batch() * self.cells() * d);
        let nowhere = waves.of([0.0]);
        for shown in &self.shown {
            for (&(h, w), &(rows, columns)) in self.sizes.iter().zip(shown) {
                // Behind the image's last row or column the count stands still.
                let line = |size: usize, shown: usize| {
                    let turn = |at: usize| (at + 1).min(shown) as f32 / (shown as f32 + 1e-6) * TAU;
                    waves.of((0..size).map(turn))
                };
                let (down, across) = (line(h, rows), line(w, columns));
                for y in 0..h {
                    for x in 0..w {
                        let row = if x < columns { &down[y * half..][..half] } else { &nowhere };
                        let column = if y < rows { &across[x * half..][..half] } else { &nowhere };
                        values.extend_from_slice(row);
                        values.extend_from_slice(column);
                    }
                }
            }
        }
        Tensor::from_vec(values, (self.batch(), self.cells(), 2 * half), dev)
    }

    /// Where each cell lies, column and row, on every map: `(b, n, levels, 2)`.
    pub(super) fn references(&self, dev: &Device) -> Result<Tensor> {
        let mut values = Vec::with_capacity(self.batch() * self.cells() * 2 * self.sizes.len());
        for (image, shown) in self.shown.iter().enumerate() {
            let ratios: Vec<(f32, f32)> = shown
                .iter()
                .zip(&self.sizes)
                .map(|(&(rows, columns), &(h, w))| (columns as f32 / w as f32, rows as f32 / h as f32))
                .collect();
            self.each(image, |level, y, x, _| {
                let ((h, w), (across, down)) = (self.sizes[level], ratios[level]);
                let place = ((x as f32 + 0.5) / (across * w as f32), (y as f32 + 0.5) / (down * h as f32));
                values.extend(ratios.iter().flat_map(|(across, down)| [place.0 * across, place.1 * down]));
            });
        }
        Tensor::from_vec(values, (self.batch(), self.cells(), self.sizes.len(), 2), dev)
    }

    /// A box at every cell, before the sigmoid, and whether it is a place to look: `(b, n, 4)`, infinite where not.
    pub(super) fn proposals(&self, dev: &Device) -> Result<(Tensor, Vec<bool>)> {
        let mut values = Vec::with_capacity(self.batch() * self.cells() * 4);
        let mut usable = Vec::with_capacity(self.batch() * self.cells());
        for image in 0..self.batch() {
            self.each(image, |level, y, x, shown| {
                let (rows, columns) = self.shown[image][level];
                let size = FIRST_SIZE * (1u32 << level) as f32;
                let place = [(x as f32 + 0.5) / columns as f32, (y as f32 + 0.5) / rows as f32, size, size];
                let inside = place.iter().all(|number| *number > MARGIN && *number < 1.0 - MARGIN);
                let logit = |number: f32| {
                    if shown && inside { (number / (1.0 - number)).ln() } else { f32::INFINITY }
                };
                values.extend(place.map(logit));
                usable.push(shown && inside);
            });
        }
        Ok((Tensor::from_vec(values, (self.batch(), self.cells(), 4), dev)?, usable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_counted_on_every_map() {
        let levels = Levels::new(vec![(4, 8), (2, 4)], (32, 64), &[(32, 64), (20, 40)]);
        assert_eq!(levels.shown[0], [(4, 8), (2, 4)]);
        assert_eq!(levels.shown[1], [(3, 5), (2, 3)]);
        assert_eq!((levels.cells(), levels.batch()), (40, 2));
        assert_eq!(levels.valid().iter().filter(|valid| **valid).count(), 40 + 15 + 6);
        let ratios = levels.ratios(&Device::Cpu).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(ratios[1], [[0.625, 0.75], [0.75, 1.0]]);
    }
}

//! Maps cut into square windows, and put together again.

use candle_core::{Result, Tensor};
use strefer_nn::ops;

/// How maps of one size lie in windows. Zeros fill the windows at the bottom and right edges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    side: usize,
    h: usize,
    w: usize,
}

impl Windows {
    pub(crate) fn new(side: usize, h: usize, w: usize) -> Self {
        Self { side: side.max(1), h, w }
    }

    /// The windows after each side of them, and of the map, was halved.
    pub(crate) fn halved(self) -> Self {
        Self { side: self.side / 2, h: self.h / 2, w: self.w / 2 }
    }

    /// Rows and columns of windows.
    pub(crate) fn grid(self) -> (usize, usize) {
        (self.h.div_ceil(self.side), self.w.div_ceil(self.side))
    }

    /// The same windows over a map that fills them.
    pub(crate) fn filled(self) -> Self {
        let (rows, columns) = self.grid();
        Self { side: self.side, h: rows * self.side, w: columns * self.side }
    }

    /// Zeros at the bottom and right edges of `(b, h, w, c)` until the windows are full.
    pub(crate) fn pad(self, xs: &Tensor) -> Result<Tensor> {
        let Self { h, w, .. } = self.filled();
        xs.pad_with_zeros(1, 0, h - self.h)?.pad_with_zeros(2, 0, w - self.w)
    }

    /// `(b, h, w, c)` → `(b*windows, side, side, c)`
    pub(crate) fn cut(self, xs: &Tensor) -> Result<Tensor> {
        let (b, _h, _w, c) = xs.dims4()?;
        let (rows, columns) = self.grid();
        let side = self.side;
        let cells = self.pad(xs)?.reshape((b, rows, side, columns, side, c))?.permute((0, 1, 3, 2, 4, 5))?;
        ops::contiguous(&cells)?.reshape((b * rows * columns, side, side, c))
    }

    /// `(b*windows, side, side, c)` → `(b, h, w, c)`
    pub(crate) fn join(self, xs: &Tensor) -> Result<Tensor> {
        let (all, side, _, c) = xs.dims4()?;
        let (rows, columns) = self.grid();
        let b = all / (rows * columns);
        let cells = xs.reshape((b, rows, columns, side, side, c))?.permute((0, 1, 3, 2, 4, 5))?;
        let map = ops::contiguous(&cells)?.reshape((b, rows * side, columns * side, c))?;
        ops::contiguous(&map.narrow(1, 0, self.h)?.narrow(2, 0, self.w)?)
    }
}

#[cfg(test)]
mod tests {
    use strefer_nn::testing::{max_abs_diff, randn};

    use super::*;

    #[test]
    fn windows_put_together_are_the_map_again() {
        let xs = randn(1, &[2, 5, 7, 3]);
        for side in [1, 2, 3, 5, 8] {
            let windows = Windows::new(side, 5, 7);
            let cut = windows.cut(&xs).unwrap();
            let (rows, columns) = windows.grid();
            assert_eq!(cut.dims(), [2 * rows * columns, side, side, 3]);
            assert_eq!(max_abs_diff(&windows.join(&cut).unwrap(), &xs), 0.0);
        }
    }
}

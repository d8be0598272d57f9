//! Products of matrices that lie in slices, by the kernels of the crate `gemm`.

use candle_core::{Result, bail};
use gemm::Parallelism;

/// A view of a matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `values` row after row, `stride` values apart.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Rows and columns exchanged.
    pub(super) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn fits(&self) -> bool {
        let last = self.rows.saturating_sub(1) * self.row_stride
            + self.columns.saturating_sub(1) * self.column_stride;
        self.rows == 0 || self.columns == 0 || last < self.values.len()
    }
}

/// `out = keep * out + a b`, with `out` row after row without gaps.
pub(super) fn product(
    out: &mut [f32],
    a: Matrix<'_>,
    b: Matrix<'_>,
    keep: bool,
    threads: bool,
) -> Result<()> {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if k != b.rows || out.len() != m * n || !a.fits() || !b.fits() {
        bail!("a product of {a:?} and {b:?} into {} values", out.len());
    }
    if m == 0 || n == 0 {
        return Ok(());
    }
    if k == 0 {
        if !keep {
            out.fill(0.0);
        }
        return Ok(());
    }
    let parallelism = if threads { Parallelism::Rayon(0) } else { Parallelism::None };
    // SAFETY: all three matrices lie within their slices, as checked above; `out` is borrowed mutably, so it overlaps
    // neither of the others.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            keep,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_add_up_and_transpose() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 1.0]);
        let mut out = [10.0; 4];
        product(&mut out, Matrix::new(&a, 2, 3, 3), Matrix::new(&b, 3, 2, 2), false, false).unwrap();
        assert_eq!(out, [5.0, 5.0, 14.0, 11.0]);
        product(&mut out, Matrix::new(&a, 3, 2, 2), Matrix::new(&b, 3, 2, 2), true, true).unwrap_err();
        product(&mut out, Matrix::new(&a, 2, 3, 3), Matrix::new(&b, 2, 3, 3).t(), true, false).unwrap();
        assert_eq!(out, [5.0 + 7.0, 5.0 + 4.0, 14.0 + 16.0, 11.0 + 10.0]);
    }
}

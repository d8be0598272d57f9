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
    check(a, b, out.len())?;
    if a.columns == 0 {
        if !keep {
            out.fill(0.0);
        }
        return Ok(());
    }
    // SAFETY: all three matrices lie within their slices, as checked above; `out` is borrowed mutably, so it overlaps
    // neither of the others.
    unsafe { multiply(out.as_mut_ptr(), a, b, keep, threads) };
    Ok(())
}

/// `a b`, in memory that nobody cleared first, on all threads.
pub(super) fn product_of(a: Matrix<'_>, b: Matrix<'_>) -> Result<Vec<f32>> {
    let count = a.rows * b.columns;
    check(a, b, count)?;
    if a.columns == 0 {
        return Ok(vec![0.0; count]);
    }
    let mut out = Vec::with_capacity(count);
    // SAFETY: the matrices lie within their slices, as checked above, and `out` has room for `count` values, all of
    // which are written without being read.
    unsafe {
        multiply(out.as_mut_ptr(), a, b, false, true);
        out.set_len(count);
    }
    Ok(out)
}

fn check(a: Matrix<'_>, b: Matrix<'_>, count: usize) -> Result<()> {
    if a.columns != b.rows || count != a.rows * b.columns || !a.fits() || !b.fits() {
        bail!("a product of {a:?} and {b:?} into {count} values");
    }
    Ok(())
}

/// # Safety
/// `a` and `b` fit each other and lie within their slices; `out` has room for their product and overlaps neither. With
/// `keep` it holds numbers.
unsafe fn multiply(out: *mut f32, a: Matrix<'_>, b: Matrix<'_>, keep: bool, threads: bool) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 {
        return;
    }
    let parallelism = if threads { Parallelism::Rayon(0) } else { Parallelism::None };
    // SAFETY: by the caller's promise.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
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
        assert_eq!(
            product_of(Matrix::new(&a, 2, 3, 3), Matrix::new(&b, 3, 2, 2)).unwrap(),
            [5.0, 5.0, 14.0, 11.0]
        );
        assert_eq!(product_of(Matrix::new(&[], 1, 0, 0), Matrix::new(&[], 0, 2, 2)).unwrap(), [0.0; 2]);
    }
}

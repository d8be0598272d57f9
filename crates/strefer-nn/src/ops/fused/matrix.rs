//! Products of matrices that lie in slices, by the kernels of the crate `gemm`.

use candle_core::{Result, bail};
use gemm::Parallelism;
use rayon::prelude::*;

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
    unsafe { multiply(out.as_mut_ptr(), a, b, b.columns, keep, threads) };
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
        multiply(out.as_mut_ptr(), a, b, b.columns, false, true);
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

/// With more rows than this `gemm`'s own way to share work out is as fast.
const MOST_ROWS: usize = 2048;

/// Fewer columns than this do not pay for packing the other matrix once more.
const FEWEST_COLUMNS: usize = 128;

/// Columns of each of the jobs that a product of `m` rows and `n` columns is cut into, two a thread or one: over few rows
/// about a tenth faster than letting `gemm` share the work out, which is left to it where `None` is returned. No number
/// depends on the cut.
fn columns_of_a_job(m: usize, n: usize) -> Option<usize> {
    if m > MOST_ROWS {
        return None;
    }
    let threads = rayon::current_num_threads();
    let jobs = [2 * threads, threads].into_iter().find(|jobs| n / jobs >= FEWEST_COLUMNS)?;
    (jobs > 1).then(|| n.div_ceil(jobs).next_multiple_of(16))
}

/// Where a result goes that several threads write, each its own columns.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: threads write different columns.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Out {
    /// # Safety
    /// There is room for `offset` values at least.
    unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: by the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// # Safety
/// `a` and `b` fit each other and lie within their slices; `out` has room for their product, whose rows are `row_stride`
/// values apart, and overlaps neither. With `keep` it holds numbers.
unsafe fn multiply(
    out: *mut f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    row_stride: usize,
    keep: bool,
    threads: bool,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 {
        return;
    }
    if threads && let Some(width) = columns_of_a_job(m, n) {
        let out = Out(out);
        (0..n.div_ceil(width)).into_par_iter().for_each(|job| {
            let from = job * width;
            let part =
                Matrix { values: &b.values[from * b.column_stride..], columns: width.min(n - from), ..b };
            // SAFETY: by the caller's promise; the columns of a job are written by no other.
            unsafe { multiply(out.at(from), a, part, row_stride, keep, false) };
        });
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
            row_stride as isize,
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
    fn products_cut_into_jobs_change_no_bit() {
        let (m, k, n) = (70, 40, 4 * FEWEST_COLUMNS + 5);
        let values = |count: usize| (0..count).map(|at| (at % 89) as f32 * 0.37 - 16.0).collect::<Vec<_>>();
        let (a, b) = (values(m * k), values(k * n));
        let left = Matrix::new(&a, m, k, k);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for right in [Matrix::new(&b, k, n, n), Matrix::new(&b, n, k, k).t()] {
            for keep in [false, true] {
                let (mut whole, mut cut) = (values(m * n), values(m * n));
                product(&mut whole, left, right, keep, false).unwrap();
                pool.install(|| product(&mut cut, left, right, keep, true)).unwrap();
                assert_eq!(whole, cut);
            }
        }
        pool.install(|| {
            assert_eq!(columns_of_a_job(m, n), Some(144));
            assert_eq!(columns_of_a_job(MOST_ROWS + 1, n), None);
            assert_eq!(columns_of_a_job(m, 4 * FEWEST_COLUMNS - 1), Some(256));
            assert_eq!(columns_of_a_job(m, 2 * FEWEST_COLUMNS - 1), None);
        });
    }

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

//! Values in bf16 as f32.

use std::borrow::Cow;

use candle_core::{CpuStorage, Layout, Result, bail};
use half::bf16;

use super::simd;

/// About this many values of a weight are widened at a time.
pub(super) const WIDENED: usize = 1 << 23;

/// bf16 is the upper half of f32.
#[inline(always)]
pub(super) fn wide(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

/// The same values as f32, on all threads.
pub(super) fn widened(values: &[bf16]) -> Vec<f32> {
    const ROW: usize = 512;
    let mut wides = vec![0.0; values.len()];
    simd::fill_rows(&mut wides, ROW, |row, wides| {
        let values = &values[row * ROW..];
        simd::run(
            #[inline(always)]
            || wides.iter_mut().zip(values).for_each(|(y, x)| *y = wide(*x)),
        );
    });
    wides
}

/// Contiguous values of either type as f32.
pub(super) fn wide_slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(Cow::Borrowed(&values[start..end])),
        (CpuStorage::BF16(values), Some((start, end))) => Ok(Cow::Owned(widened(&values[start..end]))),
        _ => bail!("contiguous values in f32 or bf16 are needed, got {layout:?}"),
    }
}

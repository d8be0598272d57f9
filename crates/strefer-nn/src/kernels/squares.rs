//! Sums of the squares of several gradients.

use candle_core::{DType, Result};

use super::listed::{Listed, type_of};
use super::{Arg, Launch, Runner, THREADS, Values, blocks, int, pack, packed, suffix};

/// Gradients of one type whose squares are summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Squares {
    listed: Listed,
    dtype: DType,
}

impl Squares {
    /// The sums of these, of which there is one at least.
    pub fn new(grads: &[Values]) -> Result<Self> {
        let dtype = type_of("gradients", grads.iter().copied())?;
        let mut listed = Listed::default();
        for &grad in grads {
            listed.push(grad, packed(pack(&[grad]), &[grad]), &[]);
        }
        Ok(Self { listed, dtype })
    }

    /// What has to lie where the kernels run.
    pub fn list(&self) -> &[i64] {
        &self.listed.words
    }
}

/// The sums in f32, in the order of the gradients.
pub fn squares<R: Runner>(runner: &R, squares: &Squares, list: Values) -> Result<R::Buffer> {
    let Squares { listed, dtype } = squares;
    listed.check(list)?;
    let entries = int("gradients", listed.entries)?;
    let mut parts = runner.reserve(DType::F32, listed.chunks)?;
    let parts = runner.values(&mut parts);
    if listed.chunks > 0 {
        let args = vec![Arg::Pointer(list.address), entries, Arg::Pointer(parts.address)];
        runner.launch(&listed.launch("squares", format!("squares_{}", suffix(*dtype)?), args)?)?;
    }
    let mut sums = runner.reserve(DType::F32, listed.entries)?;
    let args = vec![
        Arg::Pointer(list.address),
        Arg::Pointer(parts.address),
        Arg::Long(listed.chunks as i64),
        Arg::Pointer(runner.values(&mut sums).address),
        entries,
    ];
    let grid = (blocks(listed.entries)?, 1);
    runner.launch(&Launch::new("squares", "sum_squares".into(), grid, THREADS, args))?;
    Ok(sums)
}

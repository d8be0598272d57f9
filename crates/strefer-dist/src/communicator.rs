//! What ranks compute together.

use std::fmt::Debug;

use candle_core::{DType, Device, Result, Tensor};

/// One rank's side of what all ranks of a run do together. `what` names the values for whoever looks into a rank that waits.
pub trait Communicator: Debug + Send + Sync {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Where values lie best that are exchanged. Results of collectives come on the device of what was given.
    fn device(&self) -> Device {
        Device::Cpu
    }

    /// Sums of all ranks' values.
    ///
    /// # Shapes
    /// - `values`: `(n)`, f32 or f64
    /// - returns: `(n)`, on every rank
    fn all_reduce(&self, what: &str, values: &Tensor) -> Result<Tensor>;

    /// The parts of all ranks, in the order of the ranks.
    ///
    /// # Shapes
    /// - `part`: `(n)`, f32, f64, bf16, f16 or u8
    /// - returns: `(n * size)`, on every rank
    fn all_gather(&self, what: &str, part: &Tensor) -> Result<Tensor>;

    /// The values of rank `root`. All others bring anything of their shape and type.
    ///
    /// # Shapes
    /// - `values`: `(n)`, f32, f64, bf16, f16 or u8
    /// - returns: `(n)`, on every rank
    fn broadcast(&self, what: &str, values: &Tensor, root: usize) -> Result<Tensor>;

    /// Sums of all ranks' values, on rank `root` alone.
    ///
    /// # Shapes
    /// - `values`: `(n)`, f32 or f64
    /// - returns: `(n)` on `root`, nothing on the others
    fn reduce(&self, what: &str, values: &Tensor, root: usize) -> Result<Option<Tensor>>;
}

/// The only rank of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Communicator for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_reduce(&self, what: &str, values: &Tensor) -> Result<Tensor> {
        check_summable(what, values)?;
        Ok(values.clone())
    }

    fn all_gather(&self, _what: &str, part: &Tensor) -> Result<Tensor> {
        Ok(part.clone())
    }

    fn broadcast(&self, what: &str, values: &Tensor, root: usize) -> Result<Tensor> {
        check_root(what, root, 1)?;
        Ok(values.clone())
    }

    fn reduce(&self, what: &str, values: &Tensor, root: usize) -> Result<Option<Tensor>> {
        check_root(what, root, 1)?;
        self.all_reduce(what, values).map(Some)
    }
}

/// Sums of a few numbers over all ranks.
pub fn sum_of<const N: usize>(ranks: &dyn Communicator, what: &str, values: [f64; N]) -> Result<[f64; N]> {
    let sums = ranks.all_reduce(what, &Tensor::from_slice(&values, N, &Device::Cpu)?)?;
    let mut out = values;
    out.copy_from_slice(&sums.to_vec1::<f64>()?);
    Ok(out)
}

/// Every rank's bytes, in the order of the ranks; they may be of different lengths.
pub fn gather_bytes(ranks: &dyn Communicator, what: &str, own: &[u8]) -> Result<Vec<Vec<u8>>> {
    let length = Tensor::new(&[own.len() as f64], &Device::Cpu)?;
    let lengths: Vec<usize> = ranks
        .all_gather(what, &length)?
        .to_vec1::<f64>()?
        .into_iter()
        .map(|length| length as usize)
        .collect();
    let longest = lengths.iter().copied().max().unwrap_or_default();
    if longest == 0 {
        return Ok(vec![Vec::new(); lengths.len()]);
    }
    let mut padded = own.to_vec();
    padded.resize(longest, 0);
    let all = ranks.all_gather(what, &Tensor::from_vec(padded, longest, &Device::Cpu)?)?.to_vec1::<u8>()?;
    Ok(all.chunks(longest).zip(lengths).map(|(bytes, length)| bytes[..length].to_vec()).collect())
}

/// Fails for a rank that there is not.
pub(crate) fn check_root(what: &str, root: usize, size: usize) -> Result<()> {
    if root < size { Ok(()) } else { candle_core::bail!("{what}: there is no rank {root}, only {size}") }
}

/// Fails for values that ranks do not sum.
pub(crate) fn check_summable(what: &str, values: &Tensor) -> Result<()> {
    values.dims1()?;
    match values.dtype() {
        DType::F32 | DType::F64 => Ok(()),
        other => candle_core::bail!("{what}: sums over ranks are of f32 or f64, not {other:?}"),
    }
}

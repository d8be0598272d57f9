//! Values of several parameters that one launch takes, a block of threads to a chunk of one.

use candle_core::{DType, Result, bail};

use super::{Launch, THREADS, Values, blocks, check};

/// Values of a chunk, as in `kernels/listed.cuh`.
const CHUNK: usize = 1 << 14;

/// Entries by which kernels find what they take, to be laid where they run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub words: Vec<i64>,
    pub entries: usize,
    pub chunks: usize,
}

impl Listed {
    /// Adds a gradient, and what else its entry has. `packed`: all of it lies on 16 bytes.
    pub fn push(&mut self, grad: Values, packed: bool, others: &[u64]) {
        let head = [self.chunks as u64, grad.count as u64, u64::from(packed), grad.address];
        self.words.extend(head.iter().chain(others).map(|word| *word as i64));
        self.entries += 1;
        self.chunks += grad.count.div_ceil(CHUNK);
    }

    /// Refuses another list than this one, by its size.
    pub fn check(&self, list: Values) -> Result<()> {
        check("a list of parameters", list, DType::I64, self.words.len())
    }

    /// A block for every chunk.
    pub fn launch(&self, module: &'static str, kernel: String, args: Vec<super::Arg>) -> Result<Launch> {
        Ok(Launch::new(module, kernel, (blocks(self.chunks)?, 1), THREADS, args))
    }
}

/// The one type of all these values.
pub(super) fn type_of(what: &str, mut all: impl Iterator<Item = Values>) -> Result<DType> {
    let Some(first) = all.next() else { bail!("no {what}") };
    match all.find(|values| values.dtype != first.dtype) {
        Some(other) => bail!("{what} of {:?} and {:?}", first.dtype, other.dtype),
        None => Ok(first.dtype),
    }
}

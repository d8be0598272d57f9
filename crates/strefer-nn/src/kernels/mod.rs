//! Which kernels of `kernels/*.cu` make an operation, on which grids and with which arguments. What runs them is a
//! [`Runner`]: a card, or in tests a compiler's rendering of the same sources on the processor.

mod activation;
mod adamw;
mod attention;
mod cached;
mod cast;
mod cross_entropy;
mod deformable;
mod depthwise;
mod dropout;
mod few_rows;
mod listed;
mod mask_pool;
mod norm;
mod parts;
mod product;
mod ragged;
mod rotary;
mod rows;
mod softmax;
mod squares;

pub use activation::{Activation, Gated, GatedGrads, activation, activation_back, swiglu, swiglu_back};
pub use adamw::{AdamMoments, AdamParameter, AdamRates, AdamStep, AdamUpdate, SCALED, adamw};
pub use attention::{Attention, AttentionGrads, Places, Sight, attention, attention_back};
pub use cached::{Beside, Cached, Tables, attention_rows, cached};
pub use cast::scale;
pub use cross_entropy::cross_entropy;
pub use deformable::{Deformable, deformable};
pub use depthwise::{Maps, depthwise, depthwise_back};
pub use dropout::dropout;
pub use few_rows::{few_rows, takes_rows};
pub use mask_pool::{mask_pool, mask_pool_back};
pub use norm::{Norm, NormGrads, norm, norm_back, sum_norm};
pub use product::{Finish, Product, Update, linear, linear_updated};
pub use ragged::{Causality, List, Ragged, RaggedPass, ragged, ragged_back};
pub use rotary::{Turn, rotary};
pub use softmax::{softmax, softmax_back};
pub use squares::{Squares, squares};

use candle_core::{DType, Result, bail};

/// One argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arg {
    /// Where values lie; 0 where there are none.
    Pointer(u64),
    /// A count that may pass 2^31.
    Long(i64),
    /// A count or a choice.
    Int(i32),
    /// A number.
    Float(f32),
}

/// One kernel on one grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The source file it is from, without its ending.
    pub module: &'static str,
    /// Its name.
    pub kernel: String,
    /// Blocks across and down.
    pub grid: (u32, u32),
    /// Threads of a block.
    pub block: u32,
    /// Bytes of memory that the threads of a block share, besides what the kernel has of its own.
    pub shared: u32,
    /// What it is called with.
    pub args: Vec<Arg>,
}

impl Launch {
    fn new(module: &'static str, kernel: String, grid: (u32, u32), block: usize, args: Vec<Arg>) -> Self {
        Self { module, kernel, grid, block: block as u32, shared: 0, args }
    }

    /// So many threads, which do not speak to each other.
    fn over(threads: usize, module: &'static str, kernel: String, args: Vec<Arg>) -> Result<Self> {
        let blocks = blocks(threads.div_ceil(THREADS))?;
        Ok(Self::new(module, kernel, (blocks, 1), THREADS, args))
    }
}

/// Contiguous values in a runner's memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Values {
    /// Where the first one lies.
    pub address: u64,
    /// Their type.
    pub dtype: DType,
    /// How many there are.
    pub count: usize,
}

/// What kernels run on.
pub trait Runner {
    /// Memory for results.
    type Buffer;
    /// Memory for so many values, which hold anything.
    fn reserve(&self, dtype: DType, count: usize) -> Result<Self::Buffer>;
    /// Where a buffer lies.
    fn values(&self, buffer: &mut Self::Buffer) -> Values;
    /// Puts a kernel behind those before it.
    fn launch(&self, launch: &Launch) -> Result<()>;
    /// Puts a library's product behind the kernels before it.
    fn product(&self, product: &Product) -> Result<()>;
    /// Puts a library's attention behind the kernels before it.
    fn ragged(&self, call: &Ragged, lists: Values, pass: RaggedPass) -> Result<()>;
    /// Has values be zero.
    fn clear(&self, values: Values) -> Result<()>;
}

/// Threads of a block whose threads do not speak to each other.
const THREADS: usize = 256;

/// Columns of a warp and warps of a block that sums over rows, as in `kernels/common.cuh`.
const WARP: usize = 32;
const TILE_WARPS: usize = 8;

fn pointer(values: Option<Values>) -> Arg {
    Arg::Pointer(pointer_to(values))
}

/// An address, 0 where there are no values.
fn pointer_to(values: Option<Values>) -> u64 {
    values.map_or(0, |values| values.address)
}

/// How kernels name a float type.
fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        DType::F16 => Ok("f16"),
        other => bail!("no kernel takes {other:?}"),
    }
}

fn int(what: &str, number: usize) -> Result<Arg> {
    match i32::try_from(number) {
        Ok(number) => Ok(Arg::Int(number)),
        Err(_) => bail!("{number} {what} are more than a kernel counts"),
    }
}

/// Refuses values that are not as many, or not of that type.
fn check(what: &str, values: Values, dtype: DType, count: usize) -> Result<()> {
    if values.dtype == dtype && values.count == count {
        Ok(())
    } else {
        bail!("{what}: {count} values of {dtype:?} are needed, not {} of {:?}", values.count, values.dtype)
    }
}

/// So many blocks across a grid.
fn blocks(count: usize) -> Result<u32> {
    match i32::try_from(count) {
        Ok(count) => Ok(count as u32),
        Err(_) => bail!("{count} blocks are more than a grid has"),
    }
}

/// Values of 16 bytes of the narrowest of these.
fn pack(values: &[Values]) -> usize {
    16 / values.iter().map(|values| values.dtype.size_in_bytes()).min().unwrap_or(4)
}

/// Whether every `step`-th value of all of these begins on 16 bytes, with whole packs between.
fn packed(step: usize, values: &[Values]) -> bool {
    let pack = pack(values);
    step.is_multiple_of(pack) && values.iter().all(|values| values.address % 16 == 0)
}

//! Linear layers whose products are a library's: it adds a bias, takes GELU, and adds to what is there, on its way.

use candle_core::{DType, Result, bail};

use super::{Runner, Values, check};

/// One product: rows of `out` are those of `xs` times `weight` transposed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Product {
    /// `(rows, depth)`
    pub xs: Values,
    /// `(columns, depth)`
    pub weight: Values,
    /// `(rows, columns)`
    pub out: Values,
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Length of the sums.
    pub depth: usize,
    /// What is done with them.
    pub finish: Finish,
}

/// What is done with the sums of a product, in f32, before they are rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finish {
    /// Nothing.
    Plain,
    /// These are added to each row.
    Bias(Values),
    /// These are added to each row, and then the approximation of GELU by a hyperbolic tangent is taken.
    BiasGelu(Values),
    /// What is there is added.
    Added,
}

impl Product {
    fn check(&self) -> Result<()> {
        let Self { xs, weight, out, rows, columns, depth, finish } = *self;
        if !matches!(xs.dtype, DType::BF16 | DType::F16) {
            bail!("no product of {:?}", xs.dtype);
        }
        check("a product's rows", xs, xs.dtype, rows * depth)?;
        check("a product's weight", weight, xs.dtype, columns * depth)?;
        check("a product's result", out, xs.dtype, rows * columns)?;
        match finish {
            Finish::Bias(bias) | Finish::BiasGelu(bias) => check("a product's bias", bias, xs.dtype, columns),
            Finish::Plain | Finish::Added => Ok(()),
        }
    }

    fn run<R: Runner>(&self, runner: &R) -> Result<()> {
        self.check()?;
        if self.rows * self.columns == 0 { Ok(()) } else { runner.product(self) }
    }
}

/// A low-rank update of a layer's weight, of what its first matrix has made of the layer's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// `(rows, rank)`
    pub low: Values,
    /// `(o, rank)`
    pub weight: Values,
    /// The rank.
    pub rank: usize,
}

/// `xs · weightᵀ + bias` over rows of width `d`, or GELU of it, rounded once.
///
/// # Shapes
/// - `xs`: `(rows, d)`, `weight`: `(o, d)`, `bias`: `(o)` → `(rows, o)`
///
/// # Errors
/// Values that are no such matrices, or not bf16 or f16.
pub fn linear<R: Runner>(
    runner: &R,
    xs: Values,
    weight: Values,
    finish: Finish,
    d: usize,
) -> Result<R::Buffer> {
    let (rows, columns) = (xs.count / d.max(1), weight.count / d.max(1));
    let mut ys = runner.reserve(xs.dtype, rows * columns)?;
    let out = runner.values(&mut ys);
    Product { xs, weight, out, rows, columns, depth: d, finish }.run(runner)?;
    Ok(ys)
}

/// [`linear`], and `low · Bᵀ` added where the result lies: it is rounded between.
///
/// # Errors
/// Those of [`linear`], and an update of other sizes.
pub fn linear_updated<R: Runner>(
    runner: &R,
    xs: Values,
    weight: Values,
    finish: Finish,
    d: usize,
    update: Update,
) -> Result<R::Buffer> {
    let Update { low, weight: b, rank } = update;
    let (rows, columns) = (xs.count / d.max(1), weight.count / d.max(1));
    let mut ys = linear(runner, xs, weight, finish, d)?;
    let out = runner.values(&mut ys);
    Product { xs: low, weight: b, out, rows, columns, depth: rank, finish: Finish::Added }.run(runner)?;
    Ok(ys)
}

//! Graphs of operations on tensors of four dimensions.

use candle_core::Result;

use super::descriptor::Descriptor;
use super::names::{Attribute, Kind, Mode, Of, Reduction, Type};

/// Bytes that tensors lie on.
const ALIGNMENT: i64 = 16;

/// Numbers of tensors that the graph names itself begin here.
const FIRST_OWN: i64 = 1000;

/// A tensor of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tensor(usize);

/// Type, sizes and steps of a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) of: Type,
    pub(super) dims: [i64; 4],
    pub(super) strides: [i64; 4],
}

impl Layout {
    /// Without gaps, the last dimension densest.
    pub(super) fn dense(of: Type, dims: [i64; 4]) -> Self {
        let [_, b, c, d] = dims;
        Self { of, dims, strides: [b * c * d, c * d, d, 1] }
    }

    /// The same values, with the last two dimensions exchanged.
    pub(super) fn transposed(self) -> Self {
        let ([a, b, c, d], [i, j, k, l]) = (self.dims, self.strides);
        Self { dims: [a, b, d, c], strides: [i, j, l, k], ..self }
    }

    pub(super) fn with_type(self, of: Type) -> Self {
        Self { of, ..self }
    }
}

/// A graph that grows. Whatever is said to it is checked by the library.
#[derive(Debug, Default)]
pub(super) struct Graph {
    tensors: Vec<(Descriptor, Layout)>,
    operations: Vec<Descriptor>,
    /// What operations are made of.
    parts: Vec<Descriptor>,
    constants: Vec<(i64, f32)>,
}

impl Graph {
    /// A tensor in memory, which calls name by `id`. With `starts`, the rows of each entry of the first dimension begin where those
    /// say.
    pub(super) fn lent(&mut self, id: i64, layout: Layout, starts: Option<Tensor>) -> Result<Tensor> {
        let tensor = Self::describe(id, layout)?;
        let tensor = match starts {
            Some(starts) => tensor.descriptors(Attribute::TensorStarts, &[&self.tensors[starts.0].0])?,
            None => tensor,
        };
        self.keep(tensor, layout)
    }

    /// A tensor that is nowhere but within the kernel.
    pub(super) fn passing(&mut self, layout: Layout) -> Result<Tensor> {
        let tensor = Self::describe(self.next_id(), layout)?.flag(Attribute::TensorVirtual, true)?;
        self.keep(tensor, layout)
    }

    /// [`Graph::passing`], of rows that begin where others do.
    pub(super) fn passing_rows(&mut self, layout: Layout, starts: Tensor) -> Result<Tensor> {
        let tensor = Self::describe(self.next_id(), layout)?
            .flag(Attribute::TensorVirtual, true)?
            .descriptors(Attribute::TensorStarts, &[&self.tensors[starts.0].0])?;
        self.keep(tensor, layout)
    }

    /// A number.
    pub(super) fn constant(&mut self, value: f32) -> Result<Tensor> {
        let (id, layout) = (self.next_id(), Layout::dense(Type::F32, [1; 4]));
        let tensor = Self::describe(id, layout)?.flag(Attribute::TensorByValue, true)?;
        self.constants.push((id, value));
        self.keep(tensor, layout)
    }

    fn next_id(&self) -> i64 {
        FIRST_OWN + self.tensors.len() as i64
    }

    fn describe(id: i64, layout: Layout) -> Result<Descriptor> {
        Descriptor::new(Kind::Tensor)?
            .choice(Attribute::TensorType, Of::Type, layout.of as i32)?
            .numbers(Attribute::TensorDims, &layout.dims)?
            .numbers(Attribute::TensorStrides, &layout.strides)?
            .numbers(Attribute::TensorId, &[id])?
            .numbers(Attribute::TensorAlignment, &[ALIGNMENT])
    }

    fn keep(&mut self, tensor: Descriptor, layout: Layout) -> Result<Tensor> {
        self.tensors.push((tensor.finish()?, layout));
        Ok(Tensor(self.tensors.len() - 1))
    }

    pub(super) fn layout(&self, tensor: Tensor) -> Layout {
        self.tensors[tensor.0].1
    }

    fn of(&self, tensor: Tensor) -> &Descriptor {
        &self.tensors[tensor.0].0
    }

    /// `x` by `mode`, with `b` where that takes two and where `t` says so if it selects. Comparisons give booleans, all else values of
    /// the type of `x`.
    pub(super) fn each(
        &mut self,
        mode: Mode,
        x: Tensor,
        b: Option<Tensor>,
        t: Option<Tensor>,
    ) -> Result<Tensor> {
        let of = match mode {
            Mode::AtLeast | Mode::Less | Mode::And => Type::Bool,
            Mode::Index => Type::I32,
            _ => self.layout(x).of,
        };
        let y = self.passing(self.layout(x).with_type(of))?;
        self.each_into(mode, x, b, t, y)?;
        Ok(y)
    }

    /// As [`Graph::each`], into a tensor that is there.
    pub(super) fn each_into(
        &mut self,
        mode: Mode,
        x: Tensor,
        b: Option<Tensor>,
        t: Option<Tensor>,
        y: Tensor,
    ) -> Result<()> {
        let precision = match self.layout(y).of {
            of @ (Type::I32 | Type::Bool) => of,
            _ => Type::F32,
        };
        self.pointwise(self.mode(mode, precision)?.finish()?, x, [b, t], y)
    }

    /// The number of each value along a dimension.
    pub(super) fn index(&mut self, like: Tensor, axis: i64) -> Result<Tensor> {
        let y = self.passing(self.layout(like).with_type(Type::I32))?;
        let what = self.mode(Mode::Index, Type::I32)?.numbers(Attribute::PointwiseAxis, &[axis])?.finish()?;
        self.pointwise(what, like, [None, None], y)?;
        Ok(y)
    }

    fn mode(&self, mode: Mode, precision: Type) -> Result<Descriptor> {
        Descriptor::new(Kind::Pointwise)?
            .choice(Attribute::PointwiseMode, Of::Pointwise, mode as i32)?
            .choice(Attribute::PointwisePrecision, Of::Type, precision as i32)
    }

    fn pointwise(
        &mut self,
        what: Descriptor,
        x: Tensor,
        [b, t]: [Option<Tensor>; 2],
        y: Tensor,
    ) -> Result<()> {
        let mut operation = Descriptor::new(Kind::PointwiseOperation)?
            .descriptors(Attribute::PointwiseOf, &[&what])?
            .descriptors(Attribute::PointwiseX, &[self.of(x)])?
            .descriptors(Attribute::PointwiseY, &[self.of(y)])?;
        for (attribute, tensor) in [(Attribute::PointwiseB, b), (Attribute::PointwiseT, t)] {
            if let Some(tensor) = tensor {
                operation = operation.descriptors(attribute, &[self.of(tensor)])?;
            }
        }
        let operation =
            operation.float(Attribute::PointwiseAlpha1, 1.0)?.float(Attribute::PointwiseAlpha2, 1.0)?;
        self.operate(operation, Some(what))
    }

    /// `a · b`, of which only as many rows, columns and summands count as `counts` say for each entry of the first dimension.
    pub(super) fn product(
        &mut self,
        a: Tensor,
        b: Tensor,
        c: Tensor,
        counts: [Option<Tensor>; 3],
    ) -> Result<()> {
        let what = Descriptor::new(Kind::Matmul)?
            .choice(Attribute::MatmulPrecision, Of::Type, Type::F32 as i32)?
            .finish()?;
        let mut operation = Descriptor::new(Kind::MatmulOperation)?
            .descriptors(Attribute::MatmulA, &[self.of(a)])?
            .descriptors(Attribute::MatmulB, &[self.of(b)])?
            .descriptors(Attribute::MatmulC, &[self.of(c)])?
            .descriptors(Attribute::MatmulOf, &[&what])?;
        let attributes = [Attribute::MatmulRows, Attribute::MatmulColumns, Attribute::MatmulDepth];
        for (attribute, count) in attributes.into_iter().zip(counts) {
            if let Some(count) = count {
                operation = operation.descriptors(attribute, &[self.of(count)])?;
            }
        }
        self.operate(operation, Some(what))
    }

    /// `x` over the dimensions in which `y` has a single value, or fewer heads.
    pub(super) fn reduce(&mut self, how: Reduction, x: Tensor, y: Tensor) -> Result<()> {
        let what = Descriptor::new(Kind::Reduction)?
            .choice(Attribute::ReductionPrecision, Of::Type, Type::F32 as i32)?
            .choice(Attribute::ReductionOperator, Of::Reduction, how as i32)?
            .finish()?;
        let operation = Descriptor::new(Kind::ReductionOperation)?
            .descriptors(Attribute::ReductionOf, &[&what])?
            .descriptors(Attribute::ReductionX, &[self.of(x)])?
            .descriptors(Attribute::ReductionY, &[self.of(y)])?;
        self.operate(operation, Some(what))
    }

    /// `x` read as `y` lies.
    pub(super) fn reshape(&mut self, x: Tensor, y: Tensor) -> Result<()> {
        let operation = Descriptor::new(Kind::ReshapeOperation)?
            .descriptors(Attribute::ReshapeX, &[self.of(x)])?
            .descriptors(Attribute::ReshapeY, &[self.of(y)])?;
        self.operate(operation, None)
    }

    fn operate(&mut self, operation: Descriptor, part: Option<Descriptor>) -> Result<()> {
        self.operations.push(operation.finish()?);
        self.parts.extend(part);
        Ok(())
    }

    /// What operations are described by, and the constants that calls have to lend.
    pub(super) fn operations(&self) -> Vec<&Descriptor> {
        self.operations.iter().collect()
    }

    pub(super) fn constants(&self) -> &[(i64, f32)] {
        &self.constants
    }
}

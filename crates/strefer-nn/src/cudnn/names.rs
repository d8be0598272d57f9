//! What the interface calls things, by its numbers.

use candle_core::{DType, Result, bail};

/// Kinds of descriptors.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(super) enum Kind {
    Pointwise = 0,
    EngineConfig = 3,
    Heuristics = 4,
    Plan = 5,
    PointwiseOperation = 13,
    Graph = 15,
    Pack = 16,
    Tensor = 17,
    Matmul = 18,
    MatmulOperation = 19,
    Reduction = 21,
    ReductionOperation = 22,
    ReshapeOperation = 31,
    Properties = 38,
}

/// Attributes of descriptors.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(super) enum Attribute {
    PointwiseMode = 0,
    PointwisePrecision = 1,
    PointwiseAxis = 9,
    HeuristicsMode = 200,
    HeuristicsGraph = 201,
    HeuristicsResults = 202,
    HeuristicsProperties = 204,
    PlanHandle = 400,
    PlanConfig = 401,
    PlanWorkspace = 402,
    PlanProperties = 407,
    PointwiseOf = 750,
    PointwiseX = 751,
    PointwiseB = 752,
    PointwiseY = 753,
    PointwiseAlpha1 = 754,
    PointwiseAlpha2 = 755,
    PointwiseT = 758,
    GraphHandle = 800,
    GraphOperations = 801,
    TensorAlignment = 900,
    TensorType = 901,
    TensorDims = 902,
    TensorStrides = 903,
    TensorId = 906,
    TensorVirtual = 907,
    TensorByValue = 908,
    TensorStarts = 913,
    PackIds = 1000,
    PackPointers = 1001,
    PackWorkspace = 1003,
    MatmulPrecision = 1500,
    MatmulA = 1520,
    MatmulB = 1521,
    MatmulC = 1522,
    MatmulOf = 1523,
    MatmulRows = 1525,
    MatmulColumns = 1526,
    MatmulDepth = 1527,
    ReductionOperator = 1600,
    ReductionPrecision = 1601,
    ReductionX = 1610,
    ReductionY = 1611,
    ReductionOf = 1612,
    ReshapeX = 2200,
    ReshapeY = 2201,
    PropertiesText = 2702,
}

/// Types of attributes.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(super) enum Of {
    Handle = 0,
    Type = 1,
    Boolean = 2,
    Int64 = 3,
    Float = 4,
    Pointer = 6,
    Mode = 8,
    Pointwise = 14,
    Descriptor = 15,
    Reduction = 18,
    Char = 24,
}

/// Types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Type {
    F32 = 0,
    F16 = 2,
    I32 = 4,
    Bf16 = 9,
    Bool = 11,
}

impl Type {
    /// How the library calls a float type that it attends in.
    pub(super) fn half(dtype: DType) -> Result<Self> {
        match dtype {
            DType::BF16 => Ok(Self::Bf16),
            DType::F16 => Ok(Self::F16),
            other => bail!("cuDNN attends in bf16 and f16, not in {other:?}"),
        }
    }
}

/// What is done with each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Mode {
    Add = 0,
    Mul = 1,
    Div = 6,
    Sub = 9,
    Exp = 13,
    Log = 15,
    Identity = 21,
    AtLeast = 303,
    Less = 304,
    And = 400,
    Index = 501,
    Select = 601,
}

/// How values become one.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(super) enum Reduction {
    Sum = 0,
    Max = 3,
}

/// The heuristics that weigh engines against each other.
pub(super) const HEURISTICS_A: i32 = 3;

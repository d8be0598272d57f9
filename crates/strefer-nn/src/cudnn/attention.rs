//! Attention of sequences as a graph, and its gradients as another.

use candle_core::{DType, Result};

use super::graph::{Graph, Layout, Tensor};
use super::names::{Mode, Reduction, Type};
use crate::kernels::{Causality, Ragged};

/// A tensor that calls lend, by its number in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub enum Part {
    /// Queries.
    Q = 1,
    /// Keys.
    K,
    /// Values.
    V,
    /// Results.
    Out,
    /// Log-sum-exp of the scores.
    Sums,
    /// Gradient of the results.
    Grad,
    /// Gradient of the queries.
    GradQ,
    /// Gradient of the keys.
    GradK,
    /// Gradient of the values.
    GradV,
    /// Queries of each sequence.
    Queries,
    /// Keys of each sequence.
    Keys,
    /// Where queries begin.
    QueryStarts,
    /// Where keys and values begin.
    KeyStarts,
    /// Where results begin.
    ResultStarts,
    /// Where the log-sum-exp begin.
    SumStarts,
    /// Room for a number for each query of each head.
    Deltas,
    /// Room for the gradient of the queries in f32.
    WideQ,
    /// Room for the gradient of the keys of each query head.
    ManyK,
    /// Room for the gradient of the values of each query head.
    ManyV,
}

/// What a graph depends on; calls with the same shape share a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    ragged: Ragged,
    dtype: DType,
}

impl Shape {
    /// The shape of a call on values of a type.
    pub fn new(ragged: &Ragged, dtype: DType) -> Self {
        // A plan knows neither how many rows there are nor whether they are covered.
        let mut ragged = Ragged { covers: [true; 2], ..*ragged };
        let call = &mut ragged.call;
        (call.batch, call.queries, call.keys) = (0, 0, 0);
        for places in [&mut call.q, &mut call.k, &mut call.out] {
            places.batch = 0;
        }
        Self { ragged, dtype }
    }

    /// Room that the backward needs besides its workspace: each part, and its bytes for so many queries and keys.
    pub fn rooms(&self, queries: usize, keys: usize) -> Vec<(Part, usize)> {
        let call = &self.ragged.call;
        let (heads, width) = (call.heads.query, call.k.position * call.group());
        let mut rooms =
            vec![(Part::Deltas, queries * heads * 4), (Part::WideQ, queries * call.q.position * 4)];
        if call.group() > 1 {
            rooms.extend([(Part::ManyK, keys * width * 4), (Part::ManyV, keys * width * 4)]);
        }
        rooms
    }
}

/// A graph that grows, and what it is about.
struct Builder {
    graph: Graph,
    ragged: Ragged,
    half: Type,
    queries: Tensor,
    keys: Tensor,
    query_starts: Tensor,
    key_starts: Tensor,
    result_starts: Tensor,
    sum_starts: Tensor,
}

/// Dimensions along which scores are counted.
const OF_QUERIES: i64 = 2;
const OF_KEYS: i64 = 3;

impl Builder {
    fn new(shape: &Shape) -> Result<Self> {
        let mut graph = Graph::default();
        let sequences = shape.ragged.sequences as i64;
        let mut list = |part: Part, count: i64| {
            let layout = Layout { of: Type::I32, dims: [count, 1, 1, 1], strides: [1; 4] };
            graph.lent(part as i64, layout, None)
        };
        let (queries, keys) = (list(Part::Queries, sequences)?, list(Part::Keys, sequences)?);
        let mut starts = |part| list(part, sequences + 1);
        let (query_starts, key_starts) = (starts(Part::QueryStarts)?, starts(Part::KeyStarts)?);
        let (result_starts, sum_starts) = (starts(Part::ResultStarts)?, starts(Part::SumStarts)?);
        let (ragged, half) = (shape.ragged, Type::half(shape.dtype)?);
        Ok(Self { graph, ragged, half, queries, keys, query_starts, key_starts, result_starts, sum_starts })
    }

    /// Rows of heads: `step` values from one position to the next.
    fn rows(&self, heads: usize, positions: usize, step: usize) -> Layout {
        let (heads, positions, step, hd) =
            (heads as i64, positions as i64, step as i64, self.ragged.call.hd as i64);
        let dims = [self.ragged.sequences as i64, heads, positions, hd];
        Layout { of: self.half, dims, strides: [positions * step, hd, step, 1] }
    }

    fn query_rows(&self) -> Layout {
        self.rows(self.ragged.call.heads.query, self.ragged.most_queries, self.ragged.call.q.position)
    }

    fn key_rows(&self) -> Layout {
        self.rows(self.ragged.call.heads.key, self.ragged.most_keys, self.ragged.call.k.position)
    }

    fn result_rows(&self) -> Layout {
        self.rows(self.ragged.call.heads.query, self.ragged.most_queries, self.ragged.call.out.position)
    }

    /// Keys of every query head: as far apart as those of key heads, for each of a group.
    fn many_rows(&self) -> Layout {
        let call = &self.ragged.call;
        self.rows(call.heads.query, self.ragged.most_keys, call.k.position * call.group())
    }

    fn scores(&self) -> Layout {
        let Ragged { sequences, most_queries, most_keys, call, .. } = &self.ragged;
        let dims = [*sequences, call.heads.query, *most_queries, *most_keys].map(|dim| dim as i64);
        Layout::dense(Type::F32, dims)
    }

    /// A number for each query of each head, those of a position side by side.
    fn sums(&self) -> Layout {
        let (heads, queries) = (self.ragged.call.heads.query as i64, self.ragged.most_queries as i64);
        let dims = [self.ragged.sequences as i64, heads, queries, 1];
        Layout { of: Type::F32, dims, strides: [queries * heads, 1, heads, 1] }
    }

    fn per_query(&self) -> Layout {
        Layout::dense(Type::F32, self.sums().dims)
    }

    fn lent(&mut self, part: Part, layout: Layout, starts: Tensor) -> Result<Tensor> {
        self.graph.lent(part as i64, layout, Some(starts))
    }

    /// Scores of all queries, scaled.
    fn scaled_scores(&mut self, q: Tensor, k: Tensor, scale: Tensor) -> Result<Tensor> {
        let scores = self.graph.passing(self.scores())?;
        self.graph.product(q, k, scores, [Some(self.queries), Some(self.keys), None])?;
        self.graph.each(Mode::Mul, scores, Some(scale), None)
    }

    /// Scores, minus infinity where a query sees nothing.
    fn hidden(&mut self, scores: Tensor) -> Result<Tensor> {
        let graph = &mut self.graph;
        let query = graph.index(scores, OF_QUERIES)?;
        let key = graph.index(scores, OF_KEYS)?;
        let is_query = graph.each(Mode::Less, query, Some(self.queries), None)?;
        let is_key = graph.each(Mode::Less, key, Some(self.keys), None)?;
        let both = graph.each(Mode::And, is_query, Some(is_key), None)?;
        let nothing = graph.constant(f32::NEG_INFINITY)?;
        let scores = graph.each(Mode::Select, scores, Some(nothing), Some(both))?;
        if self.ragged.causality == Causality::None {
            return Ok(scores);
        }
        let mut query = graph.index(scores, OF_QUERIES)?;
        let key = graph.index(scores, OF_KEYS)?;
        if self.ragged.causality == Causality::FromLast {
            query = graph.each(Mode::Add, query, Some(self.keys), None)?;
            query = graph.each(Mode::Sub, query, Some(self.queries), None)?;
        }
        let seen = graph.each(Mode::AtLeast, query, Some(key), None)?;
        let nothing = graph.constant(f32::NEG_INFINITY)?;
        graph.each(Mode::Select, scores, Some(nothing), Some(seen))
    }

    fn scale(&mut self) -> Result<Tensor> {
        self.graph.constant(self.ragged.call.heads.scale as f32)
    }
}

/// Results and log-sum-exp.
pub(super) fn forward(shape: &Shape) -> Result<Graph> {
    let mut at = Builder::new(shape)?;
    let scale = at.scale()?;
    let (rows, starts) = (at.query_rows(), at.query_starts);
    let q = at.lent(Part::Q, rows, starts)?;
    let (rows, starts) = (at.key_rows(), at.key_starts);
    let k = at.lent(Part::K, rows.transposed(), starts)?;
    let v = at.lent(Part::V, rows, starts)?;
    let (rows, starts) = (at.sums(), at.sum_starts);
    let sums = at.lent(Part::Sums, rows, starts)?;
    let (rows, starts) = (at.result_rows(), at.result_starts);
    let out = at.lent(Part::Out, rows, starts)?;

    let scores = at.scaled_scores(q, k, scale)?;
    let scores = at.hidden(scores)?;
    let per_query = at.per_query();
    let graph = &mut at.graph;
    let top = graph.passing(per_query)?;
    graph.reduce(Reduction::Max, scores, top)?;
    let below = graph.each(Mode::Sub, scores, Some(top), None)?;
    let shares = graph.each(Mode::Exp, below, None, None)?;
    let sum = graph.passing(per_query)?;
    graph.reduce(Reduction::Sum, shares, sum)?;
    let log = graph.each(Mode::Log, sum, None, None)?;
    graph.each_into(Mode::Add, top, Some(log), None, sums)?;
    let of = graph.layout(shares).with_type(at.half);
    let narrow = graph.passing(of)?;
    graph.each_into(Mode::Div, shares, Some(sum), None, narrow)?;
    graph.product(narrow, v, out, [Some(at.queries), None, Some(at.keys)])?;
    Ok(at.graph)
}

/// Gradients of queries, keys and values.
pub(super) fn backward(shape: &Shape) -> Result<Graph> {
    let mut at = Builder::new(shape)?;
    let scale = at.scale()?;
    let (query_rows, key_rows) = (at.query_rows(), at.key_rows());
    let (query_starts, key_starts) = (at.query_starts, at.key_starts);
    let q = at.lent(Part::Q, query_rows, query_starts)?;
    let k = at.lent(Part::K, key_rows.transposed(), key_starts)?;
    let v = at.lent(Part::V, key_rows.transposed(), key_starts)?;
    let (rows, starts) = (at.result_rows(), at.result_starts);
    let out = at.lent(Part::Out, rows, starts)?;
    let grad = at.lent(Part::Grad, rows, starts)?;
    let (rows, starts) = (at.sums(), at.sum_starts);
    let sums = at.lent(Part::Sums, rows, starts)?;
    let grad_q = at.lent(Part::GradQ, query_rows, query_starts)?;
    let grad_k = at.lent(Part::GradK, key_rows, key_starts)?;
    let grad_v = at.lent(Part::GradV, key_rows, key_starts)?;

    // What a query's gradient has in common with all of its scores.
    let wide = at.result_rows().with_type(Type::F32);
    let per_query = at.per_query();
    let both = at.graph.passing(wide)?;
    at.graph.each_into(Mode::Mul, grad, Some(out), None, both)?;
    let delta = at.graph.passing(per_query)?;
    at.graph.reduce(Reduction::Sum, both, delta)?;
    let one = at.graph.constant(1.0)?;
    let (rows, starts) = (at.sums(), at.sum_starts);
    let deltas = at.lent(Part::Deltas, rows, starts)?;
    at.graph.each_into(Mode::Mul, delta, Some(one), None, deltas)?;

    let scores = at.scaled_scores(q, k, scale)?;
    let below = at.graph.each(Mode::Sub, scores, Some(sums), None)?;
    let below = at.hidden(below)?;
    let shares = at.graph.each(Mode::Exp, below, None, None)?;
    at.of_keys(shares, grad, grad_v, Part::ManyV)?;

    let of_shares = at.graph.passing(at.scores())?;
    at.graph.product(grad, v, of_shares, [Some(at.queries), Some(at.keys), None])?;
    let off = at.graph.each(Mode::Sub, of_shares, Some(deltas), None)?;
    let of_scores = at.graph.each(Mode::Mul, off, Some(shares), None)?;
    let of_scores = at.graph.each(Mode::Mul, of_scores, Some(scale), None)?;
    at.of_keys(of_scores, q, grad_k, Part::ManyK)?;

    let upright = at.graph.passing_rows(key_rows.with_type(Type::F32), key_starts)?;
    at.graph.reshape(k, upright)?;
    let wide_q = at.lent(Part::WideQ, query_rows.with_type(Type::F32), query_starts)?;
    at.graph.product(of_scores, upright, wide_q, [Some(at.queries), None, Some(at.keys)])?;
    at.graph.each_into(Mode::Identity, wide_q, None, None, grad_q)?;
    Ok(at.graph)
}

impl Builder {
    /// Sums over queries for each key: `of` turned, times `rows`. Query heads that share a key head are summed in `to`.
    fn of_keys(&mut self, of: Tensor, rows: Tensor, to: Tensor, many: Part) -> Result<()> {
        let turned = self.graph.layout(of).transposed().with_type(self.half);
        let turned = self.graph.passing(turned)?;
        self.graph.reshape(of, turned)?;
        let counts = [Some(self.keys), None, Some(self.queries)];
        if self.ragged.call.group() == 1 {
            return self.graph.product(turned, rows, to, counts);
        }
        let all = self.lent(many, self.many_rows(), self.key_starts)?;
        self.graph.product(turned, rows, all, counts)?;
        self.graph.reduce(Reduction::Sum, all, to)
    }
}

//! Attention of one key head and the query heads that share it, in blocks of queries, so that the matrix of scores
//! never exists as a whole. The backward computes the scores again (arXiv 2205.14135).

use candle_core::Result;

use super::attention_few::{FEW, Few};
use super::math::exp;
use super::matrix::{Matrix, product};
use super::rotary::{Angles, rotate};
use super::simd;
use super::softmax::{largest, softmax_row};
use crate::ops::AttentionMask;

/// Queries per block.
const BLOCK: usize = 64;

/// Queries per block of the forward where all of them see every key: every block packs the keys once more, a fifth of the
/// time over many keys. The numbers are the same to the last bit.
const WIDE_BLOCK: usize = 128;

/// Queries per block of the forward over more keys than a [`TILE`].
const TALL_BLOCK: usize = 256;

/// Keys that the forward looks at together; over more of them the softmax goes on from tile to tile (arXiv 1805.02867), so
/// that a block's scores stay in a core's own cache.
const TILE: usize = 512;

/// Values `(b, n, s, hd)` in any order whose heads lie in one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads<'a> {
    pub(super) values: &'a [f32],
    pub(super) batch: usize,
    pub(super) head: usize,
    pub(super) row: usize,
}

impl<'a> Heads<'a> {
    /// The values of one head from its first row on.
    pub(super) fn of(&self, b: usize, head: usize) -> &'a [f32] {
        &self.values[b * self.batch + head * self.head..]
    }
}

/// What stays the same for all heads.
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) s: usize,
    pub(super) t: usize,
    pub(super) hd: usize,
    /// Query heads that share a key head.
    pub(super) group: usize,
    pub(super) scale: f32,
    pub(super) mask: &'a AttentionMask,
    pub(super) angles: Option<Angles<'a>>,
}

/// Gradients of one key head and of the query heads that share it.
pub(super) struct HeadGrads {
    /// `(group, s, hd)`
    pub(super) q: Vec<f32>,
    /// `(t, hd)`
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
}

/// The columns that a batch row's queries may see.
struct Columns<'a> {
    ids: Option<&'a [i32]>,
    /// For packed rows, the first column of the same segment.
    first: Vec<usize>,
}

impl<'a> Columns<'a> {
    fn new(mask: &'a AttentionMask, b: usize) -> Self {
        Self { ids: mask.row(b), first: mask.firsts(b) }
    }
}

/// Scores of one more tile, `(n, width)`, become exponentials over the largest score so far, and what was summed before
/// follows where that grew: `tops` and `sums` of each row, and the outputs `(n, hd)` where there are some.
#[inline(always)]
fn next_tile(
    scores: &mut [f32],
    width: usize,
    tops: &mut [f32],
    sums: &mut [f32],
    mut outs: Option<&mut [f32]>,
    hd: usize,
) {
    for (row, scores) in scores.chunks_exact_mut(width).enumerate() {
        let top = largest(scores).max(tops[row]);
        if top == f32::NEG_INFINITY {
            // Nothing was seen yet; a score that is not a number stays one.
            scores.iter_mut().for_each(|score| *score = if score.is_nan() { *score } else { 0.0 });
            sums[row] += simd::sum(scores, |x| x);
            continue;
        }
        let sum = simd::replace_and_sum(scores, |score| exp(score - top));
        let shrink = exp(tops[row] - top);
        sums[row] = sums[row].mul_add(shrink, sum);
        if top > tops[row]
            && let Some(outs) = &mut outs
        {
            outs[row * hd..(row + 1) * hd].iter_mut().for_each(|out| *out *= shrink);
        }
        tops[row] = top;
    }
}

/// Outputs `(n, hd)` over the sums of their exponentials; `tops` become the logarithms of the whole sums. A row that saw
/// nothing is zero, its logarithm infinite.
#[inline(always)]
fn divide(outs: &mut [f32], tops: &mut [f32], sums: &[f32], hd: usize) {
    for (outs, (top, &sum)) in outs.chunks_exact_mut(hd).zip(tops.iter_mut().zip(sums)) {
        let (scale, log) = if sum == 0.0 { (0.0, f32::INFINITY) } else { (1.0 / sum, *top + sum.ln()) };
        outs.iter_mut().for_each(|out| *out *= scale);
        *top = log;
    }
}

impl Problem<'_> {
    /// The keys among which query `i` finds what it sees.
    fn range(&self, columns: &Columns<'_>, i: usize) -> (usize, usize) {
        let (lo, hi) = self.mask.range(i, self.s, self.t);
        let start = columns.first.get((self.t + i).saturating_sub(self.s)).copied().unwrap_or(0);
        (lo.max(start).min(hi), hi)
    }

    /// The keys that the queries `from..to` need.
    fn span(&self, columns: &Columns<'_>, from: usize, to: usize) -> (usize, usize) {
        let ranges = (from..to).map(|i| self.range(columns, i)).filter(|(lo, hi)| lo < hi);
        let (lo, hi) = ranges.fold((usize::MAX, 0), |(lo, hi), range| (lo.min(range.0), hi.max(range.1)));
        if lo == usize::MAX { (0, 0) } else { (lo, hi) }
    }

    /// Copies rows of a head without gaps, rotated if there are angles.
    fn gather(&self, b: usize, head: &[f32], stride: usize, from: usize, to: usize, out: &mut [f32]) {
        let hd = self.hd;
        simd::run(
            #[inline(always)]
            || {
                for (at, out) in (from..to).zip(out.chunks_exact_mut(hd)) {
                    let row = &head[at * stride..at * stride + hd];
                    match self.angles {
                        Some(angles) => rotate(row, out, angles.at(b, at), false),
                        None => out.copy_from_slice(row),
                    }
                }
            },
        );
    }

    /// Multiplies scores with the scale and hides what a query must not see. `scores` are queries `from..` against
    /// keys `lo..hi`.
    fn hide(&self, columns: &Columns<'_>, scores: &mut [f32], from: usize, (lo, hi): (usize, usize)) {
        let width = hi - lo;
        simd::run(
            #[inline(always)]
            || {
                for (at, row) in scores.chunks_exact_mut(width).enumerate() {
                    let i = from + at;
                    let (first, last) = self.range(columns, i);
                    let (first, last) = (first.clamp(lo, hi) - lo, last.clamp(lo, hi) - lo);
                    row[..first].fill(f32::NEG_INFINITY);
                    row[last..].fill(f32::NEG_INFINITY);
                    let seen = &mut row[first..last];
                    for score in seen.iter_mut() {
                        *score *= self.scale;
                    }
                    let Some(ids) = columns.ids else { continue };
                    let keys = &ids[lo + first..lo + last];
                    let own = ids.get((self.t + i).saturating_sub(self.s)).copied().unwrap_or(0);
                    for (score, &id) in seen.iter_mut().zip(keys) {
                        *score = if self.mask.hides(id, own) { f32::NEG_INFINITY } else { *score };
                    }
                }
            },
        );
    }

    /// Attention of the key head `kv` of batch row `b`. `emit` gets the number of the query head in its group, the
    /// first query, their outputs `(n, hd)` and the logarithms of their sums; it sees every query of every head exactly
    /// once, also those that see no key. The caller leaves its results' memory to that.
    pub(super) fn forward(
        &self,
        [q, k, v]: [Heads<'_>; 3],
        b: usize,
        kv: usize,
        mut emit: impl FnMut(usize, usize, &[f32], &[f32]),
    ) -> Result<()> {
        let (s, t, hd) = (self.s, self.t, self.hd);
        if self.angles.is_none() && self.mask.sees_all() && s.min(t) > 0 && s.max(t) <= FEW {
            let mut few = Few::new(s, t, hd, self.scale);
            for head in 0..self.group {
                let (out, logs) = few.head([q, k, v], b, kv * self.group + head, kv);
                emit(head, 0, out, logs);
            }
            return Ok(());
        }
        let columns = Columns::new(self.mask, b);
        let (k_head, v_head) = (k.of(b, kv), v.of(b, kv));
        let mut turned = Vec::new();
        let (keys, key_stride) = if self.angles.is_some() {
            turned.resize(t * hd, 0.0);
            self.gather(b, k_head, k.row, 0, t, &mut turned);
            (turned.as_slice(), hd)
        } else {
            (k_head, k.row)
        };
        // Where nothing is hidden the queries are scaled, which are fewer than scores.
        let sees_all = self.mask.sees_all();
        let block = match sees_all {
            true if t > TILE => TALL_BLOCK,
            true => WIDE_BLOCK,
            false => BLOCK,
        };
        let rows = block.min(s);
        let (mut queries, mut out) = (vec![0.0; rows * hd], vec![0.0; rows * hd]);
        let (mut scores, mut logs) = (vec![0.0; rows * t.min(TILE)], vec![0.0; rows]);
        let mut sums = vec![0.0; rows];
        for from in (0..s).step_by(block) {
            let to = (from + block).min(s);
            let n = to - from;
            let (lo, hi) = self.span(&columns, from, to);
            let width = hi - lo;
            for head in 0..self.group {
                let (out, logs) = (&mut out[..n * hd], &mut logs[..n]);
                if width == 0 {
                    out.fill(0.0);
                    logs.fill(f32::INFINITY);
                    emit(head, from, out, logs);
                    continue;
                }
                let queries = &mut queries[..n * hd];
                self.gather(b, q.of(b, kv * self.group + head), q.row, from, to, queries);
                if sees_all {
                    queries.iter_mut().for_each(|x| *x *= self.scale);
                }
                let queries = Matrix::new(queries, n, hd, hd);
                if width <= TILE {
                    let scores = &mut scores[..n * width];
                    let seen = Matrix::new(&keys[lo * key_stride..], width, hd, key_stride);
                    product(scores, queries, seen.t(), false, false)?;
                    if !sees_all {
                        self.hide(&columns, scores, from, (lo, hi));
                    }
                    simd::run(
                        #[inline(always)]
                        || {
                            for (row, log) in scores.chunks_exact_mut(width).zip(logs.iter_mut()) {
                                *log = softmax_row(row);
                            }
                        },
                    );
                    let values = Matrix::new(&v_head[lo * v.row..], width, hd, v.row);
                    product(out, Matrix::new(scores, n, width, width), values, false, false)?;
                } else {
                    // `logs` are the largest scores so far, until the sums are known.
                    let sums = &mut sums[..n];
                    sums.fill(0.0);
                    logs.fill(f32::NEG_INFINITY);
                    for at in (lo..hi).step_by(TILE) {
                        let end = (at + TILE).min(hi);
                        let scores = &mut scores[..n * (end - at)];
                        let seen = Matrix::new(&keys[at * key_stride..], end - at, hd, key_stride);
                        product(scores, queries, seen.t(), false, false)?;
                        if !sees_all {
                            self.hide(&columns, scores, from, (at, end));
                        }
                        let keep = at > lo;
                        simd::run(
                            #[inline(always)]
                            || next_tile(scores, end - at, logs, sums, keep.then_some(&mut *out), hd),
                        );
                        let values = Matrix::new(&v_head[at * v.row..], end - at, hd, v.row);
                        product(out, Matrix::new(scores, n, end - at, end - at), values, keep, false)?;
                    }
                    simd::run(
                        #[inline(always)]
                        || divide(out, logs, sums, hd),
                    );
                }
                emit(head, from, out, logs);
            }
        }
        Ok(())
    }

    /// Gradients of the key head `kv` of batch row `b` and of its query heads, from the outputs `y`, their gradients
    /// `g` and the `logs` `(group, s)` that the forward gave.
    pub(super) fn backward(
        &self,
        [q, k, v]: [Heads<'_>; 3],
        [y, g]: [Heads<'_>; 2],
        logs: &[f32],
        b: usize,
        kv: usize,
    ) -> Result<HeadGrads> {
        let (s, t, hd) = (self.s, self.t, self.hd);
        let columns = Columns::new(self.mask, b);
        let mut keys = vec![0.0; t * hd];
        self.gather(b, k.of(b, kv), k.row, 0, t, &mut keys);
        let v_head = v.of(b, kv);
        let mut grads =
            HeadGrads { q: vec![0.0; self.group * s * hd], k: vec![0.0; t * hd], v: vec![0.0; t * hd] };
        let rows = BLOCK.min(s);
        let (mut queries, mut deltas) = (vec![0.0; rows * hd], vec![0.0; rows]);
        let (mut scores, mut slopes) = (vec![0.0; rows * t], vec![0.0; rows * t]);
        for head in 0..self.group {
            let at = kv * self.group + head;
            let (y_head, g_head) = (y.of(b, at), g.of(b, at));
            for from in (0..s).step_by(BLOCK) {
                let to = (from + BLOCK).min(s);
                let n = to - from;
                let (lo, hi) = self.span(&columns, from, to);
                let width = hi - lo;
                if width == 0 {
                    continue;
                }
                let queries = &mut queries[..n * hd];
                self.gather(b, q.of(b, at), q.row, from, to, queries);
                let (scores, slopes) = (&mut scores[..n * width], &mut slopes[..n * width]);
                let queries = Matrix::new(queries, n, hd, hd);
                let seen = Matrix::new(&keys[lo * hd..hi * hd], width, hd, hd);
                product(scores, queries, seen.t(), false, false)?;
                self.hide(&columns, scores, from, (lo, hi));
                let g_rows = Matrix::new(&g_head[from * g.row..], n, hd, g.row);
                let values = Matrix::new(&v_head[lo * v.row..], width, hd, v.row);
                product(slopes, g_rows, values.t(), false, false)?;
                let logs = &logs[head * s + from..head * s + to];
                simd::run(
                    #[inline(always)]
                    || {
                        for (row, delta) in (from..to).zip(deltas.iter_mut()) {
                            let (y, g) = (&y_head[row * y.row..][..hd], &g_head[row * g.row..][..hd]);
                            *delta = simd::sum_2(y, g, |y, g| y * g);
                        }
                        self.slopes(scores, slopes, logs, &deltas[..n], width);
                    },
                );
                // `scores` are probabilities now, `slopes` the gradients of the scores before scaling.
                let dv = &mut grads.v[lo * hd..hi * hd];
                product(dv, Matrix::new(scores, n, width, width).t(), g_rows, true, false)?;
                let slopes = Matrix::new(slopes, n, width, width);
                product(&mut grads.k[lo * hd..hi * hd], slopes.t(), queries, true, false)?;
                let dq = &mut grads.q[(head * s + from) * hd..(head * s + to) * hd];
                product(dq, slopes, seen, false, false)?;
            }
        }
        self.turn_back(b, &mut grads);
        Ok(grads)
    }

    #[inline(always)]
    fn slopes(&self, scores: &mut [f32], slopes: &mut [f32], logs: &[f32], deltas: &[f32], width: usize) {
        let rows = scores.chunks_exact_mut(width).zip(slopes.chunks_exact_mut(width));
        for ((scores, slopes), (log, delta)) in rows.zip(logs.iter().zip(deltas)) {
            for (score, slope) in scores.iter_mut().zip(slopes) {
                let share = exp(*score - log);
                *score = share;
                *slope = share * (*slope - delta) * self.scale;
            }
        }
    }

    /// Gradients of rotated queries and keys become those of the plain ones.
    fn turn_back(&self, b: usize, grads: &mut HeadGrads) {
        let Some(angles) = self.angles else { return };
        let hd = self.hd;
        simd::run(
            #[inline(always)]
            || {
                let mut turned = vec![0.0; hd];
                for (rows, n) in [(&mut grads.q, self.s), (&mut grads.k, self.t)] {
                    for (at, row) in rows.chunks_exact_mut(hd).enumerate() {
                        rotate(row, &mut turned, angles.at(b, at % n), true);
                        row.copy_from_slice(&turned);
                    }
                }
            },
        );
    }
}

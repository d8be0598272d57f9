//! Attention over few keys, as in small windows: everything of a head lies in a core's nearest cache, where plain loops
//! over registers spend less than a product's preparation.

use super::attention_kernel::Heads;
use super::simd::{self, LANES};
use super::softmax::softmax_row;

/// Most keys, and most queries.
pub(super) const FEW: usize = 2 * LANES;

/// Queries that go through the keys together.
const TOGETHER: usize = 4;

/// Memory for a head after the other.
pub(super) struct Few {
    s: usize,
    t: usize,
    hd: usize,
    scale: f32,
    /// Keys by entries, `(hd, FEW)`, zeros behind the last key.
    keys: Vec<f32>,
    /// `(s, FEW)`
    scores: Vec<f32>,
    /// `(s, hd)`
    out: Vec<f32>,
    logs: Vec<f32>,
}

impl Few {
    pub(super) fn new(s: usize, t: usize, hd: usize, scale: f32) -> Self {
        let (keys, scores) = (vec![0.0; hd * FEW], vec![0.0; s * FEW]);
        Self { s, t, hd, scale, keys, scores, out: vec![0.0; s * hd], logs: vec![0.0; s] }
    }

    /// Outputs `(s, hd)` and logarithms of the sums of one head, in which every query sees every key.
    pub(super) fn head(
        &mut self,
        [q, k, v]: [Heads<'_>; 3],
        b: usize,
        at: usize,
        kv: usize,
    ) -> (&[f32], &[f32]) {
        let (q_head, k_head, v_head) = (q.of(b, at), k.of(b, kv), v.of(b, kv));
        simd::run(
            #[inline(always)]
            || {
                for key in 0..self.t {
                    for (entry, x) in k_head[key * k.row..][..self.hd].iter().enumerate() {
                        self.keys[entry * FEW + key] = *x;
                    }
                }
                if self.t <= LANES {
                    self.score::<LANES>(q_head, q.row);
                } else {
                    self.score::<FEW>(q_head, q.row);
                }
                for (scores, log) in self.scores.chunks_exact_mut(FEW).zip(&mut self.logs) {
                    *log = softmax_row(&mut scores[..self.t]);
                }
                self.read(v_head, v.row);
            },
        );
        (&self.out, &self.logs)
    }

    /// Scaled scores against the first `W` keys.
    #[inline(always)]
    fn score<const W: usize>(&mut self, q: &[f32], stride: usize) {
        for first in (0..self.s).step_by(TOGETHER) {
            // The last ones are gone through more than once.
            let row = |at: usize| &q[(first + at).min(self.s - 1) * stride..][..self.hd];
            let queries: [&[f32]; TOGETHER] = std::array::from_fn(row);
            let mut sums = [[0f32; W]; TOGETHER];
            for (entry, keys) in self.keys.chunks_exact(FEW).enumerate() {
                for (sums, query) in sums.iter_mut().zip(queries) {
                    let x = query[entry] * self.scale;
                    for (sum, key) in sums.iter_mut().zip(keys) {
                        *sum = x.mul_add(*key, *sum);
                    }
                }
            }
            for (scores, sums) in self.scores[first * FEW..].chunks_exact_mut(FEW).zip(sums) {
                scores[..W].copy_from_slice(&sums);
            }
        }
    }

    /// What each query reads of the values.
    #[inline(always)]
    fn read(&mut self, v: &[f32], stride: usize) {
        for (out, shares) in self.out.chunks_exact_mut(self.hd).zip(self.scores.chunks_exact(FEW)) {
            out.fill(0.0);
            for (key, share) in shares[..self.t].iter().enumerate() {
                for (out, value) in out.iter_mut().zip(&v[key * stride..][..self.hd]) {
                    *out = share.mul_add(*value, *out);
                }
            }
        }
    }
}

//! Attention of sequences, by its definition.

use candle_core::Result;
use strefer_nn::kernels::{Attention, Causality, List, Ragged, RaggedPass, Values};

use crate::{read, read_whole, write};

/// One head's rows of one sequence: where each begins.
struct Rows {
    first: usize,
    step: usize,
    count: usize,
    hd: usize,
}

impl Rows {
    fn at<'a>(&self, values: &'a [f32], row: usize) -> &'a [f32] {
        &values[self.first + row * self.step..][..self.hd]
    }

    fn add(&self, values: &mut [f32], row: usize, times: f32, added: &[f32]) {
        let to = &mut values[self.first + row * self.step..][..self.hd];
        to.iter_mut().zip(added).for_each(|(to, added)| *to += times * added);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A query head of a sequence.
struct Head {
    q: Rows,
    k: Rows,
    out: Rows,
    /// Where its first query's log-sum-exp lies, and how far the next one's.
    sums: (usize, usize),
    scale: f32,
    causality: Causality,
}

impl Head {
    fn all(call: &Ragged, lists: Values) -> Result<Vec<Self>> {
        let lists = read_whole(lists)?;
        let of = |list: List, at: usize| lists[call.start(list) + at] as usize;
        let Attention { heads, hd, q, k, out, .. } = call.call;
        let group = heads.query / heads.key;
        let pairs = (0..call.sequences).flat_map(|at| (0..heads.query).map(move |head| (at, head)));
        let head = |(at, head): (usize, usize)| {
            let rows = |list, step, head, count| Rows { first: of(list, at) + head * hd, step, count, hd };
            let (queries, keys) = (of(List::Queries, at), of(List::Keys, at));
            Self {
                q: rows(List::QueryStarts, q.position, head, queries),
                k: rows(List::KeyStarts, k.position, head / group, keys),
                out: rows(List::ResultStarts, out.position, head, queries),
                sums: (of(List::SumStarts, at) + head, heads.query),
                scale: heads.scale as f32,
                causality: call.causality,
            }
        };
        Ok(pairs.map(head).collect())
    }

    /// Scores of a query.
    fn scores(&self, q: &[f32], k: &[f32], query: usize) -> Vec<f32> {
        let seen = match self.causality {
            Causality::None => self.k.count,
            Causality::FromFirst => query + 1,
            Causality::FromLast => query + 1 + self.k.count - self.q.count,
        };
        (0..seen).map(|key| self.scale * dot(self.q.at(q, query), self.k.at(k, key))).collect()
    }

    fn forward(&self, [q, k, v]: [&[f32]; 3], out: &mut [f32], sums: &mut [f32]) {
        for query in 0..self.q.count {
            let scores = self.scores(q, k, query);
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum = top + scores.iter().map(|score| (score - top).exp()).sum::<f32>().ln();
            sums[self.sums.0 + query * self.sums.1] = sum;
            // What was there is no number.
            let first = self.out.first + query * self.out.step;
            out[first..first + self.out.hd].fill(0.0);
            for (key, score) in scores.iter().enumerate() {
                self.out.add(out, query, (score - sum).exp(), self.k.at(v, key));
            }
        }
    }

    fn backward(
        &self,
        [q, k, v]: [&[f32]; 3],
        [out, sums, grad]: [&[f32]; 3],
        [dq, dk, dv]: [&mut Vec<f32>; 3],
    ) {
        for query in 0..self.q.count {
            let of_out = self.out.at(grad, query);
            let delta = dot(of_out, self.out.at(out, query));
            let sum = sums[self.sums.0 + query * self.sums.1];
            for (key, score) in self.scores(q, k, query).iter().enumerate() {
                let share = (score - sum).exp();
                self.k.add(dv, key, share, of_out);
                let of_score = self.scale * share * (dot(of_out, self.k.at(v, key)) - delta);
                self.q.add(dq, query, of_score, self.k.at(k, key));
                self.k.add(dk, key, of_score, self.q.at(q, query));
            }
        }
    }
}

/// Runs a pass over all heads of all sequences; what lies between them stays as it is.
pub(crate) fn run(call: &Ragged, lists: Values, pass: RaggedPass) -> Result<()> {
    let heads = Head::all(call, lists)?;
    match pass {
        RaggedPass::Forward { inputs, out, sums } => {
            let [q, k, v] = [read(inputs[0])?, read(inputs[1])?, read(inputs[2])?];
            let (mut to, mut to_sums) = (read(out)?, read(sums)?);
            heads.iter().for_each(|head| head.forward([&q, &k, &v], &mut to, &mut to_sums));
            write(out, &to)?;
            write(sums, &to_sums)
        }
        RaggedPass::Backward { inputs, out, sums, grad, grads } => {
            let [q, k, v] = [read(inputs[0])?, read(inputs[1])?, read(inputs[2])?];
            let [out, sums, grad] = [read(out)?, read(sums)?, read(grad)?];
            let zeros = |of: Values| vec![0.0; of.count];
            let [mut dq, mut dk, mut dv] = grads.map(zeros);
            for head in &heads {
                head.backward([&q, &k, &v], [&out, &sums, &grad], [&mut dq, &mut dk, &mut dv]);
            }
            // Rows of no sequence keep what the caller put there.
            let kept = grads.map(read);
            for ((to, found), kept) in grads.into_iter().zip([dq, dk, dv]).zip(kept) {
                let (rows, kept) = (touched(&heads, to == grads[0], to.count), kept?);
                let all: Vec<f32> =
                    (0..to.count).map(|at| if rows[at] { found[at] } else { kept[at] }).collect();
                write(to, &all)?;
            }
            Ok(())
        }
    }
}

/// Which values lie in a sequence.
fn touched(heads: &[Head], of_queries: bool, count: usize) -> Vec<bool> {
    let mut touched = vec![false; count];
    for rows in heads.iter().map(|head| if of_queries { &head.q } else { &head.k }) {
        for row in 0..rows.count {
            touched[rows.first + row * rows.step..][..rows.hd].fill(true);
        }
    }
    touched
}

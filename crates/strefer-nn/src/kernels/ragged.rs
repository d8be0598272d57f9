//! Attention of sequences that lie one behind another in rows, by a library that knows where each begins and ends.

use candle_core::{DType, Result, bail};

use super::{Attention, AttentionGrads, Places, Runner, Values, check};
use crate::ops::{AttentionMask, Sequence};

/// What a query sees of its sequence's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Causality {
    /// All of them.
    None,
    /// Those up to its own number: there are as many queries as keys.
    FromFirst,
    /// Those up to its own number, counted from the last: queries are the sequence's last columns.
    FromLast,
}

/// Sizes of a call, where its heads lie, and what is known of its sequences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ragged {
    /// All rows of the batch, heads of a position side by side.
    pub call: Attention,
    /// How many sequences there are.
    pub sequences: usize,
    /// No sequence has more queries, rounded up so that few different numbers occur.
    pub most_queries: usize,
    /// No sequence has more keys, rounded likewise.
    pub most_keys: usize,
    /// Whether every query is in a sequence, and every key.
    pub covers: [bool; 2],
    /// What a query sees of its sequence.
    pub causality: Causality,
}

/// One of the lists that [`Ragged::new`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Queries of each sequence.
    Queries,
    /// Keys of each sequence.
    Keys,
    /// Where each sequence's queries begin, in values, and where the last one's end.
    QueryStarts,
    /// Where its keys begin, and likewise its values.
    KeyStarts,
    /// Where its results begin.
    ResultStarts,
    /// Where the log-sum-exp of its scores begin.
    SumStarts,
}

impl List {
    const ALL: [Self; 6] =
        [Self::Queries, Self::Keys, Self::QueryStarts, Self::KeyStarts, Self::ResultStarts, Self::SumStarts];

    /// Entries for so many sequences.
    pub fn entries(self, sequences: usize) -> usize {
        match self {
            Self::Queries | Self::Keys => sequences,
            _ => sequences + 1,
        }
    }
}

/// Lists begin on so many bytes' worth of entries.
const LIST_STEP: usize = 4;

/// Fewest positions that lengths are rounded up to.
const FEWEST: usize = 128;

fn rounded(length: usize) -> usize {
    length.next_power_of_two().max(FEWEST)
}

impl Ragged {
    /// How a library is asked for `call` under `mask`, and the lists it reads; nothing where the mask is none of sequences, or heads
    /// do not lie side by side, or rows of the batch share values, or these are too many to be counted in 31 bits.
    pub fn new(call: Attention, mask: &AttentionMask) -> Option<(Self, Vec<u32>)> {
        let Attention { batch, queries, keys, heads, hd, .. } = call;
        let beside = |places: Places, positions: usize| {
            places.head == hd && (batch == 1 || places.batch >= positions * places.position)
        };
        if !beside(call.q, queries) || !beside(call.k, keys) || !beside(call.out, queries) {
            return None;
        }
        let sequences = mask.sequences(batch, queries, keys)?;
        let most = |length: fn(&Sequence) -> usize| sequences.iter().map(length).max();
        let (most_queries, most_keys) =
            (rounded(most(|one| one.queries.len())?), rounded(most(|one| one.keys.len())?));
        let all = |length: fn(&Sequence) -> usize| sequences.iter().map(length).sum::<usize>();
        let covers =
            [all(|one| one.queries.len()) == batch * queries, all(|one| one.keys.len()) == batch * keys];
        let causality = match mask.is_causal() {
            false => Causality::None,
            true if queries == keys => Causality::FromFirst,
            true => Causality::FromLast,
        };
        let ragged = Self { call, sequences: sequences.len(), most_queries, most_keys, covers, causality };
        let list = |list: List| -> Vec<usize> {
            let starts = |of: &dyn Fn(&Sequence, bool) -> usize| {
                let ends = sequences.last().map(|last| of(last, true));
                sequences.iter().map(|one| of(one, false)).chain(ends).collect()
            };
            let query = |one: &Sequence, end: bool| if end { one.queries.end } else { one.queries.start };
            let key = |one: &Sequence, end: bool| if end { one.keys.end } else { one.keys.start };
            match list {
                List::Queries => sequences.iter().map(|one| one.queries.len()).collect(),
                List::Keys => sequences.iter().map(|one| one.keys.len()).collect(),
                List::QueryStarts => {
                    starts(&|one, end| one.row * call.q.batch + query(one, end) * call.q.position)
                }
                List::KeyStarts => {
                    starts(&|one, end| one.row * call.k.batch + key(one, end) * call.k.position)
                }
                List::ResultStarts => {
                    starts(&|one, end| one.row * call.out.batch + query(one, end) * call.out.position)
                }
                List::SumStarts => starts(&|one, end| (one.row * queries + query(one, end)) * heads.query),
            }
        };
        let mut lists = Vec::with_capacity(ragged.entries());
        for which in List::ALL {
            lists.resize(ragged.start(which), 0);
            // The library counts in signed numbers, and where keys of every query head lie by those of key heads.
            let times = if which == List::KeyStarts { call.group() } else { 1 };
            for entry in list(which) {
                i32::try_from(entry * times).ok()?;
                lists.push(entry as u32);
            }
        }
        Some((ragged, lists))
    }

    /// Where a list begins among [`Ragged::entries`].
    pub fn start(&self, list: List) -> usize {
        let before = List::ALL.into_iter().take_while(|&other| other != list);
        before.map(|other| other.entries(self.sequences).next_multiple_of(LIST_STEP)).sum()
    }

    /// Entries of all lists.
    pub fn entries(&self) -> usize {
        self.start(List::SumStarts) + List::SumStarts.entries(self.sequences)
    }

    /// Numbers that [`ragged`] keeps for [`ragged_back`]: one for each query of each head, those of a position side by side.
    pub fn sums(&self) -> usize {
        self.call.batch * self.call.queries * self.call.heads.query
    }

    fn check(&self, values: [Values; 4], lists: Values) -> Result<()> {
        self.call.check(values)?;
        check("lists of sequences", lists, DType::U32, self.entries())?;
        if !lists.address.is_multiple_of(16) {
            bail!("lists of sequences lie on {:#x}", lists.address);
        }
        Ok(())
    }
}

/// What a library is asked for.
#[derive(Debug, Clone, Copy)]
pub enum RaggedPass {
    /// What every query reads of the values, and the log-sum-exp of its scores.
    Forward {
        /// Queries, keys and values.
        inputs: [Values; 3],
        /// Results.
        out: Values,
        /// [`Ragged::sums`] numbers, f32.
        sums: Values,
    },
    /// The gradients of queries, keys and values.
    Backward {
        /// Queries, keys and values.
        inputs: [Values; 3],
        /// Results of the forward.
        out: Values,
        /// Its sums.
        sums: Values,
        /// The gradient of its results.
        grad: Values,
        /// Where the gradients go, each laid out as its input.
        grads: [Values; 3],
    },
}

/// [`super::attention`] by the runner's library, under a mask that keeps sequences apart. `lists` are those of [`Ragged::new`]. Queries of
/// no sequence read zeros.
///
/// # Shapes
/// - `q`: `(b, s, nh*hd)`, `k`, `v`: `(b, t, nkv*hd)`, in rows that `call.call` tells
/// - returns: as `q`, and `b * s * nh` numbers
///
/// # Errors
/// Heads that reach behind their memory or do not lie on 16 bytes, lists of other sequences, and those of the library.
pub fn ragged<R: Runner>(
    runner: &R,
    inputs: [Values; 3],
    lists: Values,
    call: Ragged,
) -> Result<(R::Buffer, R::Buffer)> {
    let [q, k, v] = inputs;
    let Attention { batch, queries, heads, hd, .. } = call.call;
    let mut result = runner.reserve(q.dtype, batch * queries * heads.query * hd)?;
    let mut kept = runner.reserve(DType::F32, call.sums())?;
    let (out, sums) = (runner.values(&mut result), runner.values(&mut kept));
    call.check([q, k, v, out], lists)?;
    if !call.covers[0] {
        runner.clear(out)?;
    }
    runner.ragged(&call, lists, RaggedPass::Forward { inputs, out, sums })?;
    Ok((result, kept))
}

/// The gradients of [`ragged`]'s inputs, each where its input lies, from its results and the first one's gradient.
///
/// # Errors
/// As [`ragged`], and results that are another call's.
pub fn ragged_back<R: Runner>(
    runner: &R,
    inputs: [Values; 3],
    [out, sums, grad]: [Values; 3],
    lists: Values,
    call: Ragged,
) -> Result<AttentionGrads<R::Buffer>> {
    let [q, k, v] = inputs;
    call.check([q, k, v, out], lists)?;
    let Attention { batch, queries, keys, heads, hd, .. } = call.call;
    call.call.out.check("gradient", grad, [batch, heads.query, queries, hd])?;
    check("attention's gradient", grad, q.dtype, out.count)?;
    let dense = |places: Places, positions| batch == 1 || places.batch == positions * places.position;
    if !dense(call.call.q, queries) || !dense(call.call.k, keys) {
        bail!("gradients of sequences lie in rows without gaps, not as {:?}", call.call);
    }
    check("attention's sums", sums, DType::F32, call.sums())?;
    let reserve = |of: Values, covered: bool| -> Result<(R::Buffer, Values)> {
        let mut buffer = runner.reserve(of.dtype, of.count)?;
        let values = runner.values(&mut buffer);
        if !covered {
            runner.clear(values)?;
        }
        Ok((buffer, values))
    };
    let [queries, keys] = call.covers;
    let ((of_q, dq), (of_k, dk), (of_v, dv)) = (reserve(q, queries)?, reserve(k, keys)?, reserve(v, keys)?);
    let grads = [dq, dk, dv];
    runner.ragged(&call, lists, RaggedPass::Backward { inputs, out, sums, grad, grads })?;
    Ok(AttentionGrads { q: of_q, k: of_k, v: of_v })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Heads;

    fn call(batch: usize, queries: usize, keys: usize) -> Attention {
        let (heads, hd) = (Heads { query: 4, key: 2, scale: 0.5 }, 8);
        let q = Places::side_by_side(heads.query, queries, hd);
        let k = Places::side_by_side(heads.key, keys, hd);
        Attention { batch, queries, keys, heads, hd, q, k, out: q }
    }

    fn entries(ragged: &Ragged, lists: &[u32], list: List) -> Vec<u32> {
        lists[ragged.start(list)..][..list.entries(ragged.sequences)].to_vec()
    }

    #[test]
    fn lists_say_where_each_segment_lies() {
        let ids = [3, 3, 3, 5, -1, 7, 7, 7, 7, 7];
        let mask = AttentionMask::causal().with_segments(2, &ids).unwrap();
        let (ragged, lists) = Ragged::new(call(2, 5, 5), &mask).unwrap();
        assert_eq!((ragged.sequences, ragged.most_queries, ragged.most_keys), (3, 128, 128));
        assert_eq!((ragged.covers, ragged.causality), ([false; 2], Causality::FromFirst));
        assert_eq!(lists.len(), ragged.entries());
        let of = |list| entries(&ragged, &lists, list);
        assert_eq!((of(List::Queries), of(List::Keys)), (vec![3, 1, 5], vec![3, 1, 5]));
        assert_eq!(of(List::QueryStarts), [0, 3 * 32, 5 * 32, 10 * 32]);
        assert_eq!(of(List::KeyStarts), [0, 3 * 16, 5 * 16, 10 * 16]);
        assert_eq!(of(List::ResultStarts), of(List::QueryStarts));
        assert_eq!(of(List::SumStarts), [0, 12, 20, 40]);
        assert!(List::ALL.iter().all(|&list| ragged.start(list).is_multiple_of(4)));
    }

    #[test]
    fn queries_behind_a_cache_count_from_the_last() {
        let mut call = call(2, 3, 200);
        call.k.batch = 256 * 16;
        let (ragged, lists) = Ragged::new(call, &AttentionMask::causal()).unwrap();
        assert_eq!((ragged.causality, ragged.covers), (Causality::FromLast, [true; 2]));
        assert_eq!((ragged.most_queries, ragged.most_keys), (128, 256));
        assert_eq!(entries(&ragged, &lists, List::KeyStarts), [0, 256 * 16, 456 * 16]);
    }

    #[test]
    fn heads_in_planes_and_too_many_values_are_for_other_kernels() {
        let mask = AttentionMask::causal();
        let mut planes = call(1, 5, 5);
        planes.q = Places::heads_first(4, 5, 8);
        assert!(Ragged::new(planes, &mask).is_none());
        let mut shared = call(2, 5, 5);
        shared.k.batch = 0;
        assert!(Ragged::new(shared, &mask).is_none());
        assert!(Ragged::new(call(1 << 12, 1 << 14, 1 << 14), &mask).is_none());
        assert!(Ragged::new(call(1, 5, 5), &mask.with_window(Some(2))).is_none());
    }
}

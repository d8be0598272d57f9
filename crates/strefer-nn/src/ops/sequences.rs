//! Masks that only keep sequences apart: each lies in one run of a row.

use std::ops::Range;

use super::AttentionMask;

/// Queries of one row of a batch, and the keys among which they find what they see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The row of the batch.
    pub row: usize,
    /// Its queries, from the row's first one.
    pub queries: Range<usize>,
    /// Its keys, from the row's first one.
    pub keys: Range<usize>,
}

impl AttentionMask {
    /// The sequences that a mask of `b` rows, `s` queries and `t` keys keeps apart. Nothing where queries of one sequence may see
    /// anything but all of its keys, or, if the mask is causal, those up to their own. Queries and keys of no sequence see nothing and
    /// are seen by none.
    pub fn sequences(&self, b: usize, s: usize, t: usize) -> Option<Vec<Sequence>> {
        if self.window().is_some() || s == 0 || t == 0 {
            return None;
        }
        (0..b).try_fold(Vec::new(), |mut found, row| {
            found.extend(self.sequences_of(row, s, t)?);
            Some(found)
        })
    }

    fn sequences_of(&self, row: usize, s: usize, t: usize) -> Option<Vec<Sequence>> {
        let whole = |row| vec![Sequence { row, queries: 0..s, keys: 0..t }];
        let Some(ids) = self.row(row) else { return Some(whole(row)) };
        if ids.iter().all(|&id| id == ids[0] && id >= 0) && !self.has_branches() {
            return Some(whole(row));
        }
        if s != t || !self.has_segments() {
            return None;
        }
        let mut found = Vec::<Sequence>::new();
        let mut seen = std::collections::HashSet::new();
        let mut first = 0;
        for run in ids.chunk_by(|a, b| a == b) {
            let columns = first..first + run.len();
            first = columns.end;
            if run[0] < 0 {
                continue;
            }
            // A segment in several runs is none of ours.
            if !seen.insert(run[0]) {
                return None;
            }
            found.push(Sequence { row, queries: columns.clone(), keys: columns });
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails unless sequences say of each query and key what the mask says.
    #[track_caller]
    fn assert_same(mask: &AttentionMask, b: usize, s: usize, t: usize) -> usize {
        let sequences = mask.sequences(b, s, t).expect("sequences");
        for (row, i, j) in (0..b).flat_map(|row| (0..s).flat_map(move |i| (0..t).map(move |j| (row, i, j)))) {
            let together = sequences
                .iter()
                .any(|one| one.row == row && one.queries.contains(&i) && one.keys.contains(&j));
            let seen = together && (!mask.is_causal() || j + s <= i + t);
            assert_eq!(seen, mask.visible(row, i, j, s, t), "row {row}, query {i}, key {j}");
        }
        sequences.len()
    }

    #[test]
    fn a_row_without_ids_is_one_sequence() {
        for mask in [AttentionMask::bidirectional(), AttentionMask::causal()] {
            assert_eq!(assert_same(&mask, 2, 3, 3), 2);
            assert_eq!(assert_same(&mask, 1, 2, 5), 1);
        }
        assert_eq!(assert_same(&AttentionMask::bidirectional(), 1, 5, 2), 1);
    }

    #[test]
    fn segments_are_sequences_and_padding_is_none() {
        let ids = [3, 3, 5, -1, -1, 7, 7, 7, 7, 8];
        for mask in [AttentionMask::bidirectional(), AttentionMask::causal()] {
            assert_eq!(assert_same(&mask.clone().with_segments(2, &ids).unwrap(), 2, 5, 5), 4);
            // One row of ids for all rows of the batch.
            assert_eq!(assert_same(&mask.clone().with_segments(1, &ids[..5]).unwrap(), 3, 5, 5), 6);
            assert_eq!(assert_same(&mask.with_segments(1, &[4; 6]).unwrap(), 2, 2, 6), 2);
        }
        let nothing = AttentionMask::causal().with_segments(1, &[-1; 4]).unwrap();
        assert_eq!(assert_same(&nothing, 1, 4, 4), 0);
    }

    #[test]
    fn other_masks_have_no_sequences() {
        let causal = AttentionMask::causal;
        let torn = causal().with_segments(1, &[1, 2, 1]).unwrap();
        let holed = causal().with_segments(1, &[1, -1, 1]).unwrap();
        let padded = causal().with_padding(1, &[false, true, true]).unwrap();
        let branches = causal().with_branches(1, &[0, 1, 2]).unwrap();
        for mask in [torn, holed, padded, branches, causal().with_window(Some(2))] {
            assert_eq!(mask.sequences(1, 3, 3), None, "{mask:?}");
        }
        let behind_a_cache = causal().with_segments(1, &[1, 1, 2]).unwrap();
        assert_eq!(behind_a_cache.sequences(1, 2, 3), None);
    }
}

//! Which tiles of keys the tiles of queries have something to do with, so that kernels pass the others by and compare no
//! columns where everybody sees everything.

use std::collections::BTreeSet;
use std::ops::Range;

use super::AttentionMask;

/// Sizes of an attention and of its tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Positions of queries.
    pub queries: usize,
    /// Positions of keys.
    pub keys: usize,
    /// Query heads of a key head, which are rows of their own: row `r` is query `r / group`.
    pub group: usize,
    /// Rows of a tile.
    pub rows: usize,
    /// Keys of a tile.
    pub columns: usize,
}

impl Tiling {
    fn down(&self) -> usize {
        (self.queries * self.group).div_ceil(self.rows)
    }

    fn across(&self) -> usize {
        self.keys.div_ceil(self.columns)
    }

    fn columns_of(&self, tile: usize) -> Range<usize> {
        tile * self.columns..((tile + 1) * self.columns).min(self.keys)
    }
}

/// What is known of a tile of rows and a tile of keys.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// A query may see a key.
    some: bool,
    /// Every query sees every key, and all keys are there.
    whole: bool,
}

impl AttentionMask {
    /// For each row of the batch that has columns of its own, and each tile of rows, four numbers: the first tile of keys
    /// that a query of it may see and the first one behind the last, then the same of tiles that all of them see whole.
    pub fn tiles_by_rows(&self, tiling: Tiling) -> Vec<u32> {
        let of_row = |seen: &[Seen]| -> Vec<u32> {
            seen.chunks(tiling.across().max(1)).flat_map(|tiles| spans(tiles.iter().copied())).collect()
        };
        // Without keys there is nothing to pass by.
        if tiling.across() == 0 {
            return vec![0; self.batch_rows() * tiling.down() * 4];
        }
        (0..self.batch_rows()).flat_map(|row| of_row(&self.seen(row, tiling))).collect()
    }

    /// As [`AttentionMask::tiles_by_rows`], for each tile of keys its tiles of rows.
    pub fn tiles_by_keys(&self, tiling: Tiling) -> Vec<u32> {
        let across = tiling.across();
        let of_row = |seen: &[Seen]| -> Vec<u32> {
            (0..across).flat_map(|tile| spans(seen.iter().skip(tile).step_by(across).copied())).collect()
        };
        (0..self.batch_rows()).flat_map(|row| of_row(&self.seen(row, tiling))).collect()
    }

    /// Tiles of rows, each with its tiles of keys.
    fn seen(&self, row: usize, tiling: Tiling) -> Vec<Seen> {
        let Tiling { queries: s, keys: t, group, rows, .. } = tiling;
        let ids = self.row(row);
        let of_tile = |tile: usize| -> Vec<i32> {
            let Some(ids) = ids else { return Vec::new() };
            let different: BTreeSet<i32> = ids[tiling.columns_of(tile)].iter().copied().collect();
            different.into_iter().collect()
        };
        let of_tiles: Vec<Vec<i32>> = (0..tiling.across()).map(of_tile).collect();
        let mut seen = vec![Seen { some: false, whole: true }; tiling.down() * tiling.across()];
        for query in 0..s {
            let (lo, hi) = self.range(query, s, t);
            let own = self.own_id(row, query, s, t);
            let tiles_down = query * group / rows..=((query + 1) * group - 1) / rows;
            for (tile, ids) in of_tiles.iter().enumerate() {
                let columns = tiling.columns_of(tile);
                let some = lo < columns.end && columns.start < hi;
                let some = some && (ids.is_empty() || ids.iter().any(|id| !self.hides(*id, own)));
                let whole = lo <= columns.start && columns.end <= hi && columns.len() == tiling.columns;
                let whole = whole && !ids.iter().any(|id| self.hides(*id, own));
                for down in tiles_down.clone() {
                    let seen = &mut seen[down * tiling.across() + tile];
                    seen.some |= some;
                    seen.whole &= whole;
                }
            }
        }
        seen
    }
}

/// The span of tiles that are seen, and the longest span of those that are seen whole.
fn spans(tiles: impl Iterator<Item = Seen>) -> [u32; 4] {
    let (mut first, mut end) = (None, 0);
    let (mut longest, mut run) = (0..0, 0..0);
    for (at, seen) in tiles.enumerate() {
        let at = at as u32;
        if seen.some {
            first = first.or(Some(at));
            end = at + 1;
        }
        run = if !seen.whole {
            0..0
        } else if run.is_empty() {
            at..at + 1
        } else {
            run.start..at + 1
        };
        if run.len() > longest.len() {
            longest = run.clone();
        }
    }
    [first.unwrap_or(0), end, longest.start, longest.end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILING: Tiling = Tiling { queries: 6, keys: 6, group: 2, rows: 4, columns: 2 };

    #[test]
    fn a_causal_mask_passes_by_what_lies_behind() {
        let mask = AttentionMask::causal();
        assert_eq!(mask.tiles_by_rows(TILING), [[0, 1, 0, 0], [0, 2, 0, 1], [0, 3, 0, 2]].as_flattened());
        assert_eq!(mask.tiles_by_keys(TILING), [[0, 3, 1, 3], [1, 3, 2, 3], [2, 3, 0, 0]].as_flattened());
    }

    #[test]
    fn segments_are_gone_through_alone_and_padding_by_nobody() {
        let mask = AttentionMask::bidirectional().with_segments(1, &[1, 1, 2, 2, -1, -1]).unwrap();
        let alone = [[0, 1, 0, 1], [1, 2, 1, 2], [0, 0, 0, 0]];
        assert_eq!(mask.tiles_by_rows(TILING), alone.as_flattened());
        assert_eq!(mask.tiles_by_keys(TILING), alone.as_flattened());
    }

    #[test]
    fn a_tile_that_is_not_full_is_not_seen_whole() {
        let mask = AttentionMask::bidirectional();
        let tiling = Tiling { keys: 5, ..TILING };
        assert_eq!(mask.tiles_by_rows(tiling), [[0, 3, 0, 2]; 3].as_flattened());
        let none = Tiling { keys: 0, ..TILING };
        assert_eq!(mask.tiles_by_rows(none), [0; 12]);
    }

    #[test]
    fn a_query_that_sees_nothing_keeps_its_tile_from_being_whole() {
        // Two queries are padding themselves.
        let mask = AttentionMask::causal().with_segments(1, &[-1, -1, 3, 3, 3, 3]).unwrap();
        assert_eq!(mask.tiles_by_rows(TILING), [[0, 0, 0, 0], [1, 2, 0, 0], [1, 3, 1, 2]].as_flattened());
    }
}

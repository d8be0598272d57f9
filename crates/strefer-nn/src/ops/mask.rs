//! Which keys a query may see.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use candle_core::{Device, Result, Tensor, bail};

#[cfg(feature = "cuda")]
use crate::kernels::{Attention, Places};

/// The id of a column that nobody may see.
const HIDDEN: i32 = -1;

/// The id of columns that every branch sees.
const SHARED: i32 = 0;

/// Where branches of several beginnings lie in one row: the lower bits of an id are the branch, those above the beginning.
const BRANCH_BITS: u32 = 16;

/// What ids of columns mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sight {
    /// Every column that is not hidden is seen.
    #[default]
    All,
    /// Columns with the query's own id are seen.
    Own,
    /// Columns with the query's own id and the shared ones of its beginning are seen.
    OwnAndShared,
}

impl Sight {
    /// What a query sees nothing outside of: the segment, or the beginning with all its branches.
    fn segment(self, id: i32) -> i32 {
        if self == Self::OwnAndShared { id >> BRANCH_BITS } else { id }
    }
}

/// Visibility of `t` key columns for `s` queries, which are the last `s` columns when the mask is causal or packed.
///
/// Causal, window and packing compare columns, so they are the same for left- and right-padded batches.
#[derive(Debug, Clone, Default)]
pub struct AttentionMask {
    causal: bool,
    window: Option<usize>,
    sight: Sight,
    columns: Option<Columns>,
    /// Tensors made of the mask, since all layers ask for the same ones; the newest last.
    cache: Arc<Mutex<Vec<(Made, Tensor)>>>,
}

/// A tensor made of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// Flags of `s` queries and `t` keys.
    Flags(usize, usize),
    /// Ids of columns.
    #[cfg(feature = "cuda")]
    Ids,
    /// Tiles, by rows of queries or by keys.
    #[cfg(feature = "cuda")]
    Tiles(super::Tiling, bool),
    /// Lists of sequences: rows, queries, keys and query heads, and where queries and keys lie.
    #[cfg(feature = "cuda")]
    Lists([usize; 4], [Places; 2]),
}

/// Most tensors that are kept.
const KEPT: usize = 16;

/// Per batch row and key column: the segment it belongs to, or [`HIDDEN`].
#[derive(Debug, Clone)]
struct Columns {
    b: usize,
    t: usize,
    ids: Arc<Vec<i32>>,
}

impl AttentionMask {
    /// Every query sees every key. All such masks share what was made of them: layers ask for one of their own.
    pub fn bidirectional() -> Self {
        static ALL: LazyLock<AttentionMask> = LazyLock::new(AttentionMask::default);
        ALL.clone()
    }

    /// A query sees its own column and those before it.
    pub fn causal() -> Self {
        Self { causal: true, ..Self::default() }
    }

    /// Hides columns: `valid` holds `(b, t)` flags, row by row.
    pub fn with_padding(mut self, b: usize, valid: &[bool]) -> Result<Self> {
        let ids = valid.iter().map(|&valid| if valid { 0 } else { HIDDEN }).collect();
        self.columns = Some(Columns::new(b, ids)?);
        self.sight = Sight::All;
        self.cache = Arc::default();
        Ok(self)
    }

    /// Several sequences in one row: a query sees only columns with its own id. `segments` holds `(b, t)` ids, row by
    /// row; a negative id is padding.
    pub fn with_segments(self, b: usize, segments: &[i32]) -> Result<Self> {
        self.with_ids(b, segments, Sight::Own)
    }

    /// Several continuations of one beginning in one row: columns of the beginning have the id 0 and are seen by all that
    /// come behind them; a query of another id sees those and the columns with its own id. `branches` holds `(b, t)` ids,
    /// row by row; a negative id is padding.
    pub fn with_branches(self, b: usize, branches: &[i32]) -> Result<Self> {
        self.with_packed_branches(b, &vec![0; branches.len()], branches)
    }

    /// As [`AttentionMask::with_branches`], with several beginnings and their branches in one row: columns of different
    /// `segments` do not see each other. A negative branch is padding.
    ///
    /// # Errors
    /// A negative segment, or more than 32,768 segments or 65,536 branches of one.
    pub fn with_packed_branches(self, b: usize, segments: &[i32], branches: &[i32]) -> Result<Self> {
        if segments.len() != branches.len() {
            bail!("{} segments for {} branches", segments.len(), branches.len());
        }
        let most = 1 << BRANCH_BITS;
        let id = |(&segment, &branch): (&i32, &i32)| match branch {
            ..0 => Ok(HIDDEN),
            _ if branch < most && (0..most / 2).contains(&segment) => Ok(segment << BRANCH_BITS | branch),
            _ => bail!("a row cannot hold branch {branch} of segment {segment}"),
        };
        let ids = segments.iter().zip(branches).map(id).collect::<Result<Vec<i32>>>()?;
        self.with_ids(b, &ids, Sight::OwnAndShared)
    }

    fn with_ids(mut self, b: usize, ids: &[i32], sight: Sight) -> Result<Self> {
        let ids = ids.iter().map(|&id| id.max(HIDDEN)).collect();
        self.columns = Some(Columns::new(b, ids)?);
        self.sight = sight;
        self.cache = Arc::default();
        Ok(self)
    }

    /// A query sees its own column and the `window - 1` before it.
    #[must_use]
    pub fn with_window(mut self, window: Option<usize>) -> Self {
        self.window = window;
        self.cache = Arc::default();
        self
    }

    /// The mask one decoding step later: `new` more columns at the end, visible, in the segment of the last one.
    #[must_use]
    pub fn extended(&self, new: usize) -> Self {
        let columns = self.columns.as_ref().map(|old| {
            let mut ids = Vec::with_capacity(old.b * (old.t + new));
            for row in old.ids.chunks_exact(old.t.max(1)) {
                ids.extend_from_slice(row);
                let id = if self.sight == Sight::All { 0 } else { row.last().copied().unwrap_or(0) };
                ids.extend(std::iter::repeat_n(id, new));
            }
            Columns { b: old.b, t: old.t + new, ids: Arc::new(ids) }
        });
        Self { columns, cache: Arc::default(), ..self.clone() }
    }

    /// Whether queries see earlier columns only.
    pub fn is_causal(&self) -> bool {
        self.causal
    }

    /// The sliding window, if there is one.
    pub fn window(&self) -> Option<usize> {
        self.window
    }

    /// Fails unless the mask fits `b` rows, `s` queries and `t` keys.
    pub(crate) fn check(&self, b: usize, s: usize, t: usize) -> Result<()> {
        if let Some(columns) = &self.columns
            && ((columns.b != b && columns.b != 1) || columns.t != t)
        {
            bail!("attention mask is for {} rows of {} keys, got {b} rows of {t}", columns.b, columns.t);
        }
        if self.sight == Sight::OwnAndShared && self.window.is_some() {
            bail!("a sliding window counts columns, so branches behind one beginning cannot have one");
        }
        if s > t && (self.causal || self.sight != Sight::All || self.window.is_some()) {
            bail!("attention with {s} queries needs at least as many keys, got {t}");
        }
        Ok(())
    }

    /// The keys `lo..hi` among which query `i` of `s` finds what it sees; [`AttentionMask::row`] may hide some.
    #[inline]
    pub(crate) fn range(&self, i: usize, s: usize, t: usize) -> (usize, usize) {
        let column = (t + i).saturating_sub(s);
        let hi = if self.causal { (column + 1).min(t) } else { t };
        let lo = self.window.map_or(0, |window| (column + 1).saturating_sub(window));
        (lo.min(hi), hi)
    }

    /// Column ids of batch row `b`.
    #[inline]
    pub(crate) fn row(&self, b: usize) -> Option<&[i32]> {
        let columns = self.columns.as_ref()?;
        let at = if columns.b == 1 { 0 } else { b };
        Some(&columns.ids[at * columns.t..(at + 1) * columns.t])
    }

    /// For batch row `b` and every column, the first column of its segment; nothing where there are no segments.
    pub(crate) fn firsts(&self, b: usize) -> Vec<usize> {
        let Some(ids) = self.row(b).filter(|_| self.sight != Sight::All) else { return Vec::new() };
        let mut seen = HashMap::new();
        let first = |(at, &id): (usize, &i32)| *seen.entry(self.sight.segment(id)).or_insert(at);
        ids.iter().enumerate().map(first).collect()
    }

    /// Whether a column is hidden from a query whose own column has the id `own`, wherever the two are.
    #[inline(always)]
    pub(crate) fn hides(&self, id: i32, own: i32) -> bool {
        match self.sight {
            Sight::All => id == HIDDEN,
            Sight::Own => id == HIDDEN || id != own,
            Sight::OwnAndShared => {
                let shared =
                    id & ((1 << BRANCH_BITS) - 1) == SHARED && id >> BRANCH_BITS == own >> BRANCH_BITS;
                id == HIDDEN || own == HIDDEN || (id != own && !shared)
            }
        }
    }

    /// Whether every query sees every key.
    pub(crate) fn sees_all(&self) -> bool {
        !self.causal && self.window.is_none() && self.columns.is_none()
    }

    /// Rows of the batch that have columns of their own.
    pub(crate) fn batch_rows(&self) -> usize {
        self.columns.as_ref().map_or(1, |columns| columns.b)
    }

    /// Ids of all columns, `(rows, t)`, and how many rows that is: one for the whole batch, or one for each of its rows.
    pub fn ids(&self) -> Option<(usize, &[i32])> {
        self.columns.as_ref().map(|columns| (columns.b, &columns.ids[..]))
    }

    /// What ids mean, as kernels count it.
    pub(crate) fn sight_number(&self) -> i32 {
        self.sight as i32
    }

    /// The id of query `i`'s own column in batch row `b`, as [`AttentionMask::hides`] takes it.
    pub(crate) fn own_id(&self, b: usize, i: usize, s: usize, t: usize) -> i32 {
        let own = self.row(b).and_then(|row| row.get((t + i).saturating_sub(s)));
        own.copied().unwrap_or(SHARED)
    }

    /// Whether columns see each other where their ids are the same, and no others.
    pub(super) fn has_segments(&self) -> bool {
        self.sight == Sight::Own
    }

    pub(super) fn has_branches(&self) -> bool {
        self.sight == Sight::OwnAndShared
    }

    /// Whether query `i` of batch row `b` sees key `j`.
    pub(super) fn visible(&self, b: usize, i: usize, j: usize, s: usize, t: usize) -> bool {
        let (lo, hi) = self.range(i, s, t);
        let shown = self.row(b).is_none_or(|row| !self.hides(row[j], self.own_id(b, i, s, t)));
        (lo..hi).contains(&j) && shown
    }

    /// Flags `(b|1, 1, s, t)`, 1 where a query sees a key.
    pub(crate) fn to_tensor(&self, s: usize, t: usize, device: &Device) -> Result<Tensor> {
        self.kept(Made::Flags(s, t), device, || {
            let b = self.batch_rows();
            let mut flags = Vec::with_capacity(b * s * t);
            for row in 0..b {
                for i in 0..s {
                    flags.extend((0..t).map(|j| u8::from(self.visible(row, i, j, s, t))));
                }
            }
            Tensor::from_vec(flags, (b, 1, s, t), device)
        })
    }

    /// [`AttentionMask::ids`], u32.
    #[cfg(feature = "cuda")]
    pub(crate) fn ids_on(&self, device: &Device) -> Result<Option<Tensor>> {
        let Some((_rows, ids)) = self.ids() else { return Ok(None) };
        let ids = || Tensor::from_iter(ids.iter().map(|id| id.cast_unsigned()), device);
        self.kept(Made::Ids, device, ids).map(Some)
    }

    /// [`AttentionMask::tiles_by_rows`], or [`AttentionMask::tiles_by_keys`].
    #[cfg(feature = "cuda")]
    pub(crate) fn tiles_on(&self, tiling: super::Tiling, by_rows: bool, device: &Device) -> Result<Tensor> {
        self.kept(Made::Tiles(tiling, by_rows), device, || {
            let tiles = if by_rows { self.tiles_by_rows(tiling) } else { self.tiles_by_keys(tiling) };
            let count = tiles.len();
            Tensor::from_vec(tiles, count, device)
        })
    }

    /// The lists that a library reads of this mask's sequences in `call`.
    #[cfg(feature = "cuda")]
    pub(crate) fn lists_on(&self, call: &Attention, lists: Vec<u32>, device: &Device) -> Result<Tensor> {
        let sizes = [call.batch, call.queries, call.keys, call.heads.query];
        self.kept(Made::Lists(sizes, [call.q, call.k]), device, || {
            let count = lists.len();
            Tensor::from_vec(lists, count, device)
        })
    }

    fn kept(&self, made: Made, device: &Device, make: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let found = |(of, tensor): &&(Made, Tensor)| *of == made && tensor.device().same_device(device);
        if let Some((_, tensor)) = cache.iter().find(found) {
            return Ok(tensor.clone());
        }
        let tensor = make()?;
        if cache.len() == KEPT {
            cache.remove(0);
        }
        cache.push((made, tensor.clone()));
        Ok(tensor)
    }
}

impl Columns {
    fn new(b: usize, ids: Vec<i32>) -> Result<Self> {
        if b == 0 || !ids.len().is_multiple_of(b) {
            bail!("an attention mask of {} columns cannot have {b} rows", ids.len());
        }
        Ok(Self { b, t: ids.len() / b, ids: Arc::new(ids) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(mask: &AttentionMask, s: usize, t: usize) -> Vec<Vec<u8>> {
        let flags = mask.to_tensor(s, t, &Device::Cpu).unwrap();
        flags.flatten(0, 2).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn a_causal_mask_lets_cached_columns_be_seen() {
        assert_eq!(rows(&AttentionMask::causal(), 2, 4), [[1, 1, 1, 0], [1, 1, 1, 1]]);
    }

    #[test]
    fn a_window_counts_the_query_itself() {
        let mask = AttentionMask::causal().with_window(Some(2));
        assert_eq!(rows(&mask, 3, 3), [[1, 0, 0], [1, 1, 0], [0, 1, 1]]);
    }

    #[test]
    fn packed_sequences_do_not_see_each_other_and_padding_is_seen_by_nobody() {
        let mask = AttentionMask::causal().with_segments(1, &[3, 3, 5, -1]).unwrap();
        assert_eq!(rows(&mask, 4, 4), [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]);
    }

    #[test]
    fn branches_see_the_beginning_and_themselves() {
        let mask = AttentionMask::causal().with_branches(1, &[0, 0, 1, 2, 2, -1]).unwrap();
        assert_eq!(
            rows(&mask, 6, 6),
            [
                [1, 0, 0, 0, 0, 0],
                [1, 1, 0, 0, 0, 0],
                [1, 1, 1, 0, 0, 0],
                [1, 1, 0, 1, 0, 0],
                [1, 1, 0, 1, 1, 0],
                [0, 0, 0, 0, 0, 0],
            ]
        );
    }

    #[test]
    fn branches_of_several_beginnings_lie_in_one_row() {
        let mask = AttentionMask::causal();
        let mask = mask.with_packed_branches(1, &[0, 0, 0, 1, 1, 1, 1], &[0, 1, 2, 0, 1, 2, -1]).unwrap();
        assert_eq!(
            rows(&mask, 7, 7),
            [
                [1, 0, 0, 0, 0, 0, 0],
                [1, 1, 0, 0, 0, 0, 0],
                [1, 0, 1, 0, 0, 0, 0],
                [0, 0, 0, 1, 0, 0, 0],
                [0, 0, 0, 1, 1, 0, 0],
                [0, 0, 0, 1, 0, 1, 0],
                [0, 0, 0, 0, 0, 0, 0],
            ]
        );
        assert_eq!(mask.firsts(0)[..6], [0, 0, 0, 3, 3, 3]);
        let many = AttentionMask::causal().with_packed_branches(1, &[1 << 15], &[0]).unwrap_err().to_string();
        assert!(many.contains("segment 32768"), "{many}");
    }

    #[test]
    fn an_extended_mask_shows_the_new_column() {
        let mask = AttentionMask::causal().with_padding(2, &[false, true, true, true]).unwrap().extended(1);
        assert_eq!(rows(&mask, 1, 3), [[0, 1, 1], [1, 1, 1]]);
    }

    #[test]
    fn branches_and_a_window_are_refused_together() {
        let mask = AttentionMask::causal().with_branches(1, &[0, 1, 2]).unwrap();
        assert!(mask.check(1, 3, 3).is_ok());
        let said = mask.with_window(Some(2)).check(1, 3, 3).unwrap_err().to_string();
        assert!(said.contains("sliding window"), "{said}");
    }

    #[test]
    fn a_mask_of_another_size_is_refused() {
        let mask = AttentionMask::causal().with_padding(2, &[true; 6]).unwrap();
        assert!(mask.check(2, 3, 3).is_ok());
        assert!(mask.check(2, 4, 4).is_err() && mask.check(3, 3, 3).is_err());
    }
}

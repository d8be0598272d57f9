//! Attention of new positions to what the rows of a batch have seen before.

use candle_core::{Result, Tensor, bail};

use super::{AttentionMask, Heads, Rotary, multi_head_attention, rotary_side_by_side};

/// Steps of [`CachedRows::reach`].
const REACH: usize = 256;

/// Where the rows of a batch keep their keys and values, in all layers, while they take one step. Rows that have seen equally
/// much may share buffers.
///
/// [`CachedRows::attend`] writes to the buffers; how much they hold afterwards is for their owner to remember.
#[derive(Debug)]
pub struct CachedRows {
    /// Layer by layer, the groups of each in order.
    buffers: Vec<[Tensor; 2]>,
    /// What each group holds.
    held: Vec<usize>,
    rows: usize,
    #[cfg(feature = "cuda")]
    tables: Vec<super::cuda::Table>,
}

impl CachedRows {
    /// Groups of rows that hold so many positions. `buffers` has keys and values of every group in the first layer, then of
    /// every group in the second, and so on.
    ///
    /// # Shapes
    /// - each buffer: `(rows of the group, capacity, nkv*hd)`
    ///
    /// # Errors
    /// Buffers that are not as many rows, or as wide, in all layers.
    pub fn new(held: Vec<usize>, buffers: Vec<[Tensor; 2]>) -> Result<Self> {
        let groups = held.len();
        if groups == 0 || buffers.is_empty() || !buffers.len().is_multiple_of(groups) {
            bail!("{} pairs of buffers cannot be layers of {groups} groups", buffers.len());
        }
        for (at, [keys, values]) in buffers.iter().enumerate() {
            let (first, held) = (&buffers[at % groups][0], held[at % groups]);
            let ((rows, capacity, width), (of_first, _, width_of_first)) = (keys.dims3()?, first.dims3()?);
            // Layers may have room for different numbers of positions: one may have failed to grow.
            let fits = (rows, width) == (of_first, width_of_first) && values.dims() == keys.dims();
            if !fits || !keys.is_contiguous() || !values.is_contiguous() {
                bail!(
                    "a cache of {:?} and {:?}, another layer's is {:?}",
                    keys.shape(),
                    values.shape(),
                    first.shape()
                );
            }
            if held > capacity {
                bail!("a cache with room for {capacity} positions cannot hold {held}");
            }
        }
        let rows = buffers[..groups].iter().map(|[keys, _]| keys.dims()[0]).sum();
        #[cfg_attr(not(feature = "cuda"), expect(unused_mut, reason = "only cards need tables"))]
        let mut found = Self {
            buffers,
            held,
            rows,
            #[cfg(feature = "cuda")]
            tables: Vec::new(),
        };
        #[cfg(feature = "cuda")]
        found.make_tables()?;
        Ok(found)
    }

    /// One for each card that layers lie on.
    #[cfg(feature = "cuda")]
    fn make_tables(&mut self) -> Result<()> {
        for layer in 0..self.layers() {
            let Some(([keys, _], _)) = self.of_layer(layer).next() else { continue };
            if super::cuda::applies([keys]) && self.table(keys).is_none() {
                let table = super::cuda::Table::new(self, keys)?;
                self.tables.push(table);
            }
        }
        Ok(())
    }

    /// Where kernels on the card of `xs` find the caches, if any are used there.
    #[cfg(feature = "cuda")]
    pub(super) fn table(&self, xs: &Tensor) -> Option<&super::cuda::Table> {
        self.tables.iter().find(|table| table.serves(xs))
    }

    /// What kernels look up, for work that is done again ([`crate::Replay`]): where the caches of all rows lie and how much is in
    /// them. Nothing where layers lie on several cards, or on none.
    pub fn looked_up(&self) -> Option<[&Tensor; 2]> {
        #[cfg(feature = "cuda")]
        if let [table] = &self.tables[..]
            && self.buffers.iter().all(|[keys, _]| table.serves(keys))
        {
            return Some(table.looked_up());
        }
        None
    }

    /// Lets kernels look up copies of [`CachedRows::looked_up`].
    pub fn look_up(&mut self, copies: [&Tensor; 2]) {
        #[cfg(feature = "cuda")]
        if let [table] = &mut self.tables[..] {
            table.look_up(copies);
        }
        #[cfg(not(feature = "cuda"))]
        let _ = copies;
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.buffers.len() / self.held.len()
    }

    /// The most positions that a row holds.
    pub fn longest(&self) -> usize {
        self.held.iter().copied().max().unwrap_or_default()
    }

    /// No row holds more positions than that behind `s` new ones. It grows in steps, and kernels divide their work by it: what they are
    /// asked for stays the same in between.
    pub fn reach(&self, s: usize) -> usize {
        (self.longest() + s).next_multiple_of(REACH)
    }

    /// Keys and values of every group in one layer, and how many positions they hold.
    pub(super) fn of_layer(&self, layer: usize) -> impl Iterator<Item = (&[Tensor; 2], usize)> {
        let groups = self.held.len();
        self.buffers.iter().skip(layer * groups).take(groups).zip(self.held.iter().copied())
    }

    /// Fails unless `s` new positions of `b` rows, with keys and values of these shapes, fit the caches of a layer.
    fn check(&self, layer: usize, [b, s]: [usize; 2], [k, v]: [&Tensor; 2]) -> Result<()> {
        if b != self.rows || layer >= self.layers() {
            bail!("layer {layer} of {b} rows, the caches are {} layers of {}", self.layers(), self.rows);
        }
        for ([keys, _], held) in self.of_layer(layer) {
            let (_rows, capacity, width) = keys.dims3()?;
            if held + s > capacity {
                bail!("{s} new positions behind {held} do not fit a cache for {capacity}");
            }
            if k.dims() != [b, s, width] || v.dims() != [b, s, width] {
                bail!("keys {:?} and values {:?} for caches of {:?}", k.shape(), v.shape(), keys.shape());
            }
        }
        Ok(())
    }

    /// Turns queries and keys by their positions' angles, puts keys and values behind what the rows hold in layer `layer`, and
    /// lets the queries read all of it, as `mask` lets them. No gradient passes through.
    ///
    /// # Shapes
    /// - `q`: `(b, s, nh*hd)`
    /// - `k`, `v`: `(b, s, nkv*hd)`
    /// - returns: `(b, s, nh*hd)`
    ///
    /// # Errors
    /// Other sizes than those of the caches, which need room for `s` more positions; a mask of columns, where groups hold
    /// different numbers of them.
    pub fn attend(
        &self,
        layer: usize,
        [q, k, v]: [&Tensor; 3],
        heads: Heads,
        rotary: &Rotary,
        mask: &AttentionMask,
    ) -> Result<Tensor> {
        let (b, s, _width) = q.dims3()?;
        self.check(layer, [b, s], [k, v])?;
        if self.held.len() > 1 && mask.ids().is_some() {
            bail!("rows that hold different numbers of positions cannot share a mask of columns");
        }
        let [q, k, v] = [q, k, v].map(Tensor::detach);
        #[cfg(feature = "cuda")]
        if let Some(ys) = super::cuda::attend_cached([&q, &k, &v], heads, rotary, mask, self, layer)? {
            return Ok(ys);
        }
        let q = rotary_side_by_side(&q, heads.query, rotary)?;
        let k = rotary_side_by_side(&k, heads.key, rotary)?;
        let mut start = 0;
        let read = self.of_layer(layer).map(|([keys, values], held)| {
            let group = keys.dim(0)?;
            let of = |xs: &Tensor| xs.narrow(0, start, group)?.contiguous();
            keys.slice_set(&of(&k)?, 1, held)?;
            values.slice_set(&of(&v)?, 1, held)?;
            let queries = of(&q)?;
            start += group;
            let seen = |buffer: &Tensor| buffer.narrow(1, 0, held + s);
            multi_head_attention(&queries, &seen(keys)?, &seen(values)?, heads, None, mask)
        });
        let mut read = read.collect::<Result<Vec<_>>>()?;
        if read.len() == 1 { Ok(read.swap_remove(0)) } else { Tensor::cat(&read, 0) }
    }
}

//! Keys and values of the columns a model has seen.

use candle_core::{Result, Tensor, bail};

use super::DecoderConfig;

/// Columns are allocated in blocks of this many.
const BLOCK: usize = 256;

/// Where keys and values of earlier columns are.
#[derive(Debug)]
pub(super) enum Caches<'a, 'c> {
    /// Nowhere: what is run is the whole sequence.
    None,
    /// All rows of the batch are equally long and share one.
    Shared(&'a mut KvCache),
    /// Each row has its own.
    EachRow(&'a mut [&'c mut KvCache]),
}

impl<'c> Caches<'_, 'c> {
    /// Whether there are any. What uses them keeps no history.
    pub(super) fn any(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Columns of the longest row.
    pub(super) fn columns(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Shared(cache) => cache.len(),
            Self::EachRow(caches) => caches.iter().map(|cache| cache.len()).max().unwrap_or_default(),
        }
    }

    /// The same, lent to the next layer.
    pub(super) fn reborrow(&mut self) -> Caches<'_, 'c> {
        match self {
            Self::None => Caches::None,
            Self::Shared(cache) => Caches::Shared(cache),
            Self::EachRow(caches) => Caches::EachRow(caches),
        }
    }
}

/// Keys and values per layer, in buffers that grow in blocks up to the model's longest sequence. Holds no history of
/// operations, so nothing that uses it can be trained.
///
/// There is no `Clone`: copies would share the buffers they write to. To ask several questions about one prompt one after
/// the other, keep the prompt's length and [`KvCache::truncate`] to it between them; to ask them side by side, give each a
/// [`KvCache::fork`].
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Option<Buffers>>,
    limit: usize,
}

#[derive(Debug)]
struct Buffers {
    /// `(b, nkv, capacity, hd)`
    keys: Tensor,
    values: Tensor,
    len: usize,
}

impl KvCache {
    /// An empty cache for a model of this configuration.
    pub fn new(cfg: &DecoderConfig) -> Self {
        Self {
            layers: (0..cfg.num_hidden_layers).map(|_| None).collect(),
            limit: cfg.max_position_embeddings,
        }
    }

    /// How many columns are held.
    pub fn len(&self) -> usize {
        self.layers.first().and_then(Option::as_ref).map_or(0, |buffers| buffers.len)
    }

    /// Whether nothing is held yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the columns from `len` on, so that several answers can follow one prompt.
    pub fn truncate(&mut self, len: usize) {
        for buffers in self.layers.iter_mut().flatten() {
            buffers.len = buffers.len.min(len);
        }
    }

    /// A cache of its own with the same columns, to be continued differently.
    pub fn fork(&self) -> Result<Self> {
        let copy = |buffers: &Buffers| -> Result<Buffers> {
            let (b, nkv, _, hd) = buffers.keys.dims4()?;
            // Room for what comes next, so that the first new column does not copy all of it again.
            let capacity = (buffers.len + 1).next_multiple_of(BLOCK).min(self.limit.max(buffers.len));
            let part = |old: &Tensor| -> Result<Tensor> {
                let new = Tensor::zeros((b, nkv, capacity, hd), old.dtype(), old.device())?;
                if buffers.len > 0 {
                    new.slice_set(&old.narrow(2, 0, buffers.len)?.contiguous()?, 2, 0)?;
                }
                Ok(new)
            };
            Ok(Buffers { keys: part(&buffers.keys)?, values: part(&buffers.values)?, len: buffers.len })
        };
        let layers = self.layers.iter().map(|layer| layer.as_ref().map(copy).transpose());
        Ok(Self { layers: layers.collect::<Result<_>>()?, limit: self.limit })
    }

    /// Adds the columns of one layer and returns all columns of it.
    ///
    /// # Shapes
    /// - `k`, `v`: `(b, nkv, s, hd)`
    /// - returns: twice `(b, nkv, t, hd)`
    pub(super) fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (b, nkv, s, hd) = k.dims4()?;
        let limit = self.limit;
        let Some(slot) = self.layers.get_mut(layer) else { bail!("the cache has no layer {layer}") };
        let held = slot.as_ref().map_or(0, |buffers| buffers.len);
        let needed = held + s;
        if needed > limit {
            bail!("{needed} columns do not fit the model's {limit} positions");
        }
        let capacity = slot.as_ref().map_or(Ok(0), |buffers| buffers.keys.dim(2))?;
        if needed > capacity {
            let capacity = needed.next_multiple_of(BLOCK).min(limit);
            let grow = |old: Option<&Tensor>| -> Result<Tensor> {
                let new = Tensor::zeros((b, nkv, capacity, hd), k.dtype(), k.device())?;
                if let Some(old) = old {
                    new.slice_set(&old.narrow(2, 0, held)?.contiguous()?, 2, 0)?;
                }
                Ok(new)
            };
            let keys = grow(slot.as_ref().map(|buffers| &buffers.keys))?;
            let values = grow(slot.as_ref().map(|buffers| &buffers.values))?;
            *slot = Some(Buffers { keys, values, len: held });
        }
        let Some(buffers) = slot else { bail!("the cache of layer {layer} was not allocated") };
        buffers.keys.slice_set(&k.detach().contiguous()?, 2, held)?;
        buffers.values.slice_set(&v.detach().contiguous()?, 2, held)?;
        buffers.len = needed;
        Ok((buffers.keys.narrow(2, 0, needed)?, buffers.values.narrow(2, 0, needed)?))
    }
}

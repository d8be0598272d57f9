//! Keys and values of the columns a model has seen.

use candle_core::{DType, Device, Result, Tensor, bail};
use strefer_nn::ops::CachedRows;

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
    fn all(&mut self) -> Vec<&mut KvCache> {
        match self {
            Self::None => Vec::new(),
            Self::Shared(cache) => vec![cache],
            Self::EachRow(caches) => caches.iter_mut().map(|cache| &mut **cache).collect(),
        }
    }

    /// Fails unless all are of so many layers, as wide as these.
    pub(super) fn check(&mut self, layers: usize, width: usize) -> Result<()> {
        match self.all().iter().find(|cache| (cache.layers.len(), cache.width) != (layers, width)) {
            Some(other) => {
                let (found, of) = (other.layers.len(), other.width);
                bail!("a cache of {found} layers of {of} for a model of {layers} of {width}")
            }
            None => Ok(()),
        }
    }

    /// Columns of the longest row.
    pub(super) fn columns(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Shared(cache) => cache.len(),
            Self::EachRow(caches) => caches.iter().map(|cache| cache.len()).max().unwrap_or_default(),
        }
    }

    /// Room for `s` more columns of each of `b` rows, if there are caches.
    pub(super) fn rows(
        &mut self,
        [b, s]: [usize; 2],
        dtype: DType,
        device: impl Fn(usize) -> Device,
    ) -> Result<Option<CachedRows>> {
        let of_each = if matches!(self, Self::Shared(_)) { b } else { 1 };
        let mut caches = self.all();
        let Some(layers) = caches.first().map(|cache| cache.layers.len()) else { return Ok(None) };
        for cache in &mut caches {
            cache.make_room([of_each, s], dtype, &device)?;
        }
        let of_layer = |at: usize| caches.iter().filter_map(move |cache| cache.layers.get(at)?.clone());
        let buffers = (0..layers).flat_map(of_layer).collect();
        CachedRows::new(caches.iter().map(|cache| cache.len()).collect(), buffers).map(Some)
    }

    /// What was put behind the columns that were there belongs to them now.
    pub(super) fn advance(&mut self, s: usize) {
        for cache in self.all() {
            cache.len += s;
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
    /// Keys and values, each `(b, capacity, nkv*hd)`, once there are any.
    layers: Vec<Option<[Tensor; 2]>>,
    len: usize,
    limit: usize,
    /// `nkv*hd`
    width: usize,
}

impl KvCache {
    /// An empty cache for a model of this configuration.
    pub fn new(cfg: &DecoderConfig) -> Self {
        Self {
            layers: vec![None; cfg.num_hidden_layers],
            len: 0,
            limit: cfg.max_position_embeddings,
            width: cfg.num_key_value_heads * cfg.head_dim(),
        }
    }

    /// How many columns are held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the columns from `len` on, so that several answers can follow one prompt.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// A cache of its own with the same columns, to be continued differently.
    pub fn fork(&self) -> Result<Self> {
        // Room for what comes next, so that the first new column does not copy all of it again.
        let capacity = self.capacity(self.len + 1);
        let copy = |layer: &Option<[Tensor; 2]>| match layer {
            Some([keys, values]) => Ok(Some([self.grown(keys, capacity)?, self.grown(values, capacity)?])),
            None => Ok(None),
        };
        let layers = self.layers.iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { layers, ..*self })
    }

    /// How many columns to allocate where so many are needed.
    fn capacity(&self, needed: usize) -> usize {
        needed.next_multiple_of(BLOCK).min(self.limit.max(self.len))
    }

    /// A buffer for more columns, with those of `old` that are held.
    fn grown(&self, old: &Tensor, capacity: usize) -> Result<Tensor> {
        let (b, _capacity, width) = old.dims3()?;
        let new = Tensor::zeros((b, capacity, width), old.dtype(), old.device())?;
        if self.len > 0 {
            new.slice_set(&old.narrow(1, 0, self.len)?.contiguous()?, 1, 0)?;
        }
        Ok(new)
    }

    /// Sees to it that every layer has room for `s` more columns of `b` rows.
    fn make_room(
        &mut self,
        [b, s]: [usize; 2],
        dtype: DType,
        device: impl Fn(usize) -> Device,
    ) -> Result<()> {
        let needed = self.len + s;
        if needed > self.limit {
            bail!("{needed} columns do not fit the model's {} positions", self.limit);
        }
        let capacity = self.capacity(needed);
        for at in 0..self.layers.len() {
            let fresh = || Tensor::zeros((b, capacity, self.width), dtype, &device(at));
            let roomy = match &self.layers[at] {
                Some([keys, values]) if keys.dim(0)? == b => {
                    if keys.dtype() != dtype {
                        bail!("a cache of {:?} cannot take columns of {dtype:?}", keys.dtype());
                    }
                    if keys.dim(1)? >= needed {
                        continue;
                    }
                    [self.grown(keys, capacity)?, self.grown(values, capacity)?]
                }
                Some([keys, _]) if self.len > 0 => {
                    bail!("a cache of {} rows cannot take columns of {b}", keys.dim(0)?)
                }
                _ => [fresh()?, fresh()?],
            };
            self.layers[at] = Some(roomy);
        }
        Ok(())
    }
}

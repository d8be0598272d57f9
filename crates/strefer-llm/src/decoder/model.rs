//! Layers in order, and the model around them.

use candle_core::{Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use strefer_nn::ops::{AttentionMask, CachedRows, Rotary};
use strefer_nn::{Dropout, Linear, Pass, Recompute, RmsNorm, moved};

use super::embedding::TokenEmbedding;
use super::head::{Head, Loss};
use super::layer::{Flow, Layer};
use super::placement::Placement;
use super::rotary::Frequencies;
use super::{Caches, DecoderConfig, KvCache, RopeScaling};
use crate::gguf::Gguf;

/// The language model.
#[derive(Debug, Clone)]
pub struct Decoder {
    embed_tokens: TokenEmbedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    lm_head: Head,
    frequencies: Frequencies,
    recompute: Option<Recompute>,
    /// Path of the layers' parameters.
    path: String,
    placement: Placement,
    cfg: DecoderConfig,
}

impl Decoder {
    /// Names below `vb` are the published ones: `model.embed_tokens`, `model.layers.N`, `model.norm`, `lm_head`.
    pub fn new(cfg: &DecoderConfig, vb: VarBuilder) -> Result<Self> {
        let placement = Placement::from(vb.device());
        Self::placed(cfg, vb, &placement)
    }

    /// As [`Decoder::new`], on several devices.
    pub fn placed(cfg: &DecoderConfig, vb: VarBuilder, placement: &Placement) -> Result<Self> {
        cfg.validate().map_err(candle_core::Error::wrap)?;
        let model = vb.pp("model").set_device(placement.first().clone());
        let last = placement.last();
        let embed_tokens = TokenEmbedding::new(cfg, model.pp("embed_tokens"))?;
        let layers = (0..cfg.num_hidden_layers).map(|at| {
            let device = placement.of_layer(at, cfg.num_hidden_layers);
            Layer::new(cfg, at, model.pp("layers").pp(at).set_device(device.clone()))
        });
        Ok(Self {
            layers: layers.collect::<Result<Vec<_>>>()?,
            norm: RmsNorm::new(cfg.hidden_size, cfg.rms_norm_eps, model.pp("norm").set_device(last.clone()))?,
            lm_head: Head::new(cfg, embed_tokens.weight(), vb.pp("lm_head").set_device(last.clone()))?,
            embed_tokens,
            frequencies: Frequencies::new(cfg, placement.first())?,
            recompute: None,
            path: model.pp("layers").prefix(),
            placement: placement.clone(),
            cfg: cfg.clone(),
        })
    }

    /// Layers keep only their inputs from now on and run again in the backward.
    pub fn set_recompute(&mut self, recompute: Option<Recompute>) {
        self.recompute = recompute;
    }

    /// Takes every matrix that `file` has from there, quantised as it lies, in the place of its own: for running with
    /// weights built hollow ([`strefer_nn::ParamStore::hollow`]).
    ///
    /// # Errors
    /// A file of another model; a tensor of another shape, or that cannot be read.
    pub fn quantise(&mut self, file: &Gguf) -> crate::Result<()> {
        file.check(&self.cfg)?;
        const TABLE: &str = "model.embed_tokens.weight";
        const HEAD: &str = "lm_head.weight";
        let head = if self.cfg.tie_word_embeddings { TABLE } else { HEAD };
        if file.has_matrix(TABLE) {
            self.embed_tokens.table_mut().quantise(file.tensor(TABLE, self.placement.first())?)?;
        }
        if file.has_matrix(head) {
            let device = self.head_device().clone();
            self.lm_head.lm_head_mut().quantise(file.tensor(head, &device)?)?;
        }
        self.quantise_layers(file)
    }

    /// As [`Decoder::quantise`], for the projections of the layers alone: embedding and head stay as they are, as learning
    /// wants them.
    ///
    /// # Errors
    /// Those of [`Decoder::quantise`].
    pub fn quantise_layers(&mut self, file: &Gguf) -> crate::Result<()> {
        file.check(&self.cfg)?;
        let layers = self.layers.len();
        let placement = self.placement.clone();
        for (at, name, projection) in self.projections_mut() {
            let name = format!("{name}.weight");
            if file.has_matrix(&name) {
                projection.quantise(file.tensor(&name, placement.of_layer(at, layers))?)?;
            }
        }
        Ok(())
    }

    /// What goes into low-rank updates is dropped by `dropout` from now on, each place for itself.
    pub fn set_dropout(&mut self, dropout: &Dropout) {
        for (_, name, projection) in self.projections_mut() {
            projection.set_dropout(dropout.at(name));
        }
    }

    /// Makes the products of a layer that have the same input one, where they can be: fewer and larger ones, for running on a
    /// card. A layer's weights are there twice on the way.
    ///
    /// # Errors
    /// No memory.
    pub fn join_products(&mut self) -> Result<()> {
        for layer in &mut self.layers {
            layer.self_attn.join()?;
            layer.mlp.join()?;
        }
        Ok(())
    }

    /// All projections of the layers: layer, path, projection.
    fn projections_mut(&mut self) -> impl Iterator<Item = (usize, String, &mut Linear)> {
        self.layers.iter_mut().enumerate().flat_map(|(at, layer)| {
            let attention = layer.self_attn.projections_mut().into_iter().map(|named| ("self_attn", named));
            let mlp = layer.mlp.projections_mut().into_iter().map(|named| ("mlp", named));
            attention.chain(mlp).map(move |(part, (name, projection))| {
                (at, format!("model.layers.{at}.{part}.{name}"), projection)
            })
        })
    }

    /// Where the embeddings lie.
    pub fn device(&self) -> &Device {
        self.placement.first()
    }

    /// Where the output matrix lies.
    fn head_device(&self) -> &Device {
        if self.cfg.tie_word_embeddings { self.placement.first() } else { self.placement.last() }
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &DecoderConfig {
        &self.cfg
    }

    /// The length beyond which a whole sequence is rotated otherwise, if there is such a length.
    pub(crate) fn switches_after(&self) -> Option<usize> {
        self.cfg.rope_scaling.as_ref().and_then(RopeScaling::switches_after)
    }

    /// `ids`: `(b, s)` → `(b, s, d)`
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        self.embed_tokens.forward(ids)
    }

    /// States after the final norm. With a cache, `mask` covers the cached columns too, and no gradient is kept.
    ///
    /// # Shapes
    /// - `embeds`: `(b, s, d)`
    /// - `positions`: `(b|1, s)`
    /// - returns: `(b, s, d)`
    pub fn forward(
        &self,
        embeds: &Tensor,
        positions: &Tensor,
        mask: &AttentionMask,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor> {
        self.run(embeds, positions, mask, cache.map_or(Caches::None, Caches::Shared), |_| ())
    }

    /// As [`Decoder::forward`], for rows that may have seen columns in different numbers, each kept in a cache of its own.
    ///
    /// # Shapes
    /// - `embeds`: `(b, s, d)`, `positions`: `(b, s)`, `caches`: one a row
    /// - returns: `(b, s, d)`
    pub fn forward_rows(
        &self,
        embeds: &Tensor,
        positions: &Tensor,
        mask: &AttentionMask,
        caches: &mut [&mut KvCache],
    ) -> Result<Tensor> {
        let (b, _s, _d) = embeds.dims3()?;
        if caches.len() != b {
            bail!("{} caches for {b} rows", caches.len());
        }
        self.run(embeds, positions, mask, Caches::EachRow(caches), |_| ())
    }

    /// All states: the embeddings, the output of each layer but the last, and the last one after the final norm.
    pub fn hidden_states(
        &self,
        embeds: &Tensor,
        positions: &Tensor,
        mask: &AttentionMask,
    ) -> Result<Vec<Tensor>> {
        let mut states = vec![embeds.clone()];
        let last = self.run(embeds, positions, mask, Caches::None, |state| states.push(state.clone()))?;
        states.pop();
        states.push(last);
        Ok(states)
    }

    fn run(
        &self,
        embeds: &Tensor,
        positions: &Tensor,
        mask: &AttentionMask,
        mut caches: Caches<'_, '_>,
        see: impl FnMut(&Tensor),
    ) -> Result<Tensor> {
        let (rotary, cached) = self.before(embeds, positions, &mut caches)?;
        let state = self.through(embeds, rotary, mask, cached.as_ref(), see)?;
        caches.advance(embeds.dim(1)?);
        Ok(state)
    }

    /// Angles of the new columns, and room for them.
    pub(super) fn before(
        &self,
        embeds: &Tensor,
        positions: &Tensor,
        caches: &mut Caches<'_, '_>,
    ) -> Result<(Rotary, Option<CachedRows>)> {
        let (b, s, _d) = embeds.dims3()?;
        let columns = s + caches.columns();
        if columns > self.cfg.max_position_embeddings {
            bail!("{columns} columns do not fit the model's {} positions", self.cfg.max_position_embeddings);
        }
        caches.check(self.layers.len(), self.cfg.num_key_value_heads * self.cfg.head_dim())?;
        let device = |layer: usize| self.placement.of_layer(layer, self.layers.len()).clone();
        let cached = caches.rows([b, s], embeds.dtype(), device)?;
        Ok((self.frequencies.at(positions, embeds.dtype())?, cached))
    }

    /// Columns through all layers and the final norm.
    pub(super) fn through(
        &self,
        embeds: &Tensor,
        mut rotary: Rotary,
        mask: &AttentionMask,
        cached: Option<&CachedRows>,
        mut see: impl FnMut(&Tensor),
    ) -> Result<Tensor> {
        // One mask object for all layers with a window, so that what it works out is worked out once.
        let windowed = mask.clone().with_window(self.cfg.sliding_window);
        let mut flow = Flow { xs: embeds.clone(), added: None };
        for (at, layer) in self.layers.iter().enumerate() {
            let mask = if self.cfg.window_of(at).is_some() { &windowed } else { mask };
            let device = self.placement.of_layer(at, self.layers.len());
            if !flow.xs.device().same_device(device) {
                flow = flow.moved(device)?;
                rotary = Rotary { cos: moved(&rotary.cos, device)?, sin: moved(&rotary.sin, device)? };
            }
            flow = match (&self.recompute, cached) {
                (_, Some(rows)) => {
                    // Nothing behind a cache can be trained, so no history is kept.
                    let flow = Flow { xs: flow.xs.detach(), added: flow.added.map(|added| added.detach()) };
                    layer.step(flow, &rotary, mask, rows)?
                }
                (Some(recompute), None) => {
                    let (layer, rotary, mask) = (layer.clone(), rotary.clone(), mask.clone());
                    let name = format!("{}.{at}", self.path);
                    let run = move |xs: &Tensor, pass| layer.forward(xs, &rotary, &mask, pass);
                    Flow { xs: recompute.run(&name, &flow.xs, run)?, added: None }
                }
                (None, None) => {
                    Flow { xs: layer.forward(&flow.xs, &rotary, mask, Pass::Forward)?, added: None }
                }
            };
            see(&flow.xs);
        }
        let (_, normed) = flow.moved(self.placement.last())?.normed(&self.norm)?;
        Ok(if cached.is_some() { normed.detach() } else { normed })
    }

    /// `hidden`: `(b, s, d)` → `(b, s, v)`
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.lm_head.logits(&moved(hidden, self.head_device())?)
    }

    /// Cross-entropy of predicting each label from the state before it, summed over the labels that are not -100, and
    /// their number. Divide by the number for the mean.
    ///
    /// # Shapes
    /// - `hidden`: `(b, s, d)`, after the final norm
    /// - `labels`: `(b, s)`, i64, not shifted; best on the processor, where they are looked through
    pub fn loss(&self, hidden: &Tensor, labels: &Tensor) -> Result<(Tensor, usize)> {
        let Loss { sum, count, .. } = self.losses(hidden, labels)?;
        Ok((sum, count))
    }

    /// As [`Decoder::loss`], and the loss of each row.
    pub fn losses(&self, hidden: &Tensor, labels: &Tensor) -> Result<Loss> {
        self.lm_head.loss(&moved(hidden, self.head_device())?, labels)
    }
}

/// Positions of a padded batch, `(b, s)`: how many valid columns lie before each; 0 on padding before the first.
/// `valid` holds `b` rows of flags.
pub fn positions_of(b: usize, valid: &[bool], device: &Device) -> Result<Tensor> {
    if b == 0 || !valid.len().is_multiple_of(b) {
        bail!("{} flags cannot have {b} rows", valid.len());
    }
    let s = valid.len() / b;
    let mut positions = Vec::with_capacity(valid.len());
    for row in valid.chunks(s.max(1)) {
        let mut seen = 0u32;
        for &valid in row {
            positions.push(if valid { seen } else { 0 });
            seen += u32::from(valid);
        }
    }
    Tensor::from_vec(positions, (b, s), device)
}

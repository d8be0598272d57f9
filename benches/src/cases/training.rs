//! One step of training: forward, backward, AdamW.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use candle_core::{DType, Tensor, Var};
use serde::Deserialize;
use strefer_llm::decoder::positions_of;
use strefer_llm::{Decoder, DecoderConfig};
use strefer_nn::ops::{self, AttentionMask};
use strefer_nn::optim::{AdamW, AdamWConfig, Gradients};
use strefer_nn::{Linear, Recompute, Tape, linear, side_by_side};
use strefer_vision::siglip::{FeatureLayer, SiglipConfig, SiglipVision};

use super::{Place, Prepared, parameters};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Train {
    decoder: DecoderConfig,
    batch: usize,
    text_tokens: usize,
    /// Whether only low-rank updates learn, which are then in the decoder's configuration.
    #[serde(default)]
    lora: bool,
    /// Whether layers run again in the backward.
    #[serde(default)]
    recompute: bool,
    /// Portions of the batch that go through side by side: as many as the trainer makes of it.
    #[serde(default = "one")]
    pub(super) portions: usize,
    video: Option<VideoPart>,
}

fn one() -> usize {
    1
}

/// What is shown before the text of each row.
#[derive(Debug, Clone, Deserialize)]
struct VideoPart {
    siglip: SiglipConfig,
    /// Frames of a row.
    frames: usize,
    pooled_side: usize,
}

/// Tower and two-layer connector, after which neighbouring patches are averaged.
struct Video {
    tower: SiglipVision,
    fc1: Linear,
    fc2: Linear,
    /// `(batch * frames, 3, h, w)`
    pixels: Tensor,
    frames: usize,
    pooled_side: usize,
}

impl Video {
    /// What these rows show, `(b, frames * side * side, d)`.
    fn tokens(&self, rows: &Range<usize>) -> candle_core::Result<Tensor> {
        let (b, first) = (rows.len(), rows.start * self.frames);
        let pixels = self.pixels.narrow(0, first, b * self.frames)?;
        let feats = self.tower.forward(&pixels, FeatureLayer::LastNormed)?;
        let xs = ops::gelu_erf(&feats.apply(&self.fc1)?)?.apply(&self.fc2)?;
        let (f, n, d) = xs.dims3()?;
        let (side, to) = (n.isqrt(), self.pooled_side);
        let cell = side / to;
        let xs = xs.reshape((f, to, cell, to, cell * d))?.sum(2)?; // (f, to, to, cell*d)
        let xs = (xs.reshape((f * to * to, cell, d))?.sum(1)? / (cell * cell) as f64)?;
        xs.reshape((b, f / b * to * to, d))
    }
}

struct Step {
    decoder: Decoder,
    video: Option<Video>,
    ids: Tensor,
    positions: Tensor,
    labels: Tensor,
    vars: BTreeMap<String, Var>,
    optimizer: AdamW,
    recompute: Option<Recompute>,
    portions: usize,
}

impl Step {
    fn run(&mut self) -> candle_core::Result<()> {
        let b = self.ids.dim(0)?;
        let rows = |at: usize| at * b / self.portions..(at + 1) * b / self.portions;
        let passed = side_by_side((0..self.portions).map(rows).collect(), |rows| self.pass(rows))?;
        let (mut grads, mut count) = (Gradients::default(), 0);
        for (of_portion, supervised) in passed {
            grads.add(of_portion)?;
            count += supervised;
        }
        self.optimizer.step_scaled(&grads, 1e-4, 1.0 / count as f64)
    }

    /// Gradients of the summed loss of some rows, and the number of positions that it is summed over.
    fn pass(&self, rows: Range<usize>) -> candle_core::Result<(Gradients, usize)> {
        let of = |xs: &Tensor| xs.narrow(0, rows.start, rows.len());
        let tape = Tape::begin(self.ids.device());
        let mut embeds = self.decoder.embed(&of(&self.ids)?)?;
        if let Some(video) = &self.video {
            embeds = Tensor::cat(&[&video.tokens(&rows)?, &embeds], 1)?;
        }
        let positions = of(&self.positions)?;
        let hidden = self.decoder.forward(&embeds, &positions, &AttentionMask::causal(), None)?;
        let (sum, count) = self.decoder.loss(&hidden, &of(&self.labels)?)?;
        let mut grads = Gradients::collect(&self.vars, &tape.backward(&sum)?);
        if let Some(recompute) = &self.recompute {
            recompute.add_to(&mut grads, &self.vars)?;
        }
        Ok((grads, count))
    }
}

impl Train {
    pub(super) fn prepare(&self, place: &Place) -> Result<Prepared> {
        let lora = self.lora;
        let store = place.store().trainable(move |name| !lora || name.contains(".lora_"));
        let vb = store.var_builder();
        let (b, cfg) = (self.batch, &self.decoder);
        let mut decoder = Decoder::new(cfg, vb.pp("decoder"))?;
        let recompute = self.recompute.then(Recompute::default);
        decoder.set_recompute(recompute.clone());
        let video = self.video.as_ref().map(|part| -> Result<Video> {
            let (dv, d, size) = (part.siglip.hidden_size, cfg.hidden_size, part.siglip.image_size);
            let feature = FeatureLayer::LastNormed;
            Ok(Video {
                tower: SiglipVision::for_feature(&part.siglip, feature, vb.pp("tower"))?,
                fc1: linear(dv, d, vb.pp("fc1"))?,
                fc2: linear(d, d, vb.pp("fc2"))?,
                pixels: place.uniform(-1.0, 1.0, (b * part.frames, 3, size, size))?,
                frames: part.frames,
                pooled_side: part.pooled_side,
            })
        });
        let video = video.transpose()?;
        let shown = self.video.as_ref().map_or(0, |part| part.frames * part.pooled_side.pow(2));
        let s = shown + self.text_tokens;
        let ids = place.token_ids(b, self.text_tokens, cfg.vocab_size)?;
        let labels = ids.to_dtype(DType::I64)?;
        let unlearnt = Tensor::full(-100i64, (b, shown), &place.device)?;
        let labels = if shown > 0 { Tensor::cat(&[&unlearnt, &labels], 1)? } else { labels };
        let vars = store.vars();
        let optimizer = AdamW::new(&vars, AdamWConfig::default(), &[])?;
        let positions = positions_of(b, &vec![true; b * s], &place.device)?;
        let portions = self.portions.clamp(1, b);
        let mut step = Step { decoder, video, ids, positions, labels, vars, optimizer, recompute, portions };
        // Among the pool's own threads, as the trainer does.
        let work = move || Ok(rayon::scope(|_| step.run())?);
        Ok(Prepared { work: Box::new(work), parameters: parameters(&store) })
    }
}

//! Steps of answers under way.

use candle_core::{Result, Tensor, bail};
use strefer_nn::Replay;
use strefer_nn::ops::{AttentionMask, CachedRows, Rotary};

use super::{Caches, Decoder, KvCache};

/// Takes steps that differ by what they read alone: on a card, launches of such steps are asked for by one call.
#[derive(Debug)]
pub struct Steps {
    decoder: Decoder,
    replay: Replay,
}

impl Steps {
    /// Those of a model; another one that shares its weights.
    pub fn new(decoder: &Decoder) -> Self {
        Self { decoder: decoder.clone(), replay: Replay::new(decoder.clone()) }
    }

    /// How often the launches of a step were asked for by one call.
    pub fn replayed(&self) -> usize {
        self.replay.replayed()
    }

    /// [`Decoder::forward_rows`] of new columns that see all that is before them.
    ///
    /// # Shapes
    /// - `embeds`: `(b, s, d)`, `positions`: `(b, s)`, `caches`: one a row
    /// - returns: `(b, s, d)`
    ///
    /// # Errors
    /// Those of [`Decoder::forward_rows`].
    pub fn step(
        &mut self,
        embeds: &Tensor,
        positions: &Tensor,
        caches: &mut [&mut KvCache],
    ) -> Result<Tensor> {
        let Self { decoder, replay } = self;
        let s = embeds.dim(1)?;
        let mut caches = Caches::EachRow(caches);
        let mask = AttentionMask::causal();
        let (rotary, Some(mut rows)) = decoder.before(embeds, positions, &mut caches)? else {
            bail!("a step of no rows");
        };
        let layers = |xs: &Tensor, cos: &Tensor, sin: &Tensor, rows: &CachedRows| {
            let rotary = Rotary { cos: cos.clone(), sin: sin.clone() };
            decoder.through(xs, rotary, &mask, Some(rows), |_| ())
        };
        let Rotary { cos, sin } = &rotary;
        let looked_up = rows.looked_up().filter(|_| s == 1).map(|lists| lists.map(Tensor::clone));
        let state = match looked_up {
            None => layers(embeds, cos, sin, &rows)?,
            Some([places, held]) => {
                replay.run(rows.reach(s), &[embeds, cos, sin, &places, &held], |inputs| {
                    rows.look_up([inputs[3], inputs[4]]);
                    layers(inputs[0], inputs[1], inputs[2], &rows)
                })?
            }
        };
        caches.advance(s);
        Ok(state)
    }
}

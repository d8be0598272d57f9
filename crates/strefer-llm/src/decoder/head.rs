//! States become logits, or a loss without all logits at once.

use std::ops::Range;

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::ops::{CrossEntropy, has_kernels, linear_cross_entropy};
use strefer_nn::{Linear, linear_init};

use super::DecoderConfig;

/// Labels with this value do not count.
const IGNORE: i64 = -100;

/// How many positions go through the head at a time while a loss over `vocab_size` tokens is computed; a processor has the logits of
/// fewer at once. Where the head learns, its gradient is added up over the parts: kernels on a card, which need the logits once, take
/// larger ones.
pub fn logits_at_a_time(vocab_size: usize, by_kernels: bool) -> usize {
    let logits = if by_kernels { 1 << 27 } else { 1 << 25 };
    (logits / vocab_size.max(1)).clamp(16, 4096)
}

/// The cross-entropy of a batch.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The sum over all labels that count, a number in f32.
    pub sum: Tensor,
    /// How many count.
    pub count: usize,
    /// That of each label that counts, without a history.
    each: Tensor,
    /// Where each of these labels stands, all rows one after the other.
    places: Vec<usize>,
}

impl Loss {
    /// The sum over the labels of each stretch of the batch, all rows one after the other, and how many of them count.
    pub fn within(&self, stretches: impl IntoIterator<Item = Range<usize>>) -> Result<Vec<(f64, usize)>> {
        let each = self.each.to_vec1::<f32>()?;
        let sum = |stretch: Range<usize>| {
            let first = self.places.partition_point(|&place| place < stretch.start);
            let last = self.places.partition_point(|&place| place < stretch.end).max(first);
            (each[first..last].iter().map(|loss| f64::from(*loss)).sum(), last - first)
        };
        Ok(stretches.into_iter().map(sum).collect())
    }
}

/// The output matrix, and the one of added rows.
#[derive(Debug, Clone)]
pub(super) struct Head {
    lm_head: Linear,
    additional: Option<Additional>,
}

#[derive(Debug, Clone)]
struct Additional {
    additional_fc: Linear,
    first_id: usize,
}

impl Head {
    /// `table` is the embedding's matrix, which a tied head is.
    pub(super) fn new(cfg: &DecoderConfig, table: &Tensor, vb: VarBuilder) -> Result<Self> {
        if cfg.tie_word_embeddings {
            return Ok(Self { lm_head: Linear::new(table.clone(), None), additional: None });
        }
        let init = Init::Randn { mean: 0.0, stdev: 0.02 };
        let d = cfg.hidden_size;
        match &cfg.extra_rows {
            None => Ok(Self { lm_head: linear_init(d, cfg.vocab_size, false, init, vb)?, additional: None }),
            Some(extra) => {
                let lm_head = linear_init(d, cfg.vocab_size, true, init, vb.clone())?;
                let additional_fc = linear_init(d, extra.count, true, init, vb.pp("additional_fc"))?;
                Ok(Self { lm_head, additional: Some(Additional { additional_fc, first_id: extra.first_id }) })
            }
        }
    }

    /// The original matrix, to be quantised.
    pub(super) fn lm_head_mut(&mut self) -> &mut Linear {
        &mut self.lm_head
    }

    /// The rows in use: `(v, d)` and `(v)`.
    fn rows(&self) -> Result<(Tensor, Option<Tensor>)> {
        let Some(Additional { additional_fc, first_id }) = &self.additional else {
            return Ok((self.lm_head.effective_weight()?, self.lm_head.bias().cloned()));
        };
        let old = self.lm_head.effective_weight()?.narrow(0, 0, *first_id)?;
        let weight = Tensor::cat(&[&old, additional_fc.weight()], 0)?;
        let bias = match (self.lm_head.bias(), additional_fc.bias()) {
            (Some(old), Some(new)) => Some(Tensor::cat(&[&old.narrow(0, 0, *first_id)?, new], 0)?),
            _ => None,
        };
        Ok((weight, bias))
    }

    /// `hidden`: `(b, s, d)` → `(b, s, v)`
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let logits = self.lm_head.forward(hidden)?;
        let Some(Additional { additional_fc, first_id }) = &self.additional else { return Ok(logits) };
        let last = logits.rank() - 1;
        Tensor::cat(&[logits.narrow(last, 0, *first_id)?, additional_fc.forward(hidden)?], last)
    }

    /// Loss of predicting each label from the state before it.
    ///
    /// # Shapes
    /// - `hidden`: `(b, s, d)`
    /// - `labels`: `(b, s)`, i64
    pub(super) fn loss(&self, hidden: &Tensor, labels: &Tensor) -> Result<Loss> {
        let (b, s, d) = hidden.dims3()?;
        if labels.dims() != [b, s] {
            bail!("labels have shape {:?}, the states {:?}", labels.dims(), hidden.dims());
        }
        let (mut next, mut places) = (Vec::with_capacity(b * s), Vec::new());
        for (at, row) in labels.to_dtype(DType::I64)?.to_vec2::<i64>()?.into_iter().enumerate() {
            places.extend((1..s).filter(|&column| row[column] != IGNORE).map(|column| at * s + column));
            next.extend(row.iter().skip(1));
            next.extend((s > 0).then_some(IGNORE));
        }
        let next = Tensor::from_vec(next, b * s, &Device::Cpu)?;
        let (weight, bias) = self.rows()?;
        let chunk = logits_at_a_time(weight.dim(0)?, has_kernels(weight.device()));
        let hidden = hidden.reshape((b * s, d))?;
        let CrossEntropy { sum, count, each } =
            linear_cross_entropy(&hidden, &weight, bias.as_ref(), &next, IGNORE, chunk)?;
        Ok(Loss { sum, count, each, places })
    }
}

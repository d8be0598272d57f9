//! How much of a pass is kept for its backward.

use strefer_llm::decoder::logits_at_a_time;
use strefer_model::{Packing, VideoLlmConfig};

use super::work::{Learning, RowSize};
use super::{Place, connector};
use crate::config::{Float, TrainConfig};

/// Numbers that are kept, of the type that the run computes in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The most at a time, with what a layer needs besides while it runs: as the backward begins.
    pub most: usize,
    /// What is left where the backward is in the first layer of the language model.
    pub middle: usize,
    /// What the vision tower keeps of it, through which the backward comes last.
    pub tower: usize,
}

impl Kept {
    /// The larger of both, moment by moment.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            most: self.most.max(other.most),
            middle: self.middle.max(other.middle),
            tower: self.tower.max(other.tower),
        }
    }
}

impl std::iter::Sum for Kept {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            most: a.most + b.most,
            middle: a.middle + b.middle,
            tower: a.tower + b.tower,
        })
    }
}

/// One kind of layer.
struct Layers {
    /// How many there are.
    count: usize,
    /// What goes into one.
    input: usize,
    /// All that the backward of one reads.
    each: usize,
    /// The gradients of one on the way back.
    grads: usize,
}

impl Layers {
    /// What all of them keep.
    fn held(&self, again: bool, place: Place) -> usize {
        match (again, place) {
            (false, _) => self.count * self.each,
            // Of each layer what goes in.
            (true, Place::Card { fused: true }) => self.count * self.input,
            // Candle's history has what comes out, too.
            (true, _) => 2 * self.count * self.input,
        }
    }

    /// What one needs besides on the way back.
    fn turn(&self, again: bool, place: Place) -> usize {
        match (again, place) {
            (false, _) => self.grads,
            (true, Place::Card { .. }) => self.each + self.grads,
            // All of it, until its gradients are there.
            (true, Place::Processor) => 2 * self.each,
        }
    }
}

/// What a pass over `rows` keeps. The rows are padded to the longest. Derived from what the layers compute: every result that the
/// backward reads. Kernels on cards let go of what they have been through.
pub(crate) fn kept(
    rows: &[RowSize],
    cfg: &VideoLlmConfig,
    learning: Learning,
    run: &TrainConfig,
    place: Place,
) -> Kept {
    let model = Model { cfg, learning, run, place, composed: Composed::of(run, place) };
    let again = run.steps.recompute;
    let lens: Vec<usize> = rows.iter().map(|row| row.positions).collect();
    let shared = Packing { positions: run.steps.pack, longest: None }.rows(&lens);
    let longest = shared.iter().map(|row| row.iter().map(|&at| lens[at]).sum()).max().unwrap_or(0);
    let decoder = model.decoder(shared.len() * longest, longest);
    let back = learning.before || learning.language || learning.lora;
    let (language, turn) = match back {
        true => (decoder.held(again, place), decoder.turn(again, place)),
        false => (decoder.each, 0),
    };
    let frames: usize = rows.iter().map(|row| row.frames).sum();
    let tower = model.tower(frames);
    let (seen, turn_of_tower) = match learning.vision {
        true => (tower.held(again, place), tower.turn(again, place)),
        false => (tower.each / 2, 0),
    };
    let pixels = frames * 3 * cfg.vision.siglip.image_size.pow(2);
    let tokens: usize = rows.iter().map(|row| row.video_tokens).sum();
    let connector = 2 * tower.input + model.connector(frames) + 3 * tokens * cfg.llm.hidden_size;
    let before = pixels + if learning.vision { seen } else { 0 };
    // Processors keep what one turn needed for the next.
    let turns = if place.is_card() { turn.max(turn_of_tower) } else { turn + turn_of_tower };
    // Embeddings of the text, the spliced rows, the last norm.
    let ends = 3 * decoder.input;
    let loss = model.loss(rows.iter().map(|row| row.supervised).sum());
    let in_the_first = decoder.each + decoder.grads + decoder.input + before + connector;
    Kept {
        most: language + turns + ends + loss + pixels + connector + seen,
        middle: if back { in_the_first } else { 0 },
        tower: before + turn_of_tower,
    }
}

/// A model that learns, as far as what it keeps depends on it.
struct Model<'a> {
    cfg: &'a VideoLlmConfig,
    learning: Learning,
    run: &'a TrainConfig,
    place: Place,
    composed: Option<Composed>,
}

impl Model<'_> {
    /// Whether kernels do all but attention: none for cards takes that in f32, so its scores are kept, and what masks and softmax make of
    /// them.
    fn keeps_scores(&self) -> bool {
        self.place == Place::Card { fused: true } && self.run.steps.dtype == Float::F32
    }

    /// Over `s` positions in rows of `longest`.
    fn decoder(&self, s: usize, longest: usize) -> Layers {
        let llm = &self.cfg.llm;
        let (d, scores) = (llm.hidden_size, llm.num_attention_heads * longest);
        let layer = match &self.composed {
            Some(composed) => composed.decoder_layer(self.cfg, longest),
            None => {
                let wide = (llm.num_attention_heads + llm.num_key_value_heads) * llm.head_dim();
                // Two norms, two products, two sums; queries, keys, values, attention; gate, up and their product.
                // On a card what is turned is kept beside what it was.
                let turned = if self.place.is_card() { 3 } else { 2 };
                let scores = if self.keeps_scores() { 6 * scores } else { 0 };
                6 * d + turned * wide + 3 * llm.intermediate_size + scores
            }
        };
        let updates = if self.learning.lora { updates(self.cfg, self.run, self.place) } else { 0 };
        let way = self.composed.as_ref().map_or(0, |composed| composed.way(scores));
        Layers {
            count: llm.num_hidden_layers,
            input: s * d,
            each: s * (layer + updates),
            grads: s * (3 * llm.intermediate_size + 4 * d + way),
        }
    }

    /// Over the patches of so many frames.
    fn tower(&self, frames: usize) -> Layers {
        let vision = &self.cfg.vision.siglip;
        let (patches, d, inner) = (self.patches(), vision.hidden_size, vision.intermediate_size);
        let (n, scores) = (frames * patches, vision.num_attention_heads * patches);
        let layer = match &self.composed {
            Some(composed) => composed.vision_layer(d, inner, scores),
            None => 10 * d + 2 * inner + if self.keeps_scores() { 4 * scores } else { 0 },
        };
        // Candle's backward of GELU makes eight tensors as wide as its input; as counted, all of the way takes as much as a layer keeps.
        let way = self.composed.as_ref().map_or(0, |composed| composed.way(scores) + layer);
        Layers {
            count: vision.num_hidden_layers,
            input: n * d,
            each: n * layer,
            grads: n * (2 * (d + inner) + way),
        }
    }

    /// Of a frame.
    fn patches(&self) -> usize {
        let vision = &self.cfg.vision.siglip;
        (vision.image_size / vision.patch_size).pow(2)
    }

    fn connector(&self, frames: usize) -> usize {
        let learns = self.learning.vision || self.learning.connector;
        if learns { connector::kept(self.cfg, frames, self.patches()) } else { 0 }
    }

    /// What the loss of so many labels picks out, with its gradient; the logits that exist at a time; and what the head's matrix takes.
    fn loss(&self, supervised: usize) -> usize {
        let llm = &self.cfg.llm;
        let at_a_time = logits_at_a_time(llm.vocab_size, self.place == Place::Card { fused: true });
        let logits = match self.place {
            Place::Card { .. } => at_a_time.min(supervised) * llm.vocab_size,
            // Of a few rows, or a million of them.
            Place::Processor => (1 << 20).max(64 * llm.vocab_size).min(supervised * llm.vocab_size),
        };
        let logits = self.composed.as_ref().map_or(logits, |composed| composed.loss(logits));
        2 * supervised * llm.hidden_size + logits + self.head(supervised > at_a_time)
    }

    /// What the head's matrix takes besides its gradient while a card goes back through the loss.
    fn head(&self, in_parts: bool) -> usize {
        let Place::Card { fused } = self.place else { return 0 };
        let llm = &self.cfg.llm;
        if !(self.learning.head || llm.tie_word_embeddings && self.learning.embedding) {
            return 0;
        }
        let matrix = llm.vocab_size * llm.hidden_size;
        // Added rows make one matrix with the others, which has a gradient.
        let joined = if llm.extra_rows.is_some() { 2 * matrix } else { 0 };
        // The gradient that was made with the loss, in parts that are added up, times the loss's own; candle makes a sum of it and goes
        // back through that.
        let beside = if in_parts { 2 } else { 1 };
        joined + matrix * if fused { beside } else { 3 }
    }
}

/// What candle's operations keep where no kernels are used on a card: every result on the way, some of them in f32.
struct Composed {
    /// How many numbers of the run's type one in f32 is.
    wide: usize,
    /// Whether numbers are widened and narrowed on the way.
    half: bool,
}

impl Composed {
    fn of(run: &TrainConfig, place: Place) -> Option<Self> {
        let half = run.steps.dtype != Float::F32;
        (place == Place::Card { fused: false }).then_some(Self { wide: if half { 2 } else { 1 }, half })
    }

    /// Numbers of the run's type, numbers in f32, and such that are made by changing the type.
    fn sum(&self, narrow: usize, wide: usize, [narrowed, widened]: [usize; 2]) -> usize {
        let changed = if self.half { narrowed + self.wide * widened } else { 0 };
        narrow + self.wide * wide + changed
    }

    /// Of a query's scores: the product and what softmax makes of it, with a mask what that makes of them, and gradients of what they are
    /// made of, which candle keeps. As many pieces of that size as `SOFT_CARD_COUNT=memory` finds.
    fn scores(&self, scores: usize, masked: bool) -> usize {
        self.sum(scores, if masked { 11 } else { 7 } * scores, [scores, scores])
    }

    /// The gradients of scores on the way back.
    fn way(&self, scores: usize) -> usize {
        self.sum(scores, 2 * scores, [0, 0])
    }

    /// Of a position in rows of `s`.
    fn decoder_layer(&self, cfg: &VideoLlmConfig, s: usize) -> usize {
        let llm = &cfg.llm;
        let (d, q) = (llm.hidden_size, llm.num_attention_heads * llm.head_dim());
        let k = llm.num_key_value_heads * llm.head_dim();
        // Each norm: squares, the normed, times its weight.
        let norms = 2 * self.sum(d, 2 * d, [d, d]);
        // Products and biases; halves times cosines and sines, their sums, these side by side, and the tables' gradients, which candle
        // keeps; scaled and in one run; what is read.
        let attention = (2 * q + 4 * k) + 6 * (q + k) + (2 * q + 2 * k) + 2 * q;
        let blocks = 4 * d + 4 * llm.intermediate_size;
        norms + attention + blocks + self.scores(llm.num_attention_heads * s, true)
    }

    /// Of a patch.
    fn vision_layer(&self, d: usize, inner: usize, scores: usize) -> usize {
        // Each norm: centred, squares, the normed, times its weight, with its bias.
        let norms = 2 * self.sum(2 * d, 3 * d, [d, d]);
        // Products and biases of all six, GELU, attention in runs, and two sums.
        norms + 6 * d + 6 * d + 2 * d + 2 * d + 2 * d + 3 * inner + self.scores(scores, false)
    }

    /// Of so many logits.
    fn loss(&self, logits: usize) -> usize {
        self.sum(logits, 5 * logits, [logits, logits])
    }
}

/// What the low-rank updates of a decoder layer keep of a position.
fn updates(cfg: &VideoLlmConfig, run: &TrainConfig, place: Place) -> usize {
    let llm = &cfg.llm;
    let (d, heads, inner) =
        (llm.hidden_size, llm.num_attention_heads * llm.head_dim(), llm.intermediate_size);
    let keys = llm.num_key_value_heads * llm.head_dim();
    // The product with B, and a sum, of every projection.
    let beside = 2 * (2 * d + heads + 2 * keys + 2 * inner);
    let Some(lora) = run.lora.as_ref().filter(|_| place.is_card()) else {
        return if place.is_card() { 0 } else { beside };
    };
    // Kernels add updates on their way whose rows lie on 16 bytes.
    let on_the_way = place == Place::Card { fused: true } && lora.rank.is_multiple_of(8);
    let beside = if on_the_way { 0 } else { beside };
    // The product with A before and after it is scaled, and where something is dropped, what is left.
    let of = |module: &String| {
        let input = match module.as_str() {
            "o_proj" => heads,
            "down_proj" => inner,
            _ => d,
        };
        2 * lora.rank + if lora.dropout > 0.0 { input } else { 0 }
    };
    beside + lora.modules.iter().map(of).sum::<usize>()
}

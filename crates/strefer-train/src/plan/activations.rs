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
    let (llm, vision) = (&cfg.llm, &cfg.vision.siglip);
    let again = run.steps.recompute;
    let lens: Vec<usize> = rows.iter().map(|row| row.positions).collect();
    let shared = Packing { positions: run.steps.pack, longest: None }.rows(&lens);
    let longest = shared.iter().map(|row| row.iter().map(|&at| lens[at]).sum()).max().unwrap_or(0);
    let (s, d) = (shared.len() * longest, llm.hidden_size);
    let composed = Composed::of(run, place);
    // No kernel for cards takes attention in f32: its scores are kept, and what masks and softmax make of them.
    let scores_in_f32 = place == Place::Card { fused: true } && run.steps.dtype == Float::F32;
    let updates = if learning.lora { updates(cfg, run, place) } else { 0 };
    let scores = llm.num_attention_heads * longest;
    let layer = match &composed {
        Some(composed) => composed.decoder_layer(cfg, longest),
        None => {
            let wide = (llm.num_attention_heads + llm.num_key_value_heads) * llm.head_dim();
            // Two norms, two products, two sums; queries, keys, values, attention; gate, up and their product.
            // On a card what is turned is kept beside what it was.
            let turned = if place.is_card() { 3 } else { 2 };
            6 * d + turned * wide + 3 * llm.intermediate_size + if scores_in_f32 { 6 * scores } else { 0 }
        }
    };
    let way = composed.as_ref().map_or(0, |composed| composed.way(scores));
    let decoder = Layers {
        count: llm.num_hidden_layers,
        input: s * d,
        each: s * (layer + updates),
        grads: s * (3 * llm.intermediate_size + 4 * d + way),
    };
    let back = learning.before || learning.language || learning.lora;
    let (language, turn) = match back {
        true => (decoder.held(again, place), decoder.turn(again, place)),
        false => (decoder.each, 0),
    };
    // Embeddings of the text, the spliced rows, the last norm, and what the loss picks out with its gradient.
    let supervised: usize = rows.iter().map(|row| row.supervised).sum();
    let ends = 3 * s * d + 2 * supervised * d;
    let at_a_time = logits_at_a_time(llm.vocab_size, place.is_card());
    let logits = at_a_time.min(supervised) * llm.vocab_size;
    let logits = composed.as_ref().map_or(logits, |composed| composed.loss(logits));

    let frames: usize = rows.iter().map(|row| row.frames).sum();
    let patches = (vision.image_size / vision.patch_size).pow(2);
    let (n, dv) = (frames * patches, vision.hidden_size);
    let scores = vision.num_attention_heads * patches;
    let layer = match &composed {
        Some(composed) => composed.vision_layer(dv, vision.intermediate_size, scores),
        None => 10 * dv + 2 * vision.intermediate_size + if scores_in_f32 { 4 * scores } else { 0 },
    };
    // Candle's backward of GELU makes eight tensors as wide as its input; as counted, all of the way takes as much as a layer keeps.
    let way = composed.as_ref().map_or(0, |composed| composed.way(scores) + layer);
    let tower = Layers {
        count: vision.num_hidden_layers,
        input: n * dv,
        each: n * layer,
        grads: n * (2 * (dv + vision.intermediate_size) + way),
    };
    let (tower, turn_of_tower) = match learning.vision {
        true => (tower.held(again, place), tower.turn(again, place)),
        false => (tower.each / 2, 0),
    };
    let pixels = frames * 3 * vision.image_size * vision.image_size;
    // A card has them in f32, too, and those of the next pass.
    let wide = if run.steps.dtype == Float::F32 { 1 } else { 2 };
    let pixels = if place.is_card() { pixels * (1 + 2 * wide) } else { pixels };
    let history =
        if learning.vision || learning.connector { connector::kept(cfg, frames, patches) } else { 0 };
    let tokens: usize = rows.iter().map(|row| row.video_tokens).sum();
    let connector = 2 * n * dv + history + 3 * tokens * d;
    let before = pixels + if learning.vision { tower } else { 0 };
    // Processors keep what one turn needed for the next.
    let turns = if place.is_card() { turn.max(turn_of_tower) } else { turn + turn_of_tower };
    Kept {
        most: language
            + turns
            + ends
            + logits
            + head(cfg, learning, place, supervised > at_a_time)
            + pixels
            + connector
            + tower,
        middle: decoder.each + decoder.grads + decoder.input + before + connector,
        tower: before + turn_of_tower,
    }
}

/// What the head's matrix takes besides its gradient while a card goes back through the loss.
fn head(cfg: &VideoLlmConfig, learning: Learning, place: Place, in_parts: bool) -> usize {
    let Place::Card { fused } = place else { return 0 };
    if !(learning.head || cfg.llm.tie_word_embeddings && learning.embedding) {
        return 0;
    }
    let matrix = cfg.llm.vocab_size * cfg.llm.hidden_size;
    // Added rows make one matrix with the others, which has a gradient.
    let joined = if cfg.llm.extra_rows.is_some() { 2 * matrix } else { 0 };
    // The gradient that was made with the loss, in parts that are added up, times the loss's own; candle makes a sum of it and goes back
    // through that.
    let beside = if in_parts { 2 } else { 1 };
    matrix * if fused { beside } else { 3 } + joined
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

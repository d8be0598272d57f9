//! How much a pass computes, and how much of it is kept for the backward.

use strefer_model::{Inputs, Packing, VideoLlmConfig};

use crate::config::TrainConfig;

/// What learns, as far as work and memory depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Learning {
    /// Something of the vision tower.
    pub vision: bool,
    /// The language model's own weights.
    pub language: bool,
    /// Low-rank updates of it.
    pub lora: bool,
    /// The head.
    pub head: bool,
    /// Something before the language model's layers.
    pub before: bool,
}

/// Sizes of one row of a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RowSize {
    /// Positions in the language model.
    pub positions: usize,
    /// Positions that are learnt.
    pub supervised: usize,
    /// Frames that go through the vision tower.
    pub frames: usize,
    /// Tokens of what is shown.
    pub video_tokens: usize,
}

impl RowSize {
    pub(crate) fn of(inputs: &Inputs, cfg: &VideoLlmConfig) -> Self {
        Self {
            positions: inputs.positions(cfg),
            supervised: inputs.supervised(),
            frames: inputs.frames.dims().first().copied().unwrap_or_default(),
            video_tokens: if inputs.shown.is_empty() { 0 } else { inputs.video_tokens(cfg) },
        }
    }
}

/// Matrix entries of one decoder layer.
fn decoder_layer(cfg: &VideoLlmConfig) -> usize {
    let llm = &cfg.llm;
    let (d, heads) = (llm.hidden_size, llm.num_attention_heads + llm.num_key_value_heads);
    2 * d * heads * llm.head_dim() + 3 * d * llm.intermediate_size
}

/// Floating-point operations of a row, forward and backward, a multiplication and an addition counted apart; layers that
/// run again are counted once. Connectors are left out.
pub(crate) fn flops(row: RowSize, cfg: &VideoLlmConfig, learning: Learning) -> f64 {
    let (llm, vision) = (&cfg.llm, &cfg.vision.siglip);
    // Once forward, once back to what comes before, once to the weights.
    let times =
        |before: bool, weights: bool| 1.0 + f64::from(u8::from(before)) + f64::from(u8::from(weights));
    let back = learning.before || learning.language || learning.lora;
    let s = row.positions as f64;
    let attention = 4.0 * s * s / 2.0 * (llm.num_attention_heads * llm.head_dim()) as f64;
    let layer = 2.0 * decoder_layer(cfg) as f64 * s * times(back, learning.language)
        + attention * if back { 3.0 } else { 1.0 };
    let head = 2.0 * (llm.vocab_size * llm.hidden_size * row.supervised) as f64 * times(back, learning.head);
    let patches = (vision.image_size / vision.patch_size).pow(2) as f64;
    let dv = vision.hidden_size as f64;
    let matrices = 4.0 * dv * dv + 2.0 * dv * vision.intermediate_size as f64;
    let tower = row.frames as f64
        * patches
        * vision.num_hidden_layers as f64
        * (2.0 * matrices + 4.0 * patches * dv)
        * if learning.vision { 3.0 } else { 1.0 };
    layer * llm.num_hidden_layers as f64 + head + tower
}

/// Numbers that are kept for a backward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The most at a time, with what a layer needs besides while it runs.
    pub most: usize,
    /// What the vision tower keeps of it, through which the backward comes last.
    pub tower: usize,
}

/// What a pass over `rows` keeps. The rows are padded to the longest. Derived from what the layers compute: every result that the
/// backward reads, on a card by kernels (`STREFER_KERNELS=fused`), which let go of what they have been through.
pub(crate) fn kept(
    rows: &[RowSize],
    cfg: &VideoLlmConfig,
    learning: Learning,
    run: &TrainConfig,
    on_card: bool,
) -> Kept {
    let (llm, vision) = (&cfg.llm, &cfg.vision.siglip);
    let recompute = run.steps.recompute;
    let lens: Vec<usize> = rows.iter().map(|row| row.positions).collect();
    let shared = Packing { positions: run.steps.pack, longest: None }.rows(&lens);
    let longest = shared.iter().map(|row| row.iter().map(|&at| lens[at]).sum()).max().unwrap_or(0);
    let (s, d) = (shared.len() * longest, llm.hidden_size);
    let wide = (llm.num_attention_heads + llm.num_key_value_heads) * llm.head_dim();
    // Two norms, two products, two sums; queries, keys, values, attention; gate, up and their product.
    // On a card what is turned is kept beside what it was.
    let layer = 6 * d + if on_card { 3 } else { 2 } * wide + 3 * llm.intermediate_size;
    let updates = if learning.lora { updates(cfg, run, on_card) } else { 0 };
    let layer = s * (layer + updates);
    let layers = llm.num_hidden_layers;
    let back = learning.before || learning.language || learning.lora;
    // The gradients of one layer on the way back.
    let grads = s * (3 * llm.intermediate_size + 4 * d);
    let language = match (back, recompute) {
        (false, _) => layer,
        (true, false) => layers * layer + grads,
        // Of each layer what goes in, and all of one.
        (true, true) if on_card => layers * s * d + layer + grads,
        // Candle's history has what comes out, too, and keeps all of one layer until its gradients are there.
        (true, true) => 2 * layers * s * d + 2 * layer,
    };
    // Embeddings of the text, the spliced rows, the last norm, and what the loss picks out with its gradient.
    let supervised: usize = rows.iter().map(|row| row.supervised).sum();
    let ends = 3 * s * d + 2 * supervised * d;
    let scores = (1usize << 20).max(64 * llm.vocab_size).min(supervised * llm.vocab_size);

    let frames: usize = rows.iter().map(|row| row.frames).sum();
    let patches = (vision.image_size / vision.patch_size).pow(2);
    let (n, dv) = (frames * patches, vision.hidden_size);
    let layer = n * (10 * dv + 2 * vision.intermediate_size);
    let grads = 2 * n * (dv + vision.intermediate_size);
    let tower = match (learning.vision, recompute) {
        (false, _) => layer / 2,
        (true, false) => vision.num_hidden_layers * layer + grads,
        (true, true) if on_card => vision.num_hidden_layers * n * dv + layer + grads,
        (true, true) => 2 * vision.num_hidden_layers * n * dv + 2 * layer,
    };
    let pixels = frames * 3 * vision.image_size * vision.image_size;
    let connector = 2 * n * dv + 3 * rows.iter().map(|row| row.video_tokens).sum::<usize>() * d;
    let rest = language + ends + scores + pixels + connector;
    Kept { most: rest + tower, tower: pixels + if learning.vision { tower } else { 0 } }
}

/// What the low-rank updates of a decoder layer keep of a position.
fn updates(cfg: &VideoLlmConfig, run: &TrainConfig, on_card: bool) -> usize {
    let llm = &cfg.llm;
    let (d, heads, inner) =
        (llm.hidden_size, llm.num_attention_heads * llm.head_dim(), llm.intermediate_size);
    let keys = llm.num_key_value_heads * llm.head_dim();
    // The product with B, and a sum, of every projection.
    let beside = 2 * (2 * d + heads + 2 * keys + 2 * inner);
    let Some(lora) = run.lora.as_ref().filter(|_| on_card) else {
        return if on_card { 0 } else { beside };
    };
    // A card adds updates on its way whose rows lie on 16 bytes.
    let beside = if lora.rank.is_multiple_of(8) { 0 } else { beside };
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

//! How much a pass computes.

use strefer_model::{Inputs, VideoLlmConfig};

/// What learns, as far as work and memory depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Learning {
    /// Something of the vision tower.
    pub vision: bool,
    /// The connector.
    pub connector: bool,
    /// The language model's own weights.
    pub language: bool,
    /// Low-rank updates of it.
    pub lora: bool,
    /// The head.
    pub head: bool,
    /// The embedding, which may be the head, too.
    pub embedding: bool,
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

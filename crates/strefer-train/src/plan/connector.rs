//! What a connector keeps for its backward.

use strefer_model::VideoLlmConfig;
use strefer_model::connector::{ConnectorConfig, PerceiverConfig, StcConfig};

/// Numbers that a connector keeps which learns, or behind what learns: of so many frames with as many patches, tokens apart.
pub(super) fn kept(cfg: &VideoLlmConfig, frames: usize, patches: usize) -> usize {
    let (n, dv, d) = (frames * patches, cfg.vision.siglip.hidden_size, cfg.llm.hidden_size);
    match &cfg.connector {
        // Two products, and GELU between.
        ConnectorConfig::Mlp(_) => 3 * n * d,
        ConnectorConfig::Stc(cfg) => stc(cfg, n * d),
        ConnectorConfig::Perceiver(cfg) => perceiver(cfg, frames, patches, dv),
    }
}

/// `map`: numbers of a map of all patches.
fn stc(cfg: &StcConfig, map: usize) -> usize {
    // Three convolutions with their norms, two SiLUs, weighed channels, the sum and its SiLU. The first block's shortcut has a
    // convolution and a norm, too.
    let block = 11;
    let before = (block * cfg.blocks + 2) * map;
    // Cubes side by side; an eighth of the map, and the two products with GELU between.
    before + map + (2 + block * cfg.blocks + 3) * map / 8
}

fn perceiver(cfg: &PerceiverConfig, frames: usize, patches: usize, d: usize) -> usize {
    let (n, l) = (frames * patches, frames * cfg.latents);
    let inner = cfg.heads * cfg.head_dim;
    // Normed patches; these beside the latents, keys and values of both.
    let asked = n * d + (n + l) * (d + 2 * inner);
    let layers = cfg.layers * (asked + l * (feed_forward(d) + 4 * d + 2 * inner));
    let Some(temporal) = &cfg.temporal else { return layers };
    // In every frame each latent is read into its memory.
    let tokens = l * (temporal.memory + 1);
    layers + tokens * (temporal.layers * (feed_forward(d) + 6 * d) + 6 * d)
}

/// Of a position: a norm, a product four times as wide, GELU, a product and a sum.
fn feed_forward(d: usize) -> usize {
    d + 8 * d + 2 * d
}

//! The tensors of a folder, under the names that the model asks for.

use std::path::Path;

use strefer_nn::Weights;
use strefer_vision::convnext;

use super::RexSeekConfig;
use crate::error::Result;

/// The tower whose names become canonical.
const AUX: &str = "vision_tower_aux.";
const CLIP: &str = "vision_tower.vision_tower.vision_model.";
const TABLE: &str = "model.embed_tokens.weight";

/// Opens a folder. Only headers are read.
pub(super) fn open(dir: &Path) -> Result<Weights> {
    let all = Weights::open(dir)?;
    let aux = all.clone().renamed(|name| name.starts_with(AUX).then(|| name.to_owned()))?;
    let aux = convnext::canonical(aux)?.renamed(|name| Some(format!("{AUX}{name}")))?;
    let rest = all.renamed(|name| (!name.starts_with(AUX)).then(|| name.to_owned()))?;
    Ok(rest.joined(aux)?)
}

/// Rows of the embedding.
pub(super) fn rows(weights: &Weights) -> Option<usize> {
    weights.shape(TABLE)?.first().copied()
}

/// Leaves out what no computation reads: layers of CLIP behind the chosen state, its last norm, tables of numbers, a head
/// that is the embedding.
pub(super) fn used(weights: Weights, cfg: &RexSeekConfig) -> Result<Weights> {
    let depth = cfg.feature.depth(cfg.clip.num_hidden_layers)?;
    let unused = |name: &str| {
        let behind = name.strip_prefix(CLIP).is_some_and(|name| {
            let layer =
                name.strip_prefix("encoder.layers.").and_then(|rest| rest.split('.').next()?.parse().ok());
            name.starts_with("post_layernorm.") || layer.is_some_and(|layer: usize| layer >= depth)
        });
        behind
            || name.ends_with("position_ids")
            || name.ends_with("rotary_emb.inv_freq")
            || (cfg.llm.tie_word_embeddings && name == "lm_head.weight")
    };
    Ok(weights.renamed(|name| (!unused(name)).then(|| name.to_owned()))?)
}

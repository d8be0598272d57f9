//! How checkpoints name their tensors: prefixes of theirs for prefixes of ours, both ways.

use strefer_nn::Weights;
use strefer_vision::siglip::FeatureLayer;

use super::Family;
use crate::config::VideoLlmConfig;
use crate::video_llm::prefix;

/// One way to name the tensors of a family.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whose it is.
    pub family: Family,
    /// Its name in messages.
    pub name: &'static str,
    /// Beginnings of their names, and of ours. None begins with another.
    pub(super) prefixes: &'static [(&'static str, &'static str)],
    /// Beginnings that are read as others, one after the other.
    pub(super) aliases: &'static [(&'static str, &'static str)],
}

impl Layout {
    /// Our name of one of their tensors.
    pub fn ours(&self, theirs: &str) -> Option<String> {
        let mut name = theirs.to_owned();
        for (alias, spelling) in self.aliases {
            if let Some(rest) = name.strip_prefix(alias) {
                name = format!("{spelling}{rest}");
            }
        }
        let renamed = |(theirs, ours): &(&str, &str)| Some(format!("{ours}{}", name.strip_prefix(theirs)?));
        self.prefixes.iter().find_map(renamed)
    }

    /// Their name of one of our tensors.
    pub fn theirs(&self, ours: &str) -> Option<String> {
        self.prefixes
            .iter()
            .find_map(|(theirs, prefix)| Some(format!("{theirs}{}", ours.strip_prefix(prefix)?)))
    }

    /// The layout that knows most of the names. Of several that know equally many one of `family` is taken; none knows
    /// none.
    pub fn of(weights: &Weights, family: Family) -> Option<&'static Self> {
        let known = |layout: &Self| weights.names().filter(|name| layout.ours(name).is_some()).count();
        let layouts = Family::ALL.into_iter().flat_map(Family::layouts);
        let best = layouts.max_by_key(|layout| (known(layout), layout.family == family))?;
        (known(best) > 0).then_some(best)
    }
}

/// Whether a model of `cfg` has no use for a tensor, given by our name, that checkpoints hold all the same: layers behind
/// the chosen feature, the tower's pooling head, the memory's read layer, constants that are computed, a head that is
/// the embedding.
pub fn is_unused(cfg: &VideoLlmConfig, name: &str) -> bool {
    if name.ends_with(".inv_freq") {
        return true;
    }
    let Some((part, rest)) = name.split_once('.') else { return false };
    match part {
        prefix::VISION => rest.strip_prefix("vision_model.").is_some_and(|rest| is_unused_vision(cfg, rest)),
        prefix::CONNECTOR => rest.starts_with("temporal_encoder.ttm_unit.read_layer."),
        prefix::LANGUAGE => rest == "lm_head.weight" && cfg.llm.tie_word_embeddings,
        _ => false,
    }
}

fn is_unused_vision(cfg: &VideoLlmConfig, rest: &str) -> bool {
    if rest.starts_with("post_layernorm.") {
        return matches!(cfg.vision.feature, FeatureLayer::Hidden(_));
    }
    let layer = rest.strip_prefix("encoder.layers.").and_then(|rest| rest.split('.').next()?.parse().ok());
    let depth = cfg.vision.feature.depth(cfg.vision.siglip.num_hidden_layers);
    rest.starts_with("head.") || matches!((layer, depth), (Some(layer), Ok(depth)) if depth <= layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_of_a_layout_begins_with_another() {
        for layout in Family::ALL.into_iter().flat_map(Family::layouts) {
            for (at, (theirs, ours)) in layout.prefixes.iter().enumerate() {
                for (other_theirs, other_ours) in &layout.prefixes[at + 1..] {
                    let apart = |a: &str, b: &str| !a.starts_with(b) && !b.starts_with(a);
                    assert!(
                        apart(theirs, other_theirs) && apart(ours, other_ours),
                        "{}: {theirs}",
                        layout.name
                    );
                }
            }
        }
    }

    #[test]
    fn names_go_there_and_back() {
        for layout in Family::ALL.into_iter().flat_map(Family::layouts) {
            for (theirs, ours) in layout.prefixes {
                let (theirs, ours) = (format!("{theirs}x.weight"), format!("{ours}x.weight"));
                assert_eq!(layout.ours(&theirs), Some(ours.clone()), "{}", layout.name);
                assert_eq!(layout.theirs(&ours), Some(theirs), "{}", layout.name);
            }
            assert_eq!((layout.ours("optimizer.step"), layout.theirs("optimizer.step")), (None, None));
        }
    }

    #[test]
    fn older_spellings_are_read() {
        let layout = &Family::Strefer.layouts()[0];
        for theirs in [
            "vision_tokenizer.temporal_encoder.initial_memory",
            "vision_tokenizer.gttm.initial_memory",
            "module.vision_tokenizer.ttm.initial_memory",
            "vlm.vision_tokenizer.tts.initial_memory",
        ] {
            assert_eq!(layout.ours(theirs).as_deref(), Some("connector.temporal_encoder.initial_memory"));
        }
    }

    #[test]
    fn the_three_layouts_of_llava_onevision_mean_the_same() {
        for (ours, names) in [
            (
                "vision_tower.vision_model.embeddings.patch_embedding.weight",
                [
                    "model.vision_tower.vision_tower.vision_model.embeddings.patch_embedding.weight",
                    "vision_tower.vision_model.embeddings.patch_embedding.weight",
                    "model.vision_tower.vision_model.embeddings.patch_embedding.weight",
                ],
            ),
            (
                "connector.mm_projector.2.bias",
                [
                    "model.mm_projector.2.bias",
                    "multi_modal_projector.linear_2.bias",
                    "model.multi_modal_projector.linear_2.bias",
                ],
            ),
            ("connector.image_newline", ["model.image_newline", "image_newline", "model.image_newline"]),
            (
                "language_model.model.layers.3.mlp.up_proj.weight",
                [
                    "model.layers.3.mlp.up_proj.weight",
                    "language_model.model.layers.3.mlp.up_proj.weight",
                    "model.language_model.layers.3.mlp.up_proj.weight",
                ],
            ),
            (
                "language_model.lm_head.weight",
                ["lm_head.weight", "language_model.lm_head.weight", "lm_head.weight"],
            ),
        ] {
            for (layout, theirs) in Family::LlavaOneVision.layouts().iter().zip(names) {
                assert_eq!(layout.ours(theirs).as_deref(), Some(ours), "{}", layout.name);
                assert_eq!(layout.theirs(ours).as_deref(), Some(theirs), "{}", layout.name);
            }
        }
    }
}

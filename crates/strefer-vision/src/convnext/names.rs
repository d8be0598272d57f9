//! Checkpoints of timm and of RexSeek get the canonical names.

use strefer_nn::Weights;

use crate::error::Result;

/// Parts of names, as timm or RexSeek have them and canonical.
const PARTS: [(&str, &str); 10] = [
    ("stem.0.", "embeddings.patch_embeddings."),
    ("stem.1.", "embeddings.layernorm."),
    (".downsample.", ".downsampling_layer."),
    (".blocks.", ".layers."),
    (".conv_dw.", ".dwconv."),
    (".norm.", ".layernorm."),
    (".mlp.fc1.", ".pwconv1."),
    (".mlp.fc2.", ".pwconv2."),
    (".gamma", ".layer_scale_parameter"),
    // RexSeek's spelling.
    (".ramma", ".layer_scale_parameter"),
];

/// The tower's tensors with canonical names, whatever stands in front of them; the norm behind the last stage and the
/// classifier are left out.
pub fn canonical(weights: Weights) -> Result<Weights> {
    Ok(weights.renamed(canonical_name)?)
}

fn canonical_name(name: &str) -> Option<String> {
    let tails = ["vision_stem.", "vision_stages.", "stem.", "stages.", "embeddings.", "encoder.stages."];
    let at = tails.iter().filter_map(|tail| name.find(tail)).min()?;
    let name = name[at..].trim_start_matches("vision_");
    if !name.starts_with("stages.") && !name.starts_with("stem.") {
        return Some(name.to_owned());
    }
    let renamed = PARTS.iter().fold(name.to_owned(), |name, (old, new)| name.replacen(old, new, 1));
    Some(match renamed.strip_prefix("stages.") {
        Some(rest) => format!("encoder.stages.{rest}"),
        None => renamed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_layouts_have_one_name() {
        let wanted = "encoder.stages.2.layers.1.layer_scale_parameter";
        for name in [
            wanted,
            "convnext.encoder.stages.2.layers.1.layer_scale_parameter",
            "stages.2.blocks.1.gamma",
            "vision_tower_aux.vision_stages.2.blocks.1.ramma",
        ] {
            assert_eq!(canonical_name(name).as_deref(), Some(wanted), "{name}");
        }
        assert_eq!(
            canonical_name("vision_tower_aux.vision_stem.1.bias").unwrap(),
            "embeddings.layernorm.bias"
        );
        assert_eq!(canonical_name("layernorm.weight"), None);
        assert_eq!(canonical_name("head.norm.weight"), None);
    }
}

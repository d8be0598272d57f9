//! Checkpoints in the original layout get the canonical names, those of transformers.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use strefer_nn::Weights;

use super::Sam2Config;
use crate::error::{Error, Result};

/// Beginnings of names, original and canonical; the first that fits counts.
const SECTIONS: [(&str, &str); 18] = [
    ("image_encoder.trunk.patch_embed.proj.", "vision_encoder.backbone.patch_embed.projection."),
    ("image_encoder.trunk.", "vision_encoder.backbone."),
    ("image_encoder.neck.", "vision_encoder.neck."),
    (
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "shared_image_embedding.positional_embedding",
    ),
    ("sam_prompt_encoder.mask_downscaling.", "prompt_encoder.mask_embed."),
    ("sam_prompt_encoder.", "prompt_encoder."),
    ("sam_mask_decoder.output_upscaling.", "mask_decoder.output_upscaling."),
    ("sam_mask_decoder.", "mask_decoder."),
    ("memory_attention.", "memory_attention."),
    ("memory_encoder.", "memory_encoder."),
    ("obj_ptr_proj.", "object_pointer_proj."),
    ("obj_ptr_tpos_proj.", "temporal_positional_encoding_projection_layer."),
    ("mask_downsample.", "mask_downsample."),
    ("no_mem_embed", "no_memory_embedding"),
    ("no_mem_pos_enc", "no_memory_positional_encoding"),
    ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    ("no_obj_ptr", "no_object_pointer"),
    ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
];

/// Parts of names that change inside a section: what the section begins with, original and canonical.
const PARTS: [(&str, &str, &str); 38] = [
    ("vision_encoder.backbone.", ".norm1.", ".layer_norm1."),
    ("vision_encoder.backbone.", ".norm2.", ".layer_norm2."),
    ("vision_encoder.backbone.", ".mlp.layers.0.", ".mlp.proj_in."),
    ("vision_encoder.backbone.", ".mlp.layers.1.", ".mlp.proj_out."),
    ("vision_encoder.neck.", ".conv.", "."),
    ("prompt_encoder.mask_embed.", "mask_embed.0.", "mask_embed.conv1."),
    ("prompt_encoder.mask_embed.", "mask_embed.1.", "mask_embed.layer_norm1."),
    ("prompt_encoder.mask_embed.", "mask_embed.3.", "mask_embed.conv2."),
    ("prompt_encoder.mask_embed.", "mask_embed.4.", "mask_embed.layer_norm2."),
    ("prompt_encoder.mask_embed.", "mask_embed.6.", "mask_embed.conv3."),
    ("mask_decoder.output_upscaling.", "output_upscaling.0.", "upscale_conv1."),
    ("mask_decoder.output_upscaling.", "output_upscaling.1.", "upscale_layer_norm."),
    ("mask_decoder.output_upscaling.", "output_upscaling.3.", "upscale_conv2."),
    ("mask_decoder.transformer.", ".out_proj.", ".o_proj."),
    ("mask_decoder.transformer.", ".norm_final_attn.", ".layer_norm_final_attn."),
    ("mask_decoder.transformer.", ".norm1.", ".layer_norm1."),
    ("mask_decoder.transformer.", ".norm2.", ".layer_norm2."),
    ("mask_decoder.transformer.", ".norm3.", ".layer_norm3."),
    ("mask_decoder.transformer.", ".norm4.", ".layer_norm4."),
    ("mask_decoder.transformer.", ".mlp.layers.0.", ".mlp.proj_in."),
    ("mask_decoder.transformer.", ".mlp.layers.1.", ".mlp.proj_out."),
    ("memory_attention.", ".out_proj.", ".o_proj."),
    ("memory_attention.", ".norm1.", ".layer_norm1."),
    ("memory_attention.", ".norm2.", ".layer_norm2."),
    ("memory_attention.", ".norm3.", ".layer_norm3."),
    ("memory_attention.", "memory_attention.norm.", "memory_attention.layer_norm."),
    ("memory_encoder.", "pix_feat_proj.", "feature_projection."),
    ("memory_encoder.", "memory_encoder.out_proj.", "memory_encoder.projection."),
    ("memory_encoder.", ".fuser.", ".memory_fuser."),
    ("memory_encoder.memory_fuser.", ".dwconv.", ".depthwise_conv."),
    ("memory_encoder.memory_fuser.", ".norm.", ".layer_norm."),
    ("memory_encoder.memory_fuser.", ".pwconv1.", ".pointwise_conv1."),
    ("memory_encoder.memory_fuser.", ".pwconv2.", ".pointwise_conv2."),
    ("memory_encoder.memory_fuser.", ".gamma", ".scale"),
    ("memory_encoder.mask_downsampler.", ".encoder.12.", ".final_conv."),
    ("object_pointer_proj.", ".layers.0.", ".proj_in."),
    ("object_pointer_proj.", ".layers.1.", ".layers.0."),
    ("object_pointer_proj.", ".layers.2.", ".proj_out."),
];

const POINTS: &str = "sam_prompt_encoder.point_embeddings.";

/// The canonical name of a tensor of the original layout; none where there is no such name.
fn canonical_name(name: &str) -> Option<String> {
    let (old, new) = SECTIONS.iter().find(|(old, _)| name.starts_with(old))?;
    let mut name = format!("{new}{}", &name[old.len()..]);
    for (section, old, new) in PARTS {
        if name.starts_with(section) && name.contains(old) {
            name = name.replacen(old, new, 1);
            // A part that was renamed must not be taken for another one.
            if section == "object_pointer_proj." {
                break;
            }
        }
    }
    let heads = ["output_hypernetworks_mlps.", "iou_prediction_head.", "pred_obj_score_head."];
    if heads.iter().any(|head| name.starts_with(&format!("mask_decoder.{head}"))) {
        let layers =
            [(".layers.0.", ".proj_in."), (".layers.1.", ".layers.0."), (".layers.2.", ".proj_out.")];
        if let Some((old, new)) = layers.into_iter().find(|(old, _)| name.contains(old)) {
            name = name.replacen(old, new, 1);
        }
    }
    if let Some((head, tail)) = name.split_once("mask_downsampler.encoder.") {
        let (number, rest) = tail.split_once('.')?;
        let number: usize = number.parse().ok()?;
        let part = if number.is_multiple_of(3) { "conv" } else { "layer_norm" };
        name = format!("{head}mask_downsampler.layers.{}.{part}.{rest}", number / 3);
    }
    Some(name)
}

/// What no computation reads: a second copy of a matrix, and a table that was never used.
fn unread(name: &str) -> bool {
    name == "prompt_encoder.shared_embedding.positional_embedding" || name == "no_memory_positional_encoding"
}

/// Names of the parts that only videos need.
pub(super) fn unused_by_images(name: &str) -> bool {
    const VIDEO: [&str; 8] = [
        "memory_attention.",
        "memory_encoder.",
        "memory_temporal_positional_encoding",
        "object_pointer_proj.",
        "temporal_positional_encoding_projection_layer.",
        "mask_downsample.",
        "no_object_pointer",
        "occlusion_spatial_embedding_parameter",
    ];
    VIDEO.iter().any(|part| name.starts_with(part))
}

/// Weights with canonical names, from either layout. What nothing reads is left out.
///
/// # Errors
/// A tensor of the original layout that has no place in the model.
pub fn canonical(weights: Weights) -> Result<Weights> {
    let original = weights.names().any(|name| name.starts_with("image_encoder.trunk."));
    if !original {
        return Ok(weights.renamed(|name| (!unread(name)).then(|| name.to_owned()))?);
    }
    let origin = weights.origin().to_owned();
    if let Some(name) =
        weights.names().find(|name| !name.starts_with(POINTS) && canonical_name(name).is_none())
    {
        let reason = format!("tensor {name:?} is none of SAM 2.1");
        return Err(Error::Config { origin, reason });
    }
    let rows: Vec<Tensor> = (0..4)
        .map(|at| weights.load(&format!("{POINTS}{at}.weight"), DType::F32, &Device::Cpu))
        .collect::<std::result::Result<_, _>>()?;
    let points = BTreeMap::from([("prompt_encoder.point_embed.weight".to_owned(), Tensor::cat(&rows, 0)?)]);
    let named = weights.renamed(|name| {
        let name = if name.starts_with(POINTS) { None } else { canonical_name(name) };
        name.filter(|name| !unread(name))
    })?;
    Ok(named.joined(Weights::from_tensors("point embeddings", points))?)
}

/// Configuration and canonical weights of a folder or file.
///
/// # Errors
/// Weights of SAM 2.0, which lack two parts.
pub(super) fn open_weights(path: &Path) -> Result<(Sam2Config, Weights)> {
    let weights = canonical(Weights::open(path)?)?;
    let follows = weights.names().any(|name| name.starts_with("memory_attention."));
    if follows && !weights.contains("occlusion_spatial_embedding_parameter") {
        let reason = "these are weights of SAM 2.0, which is not supported; SAM 2.1 has the same sizes";
        return Err(Error::Config { origin: path.display().to_string(), reason: reason.to_owned() });
    }
    let config = path.join("config.json");
    let cfg = if config.is_file() { Sam2Config::open(&config)? } else { Sam2Config::of_weights(&weights)? };
    Ok((cfg, weights))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn original_names_become_canonical_ones() {
        let pairs = [
            ("image_encoder.trunk.blocks.3.norm2.bias", "vision_encoder.backbone.blocks.3.layer_norm2.bias"),
            (
                "image_encoder.trunk.blocks.3.mlp.layers.1.bias",
                "vision_encoder.backbone.blocks.3.mlp.proj_out.bias",
            ),
            ("image_encoder.trunk.blocks.3.attn.qkv.bias", "vision_encoder.backbone.blocks.3.attn.qkv.bias"),
            ("image_encoder.trunk.pos_embed_window", "vision_encoder.backbone.pos_embed_window"),
            ("image_encoder.neck.convs.2.conv.weight", "vision_encoder.neck.convs.2.weight"),
            ("sam_prompt_encoder.mask_downscaling.4.bias", "prompt_encoder.mask_embed.layer_norm2.bias"),
            ("sam_prompt_encoder.no_mask_embed.weight", "prompt_encoder.no_mask_embed.weight"),
            (
                "sam_mask_decoder.transformer.layers.1.cross_attn_image_to_token.out_proj.bias",
                "mask_decoder.transformer.layers.1.cross_attn_image_to_token.o_proj.bias",
            ),
            (
                "sam_mask_decoder.transformer.norm_final_attn.bias",
                "mask_decoder.transformer.layer_norm_final_attn.bias",
            ),
            ("sam_mask_decoder.output_upscaling.3.bias", "mask_decoder.upscale_conv2.bias"),
            (
                "sam_mask_decoder.output_hypernetworks_mlps.3.layers.1.bias",
                "mask_decoder.output_hypernetworks_mlps.3.layers.0.bias",
            ),
            (
                "sam_mask_decoder.iou_prediction_head.layers.2.bias",
                "mask_decoder.iou_prediction_head.proj_out.bias",
            ),
            ("memory_attention.layers.2.norm3.bias", "memory_attention.layers.2.layer_norm3.bias"),
            ("memory_attention.layers.2.linear1.bias", "memory_attention.layers.2.linear1.bias"),
            ("memory_attention.norm.bias", "memory_attention.layer_norm.bias"),
            (
                "memory_encoder.mask_downsampler.encoder.9.bias",
                "memory_encoder.mask_downsampler.layers.3.conv.bias",
            ),
            (
                "memory_encoder.mask_downsampler.encoder.1.bias",
                "memory_encoder.mask_downsampler.layers.0.layer_norm.bias",
            ),
            (
                "memory_encoder.mask_downsampler.encoder.12.bias",
                "memory_encoder.mask_downsampler.final_conv.bias",
            ),
            ("memory_encoder.fuser.layers.1.gamma", "memory_encoder.memory_fuser.layers.1.scale"),
            (
                "memory_encoder.fuser.layers.1.norm.bias",
                "memory_encoder.memory_fuser.layers.1.layer_norm.bias",
            ),
            ("memory_encoder.pix_feat_proj.bias", "memory_encoder.feature_projection.bias"),
            ("memory_encoder.out_proj.bias", "memory_encoder.projection.bias"),
            ("obj_ptr_proj.layers.0.bias", "object_pointer_proj.proj_in.bias"),
            ("obj_ptr_proj.layers.2.bias", "object_pointer_proj.proj_out.bias"),
            ("obj_ptr_tpos_proj.bias", "temporal_positional_encoding_projection_layer.bias"),
            ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
        ];
        for (old, new) in pairs {
            assert_eq!(canonical_name(old).as_deref(), Some(new), "{old}");
        }
        assert_eq!(canonical_name("teacher.weight"), None);
    }

    #[test]
    fn an_older_model_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let tensor = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        let old = BTreeMap::from([("memory_attention.layer_norm.weight".to_owned(), tensor)]);
        let weights = Weights::from_tensors("old", old);
        strefer_nn::save_safetensors(dir.path(), "model", &weights, usize::MAX, &BTreeMap::new()).unwrap();
        let said = open_weights(dir.path()).unwrap_err().to_string();
        assert!(said.contains("SAM 2.0"), "{said}");
    }
}

//! VideoRefer-7B (arXiv 2501.00599): names of tensors, and what its `config.json` means.

use std::path::Path;

use serde_json::{Value, json};
use strefer_core::UniformRule;
use strefer_llm::Tokenizer;
use strefer_vision::siglip::FeatureLayer;

use super::assemble::{name_of, tower_section};
use super::folder::Folder;
use super::{Family, Layout, tokens, vision};
use crate::config::{ChatPreset, Fit, FramesConfig, ModelType, TokenIds, VideoLlmConfig, VisionConfig};
use crate::connector::{ConnectorConfig, StcConfig};
use crate::error::Result;
use crate::processor::{REGION_TOKEN, VIDEO_TOKEN};
use crate::region::RegionConfig;
use crate::time::TimeConfig;

pub(super) const LAYOUTS: &[Layout] = &[Layout {
    family: Family::VideoRefer,
    name: "videorefer",
    prefixes: &[
        ("model.vision_tower.vision_tower.", "vision_tower."),
        ("model.mm_projector.s1.", "connector.s1."),
        ("model.mm_projector.s2.", "connector.s2."),
        ("model.mm_projector.sampler.", "connector.sampler."),
        ("model.mm_projector.readout.", "connector.readout."),
        ("model.region_encoder.", "region_encoder."),
        ("model.embed_tokens.", "language_model.model.embed_tokens."),
        ("model.layers.", "language_model.model.layers."),
        ("model.norm.", "language_model.model.norm."),
        ("lm_head.", "language_model.lm_head."),
    ],
    aliases: &[],
}];

/// Frames of an answer; the trainer says 16.
const FRAMES: usize = 8;

/// What a `config.json` of transformers leaves out when it is the usual value.
pub(crate) fn qwen2_defaults() -> Value {
    json!({"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 32768, "max_window_layers": 28})
}

/// The `config.json` of a model from a Qwen2, a tower and connectors that have learnt nothing: as the training scripts
/// set it.
pub(super) fn config_of(language: Value, tower: Value, tower_folder: &Path) -> Value {
    let mut json = language;
    let tower = tower_section(tower);
    json["model_type"] = "videorefer_qwen2".into();
    json["architectures"] = json!(["VideoReferQwen2ForCausalLM"]);
    json["mm_hidden_size"] = tower["hidden_size"].clone();
    json["mm_vision_tower"] = name_of(tower_folder);
    json["vision_config"] = tower;
    for (key, value) in [
        ("mm_projector_type", json!("stc_connector_v35")),
        ("mm_region_encoder_type", json!("pooling")),
        ("mm_vision_select_layer", json!(-2)),
        ("mm_vision_select_feature", json!("patch")),
        ("image_aspect_ratio", json!("square")),
        ("num_frames", json!(16)),
        ("tokenizer_model_max_length", json!(2048)),
        ("use_mm_proj", json!(true)),
    ] {
        json[key] = value;
    }
    json
}

/// Our configuration. `<video>` is no token of the published tokenizer and becomes the one behind its last: the
/// reference cuts the text there, and so does a special token.
pub(super) fn config(folder: &Folder<'_>, tokenizer: &mut Tokenizer) -> Result<VideoLlmConfig> {
    let fields = folder.fields();
    fields.refuse_others("mm_vision_select_feature", &["patch"])?;
    fields.refuse_others("mm_region_encoder_type", &["pooling"])?;
    fields.refuse_others("image_aspect_ratio", &["square", "pad"])?;
    let connector = match fields.text("mm_projector_type") {
        Some("stc_connector_v35") => StcConfig::V35,
        Some("stc_connector") => StcConfig::PLAIN,
        other => return Err(fields.bad(format!("mm_projector_type {other:?} is not supported"))),
    };
    let region = fields.text("mm_region_encoder_type").map(|_| RegionConfig::default());
    let region_id = match region {
        Some(_) => Some(tokens::required(folder.dir, tokenizer, REGION_TOKEN)?),
        None => None,
    };
    let fit = if fields.text("image_aspect_ratio") == Some("pad") { Fit::Pad } else { Fit::Stretch };
    let rows = folder.rows("language_model.model.embed_tokens.weight");
    Ok(VideoLlmConfig {
        model_type: ModelType::Strefer,
        frames: FramesConfig {
            count: fields.size("num_frames", FRAMES)?,
            rule: UniformRule::Midpoints,
            fit,
            region_fit: fit,
            stills_once: false,
            time_embedding: false,
        },
        vision: VisionConfig {
            siglip: vision::config(folder)?,
            feature: FeatureLayer::Hidden(fields.integer("mm_vision_select_layer", -2)?),
        },
        connector: ConnectorConfig::Stc(connector),
        tiles: None,
        region,
        time: TimeConfig::Text,
        llm: fields.decoder("qwen2", rows, &qwen2_defaults())?,
        chat: ChatPreset::Qwen2,
        tokens: TokenIds {
            region: region_id,
            first_time: None,
            pad: tokens::pad(folder, fields.json, tokenizer, "<|endoftext|>")?,
            eos: tokens::ends(folder, fields.json, tokenizer, &["<|im_end|>"])?,
            video: tokenizer.add_special_tokens(&[VIDEO_TOKEN])?[0],
        },
        max_text_tokens: fields.size("tokenizer_model_max_length", 2048)?,
    })
}

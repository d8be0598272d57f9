//! BLIP-3-Strefer (arXiv 2509.03501): names of tensors, and what its `config.json` means.
//!
//! Upstream saves weights alone and takes everything else from its command line. A folder needs the `config.json` of the
//! models it grew from (`model_type` `xgenmm`, with `text_config`, `vision_tokenizer_config` and
//! `vision_encoder_config`); what that file does not tell is as published, unless it says so in further sections:
//! `perceiver` (`depth`, `heads`, `dim_head`, `num_latents`), `gttm` (`num_layers`, `num_heads`,
//! `memory_size_per_group`), `region` (`region_token_num`), `vision_config`, and the numbers `num_frames`,
//! `num_timestamp_tokens` and `initial_tokenizer_len`.

use std::path::Path;

use serde_json::{Value, json};
use strefer_core::UniformRule;
use strefer_llm::Tokenizer;
use strefer_llm::decoder::{DecoderConfig, ExtraRows};
use strefer_vision::siglip::FeatureLayer;

use super::assemble::{name_of, tower_section};
use super::fields::Fields;
use super::folder::Folder;
use super::{Family, Layout, tokens, vision};
use crate::config::{ChatPreset, Fit, FramesConfig, ModelType, TokenIds, VideoLlmConfig, VisionConfig};
use crate::connector::{ConnectorConfig, GttmConfig, PerceiverConfig};
use crate::error::Result;
use crate::processor::REGION_TOKEN;
use crate::region::RegionConfig;
use crate::time::{TimeConfig, TimeTokens};

pub(super) const LAYOUTS: &[Layout] = &[Layout {
    family: Family::Strefer,
    name: "strefer",
    prefixes: &[
        ("vision_encoder.", "vision_tower.vision_model."),
        ("vision_tokenizer.", "connector."),
        ("region_encoder.", "region_encoder."),
        ("lang_model.", "language_model."),
    ],
    aliases: &[
        ("module.", ""),
        ("vlm.", ""),
        ("vision_tokenizer.gttm.", "vision_tokenizer.temporal_encoder."),
        ("vision_tokenizer.ttm.", "vision_tokenizer.temporal_encoder."),
        ("vision_tokenizer.tts.", "vision_tokenizer.temporal_encoder."),
    ],
}];

/// The placeholder of a video.
const IMAGE_TOKEN: &str = "<image>";
/// The token that fills short rows, the last before the added ones.
const PAD_TOKEN: &str = "<pad>";
/// Text tokens of a sample, the video's and the regions' not counted.
const MAX_TEXT_TOKENS: usize = 1792;

/// Phi-3-mini-4k, of which `text_config` need not repeat anything.
fn phi3_defaults() -> Value {
    json!({"vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "sliding_window": 2047})
}

/// The added tokens, in the order of their ids.
fn added_tokens(time: &TimeTokens) -> Vec<String> {
    let mut tokens =
        vec![IMAGE_TOKEN.to_owned(), "<image placeholder>".to_owned(), "<|endofchunk|>".to_owned()];
    tokens.extend(time.texts());
    tokens.push(REGION_TOKEN.to_owned());
    tokens
}

/// The `config.json` of a model from a Phi-3, a tower and connectors that have learnt nothing. Added tokens follow the
/// language model's own and one that fills short rows.
pub(super) fn config_of(language: Value, tower: Value, tower_folder: &Path, own_tokens: usize) -> Value {
    json!({
        "model_type": "xgenmm",
        "text_config": language,
        "initial_tokenizer_len": own_tokens + 1,
        "vision_encoder_config": { "model_name": name_of(tower_folder) },
        "vision_config": tower_section(tower),
    })
}

/// Our configuration. Upstream adds its tokens to the tokenizer of Phi-3 when it starts, and so do we where the
/// tokenizer has none of them.
pub(super) fn config(folder: &Folder<'_>, tokenizer: &mut Tokenizer) -> Result<VideoLlmConfig> {
    let fields = folder.fields();
    let text = fields.section("text_config");
    let published = TimeTokens::STREFER;
    let count = fields.size("num_timestamp_tokens", published.count as usize)? as u32;
    let time = TimeTokens { count, ..published };
    let llm = decoder(folder, &fields, &time)?;
    let added = added_tokens(&time);
    if added.iter().all(|token| tokenizer.token_id(token).is_none()) {
        let texts: Vec<&str> = [PAD_TOKEN].into_iter().chain(added.iter().map(String::as_str)).collect();
        tokenizer.add_special_tokens(&texts)?;
    }
    let first_id = llm.extra_rows.as_ref().map_or(0, |extra| extra.first_id as u32);
    tokens::in_order(folder.dir, tokenizer, &added, first_id)?;
    let id = |token: &str| tokens::required(folder.dir, tokenizer, token);
    Ok(VideoLlmConfig {
        model_type: ModelType::Strefer,
        frames: FramesConfig {
            count: fields.size("num_frames", 32)?,
            rule: UniformRule::LinspaceTrunc,
            fit: Fit::Pad,
            // As in training; the released inference script pads these frames too.
            region_fit: Fit::Stretch,
            stills_once: false,
            time_embedding: false,
        },
        vision: VisionConfig { siglip: vision::config(folder)?, feature: FeatureLayer::LastNormed },
        connector: ConnectorConfig::Perceiver(connector(&fields)?),
        tiles: None,
        region: Some(RegionConfig {
            max_tokens: fields.section("region").size("region_token_num", 4)?,
            ..RegionConfig::default()
        }),
        time: TimeConfig::Tokens(time),
        chat: ChatPreset::Phi3,
        tokens: TokenIds {
            video: id(IMAGE_TOKEN)?,
            region: Some(id(REGION_TOKEN)?),
            first_time: Some(id(&TimeTokens::text(0))?),
            pad: tokens::pad(folder, fields.json, tokenizer, PAD_TOKEN)?,
            eos: tokens::ends(folder, text.json, tokenizer, &["<|end|>", "<|endoftext|>"])?,
        },
        llm,
        max_text_tokens: MAX_TEXT_TOKENS,
    })
}

fn connector(fields: &Fields<'_>) -> Result<PerceiverConfig> {
    let published = PerceiverConfig::STREFER;
    let (perceiver, gttm) = (fields.section("perceiver"), fields.section("gttm"));
    let latents = fields.section("vision_tokenizer_config").size("num_vis_tokens", published.latents)?;
    let memory = GttmConfig::STREFER;
    Ok(PerceiverConfig {
        layers: perceiver.size("depth", published.layers)?,
        heads: perceiver.size("heads", published.heads)?,
        head_dim: perceiver.size("dim_head", published.head_dim)?,
        latents: perceiver.size("num_latents", latents)?,
        temporal: Some(GttmConfig {
            memory: gttm.size("memory_size_per_group", memory.memory)?,
            layers: gttm.size("num_layers", memory.layers)?,
            heads: gttm.size("num_heads", memory.heads)?,
        }),
    })
}

/// The language model with its added rows: their number is that of the added tokens, whatever the weights hold.
fn decoder(folder: &Folder<'_>, fields: &Fields<'_>, time: &TimeTokens) -> Result<DecoderConfig> {
    let text = fields.section("text_config");
    let rows = folder.rows("language_model.model.embed_tokens.weight");
    let first_id = text.size("initial_tokenizer_len", fields.size("initial_tokenizer_len", 32012)?)?;
    let mut llm = text.decoder("phi3", rows, &phi3_defaults())?;
    llm.extra_rows = Some(ExtraRows { first_id, count: added_tokens(time).len() });
    llm.validate().map_err(|error| fields.bad(error.to_string()))?;
    Ok(llm)
}

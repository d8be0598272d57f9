//! LLaVA-OneVision (arXiv 2408.03326), the base of ST-VLM: three ways to name tensors, two to write `config.json`.

use serde_json::Value;
use strefer_core::UniformRule;
use strefer_llm::Tokenizer;
use strefer_vision::siglip::FeatureLayer;

use super::fields::Fields;
use super::folder::Folder;
use super::videorefer::qwen2_defaults;
use super::{Family, Layout, tiles, tokens, vision};
use crate::config::{ChatPreset, Fit, FramesConfig, ModelType, TokenIds, VideoLlmConfig, VisionConfig};
use crate::connector::{ConnectorConfig, MlpConfig, Newline};
use crate::error::Result;
use crate::processor::VIDEO_TOKEN;
use crate::time::TimeConfig;

const FAMILY: Family = Family::LlavaOneVision;

pub(super) const LAYOUTS: &[Layout] = &[
    Layout {
        family: FAMILY,
        name: "llava_onevision, original",
        prefixes: &[
            ("model.vision_tower.vision_tower.", "vision_tower."),
            ("model.mm_projector.0.", "connector.mm_projector.0."),
            ("model.mm_projector.2.", "connector.mm_projector.2."),
            ("model.image_newline", "connector.image_newline"),
            ("model.embed_tokens.", "language_model.model.embed_tokens."),
            ("model.layers.", "language_model.model.layers."),
            ("model.norm.", "language_model.model.norm."),
            ("lm_head.", "language_model.lm_head."),
        ],
        aliases: &[],
    },
    Layout {
        family: FAMILY,
        name: "llava_onevision, transformers as stored",
        prefixes: &[
            ("vision_tower.", "vision_tower."),
            ("multi_modal_projector.linear_1.", "connector.mm_projector.0."),
            ("multi_modal_projector.linear_2.", "connector.mm_projector.2."),
            ("image_newline", "connector.image_newline"),
            ("language_model.", "language_model."),
        ],
        aliases: &[],
    },
    Layout {
        family: FAMILY,
        name: "llava_onevision, transformers in memory",
        prefixes: &[
            ("model.vision_tower.", "vision_tower."),
            ("model.multi_modal_projector.linear_1.", "connector.mm_projector.0."),
            ("model.multi_modal_projector.linear_2.", "connector.mm_projector.2."),
            ("model.image_newline", "connector.image_newline"),
            ("model.language_model.", "language_model.model."),
            ("lm_head.", "language_model.lm_head."),
        ],
        aliases: &[],
    },
];

/// Frames of a video; ST-VLM shows up to 40.
const FRAMES: usize = 32;

/// Our configuration, from either form of `config.json`.
pub(super) fn config(folder: &Folder<'_>, tokenizer: &mut Tokenizer) -> Result<VideoLlmConfig> {
    let fields = folder.fields();
    let ported = fields.json["text_config"].is_object();
    let text = if ported { fields.section("text_config") } else { fields };
    let feature = if ported { ported_feature(&fields)? } else { original_feature(&fields)? };
    let siglip = vision::config(folder)?;
    let (size, side) = (siglip.image_size, siglip.grid());
    let rows = folder.rows("language_model.model.embed_tokens.weight");
    Ok(VideoLlmConfig {
        model_type: ModelType::Strefer,
        frames: FramesConfig {
            count: FRAMES,
            rule: UniformRule::LinspaceTrunc,
            fit: Fit::Stretch,
            region_fit: Fit::Stretch,
            stills_once: false,
            time_embedding: false,
        },
        vision: VisionConfig { siglip, feature },
        connector: ConnectorConfig::Mlp(MlpConfig {
            pooled_side: side.div_ceil(2),
            newline: newline(&fields)?,
        }),
        tiles: tiles::config(&fields, ported, size)?,
        region: None,
        time: TimeConfig::Text,
        llm: text.decoder("qwen2", rows, &qwen2_defaults())?,
        chat: ChatPreset::Qwen2,
        tokens: TokenIds {
            region: None,
            first_time: None,
            pad: tokens::pad(folder, text.json, tokenizer, "<|endoftext|>")?,
            eos: tokens::ends(folder, text.json, tokenizer, &["<|im_end|>"])?,
            // The port's tokenizer has it, to the original's it is added.
            video: tokenizer.add_special_tokens(&[VIDEO_TOKEN])?[0],
        },
        max_text_tokens: fields.size("tokenizer_model_max_length", 32768)?,
    })
}

/// The port says which of the layers it holds gives the feature.
fn ported_feature(fields: &Fields<'_>) -> Result<FeatureLayer> {
    fields.refuse_others("vision_feature_select_strategy", &["full"])?;
    fields.refuse_others("projector_hidden_act", &["gelu"])?;
    if fields.json["multimodal_projector_bias"] == Value::Bool(false) {
        return Err(fields.bad("a projector without biases is not supported"));
    }
    Ok(FeatureLayer::Hidden(fields.integer("vision_feature_layer", -1)?))
}

/// The original cuts the last layer off, and counts from the whole tower.
fn original_feature(fields: &Fields<'_>) -> Result<FeatureLayer> {
    fields.refuse_others("mm_projector_type", &["mlp2x_gelu"])?;
    fields.refuse_others("mm_vision_select_feature", &["patch"])?;
    fields.refuse_others("mm_spatial_pool_mode", &["bilinear"])?;
    match fields.size("mm_spatial_pool_stride", 2)? {
        2 => Ok(FeatureLayer::Hidden(fields.integer("mm_vision_select_layer", -2)?)),
        other => Err(fields.bad(format!("mm_spatial_pool_stride {other} is not supported"))),
    }
}

fn newline(fields: &Fields<'_>) -> Result<Newline> {
    match fields.text("mm_newline_position").unwrap_or("one_token") {
        "one_token" => Ok(Newline::OneToken),
        "frame" => Ok(Newline::Frame),
        "no_token" => Ok(Newline::NoToken),
        other => Err(fields.bad(format!("mm_newline_position {other:?} is not supported"))),
    }
}

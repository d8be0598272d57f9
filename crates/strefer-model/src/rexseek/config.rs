//! What a folder's `config.json` says.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use strefer_llm::DecoderConfig;
use strefer_vision::clip::ClipVisionConfig;
use strefer_vision::convnext::ConvNextConfig;
use strefer_vision::siglip::FeatureLayer;

use crate::error::Result;
use crate::family::{Fields, qwen2_defaults};

/// Side of the published canvas.
const CANVAS: usize = 768;

/// Indices that there are tokens for.
const MAX_BOXES: usize = 100;

/// Sizes of all parts.
#[derive(Debug, Clone, PartialEq)]
pub struct RexSeekConfig {
    /// The language model.
    pub llm: DecoderConfig,
    /// The tower of low resolution.
    pub clip: ClipVisionConfig,
    /// Which of its states is the feature; the class token is left out.
    pub feature: FeatureLayer,
    /// The tower of high resolution.
    pub convnext: ConvNextConfig,
    /// Side of the square that images lie on.
    pub canvas: usize,
    /// Boxes that can be addressed in one scene.
    pub max_boxes: usize,
}

impl RexSeekConfig {
    /// Reads a `config.json` with `model_type` `rexseek_qwen`. The published one does not give the towers' sizes; a section
    /// `vision_config` (CLIP) or `vision_aux_config` (ConvNeXt), `image_size_aux` and `max_num_objects` of another model may.
    /// `rows` are those of the embedding, where they are known.
    ///
    /// # Errors
    /// Another `model_type`, a part that we do not have, sizes that do not fit each other.
    pub fn from_json(path: &Path, json: &Value, rows: Option<usize>) -> Result<Self> {
        let fields = Fields { path, json };
        if fields.text("model_type") != Some("rexseek_qwen") {
            return Err(fields.bad(format!("model_type is {}, not \"rexseek_qwen\"", json["model_type"])));
        }
        fields.refuse_others("mm_vision_select_feature", &["patch"])?;
        fields.refuse_others("mm_projector_type", &["mlp2x_gelu"])?;
        let cfg = Self {
            llm: fields.decoder("qwen2", rows, &qwen2_defaults())?,
            clip: section(&fields, "vision_config", ClipVisionConfig::large_336)?,
            feature: FeatureLayer::Hidden(fields.integer("mm_vision_select_layer", -2)?),
            convnext: section(&fields, "vision_aux_config", ConvNextConfig::large)?,
            canvas: fields.size("image_size_aux", CANVAS)?,
            max_boxes: fields.size("max_num_objects", MAX_BOXES)?,
        };
        cfg.validate().map_err(|reason| fields.bad(reason))?;
        for (key, wanted) in
            [("mm_hidden_size", cfg.image_width()), ("object_hidden_size", cfg.object_width())]
        {
            let found = fields.size(key, wanted)?;
            if found != wanted {
                return Err(fields.bad(format!("{key:?} is {found}, the towers give {wanted}")));
            }
        }
        Ok(cfg)
    }

    fn validate(&self) -> std::result::Result<(), String> {
        self.llm.validate().map_err(|error| error.to_string())?;
        self.clip.validate().map_err(|error| error.to_string())?;
        self.convnext.validate().map_err(|error| error.to_string())?;
        self.feature.depth(self.clip.num_hidden_layers).map_err(|error| error.to_string())?;
        let stride = self.convnext.patch_size << (self.convnext.depths.len() - 1);
        let cells = self.canvas / stride;
        if !self.canvas.is_multiple_of(stride) || cells != self.clip.grid() {
            return Err(format!(
                "a canvas of {} pixels has {cells} cells of {stride} a side, CLIP's images {} patches",
                self.canvas,
                self.clip.grid()
            ));
        }
        if !self.object_width().is_multiple_of(8) {
            return Err(format!("objects {} wide have no whole waves for four numbers", self.object_width()));
        }
        match self.max_boxes {
            0 => Err("max_num_objects is 0".into()),
            _ => Ok(()),
        }
    }

    /// Width of what the towers say about a cell.
    pub fn image_width(&self) -> usize {
        self.clip.hidden_size + self.convnext.hidden_sizes.last().copied().unwrap_or_default()
    }

    /// Width of what the towers say about a box.
    pub fn object_width(&self) -> usize {
        self.convnext.hidden_sizes.iter().sum()
    }

    /// Tokens of an image.
    pub fn image_tokens(&self) -> usize {
        self.clip.grid().pow(2)
    }
}

fn section<T: DeserializeOwned>(fields: &Fields<'_>, key: &str, usual: impl FnOnce() -> T) -> Result<T> {
    match &fields.json[key] {
        Value::Null => Ok(usual()),
        section => {
            serde_json::from_value(section.clone()).map_err(|error| fields.bad(format!("{key}: {error}")))
        }
    }
}

//! Sizes of the model, with the published keys, and the four published sizes.

use std::path::Path;

use serde::{Deserialize, Serialize};
use strefer_nn::Weights;

use crate::error::{Error, Result};

/// Side of the top map's cells in pixels.
pub(super) const STRIDE: usize = 16;

/// The trunk of the image encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackboneConfig {
    /// Blocks of each stage.
    pub blocks_per_stage: Vec<usize>,
    /// Width of each stage.
    pub embed_dim_per_stage: Vec<usize>,
    /// Attention heads of each stage.
    pub num_attention_heads_per_stage: Vec<usize>,
    /// Side of the windows of each stage.
    pub window_size_per_stage: Vec<usize>,
    /// Blocks, counted through all stages, that attend to the whole map.
    pub global_attention_blocks: Vec<usize>,
    /// Size of the position table that is stretched over the map.
    pub window_positional_embedding_background_size: [usize; 2],
    /// Inner width of the MLPs over their width.
    pub mlp_ratio: f64,
    /// Keeps layer norms finite.
    pub layer_norm_eps: f64,
}

/// The image encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// The trunk.
    pub backbone_config: BackboneConfig,
    /// Width of the maps that the neck makes.
    pub fpn_hidden_size: usize,
    /// Levels, counted from the finest, that take part in the way down from the coarsest.
    pub fpn_top_down_levels: Vec<usize>,
}

/// The encoder of prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptEncoderConfig {
    /// Width of prompt tokens.
    pub hidden_size: usize,
    /// Side of the square images.
    pub image_size: usize,
    /// Channels of mask prompts on the way.
    pub mask_input_channels: usize,
}

/// The mask decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MaskDecoderConfig {
    /// Width of its tokens.
    pub hidden_size: usize,
    /// Inner width of its MLPs.
    pub mlp_dim: usize,
    /// Two-way blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// By how much attention between tokens and image is narrower.
    pub attention_downsample_rate: usize,
    /// Masks beside the single one.
    pub num_multimask_outputs: usize,
    /// Layers of the head that estimates overlaps.
    pub iou_head_depth: usize,
    /// Inner width of that head.
    pub iou_head_hidden_dim: usize,
    /// Whether an unstable single mask gives way to the best of the others.
    pub dynamic_multimask_via_stability: bool,
    /// Logits this far on either side of zero are compared.
    pub dynamic_multimask_stability_delta: f64,
    /// From here on a mask is stable.
    pub dynamic_multimask_stability_thresh: f64,
}

/// The whole model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sam2Config {
    /// The image encoder.
    pub vision_config: VisionConfig,
    /// The encoder of prompts.
    pub prompt_encoder_config: PromptEncoderConfig,
    /// The mask decoder.
    pub mask_decoder_config: MaskDecoderConfig,
    /// Frames in memory, the conditioning one counted as one.
    pub num_maskmem: usize,
    /// What mask probabilities are multiplied with before they are remembered.
    pub sigmoid_scale_for_mem_enc: f64,
    /// What is added then.
    pub sigmoid_bias_for_mem_enc: f64,
    /// Whether memories of hidden objects are marked; all of SAM 2.1 does.
    pub enable_occlusion_spatial_embedding: bool,
    /// Whether object pointers know how old they are; all of SAM 2.1 does.
    pub enable_temporal_pos_encoding_for_object_pointers: bool,
    /// Whether several masks are made where a prompt leaves room for them.
    pub multimask_output_in_sam: bool,
    /// Whether this is so on frames without prompts, too.
    pub multimask_output_for_tracking: bool,
    /// From this many points on.
    pub multimask_min_pt_num: usize,
    /// Up to this many points.
    pub multimask_max_pt_num: usize,
    /// Frames whose object pointers are remembered.
    pub max_object_pointers_in_encoder: usize,
    /// Conditioning frames that memory attention sees; -1 for all.
    pub max_cond_frame_num: i64,
    /// Width of memory attention.
    pub memory_attention_hidden_size: usize,
    /// Its layers.
    pub memory_attention_num_layers: usize,
    /// Its heads.
    pub memory_attention_num_attention_heads: usize,
    /// By how much its attention is narrower.
    pub memory_attention_downsample_rate: usize,
    /// Inner width of its MLPs.
    pub memory_attention_feed_forward_hidden_size: usize,
    /// Base of its rotation's frequencies; `rope_parameters` goes first.
    pub memory_attention_rope_theta: f64,
    /// Where newer configurations have that base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<RopeParameters>,
    /// Channels of a memory.
    pub memory_encoder_output_channels: usize,
    /// Blocks that fuse image and mask into a memory.
    pub memory_fuser_num_layers: usize,
    /// Inner width of those blocks.
    pub memory_fuser_intermediate_dim: usize,
}

/// Settings of a rotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RopeParameters {
    /// Base of the frequencies.
    pub rope_theta: f64,
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self {
            blocks_per_stage: vec![1, 2, 7, 2],
            embed_dim_per_stage: vec![96, 192, 384, 768],
            num_attention_heads_per_stage: vec![1, 2, 4, 8],
            window_size_per_stage: vec![8, 4, 14, 7],
            global_attention_blocks: vec![5, 7, 9],
            window_positional_embedding_background_size: [7, 7],
            mlp_ratio: 4.0,
            layer_norm_eps: 1e-6,
        }
    }
}

impl Default for VisionConfig {
    fn default() -> Self {
        let backbone_config = BackboneConfig::default();
        Self { backbone_config, fpn_hidden_size: 256, fpn_top_down_levels: vec![2, 3] }
    }
}

impl Default for PromptEncoderConfig {
    fn default() -> Self {
        Self { hidden_size: 256, image_size: 1024, mask_input_channels: 16 }
    }
}

impl Default for MaskDecoderConfig {
    fn default() -> Self {
        Self {
            hidden_size: 256,
            mlp_dim: 2048,
            num_hidden_layers: 2,
            num_attention_heads: 8,
            attention_downsample_rate: 2,
            num_multimask_outputs: 3,
            iou_head_depth: 3,
            iou_head_hidden_dim: 256,
            dynamic_multimask_via_stability: true,
            dynamic_multimask_stability_delta: 0.05,
            dynamic_multimask_stability_thresh: 0.98,
        }
    }
}

impl Default for Sam2Config {
    /// SAM 2.1 tiny, whose values configurations leave out.
    fn default() -> Self {
        Self {
            vision_config: VisionConfig::default(),
            prompt_encoder_config: PromptEncoderConfig::default(),
            mask_decoder_config: MaskDecoderConfig::default(),
            num_maskmem: 7,
            sigmoid_scale_for_mem_enc: 20.0,
            sigmoid_bias_for_mem_enc: -10.0,
            enable_occlusion_spatial_embedding: true,
            enable_temporal_pos_encoding_for_object_pointers: true,
            multimask_output_in_sam: true,
            multimask_output_for_tracking: true,
            multimask_min_pt_num: 0,
            multimask_max_pt_num: 1,
            max_object_pointers_in_encoder: 16,
            max_cond_frame_num: -1,
            memory_attention_hidden_size: 256,
            memory_attention_num_layers: 4,
            memory_attention_num_attention_heads: 1,
            memory_attention_downsample_rate: 1,
            memory_attention_feed_forward_hidden_size: 2048,
            memory_attention_rope_theta: 10000.0,
            rope_parameters: None,
            memory_encoder_output_channels: 64,
            memory_fuser_num_layers: 2,
            memory_fuser_intermediate_dim: 1024,
        }
    }
}

impl Sam2Config {
    fn with_backbone(backbone_config: BackboneConfig) -> Self {
        let vision_config = VisionConfig { backbone_config, ..VisionConfig::default() };
        Self { vision_config, ..Self::default() }
    }

    /// SAM 2.1 tiny.
    pub fn tiny() -> Self {
        Self::default()
    }

    /// SAM 2.1 small.
    pub fn small() -> Self {
        Self::with_backbone(BackboneConfig {
            blocks_per_stage: vec![1, 2, 11, 2],
            global_attention_blocks: vec![7, 10, 13],
            ..BackboneConfig::default()
        })
    }

    /// SAM 2.1 base+.
    pub fn base_plus() -> Self {
        Self::with_backbone(BackboneConfig {
            blocks_per_stage: vec![2, 3, 16, 3],
            embed_dim_per_stage: vec![112, 224, 448, 896],
            num_attention_heads_per_stage: vec![2, 4, 8, 16],
            global_attention_blocks: vec![12, 16, 20],
            window_positional_embedding_background_size: [14, 14],
            ..BackboneConfig::default()
        })
    }

    /// SAM 2.1 large.
    pub fn large() -> Self {
        Self::with_backbone(BackboneConfig {
            blocks_per_stage: vec![2, 6, 36, 4],
            embed_dim_per_stage: vec![144, 288, 576, 1152],
            num_attention_heads_per_stage: vec![2, 4, 8, 16],
            window_size_per_stage: vec![8, 4, 16, 8],
            global_attention_blocks: vec![23, 33, 43],
            ..BackboneConfig::default()
        })
    }

    /// The published size that weights with canonical names have.
    pub fn of_weights(weights: &Weights) -> Result<Self> {
        let trunk = "vision_encoder.backbone";
        let width = weights.shape(&format!("{trunk}.patch_embed.projection.weight")).and_then(<[_]>::first);
        let blocks = (0..)
            .take_while(|at| weights.contains(&format!("{trunk}.blocks.{at}.layer_norm1.weight")))
            .count();
        match (width, blocks) {
            (Some(96), 12) => Ok(Self::tiny()),
            (Some(96), 16) => Ok(Self::small()),
            (Some(112), 24) => Ok(Self::base_plus()),
            (Some(144), 48) => Ok(Self::large()),
            _ => Err(Error::Config {
                origin: weights.origin().to_owned(),
                reason: "no config.json, and the weights have none of the sizes of SAM 2.1".to_owned(),
            }),
        }
    }

    /// Reads a `config.json`.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let bad = |reason: String| Error::Config { origin: path.display().to_string(), reason };
        let cfg: Self = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        cfg.validate().map_err(bad)?;
        Ok(cfg)
    }

    /// Side of the top map.
    pub fn grid(&self) -> usize {
        self.prompt_encoder_config.image_size / STRIDE
    }

    /// Side of the low-resolution masks.
    pub fn mask_size(&self) -> usize {
        4 * self.grid()
    }

    /// Base of the rotation's frequencies.
    pub(super) fn rope_theta(&self) -> f64 {
        self.rope_parameters.as_ref().map_or(self.memory_attention_rope_theta, |rope| rope.rope_theta)
    }

    /// Says what does not fit.
    pub fn validate(&self) -> std::result::Result<(), String> {
        let backbone = &self.vision_config.backbone_config;
        let lengths = [
            backbone.blocks_per_stage.len(),
            backbone.embed_dim_per_stage.len(),
            backbone.num_attention_heads_per_stage.len(),
            backbone.window_size_per_stage.len(),
        ];
        if lengths != [4; 4] {
            return Err(format!("the trunk has four stages, the configuration lists {lengths:?}"));
        }
        let heads = backbone.embed_dim_per_stage.iter().zip(&backbone.num_attention_heads_per_stage);
        if let Some((width, heads)) = heads.into_iter().find(|(d, n)| **n == 0 || !d.is_multiple_of(**n)) {
            return Err(format!("width {width} cannot be split into {heads} heads"));
        }
        if backbone.blocks_per_stage.contains(&0) || backbone.window_size_per_stage.contains(&0) {
            return Err("a stage without blocks, or windows without cells".to_owned());
        }
        let size = self.prompt_encoder_config.image_size;
        if size == 0 || !size.is_multiple_of(2 * STRIDE) {
            return Err(format!("image_size {size} is no multiple of {}", 2 * STRIDE));
        }
        let width = self.vision_config.fpn_hidden_size;
        if [self.prompt_encoder_config.hidden_size, self.mask_decoder_config.hidden_size] != [width; 2] {
            return Err(format!("neck, prompts and decoder must be equally wide ({width})"));
        }
        if !width.is_multiple_of(8) {
            return Err(format!("width {width} is no multiple of 8"));
        }
        let decoder = &self.mask_decoder_config;
        let inner = width / decoder.attention_downsample_rate.max(1);
        if decoder.num_attention_heads == 0 || !inner.is_multiple_of(decoder.num_attention_heads) {
            return Err(format!("width {inner} cannot be split into {} heads", decoder.num_attention_heads));
        }
        Ok(())
    }

    /// Says what does not fit in the parts that follow objects through videos.
    pub fn validate_video(&self) -> std::result::Result<(), String> {
        self.validate()?;
        if !self.enable_occlusion_spatial_embedding || !self.enable_temporal_pos_encoding_for_object_pointers
        {
            return Err("this is SAM 2.0, which is not supported; SAM 2.1 has the same sizes".to_owned());
        }
        let (width, memory) = (self.vision_config.fpn_hidden_size, self.memory_encoder_output_channels);
        if self.memory_attention_hidden_size != width || memory == 0 || !width.is_multiple_of(memory) {
            return Err(format!("memories of {memory} channels and width {width} do not fit each other"));
        }
        let inner = width / self.memory_attention_downsample_rate.max(1);
        let heads = self.memory_attention_num_attention_heads;
        if heads == 0 || !inner.is_multiple_of(4 * heads) {
            return Err(format!("width {inner} cannot be rotated in {heads} heads"));
        }
        if self.num_maskmem == 0 || self.max_object_pointers_in_encoder < 2 {
            return Err("memory needs at least one frame and two pointers".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit_and_an_older_model_is_refused() {
        for cfg in [Sam2Config::tiny(), Sam2Config::small(), Sam2Config::base_plus(), Sam2Config::large()] {
            cfg.validate_video().unwrap();
            let text = serde_json::to_string(&cfg).unwrap();
            assert_eq!(serde_json::from_str::<Sam2Config>(&text).unwrap(), cfg);
        }
        let old = Sam2Config { enable_occlusion_spatial_embedding: false, ..Sam2Config::tiny() };
        assert!(old.validate_video().unwrap_err().contains("SAM 2.0"));
        let text = r#"{"vision_config": {"backbone_config": {"window_size_per_stage": [8, 4]}}}"#;
        assert!(serde_json::from_str::<Sam2Config>(text).unwrap().validate().is_err());
    }
}

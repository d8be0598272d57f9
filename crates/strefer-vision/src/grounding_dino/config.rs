//! Sizes of the model, with the published keys, and the two published sizes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The image backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SwinConfig {
    /// Width of the first stage; each later one is twice as wide.
    pub embed_dim: usize,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Attention heads of each stage.
    pub num_heads: Vec<usize>,
    /// Side of the windows.
    pub window_size: usize,
    /// Side of a patch.
    pub patch_size: usize,
    /// Inner width of the MLPs over their width.
    pub mlp_ratio: f64,
    /// Keeps layer norms finite.
    pub layer_norm_eps: f64,
    /// Stages whose maps are handed on, counted from 1; 0 would be the patches.
    pub out_indices: Vec<usize>,
}

impl Default for SwinConfig {
    fn default() -> Self {
        Self {
            embed_dim: 96,
            depths: vec![2, 2, 6, 2],
            num_heads: vec![3, 6, 12, 24],
            window_size: 7,
            patch_size: 4,
            mlp_ratio: 4.0,
            layer_norm_eps: 1e-5,
            out_indices: vec![2, 3, 4],
        }
    }
}

impl SwinConfig {
    /// Width of stage `stage`, counted from 0.
    pub fn width(&self, stage: usize) -> usize {
        self.embed_dim << stage
    }
}

/// The text backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Inner width of the MLPs.
    pub intermediate_size: usize,
    /// Entries of the position table.
    pub max_position_embeddings: usize,
    /// Kinds of tokens.
    pub type_vocab_size: usize,
    /// Keeps layer norms finite.
    pub layer_norm_eps: f64,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
        }
    }
}

/// What keeps the phrases of a text apart in the text backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextMask {
    /// A token does not see other phrases, as the model was trained.
    #[default]
    Hide,
    /// A token sees all phrases and its own one stronger: one is added to those scores. transformers 5 does so where its
    /// plain attention gets the mask as flags; it serves to compare with numbers recorded that way.
    Raise,
}

/// The whole model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroundingDinoConfig {
    /// The image backbone.
    pub backbone_config: SwinConfig,
    /// The text backbone.
    pub text_config: BertConfig,
    /// Width of encoder and decoder.
    pub d_model: usize,
    /// Boxes that the decoder refines.
    pub num_queries: usize,
    /// Encoder layers.
    pub encoder_layers: usize,
    /// Inner width of their MLPs.
    pub encoder_ffn_dim: usize,
    /// Their attention heads.
    pub encoder_attention_heads: usize,
    /// Places that a query reads of each map.
    pub encoder_n_points: usize,
    /// Decoder layers.
    pub decoder_layers: usize,
    /// Inner width of their MLPs.
    pub decoder_ffn_dim: usize,
    /// Their attention heads.
    pub decoder_attention_heads: usize,
    /// Places that a query reads of each map.
    pub decoder_n_points: usize,
    /// Maps, the coarsest made from the backbone's last.
    pub num_feature_levels: usize,
    /// Tokens of a text at most.
    pub max_text_len: usize,
    /// Temperature of the positions of cells.
    pub positional_embedding_temperature: f64,
    /// Keeps layer norms finite.
    pub layer_norm_eps: f64,
    /// What keeps phrases apart in the text backbone.
    pub text_mask: TextMask,
    /// Whether queries begin at the best cells of the encoder; all published models do.
    pub two_stage: bool,
    /// Whether the content of queries is learned; in all published models it is.
    pub embedding_init_target: bool,
}

impl Default for GroundingDinoConfig {
    /// The tiny model, whose values configurations leave out.
    fn default() -> Self {
        Self {
            backbone_config: SwinConfig::default(),
            text_config: BertConfig::default(),
            d_model: 256,
            num_queries: 900,
            encoder_layers: 6,
            encoder_ffn_dim: 2048,
            encoder_attention_heads: 8,
            encoder_n_points: 4,
            decoder_layers: 6,
            decoder_ffn_dim: 2048,
            decoder_attention_heads: 8,
            decoder_n_points: 4,
            num_feature_levels: 4,
            max_text_len: 256,
            positional_embedding_temperature: 20.0,
            layer_norm_eps: 1e-5,
            text_mask: TextMask::Hide,
            two_stage: true,
            embedding_init_target: true,
        }
    }
}

impl GroundingDinoConfig {
    /// `IDEA-Research/grounding-dino-tiny`.
    pub fn tiny() -> Self {
        Self::default()
    }

    /// `IDEA-Research/grounding-dino-base`.
    pub fn base() -> Self {
        let backbone_config = SwinConfig {
            embed_dim: 128,
            depths: vec![2, 2, 18, 2],
            num_heads: vec![4, 8, 16, 32],
            window_size: 12,
            ..SwinConfig::default()
        };
        Self { backbone_config, ..Self::default() }
    }

    /// Reads a `config.json`.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let bad = |reason: String| Error::Config { origin: path.display().to_string(), reason };
        let cfg: Self = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        cfg.validate().map_err(bad)?;
        Ok(cfg)
    }

    /// Says what does not fit.
    pub fn validate(&self) -> std::result::Result<(), String> {
        let swin = &self.backbone_config;
        let stages = swin.depths.len();
        if stages == 0 || swin.num_heads.len() != stages || swin.depths.contains(&0) {
            return Err(format!("{stages} depths and {} numbers of heads", swin.num_heads.len()));
        }
        if swin.window_size == 0 || swin.patch_size == 0 {
            return Err("windows or patches without cells".to_owned());
        }
        let ordered = swin.out_indices.is_sorted_by(|a, b| a < b);
        if !ordered || !swin.out_indices.iter().all(|at| (1..=stages).contains(at)) {
            return Err(format!("out_indices {:?} of {stages} stages", swin.out_indices));
        }
        // One map is made from the backbone's last.
        if swin.out_indices.is_empty() || self.num_feature_levels != swin.out_indices.len() + 1 {
            return Err(format!(
                "{} feature levels of {} maps of the backbone, there must be one more",
                self.num_feature_levels,
                swin.out_indices.len()
            ));
        }
        let widths = (0..stages).map(|stage| (swin.width(stage), swin.num_heads[stage]));
        let text = [(self.text_config.hidden_size, self.text_config.num_attention_heads)];
        let own = [
            (self.d_model, self.encoder_attention_heads),
            (self.d_model, self.encoder_attention_heads / 2),
            (self.encoder_ffn_dim / 2, self.encoder_attention_heads / 2),
            (self.d_model, self.decoder_attention_heads),
        ];
        let bad =
            widths.chain(text).chain(own).find(|(width, heads)| *heads == 0 || !width.is_multiple_of(*heads));
        if let Some((width, heads)) = bad {
            return Err(format!("width {width} cannot be split into {heads} heads"));
        }
        if !self.d_model.is_multiple_of(32) {
            return Err(format!("width {} is no multiple of 32", self.d_model));
        }
        if self.num_queries == 0 || self.max_text_len < 3 {
            return Err("no queries, or no room for text".to_owned());
        }
        if !self.two_stage || !self.embedding_init_target {
            return Err("only models with two stages and learned queries are known".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit_and_what_does_not_is_named() {
        for cfg in [GroundingDinoConfig::tiny(), GroundingDinoConfig::base()] {
            cfg.validate().unwrap();
            let text = serde_json::to_string(&cfg).unwrap();
            assert_eq!(serde_json::from_str::<GroundingDinoConfig>(&text).unwrap(), cfg);
        }
        let wrong = GroundingDinoConfig { num_feature_levels: 5, ..GroundingDinoConfig::tiny() };
        assert!(wrong.validate().unwrap_err().contains("5 feature levels"));
    }
}

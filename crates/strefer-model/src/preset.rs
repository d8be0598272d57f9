//! Configurations that are known by name, and fresh checkpoints of them.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use strefer_core::UniformRule;
use strefer_llm::{DecoderConfig, Tokenizer, train_bpe};
use strefer_nn::{ParamStore, Weights};
use strefer_vision::siglip::{FeatureLayer, SiglipConfig};

use crate::checkpoint::Checkpoint;
use crate::config::{ChatPreset, Fit, FramesConfig, ModelType, TokenIds, VideoLlmConfig, VisionConfig};
use crate::connector::{ConnectorConfig, MlpConfig, Newline};
use crate::error::Result;
use crate::processor::{REGION_TOKEN, VIDEO_TOKEN};
use crate::region::RegionConfig;
use crate::start;
use crate::time::{Rounding, TimeConfig, TimeTokens};
use crate::video_llm::VideoLlm;

/// Temporal tokens of the tiny model.
const TINY_TIME: TimeTokens = TimeTokens { count: 32, rounding: Rounding::HalfEven, supervise: true };

/// Special tokens of the tiny model, in the order of their ids.
fn tiny_specials() -> Vec<String> {
    let named =
        ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", VIDEO_TOKEN, REGION_TOKEN];
    named.into_iter().map(str::to_owned).chain(TINY_TIME.texts()).collect()
}

/// The tiny model: one of each part, in little more than a million parameters.
fn tiny(tokenizer: &Tokenizer) -> VideoLlmConfig {
    let id = |token: &str| tokenizer.token_id(token).unwrap_or_default();
    VideoLlmConfig {
        model_type: ModelType::Strefer,
        frames: FramesConfig {
            count: 8,
            rule: UniformRule::LinspaceTrunc,
            fit: Fit::Stretch,
            region_fit: Fit::Stretch,
            stills_once: true,
            time_embedding: true,
        },
        vision: VisionConfig {
            siglip: SiglipConfig {
                hidden_size: 128,
                intermediate_size: 256,
                num_hidden_layers: 3,
                num_attention_heads: 4,
                image_size: 64,
                patch_size: 8,
                ..SiglipConfig::tiny()
            },
            feature: FeatureLayer::LastNormed,
        },
        connector: ConnectorConfig::Mlp(MlpConfig { pooled_side: 2, newline: Newline::NoToken }),
        tiles: None,
        // One token for every frame shown: an action is told from its neighbouring frames.
        region: Some(RegionConfig { max_tokens: 8, place: true, outline: false }),
        time: TimeConfig::Tokens(TINY_TIME),
        llm: DecoderConfig { intermediate_size: 256, ..DecoderConfig::tiny(tokenizer.vocab_size()) },
        chat: ChatPreset::Phi3,
        tokens: TokenIds {
            video: id(VIDEO_TOKEN),
            region: Some(id(REGION_TOKEN)),
            first_time: Some(id("<0>")),
            pad: id("<|endoftext|>"),
            eos: vec![id("<|end|>"), id("<|endoftext|>")],
        },
        max_text_tokens: 1024,
    }
}

/// Writes a fresh tiny model: its tokenizer is learnt from `texts`, its weights are drawn from `seed`.
///
/// # Errors
/// The folder exists or cannot be written; the vocabulary is too small for bytes and special tokens.
pub fn init_tiny<I>(dir: &Path, texts: I, vocab_size: usize, seed: u64) -> Result<VideoLlmConfig>
where
    I: IntoIterator<Item = String>,
    I::IntoIter: Send,
{
    let specials = tiny_specials();
    let specials: Vec<&str> = specials.iter().map(String::as_str).collect();
    let tokenizer = train_bpe(texts, vocab_size, &specials)?;
    let config = tiny(&tokenizer);
    let mut weights = fresh_weights(&config, seed)?;
    start::with_waves(&mut weights, &config, seed)?;
    let weights = Weights::from_tensors("fresh weights", weights);
    Checkpoint::save(dir, &config, &tokenizer, &weights, None)?;
    Ok(config)
}

/// Weights of a model that has learnt nothing, a pure function of configuration and seed.
pub fn fresh_weights(config: &VideoLlmConfig, seed: u64) -> Result<BTreeMap<String, Tensor>> {
    let store = ParamStore::new(seed, &Device::Cpu, DType::F32);
    VideoLlm::new(config, store.var_builder())?;
    Ok(store.tensors())
}

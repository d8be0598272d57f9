//! Both towers with their tokenizer: how well does a text fit an image?

use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strefer_nn::{ParamStore, Weights};
use tokenizers::Tokenizer;

use super::{FeatureLayer, SiglipConfig, SiglipText, SiglipTextConfig, SiglipVision};
use crate::error::{Error, Result};

/// Configuration of both towers with the published keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiglipPairConfig {
    /// The text tower.
    #[serde(default)]
    pub text_config: SiglipTextConfig,
    /// The vision tower.
    pub vision_config: SiglipConfig,
}

impl SiglipPairConfig {
    /// Reads a published `config.json`, which leaves out what has the usual value.
    ///
    /// # Errors
    /// A file that cannot be read or is not of this kind.
    pub fn open(path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::Config { origin: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let mut value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let vision = value.get_mut("vision_config").and_then(Value::as_object_mut);
        usual(vision.ok_or_else(|| bad("it has no vision_config: not SigLIP's".to_owned()))?);
        serde_json::from_value(value).map_err(|error| bad(error.to_string()))
    }
}

/// Fills in the sizes of a vision tower that published files leave out.
fn usual(vision: &mut Map<String, Value>) {
    let sizes = [
        ("hidden_size", 768),
        ("intermediate_size", 3072),
        ("num_hidden_layers", 12),
        ("num_attention_heads", 12),
        ("image_size", 224),
        ("patch_size", 16),
    ];
    for (key, size) in sizes {
        vision.entry(key).or_insert_with(|| size.into());
    }
}

/// The networks of both towers.
#[derive(Debug, Clone)]
pub struct SiglipPair {
    vision_model: SiglipVision,
    text_model: SiglipText,
    /// Logarithm of the factor of products.
    logit_scale: Tensor,
    logit_bias: Tensor,
}

/// Vectors of length 1.
fn unit(xs: &Tensor) -> candle_core::Result<Tensor> {
    xs.broadcast_div(&xs.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)
}

impl SiglipPair {
    /// Weights have the published names.
    pub fn new(cfg: &SiglipPairConfig, vb: VarBuilder) -> candle_core::Result<Self> {
        Ok(Self {
            vision_model: SiglipVision::new(&cfg.vision_config, vb.pp("vision_model"))?,
            text_model: SiglipText::new(&cfg.text_config, vb.pp("text_model"))?,
            logit_scale: vb.get_with_hints(1, "logit_scale", Init::Const(10f64.ln()))?,
            logit_bias: vb.get_with_hints(1, "logit_bias", Init::Const(-10.))?,
        })
    }

    /// Vectors of images, of length 1.
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, s, s)`, between -1 and 1 → `(b, d)`
    pub fn images(&self, pixels: &Tensor) -> candle_core::Result<Tensor> {
        let states = self.vision_model.forward(pixels, FeatureLayer::LastNormed)?;
        unit(&self.vision_model.pool(&states)?)
    }

    /// Vectors of texts, of length 1: `(b, s)` → `(b, d)`.
    pub fn texts(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        unit(&self.text_model.pool(&self.text_model.forward(ids)?)?)
    }

    /// How well texts fit images, as logits: `(n, d)` and `(m, d)` → `(n, m)`.
    pub fn logits(&self, texts: &Tensor, images: &Tensor) -> candle_core::Result<Tensor> {
        let products = texts.matmul(&images.t()?)?;
        products.broadcast_mul(&self.logit_scale.exp()?)?.broadcast_add(&self.logit_bias)
    }
}

/// SigLIP with its tokenizer.
///
/// ```no_run
/// use std::path::Path;
///
/// use candle_core::{DType, Device, Tensor};
/// use strefer_vision::siglip::Siglip;
///
/// let siglip = Siglip::open(Path::new("siglip-so400m-patch14-384"), &Device::Cpu, DType::F32)?;
/// let pixels = Tensor::zeros((2, 3, siglip.image_size(), siglip.image_size()), DType::F32, &Device::Cpu)?;
/// let images = siglip.pair().images(&pixels)?;
/// let texts = siglip.texts(&["a red car", "a dog"])?;
/// let logits = siglip.pair().logits(&texts, &images)?; // (2 texts, 2 images)
/// # Ok::<(), strefer_vision::Error>(())
/// ```
#[derive(Debug)]
pub struct Siglip {
    pair: SiglipPair,
    tokenizer: Tokenizer,
    cfg: SiglipPairConfig,
    device: Device,
    dtype: DType,
}

/// What no computation reads.
fn unread(name: &str) -> bool {
    name.ends_with("position_ids")
}

impl Siglip {
    /// Opens a folder with `config.json`, `tokenizer.json` and weights.
    ///
    /// # Errors
    /// Files that cannot be read, or weights that do not fit.
    pub fn open(dir: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let cfg = SiglipPairConfig::open(&dir.join("config.json"))?;
        let file = dir.join("tokenizer.json");
        let bad = |reason: String| Error::Tokenizer { origin: file.display().to_string(), reason };
        let tokenizer = Tokenizer::from_file(&file).map_err(|error| bad(error.to_string()))?;
        let tokens = tokenizer.get_vocab_size(true);
        if tokens > cfg.text_config.vocab_size {
            return Err(bad(format!("it has {tokens} tokens, the model {}", cfg.text_config.vocab_size)));
        }
        let weights = Weights::open(dir)?.renamed(|name| (!unread(name)).then(|| name.to_owned()))?;
        let store = ParamStore::new(0, device, dtype).with_weights(weights);
        let pair = SiglipPair::new(&cfg, store.var_builder())?;
        store.check_complete()?;
        Ok(Self { pair, tokenizer, cfg, device: device.clone(), dtype })
    }

    /// The networks.
    pub fn pair(&self) -> &SiglipPair {
        &self.pair
    }

    /// Side of the images.
    pub fn image_size(&self) -> usize {
        self.cfg.vision_config.image_size
    }

    /// Vectors of images from normalised pixels of them all, one image after the other.
    ///
    /// # Shapes
    /// - `pixels`: `b * 3 * s * s` values between -1 and 1 → `(b, d)`
    ///
    /// # Errors
    /// Values that are no whole number of images.
    pub fn images(&self, pixels: Vec<f32>) -> Result<Tensor> {
        let side = self.image_size();
        let each = 3 * side * side;
        if pixels.is_empty() || !pixels.len().is_multiple_of(each) {
            return Err(Error::input(format!("{} values are no images of {side} pixels", pixels.len())));
        }
        let count = pixels.len() / each;
        let pixels = Tensor::from_vec(pixels, (count, 3, side, side), &self.device)?;
        Ok(self.pair.images(&pixels.to_dtype(self.dtype)?)?)
    }

    /// Vectors of texts, `(b, d)`. Letters become small and punctuation is left out, as in training; what is longer than
    /// the model takes loses its end.
    ///
    /// # Errors
    /// A text without words.
    pub fn texts(&self, texts: &[&str]) -> Result<Tensor> {
        let length = self.cfg.text_config.max_position_embeddings;
        let mut ids = Vec::with_capacity(texts.len() * length);
        for text in texts {
            let plain = plain(text);
            if plain.is_empty() {
                return Err(Error::input(format!("{text:?} has no words")));
            }
            let encoded = self.tokenizer.encode(plain, true);
            let encoded = encoded.map_err(|error| Error::input(format!("{text:?}: {error}")))?;
            ids.extend(fitted(encoded.get_ids(), length, self.cfg.text_config.pad_token_id));
        }
        let ids = Tensor::from_vec(ids, (texts.len(), length), &self.device)?;
        Ok(self.pair.texts(&ids)?)
    }
}

/// Small letters without ASCII punctuation, single blanks between words.
fn plain(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    kept.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Exactly `length` ids. The last id, which ends a text, is kept when others are left out.
fn fitted(ids: &[u32], length: usize, pad: u32) -> Vec<u32> {
    let mut fitted = ids.to_vec();
    if let (true, Some(&end)) = (fitted.len() > length, ids.last()) {
        fitted.truncate(length - 1);
        fitted.push(end);
    }
    fitted.resize(length, pad);
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_and_made_equally_long() {
        assert_eq!(plain("  The Woman, in \"red\" -- left!\n"), "the woman in red left");
        assert_eq!(fitted(&[7, 8, 1], 5, 1), [7, 8, 1, 1, 1]);
        assert_eq!(fitted(&[7, 8, 9, 5, 2], 3, 1), [7, 8, 2]);
    }

    #[test]
    fn sizes_that_a_published_file_leaves_out_are_the_usual_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let written = r#"{"model_type": "siglip", "text_config": {}, "vision_config": {"image_size": 256}}"#;
        std::fs::write(&path, written).unwrap();
        let cfg = SiglipPairConfig::open(&path).unwrap();
        assert_eq!((cfg.vision_config.image_size, cfg.vision_config.hidden_size), (256, 768));
        assert_eq!(cfg.text_config, SiglipTextConfig::default());
        std::fs::write(&path, r#"{"model_type": "qwen2"}"#).unwrap();
        let error = SiglipPairConfig::open(&path).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains("vision_config"), "{error}");
    }
}

//! What frames look like, as vectors of length 1.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use serde::Deserialize;
use strefer_nn::{ParamStore, Weights};
use strefer_video::transform::to_pixels;
use strefer_vision::siglip::{FeatureLayer, SiglipConfig, SiglipVision};

use crate::error::{Error, Result};

/// Describes frames. Several threads may ask at once.
pub trait FrameFeatures: Send + Sync {
    /// What it is, with all that changes its descriptions.
    fn name(&self) -> &str;

    /// One vector of length 1 a frame.
    ///
    /// # Errors
    /// What a model says that fails, in words.
    fn describe(&self, frames: &[RgbImage]) -> std::result::Result<Vec<Vec<f32>>, String>;
}

/// Shares of colours in the quarters of a frame, without a network.
#[derive(Debug, Clone, Copy, Default)]
pub struct ColourFeatures;

/// Values of each channel that are told apart.
const LEVELS: usize = 4;

impl FrameFeatures for ColourFeatures {
    fn name(&self) -> &str {
        "colours/1"
    }

    fn describe(&self, frames: &[RgbImage]) -> std::result::Result<Vec<Vec<f32>>, String> {
        Ok(frames.iter().map(colours).collect())
    }
}

/// The product of two such vectors is their Bhattacharyya coefficient.
fn colours(image: &RgbImage) -> Vec<f32> {
    let (width, height) = image.dimensions();
    let mut counts = vec![0usize; 4 * LEVELS.pow(3)];
    for (x, y, pixel) in image.enumerate_pixels() {
        let quarter = usize::from(2 * x >= width) + 2 * usize::from(2 * y >= height);
        let level = |value: u8| usize::from(value) * LEVELS / 256;
        let [red, green, blue] = pixel.0.map(level);
        counts[((quarter * LEVELS + red) * LEVELS + green) * LEVELS + blue] += 1;
    }
    let total = (width as usize * height as usize).max(1) as f32;
    counts.into_iter().map(|count| (count as f32 / total).sqrt()).collect()
}

/// The pooled feature of a SigLIP tower.
#[derive(Debug)]
pub struct SiglipFeatures {
    name: String,
    side: u32,
    tower: SiglipVision,
    device: Device,
}

/// Frames that go through the tower at once.
const AT_ONCE: usize = 8;

/// A published `config.json` has the tower's part in a table of its own.
#[derive(Deserialize)]
#[serde(untagged)]
enum ConfigFile {
    Whole { vision_config: SiglipConfig },
    Tower(SiglipConfig),
}

impl SiglipFeatures {
    /// Opens a folder as published (`google/siglip-so400m-patch14-384`): `config.json` and weights.
    ///
    /// # Errors
    /// Files that are missing or do not fit each other.
    pub fn open(dir: &Path, device: &Device) -> Result<Self> {
        let failed = |reason: String| Error::BadFile { path: dir.to_owned(), reason };
        let path = dir.join("config.json");
        let text = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let config = match serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })? {
            ConfigFile::Whole { vision_config } => vision_config,
            ConfigFile::Tower(config) => config,
        };
        let digest = crate::pipeline::digest::of_path(dir)?;
        let store = Weights::open(dir).map_err(|error| failed(error.to_string()))?;
        let store = ParamStore::new(0, device, DType::F32).with_weights(store);
        let tower = SiglipVision::new(&config, store.var_builder().pp("vision_model"))
            .map_err(|error| failed(error.to_string()))?;
        // Text towers and scales that lie beside it are not ours.
        store.check_missing(|_| false).map_err(|error| failed(error.to_string()))?;
        let (name, side) = (format!("siglip/1 {digest}"), config.image_size as u32);
        Ok(Self { name, side, tower, device: device.clone() })
    }

    fn pooled(&self, frames: &[RgbImage]) -> candle_core::Result<Vec<Vec<f32>>> {
        let side = self.side as usize;
        let pixels: Vec<f32> = frames.iter().flat_map(|frame| to_pixels(frame, self.side)).collect();
        let pixels = Tensor::from_vec(pixels, (frames.len(), 3, side, side), &self.device)?;
        let pooled = self.tower.pool(&self.tower.forward(&pixels, FeatureLayer::LastNormed)?)?;
        let length = pooled.sqr()?.sum_keepdim(1)?.sqrt()?;
        pooled.broadcast_div(&length)?.to_dtype(DType::F32)?.to_vec2()
    }
}

impl FrameFeatures for SiglipFeatures {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self, frames: &[RgbImage]) -> std::result::Result<Vec<Vec<f32>>, String> {
        let parts = frames.chunks(AT_ONCE).map(|frames| self.pooled(frames));
        let parts = parts.collect::<candle_core::Result<Vec<_>>>().map_err(|error| error.to_string())?;
        Ok(parts.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> [RgbImage; 2] {
        let plain = |colour| RgbImage::from_pixel(20, 10, image::Rgb(colour));
        [plain([250, 10, 10]), plain([10, 10, 250])]
    }

    fn product(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn colours_have_length_one_and_tell_frames_apart() {
        let [red, blue] = two();
        let mixed =
            RgbImage::from_fn(
                20,
                10,
                |x, y| if x < 10 { *red.get_pixel(x, y) } else { *blue.get_pixel(x, y) },
            );
        let found = ColourFeatures.describe(&[red, blue, mixed]).unwrap();
        assert!(found.iter().all(|row| (product(row, row) - 1.0).abs() < 1e-5));
        assert!(product(&found[0], &found[1]) < 1e-6);
        assert!((product(&found[0], &found[2]) - 0.5).abs() < 1e-5);
    }

    #[test]
    fn a_siglip_folder_gives_its_pooled_feature_and_a_broken_one_is_named() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/siglip_vision");
        let dir = tempfile::tempdir().unwrap();
        let open = || SiglipFeatures::open(dir.path(), &Device::Cpu);
        assert!(open().unwrap_err().to_string().contains("config.json"));
        let config = std::fs::read_to_string(golden.join("config.json")).unwrap();
        std::fs::write(dir.path().join("config.json"), format!("{{\"vision_config\": {config}}}")).unwrap();
        std::fs::copy(golden.join("weights.safetensors"), dir.path().join("model.safetensors")).unwrap();
        let features = open().unwrap();
        let found = features.describe(&two()).unwrap();
        assert!(found.iter().all(|row| row.len() == 24 && (product(row, row) - 1.0).abs() < 1e-5));
        assert!(product(&found[0], &found[1]) < 0.9999);
        // Alone or together.
        assert!((product(&features.describe(&two()[1..]).unwrap()[0], &found[1]) - 1.0).abs() < 1e-5);
        assert!(features.name().starts_with("siglip/1 "));
    }
}

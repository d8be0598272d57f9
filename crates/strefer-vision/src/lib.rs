//! Models that look at pixels: the towers of SigLIP, CLIP and ConvNeXt, SAM 2.1, which finds the masks of what prompts point
//! at, Grounding DINO, which finds the boxes of what phrases name, and Depth Anything V2, which tells how far everything is.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use strefer_nn::ParamStore;
//! use strefer_vision::siglip::{FeatureLayer, SiglipConfig, SiglipVision};
//!
//! let cfg = SiglipConfig { image_size: 32, patch_size: 8, ..SiglipConfig::tiny() };
//! let store = ParamStore::new(1, &Device::Cpu, DType::F32);
//! let tower = SiglipVision::new(&cfg, store.var_builder().pp("vision_model"))?;
//! let pixels = Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
//! let feats = tower.forward(&pixels, FeatureLayer::Hidden(-2))?;
//! assert_eq!(feats.dims(), [2, 16, cfg.hidden_size]);
//! # Ok::<(), candle_core::Error>(())
//! ```

pub mod clip;
pub mod convnext;
pub mod depth_anything;
mod error;
pub mod grounding_dino;
mod layers;
pub mod sam2;
pub mod siglip;

pub use error::{Error, Result};

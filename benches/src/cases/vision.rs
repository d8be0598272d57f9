//! A vision tower, forward only.

use anyhow::Result;
use candle_core::{Device, Tensor};
use serde::Deserialize;
use strefer_vision::siglip::{FeatureLayer, SiglipConfig, SiglipVision};

use super::{Precision, Prepared, parameters, store};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Vision {
    siglip: SiglipConfig,
    frames: usize,
}

impl Vision {
    pub(super) fn prepare(&self) -> Result<Prepared> {
        let feature = FeatureLayer::Hidden(-1);
        let store = store(false, Precision::F32);
        let tower = SiglipVision::for_feature(&self.siglip, feature, store.var_builder())?;
        let size = self.siglip.image_size;
        let pixels = Tensor::rand(-1f32, 1f32, (self.frames, 3, size, size), &Device::Cpu)?;
        let parameters = parameters(&store);
        let work = move || {
            tower.forward(&pixels, feature)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters })
    }
}

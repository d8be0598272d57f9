//! A vision tower, forward only.

use anyhow::Result;
use serde::Deserialize;
use strefer_vision::siglip::{FeatureLayer, SiglipConfig, SiglipVision};

use super::{Place, Prepared, parameters};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Vision {
    siglip: SiglipConfig,
    frames: usize,
}

impl Vision {
    pub(super) fn prepare(&self, place: &Place) -> Result<Prepared> {
        let feature = FeatureLayer::Hidden(-1);
        let store = place.store();
        let tower = SiglipVision::for_feature(&self.siglip, feature, store.var_builder())?;
        let size = self.siglip.image_size;
        let pixels = place.uniform(-1.0, 1.0, (self.frames, 3, size, size))?;
        let parameters = parameters(&store);
        let work = move || {
            tower.forward(&pixels, feature)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters })
    }
}

//! Grounding DINO on one image.

use anyhow::Result;
use serde::Deserialize;
use strefer_vision::grounding_dino::{GroundingDino, GroundingDinoConfig, Phrases, batch};

use super::{Place, Prepared, parameters};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Dino {
    height: usize,
    width: usize,
    /// Tokens of the phrases.
    ids: Vec<u32>,
}

impl Dino {
    pub(super) fn prepare(&self, place: &Place) -> Result<Prepared> {
        let store = place.store();
        let model = GroundingDino::new(&GroundingDinoConfig::tiny(), store.var_builder())?;
        let (height, width) = (self.height, self.width);
        let rgb: Vec<u8> = (0..height * width * 3).map(|at| (at * 7919 % 251) as u8).collect();
        let images = batch(&[(&rgb, height, width)])?;
        let phrases = Phrases::new(std::slice::from_ref(&self.ids))?;
        let work = move || {
            model.forward(&images, &phrases)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters: parameters(&store) })
    }
}

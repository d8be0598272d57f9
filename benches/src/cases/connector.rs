//! A video connector, forward only.

use anyhow::Result;
use serde::Deserialize;
use strefer_model::connector::{Connector, ConnectorConfig};

use super::{Place, Prepared, parameters};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Video {
    connector: ConnectorConfig,
    frames: usize,
    /// Patches of a frame.
    patches: usize,
    vision_dim: usize,
    text_dim: usize,
}

impl Video {
    pub(super) fn prepare(&self, place: &Place) -> Result<Prepared> {
        let store = place.store();
        let connector = Connector::new(&self.connector, self.vision_dim, self.text_dim, store.var_builder())?;
        let shape = (1, self.frames, self.patches, self.vision_dim);
        let feats = place.normal(shape)?;
        let parameters = parameters(&store);
        let work = move || {
            connector.forward(&feats)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters })
    }
}

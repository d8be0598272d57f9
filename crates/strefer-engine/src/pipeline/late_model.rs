//! A Video LLM that is loaded when it is first needed.

use std::sync::{Mutex, PoisonError};

use strefer_model::Loaded;

/// Loads a model, or says why it cannot be.
pub type ModelLoader = dyn Fn() -> Result<Loaded, String> + Send + Sync;

/// A model that answers one question at a time, and is loaded for the first.
pub(super) struct LateModel {
    load: Box<ModelLoader>,
    loaded: Mutex<Option<Loaded>>,
}

impl LateModel {
    pub(super) fn new(load: Box<ModelLoader>) -> Self {
        Self { load, loaded: Mutex::new(None) }
    }

    /// Works with the model; an error says why it cannot be loaded. A panic on the way has it loaded anew.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Loaded) -> T) -> Result<T, String> {
        let mut turn = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = match turn.take() {
            Some(loaded) => loaded,
            None => (self.load)()?,
        };
        let done = work(&loaded);
        *turn = Some(loaded);
        Ok(done)
    }
}

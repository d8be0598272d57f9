//! What a server can do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Endpoint;
use crate::Teacher;
use crate::fault::Fault;
use crate::question::{Clip, Part, Question};

/// A red PNG of 32×32 pixels: some servers refuse smaller ones.
const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKElEQVR42u3NQQ0AAAgEoNP+nTWFDzcoQE1udQQCgUAgEAgEAsGTYAGjxAE/G/Q2tQAAAABJRU5ErkJggg==";

/// What a server said about itself, and what it did when it was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The models it names.
    pub models: Vec<String>,
    /// Tokens that the model may see and write, where the server says so.
    pub context: Option<u64>,
    /// Why answers do not come in a form asked for; nothing where they do.
    pub no_schema: Option<String>,
    /// Why images are not seen.
    pub no_images: Option<String>,
    /// Why frames of a video are not seen.
    pub no_clips: Option<String>,
}

impl Endpoint {
    /// Asks what models there are, and tries a form, an image and frames. A few tokens are spent.
    ///
    /// # Errors
    /// The server does not answer, or has not the model.
    pub fn probe(&self) -> Result<Capabilities, Fault> {
        let end = Instant::now() + Duration::from_secs_f64(self.config.deadline_s);
        let listed = self.insist("models", None, end)?;
        let listed = listed["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        let name = |model: &serde_json::Value| model["id"].as_str().map(str::to_owned);
        let models: Vec<String> = listed.iter().filter_map(name).collect();
        let Some(own) = listed.iter().find(|model| model["id"] == self.config.model) else {
            let message = format!("has no model {:?}, only {models:?}", self.config.model);
            return Err(Fault::Refused { endpoint: self.config.url.clone(), status: 404, message });
        };
        let context = own["max_model_len"].as_u64();
        let image: Arc<[u8]> = BASE64_STANDARD.decode(IMAGE).unwrap_or_default().into();
        let clip = Clip { frames: vec![Arc::clone(&image); 2], indices: vec![0, 1], total: 2, fps: 1.0 };
        let plain = || Question::new("probe", "Say yes.");
        let schema = json!({
            "type": "object", "properties": { "yes": { "type": "boolean" } }, "required": ["yes"],
            "additionalProperties": false,
        });
        // What is said does not matter, nor whether it ends.
        let without = |question: &Question| match self.ask(question) {
            Ok(_) | Err(Fault::Unfinished { .. }) => None,
            Err(fault) => Some(fault.to_string()),
        };
        Ok(Capabilities {
            models,
            context,
            no_schema: without(&Question { schema: Some(schema), ..plain() }),
            no_images: without(&plain().showing(Part::Image(image))),
            no_clips: without(&plain().showing(Part::Clip(clip))),
        })
    }
}

//! Models of the Hugging Face hub: downloaded once into the cache that its own programs use, checked, and opened as a
//! folder like any other.
//!
//! ```no_run
//! use strefer_hub::{Event, Hub, HubModel, Settings};
//!
//! # fn main() -> strefer_hub::Result<()> {
//! let model: HubModel = "DAMO-NLP-SG/VideoRefer-7B@main".parse()?;
//! let hub = Hub::new(Settings::from_env()?)?;
//! let folder = hub.fetch(&model, &mut |event| {
//!     if let Event::Begin { file, size, .. } = event {
//!         eprintln!("{file}: {size} bytes");
//!     }
//! })?;
//! # let _ = folder;
//! # Ok(())
//! # }
//! ```
//!
//! One request tells what a revision holds: its commit, and name, size and digest of every file. What the cache has is
//! taken from there; of the rest only what a model needs is downloaded (configuration, tokenizer, weights in one form).
//! A file grows under the name `DIGEST.incomplete` and gets its own when its size and, where the hub gives one, its
//! SHA-256 are right; a download that broke goes on where it stopped.
//!
//! # Why not the crate `hf-hub`
//!
//! Version 1.0 brings an asynchronous runtime and more than 300 packages. The light form of 0.5 (feature `ureq`) was
//! read with this list in hand: it asks for the rest of a partial file but appends whatever comes back, a whole file
//! too; it compares neither size nor digest; it has no offline mode and no timeouts, reads neither `HF_HUB_CACHE` nor
//! `HF_TOKEN`, and its errors do not tell a missing model from a missing revision. All that would be left of it is
//! its paths. `ureq` itself is blocking, small (six packages that the workspace did not have; fifteen with https,
//! on ring) and has a timeout for each read, which a file of many gigabytes needs.

mod cache;
mod client;
mod download;
mod error;
mod event;
mod hub;
mod listing;
mod model;
mod select;
mod settings;

pub use error::{Error, Result};
pub use event::Event;
pub use hub::Hub;
pub use model::HubModel;
pub use settings::{Settings, Token};

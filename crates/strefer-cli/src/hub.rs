//! Models of the hub: a bar a file on stderr, and the folder that the model is opened as.

use std::path::PathBuf;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use strefer_hub::{Event, Hub, Settings};

/// The folder of `OWNER/NAME` or `OWNER/NAME@REVISION`, downloaded unless the cache has it.
pub fn fetch(model: &str, offline: bool) -> Result<PathBuf> {
    let model = model.parse()?;
    let mut settings = Settings::from_env()?;
    settings.offline |= offline;
    let bar = ProgressBar::no_length();
    let template = "{msg} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} (left {eta})";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let folder = Hub::new(settings)?.fetch(&model, &mut |event| show(&bar, &event));
    bar.finish_and_clear();
    Ok(folder?)
}

fn show(bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::Begin { file, size, present } => {
            // Where nobody watches a bar, a line a file goes to the log.
            if bar.is_hidden() {
                tracing::info!("downloading {file}, {present} of {size} bytes are here");
            }
            bar.set_length(*size);
            bar.set_message((*file).to_owned());
            bar.set_position(*present);
            bar.reset_eta();
        }
        Event::Received { bytes } => bar.inc(*bytes),
        Event::End => {}
        Event::Retry { error } => bar.suspend(|| tracing::warn!("{error} (trying again now)")),
        Event::FromCache { error } => {
            bar.suspend(|| tracing::warn!("{error}; until then the model is as the cache has it"));
        }
    }
}

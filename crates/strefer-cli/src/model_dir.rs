//! Where the model is when none is named.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The model that comes with the program: fine-tuned, or as far as the base recipe.
const DEFAULTS: [&str; 2] = ["checkpoints/strefer-tiny/final", "checkpoints/strefer-tiny/base"];

/// The named model, or the one that comes with the program: from `STREFER_MODEL`, below the working folder, or below
/// a folder above the program.
pub fn find_model(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    if let Some(named) = std::env::var_os("STREFER_MODEL") {
        return Ok(named.into());
    }
    let program = std::env::current_exe().ok();
    let above = program.iter().flat_map(|program| program.ancestors().skip(1)).map(Path::to_owned);
    let dirs = std::iter::once(PathBuf::new()).chain(above);
    let places: Vec<PathBuf> = dirs.flat_map(|dir| DEFAULTS.map(|name| dir.join(name))).collect();
    match places.iter().find(|place| place.join("config.json").exists()) {
        Some(place) => Ok(place.clone()),
        None => bail!("no model was named, and {} is neither here nor beside the program", DEFAULTS[0]),
    }
}

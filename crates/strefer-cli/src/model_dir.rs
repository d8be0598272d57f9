//! Where the model is: in a folder, on the hub, or with the program when none is named.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

#[cfg(feature = "hub")]
use crate::hub::fetch;

/// The model that comes with the program: fine-tuned, or as far as the base recipe.
const DEFAULTS: [&str; 2] = ["checkpoints/strefer-tiny/final", "checkpoints/strefer-tiny/base"];

/// What the names of models of the hub begin with.
const HUB_PREFIX: &str = "hf:";

/// The folder of a named model: the name itself, or where the model of the hub lies that it names, downloaded if it has to
/// be and `offline` allows it.
pub fn model_dir(named: &Path, offline: bool) -> Result<PathBuf> {
    match named.to_str().and_then(|text| text.strip_prefix(HUB_PREFIX)) {
        Some(model) => fetch(model, offline),
        None => Ok(named.to_owned()),
    }
}

/// What a program without the hub says.
#[cfg(not(feature = "hub"))]
fn fetch(model: &str, _offline: bool) -> Result<PathBuf> {
    bail!(
        "{HUB_PREFIX}{model} is a model of the hub, and this program was built without it: build with --features hub, or \
         name a folder"
    )
}

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

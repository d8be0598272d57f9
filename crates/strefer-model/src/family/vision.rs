//! The vision tower of a family: described in `config.json`, in a folder of its own, or by its published name.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use strefer_nn::Weights;
use strefer_vision::siglip::SiglipConfig;

use super::Family;
use super::fields::Fields;
use super::folder::Folder;
use crate::checkpoint::read_json;
use crate::error::Result;
use crate::video_llm::prefix;

/// The tower of all three families.
const SO400M: &str = "siglip-so400m-patch14-384";

/// What a `config.json` of transformers leaves out when it is the usual value.
fn defaults() -> Value {
    json!({"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "image_size": 224, "patch_size": 16})
}

/// The tower's name in `config.json`. That of BLIP-3 leaves the usual one out.
fn name_of(json: &Value) -> Option<&str> {
    let names = [&json["mm_vision_tower"], &json["vision_encoder_config"]["model_name"]];
    let usual = || (Family::recognise(json) == Some(Family::Strefer)).then_some(SO400M);
    names.into_iter().find_map(Value::as_str).or_else(usual)
}

/// The folder of a separate tower: where its name leads from `dir`, or inside or beside `dir` under its last part.
pub(super) fn separate_folder(dir: &Path, json: &Value) -> Option<PathBuf> {
    let name = Path::new(name_of(json)?);
    let last = name.file_name()?;
    let places = [Some(dir.join(name)), Some(dir.join(last)), dir.parent().map(|parent| parent.join(last))];
    places.into_iter().flatten().find(|place| place != dir && place.join("config.json").is_file())
}

/// The tensors of a tower's own folder, without those of the text model that it may come with.
pub(super) fn open_tower(folder: &Path) -> Result<Weights> {
    let vision = |name: &str| name.starts_with("vision_model.").then(|| format!("{}.{name}", prefix::VISION));
    Ok(Weights::open(folder)?.renamed(vision)?)
}

/// The tower's configuration: from the section `vision_config`, else from the tower's own folder, else by its name.
pub(super) fn config(folder: &Folder<'_>) -> Result<SiglipConfig> {
    let fields = folder.fields();
    let section = fields.section("vision_config");
    if section.json.is_object() {
        return parse(&section);
    }
    if let Some(tower) = folder.separate_tower() {
        let path = tower.join("config.json");
        let fields = Fields { path: &path, json: &read_json(&path)? };
        let inner = fields.section("vision_config");
        return parse(if inner.json.is_object() { &inner } else { &fields });
    }
    match name_of(fields.json) {
        Some(name) if name.contains(SO400M) => Ok(SiglipConfig::so400m_384()),
        Some(other) => {
            Err(fields.bad(format!("the vision tower {other:?} is neither known nor a folder here")))
        }
        None => Err(fields.bad("no vision tower is named or described")),
    }
}

fn parse(fields: &Fields<'_>) -> Result<SiglipConfig> {
    fields.refuse_others("model_type", &["siglip_vision_model", "siglip"])?;
    serde_json::from_value(fields.with_defaults(&defaults()))
        .map_err(|error| fields.bad(format!("vision tower: {error}")))
}

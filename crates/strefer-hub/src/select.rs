//! Which files of a model are needed: those that describe it, and its weights in one form.
//!
//! | what | files |
//! |---|---|
//! | always there | `config.json`, `tokenizer.json` |
//! | where there are | the tokenizer's other files, `generation_config.json`, the chat template, preprocessor settings, and the same in `origin/` |
//! | weights | the first that is there of: shards of `model.safetensors.index.json`; `model.safetensors`; `model*.safetensors`; shards of `pytorch_model.bin.index.json`; `pytorch_model*.bin`; a single `.pt` or `.pth` |
//! | beside torch weights | parts that training scripts save alone: `mm_projector.bin`, `region_encoder.bin` |

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Without these no model can be opened.
pub const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];

/// What describes a model, in the order in which it is downloaded.
const DESCRIBING: [&str; 14] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
];

/// Where a converted checkpoint keeps the small files of the published one, and its note among them.
const ORIGIN: (&str, &str) = ("origin/", "strefer.json");

/// Indices of weights in several files, in the order in which folders are read.
const SAFETENSORS_INDEX: &str = "model.safetensors.index.json";
const TORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// Parts that lie beside torch weights.
const PARTS: [&str; 2] = ["mm_projector.bin", "region_encoder.bin"];

/// Where a model's weights are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightFiles {
    /// In these files.
    Plain(Vec<String>),
    /// In the [shards](shards) that an index names, and in further files.
    Indexed {
        /// The index.
        index: String,
        /// Files that it does not name.
        parts: Vec<String>,
    },
}

/// The describing files among `names`, in the order in which they are needed.
pub fn describing(names: &BTreeSet<&str>) -> Vec<String> {
    let (folder, note) = ORIGIN;
    let origin = DESCRIBING.iter().chain([&note]).map(|name| format!("{folder}{name}"));
    let all = DESCRIBING.iter().map(|name| (*name).to_owned()).chain(origin);
    all.filter(|name| names.contains(name.as_str())).collect()
}

/// The files among `names` that hold the weights; none where there are no weights in a form that is read.
pub fn weights(names: &BTreeSet<&str>) -> Option<WeightFiles> {
    let here = |wanted: &str| names.contains(wanted).then(|| wanted.to_owned());
    let like = |start: &str, end: &str| {
        let fits = |name: &&&str| !name.contains('/') && name.starts_with(start) && name.ends_with(end);
        names.iter().filter(fits).map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    if let Some(index) = here(SAFETENSORS_INDEX) {
        return Some(WeightFiles::Indexed { index, parts: Vec::new() });
    }
    if let Some(whole) = here("model.safetensors") {
        return Some(WeightFiles::Plain(vec![whole]));
    }
    let safetensors = like("model", ".safetensors");
    if !safetensors.is_empty() {
        return Some(WeightFiles::Plain(safetensors));
    }
    let parts: Vec<String> = PARTS.into_iter().filter_map(here).collect();
    if let Some(index) = here(TORCH_INDEX) {
        return Some(WeightFiles::Indexed { index, parts });
    }
    let torch = like("pytorch_model", ".bin");
    let alone = [like("", ".pt"), like("", ".pth")].concat();
    match (torch.is_empty(), alone.len()) {
        (false, _) => Some(WeightFiles::Plain([torch, parts].concat())),
        (true, 1) => Some(WeightFiles::Plain([alone, parts].concat())),
        _ => None,
    }
}

/// The files that an index names, which lie beside it.
///
/// # Errors
/// Another form than that of an index, or a name that leads elsewhere.
pub fn shards(index: &str) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_str(index).map_err(|error| error.to_string())?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    match names.iter().find(|name| name.is_empty() || name.starts_with('.') || name.contains(['/', '\\'])) {
        Some(name) => Err(format!("{name:?} is no file beside it")),
        None => Ok(names.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Option<WeightFiles> {
        weights(&names.iter().copied().collect())
    }

    fn plain(names: &[&str]) -> Option<WeightFiles> {
        Some(WeightFiles::Plain(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    fn indexed(index: &str, parts: &[&str]) -> Option<WeightFiles> {
        let parts = parts.iter().map(|name| (*name).to_owned()).collect();
        Some(WeightFiles::Indexed { index: index.to_owned(), parts })
    }

    #[test]
    fn weights_are_taken_in_one_form_and_safetensors_first() {
        let (a, b) = ("model-1-of-2.safetensors", "model-2-of-2.safetensors");
        let bins = ["pytorch_model-1.bin", "pytorch_model-2.bin"];
        assert_eq!(of(&[SAFETENSORS_INDEX, a, b, TORCH_INDEX, bins[0]]), indexed(SAFETENSORS_INDEX, &[]));
        assert_eq!(of(&["model.safetensors", a, b, bins[0]]), plain(&["model.safetensors"]));
        assert_eq!(of(&[b, a, "onnx/model.safetensors", bins[0]]), plain(&[a, b]));
        assert_eq!(of(&[TORCH_INDEX, bins[0], PARTS[0]]), indexed(TORCH_INDEX, &[PARTS[0]]));
        assert_eq!(of(&[bins[1], bins[0], PARTS[1]]), plain(&[bins[0], bins[1], PARTS[1]]));
        assert_eq!(of(&["epoch.pt", "training_args.bin"]), plain(&["epoch.pt"]));
        assert_eq!(of(&["a.pt", "b.pth"]), None);
        assert_eq!(of(&["tf_model.h5", "model.gguf", "adapter_model.bin"]), None);
    }

    #[test]
    fn only_what_describes_a_model_is_taken() {
        let names =
            ["README.md", "config.json", "origin/config.json", "origin/strefer.json", "runs/config.json"];
        let taken = describing(&names.into_iter().collect());
        assert_eq!(taken, ["config.json", "origin/config.json", "origin/strefer.json"]);
    }

    #[test]
    fn shards_lie_beside_their_index() {
        let index = r#"{"metadata": {}, "weight_map": {"x": "b.bin", "y": "a.bin", "z": "b.bin"}}"#;
        assert_eq!(shards(index).unwrap(), ["a.bin", "b.bin"]);
        for name in ["../a.bin", "/a.bin", "c\\\\a.bin", "", ".."] {
            assert!(shards(&format!(r#"{{"weight_map": {{"x": "{name}"}}}}"#)).is_err(), "{name}");
        }
        assert!(shards("[]").is_err());
    }
}

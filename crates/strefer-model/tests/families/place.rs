//! A family's folder, written for one test.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::{Value, json};
use strefer_core::golden;
use strefer_core::sample::{Media, MediaKind};
use strefer_model::preset::init_tiny;
use strefer_model::{Checkpoint, Loaded, ProcessorOptions};
use strefer_nn::testing::{Golden, device};
use strefer_nn::{Weights, save_safetensors};

/// Configuration, tokenizer and weights, in memory and in a temporary folder.
pub struct Place {
    dir: tempfile::TempDir,
    pub config: Value,
    pub tokenizer: Value,
    pub tensors: BTreeMap<String, Tensor>,
}

impl Place {
    /// Writes all three; change them and [`Place::write`] again.
    pub fn new(config: Value, tokenizer: Value, tensors: BTreeMap<String, Tensor>) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), config, tokenizer, tensors };
        place.write();
        place
    }

    /// Writes everything, the weights in one file.
    pub fn write(&self) {
        self.write_sharded(usize::MAX);
    }

    /// Writes everything, the weights in shards of at most so many bytes.
    pub fn write_sharded(&self, bytes: usize) {
        let write = |file: &str, json: &Value| std::fs::write(self.path(file), json.to_string()).unwrap();
        write("config.json", &self.config);
        write("tokenizer.json", &self.tokenizer);
        let weights = Weights::from_tensors("test", self.tensors.clone());
        save_safetensors(self.dir.path(), "model", &weights, bytes, &BTreeMap::new()).unwrap();
    }

    pub fn path(&self, file: &str) -> std::path::PathBuf {
        self.dir.path().join(file)
    }

    pub fn open(&self) -> strefer_model::Result<Checkpoint> {
        Checkpoint::open(self.dir.path())
    }

    pub fn load(&self) -> strefer_model::Result<Loaded> {
        self.open()?.load(device(), DType::F32, ProcessorOptions::default())
    }

    /// One value of a tensor moved by one.
    pub fn disturb(&mut self, name: &str) {
        let tensor = &self.tensors[name];
        let mut values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).unwrap();
        values[0] += 1.0;
        let disturbed = Tensor::from_vec(values, tensor.shape(), device()).unwrap();
        self.tensors.insert(name.to_owned(), disturbed);
        self.write();
    }

    /// Every tensor under another name; `None` takes it away.
    pub fn rename(&mut self, name: impl Fn(&str) -> Option<String>) {
        let tensors = std::mem::take(&mut self.tensors);
        self.tensors = tensors.into_iter().filter_map(|(old, tensor)| Some((name(&old)?, tensor))).collect();
    }
}

/// A fresh tiny model, written into `dir` and loaded.
pub fn fresh_tiny(dir: &Path, text: &str) -> Loaded {
    let dir = dir.join("model");
    init_tiny(&dir, [text.to_owned()], 400, 1).unwrap();
    let checkpoint = Checkpoint::open(dir).unwrap();
    checkpoint.load(device(), DType::F32, ProcessorOptions::default()).unwrap()
}

/// A still of one colour, written into `dir`.
pub fn still(dir: &Path) -> Media {
    let path = dir.join("still.png");
    image::RgbImage::from_pixel(64, 64, image::Rgb([200, 40, 40])).save(&path).unwrap();
    Media { kind: MediaKind::Image, uri: path.display().to_string(), segment: None, size: None }
}

/// A `tokenizer.json` of `count` words, those of `specials` special and at their ids.
pub fn word_tokenizer(count: usize, specials: &[(&str, usize)]) -> Value {
    let text = |id: usize| {
        let special = specials.iter().find(|(_, at)| *at == id);
        special.map_or_else(|| format!("w{id}"), |(token, _)| (*token).to_owned())
    };
    let vocab: serde_json::Map<String, Value> = (0..count).map(|id| (text(id), id.into())).collect();
    let added: Vec<Value> = specials
        .iter()
        .map(|(token, id)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "w0"}})
}

/// All tensors of a recorded file.
pub fn tensors(golden: &Golden) -> BTreeMap<String, Tensor> {
    golden.names().into_iter().map(|name| (name.clone(), golden.tensor(&name))).collect()
}

/// A file of a recording, parsed.
pub fn json_file(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder of the project's own recordings.
pub fn own_golden(family: &str) -> std::path::PathBuf {
    golden::dirs(family).remove(0)
}

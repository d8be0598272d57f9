//! How a checkpoint wants its answers written: the settings of its `generation_config.json`.

use std::path::Path;

use serde::Deserialize;
use strefer_llm::GenerationConfig;

use crate::checkpoint::read_json;
use crate::error::{Error, Result};

/// The file's name.
const FILE: &str = "generation_config.json";

/// Of how many tokens transformers draws where a file that wants draws says nothing else.
const USUAL_TOP_K: usize = 50;

/// What we read of the file. It may hold more, which is for other kinds of search.
#[derive(Debug, Default, Deserialize)]
struct Published {
    do_sample: Option<bool>,
    temperature: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
    repetition_penalty: Option<f64>,
    max_new_tokens: Option<usize>,
}

/// The settings of the first of `folders` that has the file, our own where none has: the best token each time. Drawing
/// needs `do_sample`, as in transformers; without it temperature, `top_k` and `top_p` mean nothing.
///
/// # Errors
/// A file that is not JSON, or a value that cannot be meant.
pub(crate) fn read(folders: &[&Path], eos_ids: Vec<u32>) -> Result<GenerationConfig> {
    let mut settings = GenerationConfig { eos_ids, ..GenerationConfig::default() };
    let Some(path) = folders.iter().map(|folder| folder.join(FILE)).find(|path| path.is_file()) else {
        return Ok(settings);
    };
    let bad = |reason: String| Error::Config { path: path.clone(), reason };
    let published = Published::deserialize(read_json(&path)?).map_err(|error| bad(error.to_string()))?;
    if published.do_sample == Some(true) {
        settings.temperature = published.temperature.unwrap_or(1.0);
        settings.top_k = published.top_k.unwrap_or(USUAL_TOP_K);
        settings.top_p = published.top_p.unwrap_or(1.0);
    }
    settings.repetition_penalty = published.repetition_penalty.unwrap_or(settings.repetition_penalty);
    settings.max_new_tokens = published.max_new_tokens.unwrap_or(settings.max_new_tokens);
    settings.validate().map_err(|error| bad(error.to_string()))?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<GenerationConfig> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        read(&[Path::new("nowhere"), dir.path()], vec![7])
    }

    #[test]
    fn draws_are_made_where_the_file_wants_them() {
        let usual = GenerationConfig { eos_ids: vec![7], ..GenerationConfig::default() };
        assert_eq!(read(&[Path::new("nowhere")], vec![7]).unwrap(), usual);
        assert_eq!(of(r#"{"temperature": 0.7, "top_k": 20, "bos_token_id": 1}"#).unwrap(), usual);
        let text = r#"{"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05}"#;
        let drawn = GenerationConfig {
            temperature: 0.7,
            top_k: 20,
            top_p: 0.8,
            repetition_penalty: 1.05,
            ..usual.clone()
        };
        assert_eq!(of(text).unwrap(), drawn);
        let plain = of(r#"{"do_sample": true, "top_k": null, "max_new_tokens": 9}"#).unwrap();
        assert_eq!(plain, GenerationConfig { temperature: 1.0, top_k: 50, max_new_tokens: 9, ..usual });
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_files_name() {
        for text in ["{", r#"{"top_k": -1}"#, r#"{"do_sample": true, "top_p": 2.0}"#] {
            assert!(of(text).unwrap_err().to_string().contains(FILE), "{text}");
        }
    }
}

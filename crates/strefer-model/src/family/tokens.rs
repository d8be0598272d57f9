//! Special tokens of a model: found in its tokenizer, compared with its embedding.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use strefer_llm::Tokenizer;

use super::folder::Folder;
use crate::checkpoint::read_json;
use crate::config::VideoLlmConfig;
use crate::error::{Error, Result};
use crate::processor::REGION_TOKEN;
use crate::time::TimeConfig;

/// The tokenizer's file.
fn file(dir: &Path) -> PathBuf {
    dir.join("tokenizer.json")
}

/// The id of a token that the model cannot do without.
pub(super) fn required(dir: &Path, tokenizer: &Tokenizer, token: &str) -> Result<u32> {
    tokenizer
        .token_id(token)
        .ok_or_else(|| Error::Token { path: file(dir), reason: format!("it has no token {token:?}") })
}

/// Fails unless the tokenizer has all of `tokens`, with ids from `first` on.
pub(super) fn in_order(dir: &Path, tokenizer: &Tokenizer, tokens: &[String], first: u32) -> Result<()> {
    for (token, wanted) in tokens.iter().zip(first..) {
        let found = required(dir, tokenizer, token)?;
        if found != wanted {
            let reason = format!("token {token:?} has the id {found}, the model knows it as {wanted}");
            return Err(Error::Token { path: file(dir), reason });
        }
    }
    Ok(())
}

/// Ids that end an answer: those of `generation_config.json` and of the settings, and those of `texts` that the tokenizer
/// has.
pub(super) fn ends(
    folder: &Folder<'_>,
    settings: &Value,
    tokenizer: &Tokenizer,
    texts: &[&str],
) -> Result<Vec<u32>> {
    let path = folder.dir.join("generation_config.json");
    let generation = if path.is_file() { read_json(&path)? } else { Value::Null };
    let mut ids = Vec::new();
    for ids_or_id in [&generation["eos_token_id"], &settings["eos_token_id"]] {
        let listed = ids_or_id.as_array().into_iter().flatten().chain([ids_or_id]);
        ids.extend(listed.filter_map(Value::as_u64).map(|id| id as u32));
    }
    ids.extend(texts.iter().filter_map(|text| tokenizer.token_id(text)));
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
    Ok(ids)
}

/// The id that fills short rows: that of the settings, or that of `text`.
pub(super) fn pad(folder: &Folder<'_>, settings: &Value, tokenizer: &Tokenizer, text: &str) -> Result<u32> {
    match settings["pad_token_id"].as_u64() {
        Some(id) => Ok(id as u32),
        None => required(folder.dir, tokenizer, text),
    }
}

/// Compares tokenizer, configuration and embedding.
///
/// # Errors
/// A token that the configuration names and the tokenizer has elsewhere or not at all; a token without a row.
pub(crate) fn check(dir: &Path, config: &VideoLlmConfig, tokenizer: &Tokenizer) -> Result<()> {
    if let (Some(_), Some(id)) = (config.region, config.tokens.region) {
        in_order(dir, tokenizer, &[REGION_TOKEN.to_owned()], id)?;
    }
    if let (TimeConfig::Tokens(time), Some(first)) = (config.time, config.tokens.first_time) {
        in_order(dir, tokenizer, &time.texts(), first)?;
    }
    let rows = config.llm.logit_count();
    // Placeholders are replaced before anything is embedded.
    let embedded = |id: &u32| *id != config.tokens.video && Some(*id) != config.tokens.region;
    for id in (rows as u32..tokenizer.vocab_size() as u32).filter(embedded) {
        if let Some(token) = tokenizer.token(id) {
            return Err(Error::Vocabulary { path: file(dir), token, id, rows });
        }
    }
    match config.tokens.eos.iter().chain([&config.tokens.pad]).find(|&&id| id as usize >= rows) {
        Some(&id) => {
            let token = tokenizer.token(id).unwrap_or_default();
            Err(Error::Vocabulary { path: file(dir), token, id, rows })
        }
        None => Ok(()),
    }
}

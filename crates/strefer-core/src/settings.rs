//! Run configurations: TOML files in which the command line may set single values.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It does not parse, or holds an unknown key.
    #[error("{path}: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Reads a TOML file, then sets single values, such as `("steps.total", "100")`. A value that is no TOML is text.
pub fn load<T: DeserializeOwned>(path: &Path, overrides: &[(String, String)]) -> Result<T, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Io { path: path.to_owned(), source })?;
    let bad = |reason: String| SettingsError::Parse { path: path.to_owned(), reason };
    let mut table: toml::Table = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
    for (key, value) in overrides {
        set(&mut table, key, value).map_err(bad)?;
    }
    table.try_into().map_err(|error: toml::de::Error| bad(error.to_string()))
}

fn set(table: &mut toml::Table, key: &str, value: &str) -> Result<(), String> {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let value = parsed
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut place = table;
    let mut names = key.split('.').peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            place.insert(name.to_owned(), value);
            return Ok(());
        }
        let entry = place.entry(name.to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = entry.as_table_mut().ok_or_else(|| format!("--set {key}: {name} is not a section"))?;
    }
    Ok(())
}

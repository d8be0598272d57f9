//! Reads settings out of somebody else's `config.json`.

use std::path::Path;

use serde_json::{Map, Value};
use strefer_llm::DecoderConfig;

use crate::error::{Error, Result};

/// A section of a `config.json`; what is not there is null.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub path: &'a Path,
    pub json: &'a Value,
}

impl<'a> Fields<'a> {
    /// An error about this file.
    pub fn bad(&self, reason: impl Into<String>) -> Error {
        Error::Config { path: self.path.to_owned(), reason: reason.into() }
    }

    /// The section below `key`.
    pub fn section(&self, key: &str) -> Fields<'a> {
        Fields { path: self.path, json: &self.json[key] }
    }

    /// A number of things.
    pub fn size(&self, key: &str, default: usize) -> Result<usize> {
        match &self.json[key] {
            Value::Null => Ok(default),
            value => value
                .as_u64()
                .map(|size| size as usize)
                .ok_or_else(|| self.bad(format!("{key:?} is {value}, which is no size"))),
        }
    }

    /// A number that may be negative.
    pub fn integer(&self, key: &str, default: i32) -> Result<i32> {
        match &self.json[key] {
            Value::Null => Ok(default),
            value => value
                .as_i64()
                .and_then(|number| number.try_into().ok())
                .ok_or_else(|| self.bad(format!("{key:?} is {value}, which is no small integer"))),
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.json[key].as_str()
    }

    /// Fails when `key` is there and is none of `allowed`.
    pub fn refuse_others(&self, key: &str, allowed: &[&str]) -> Result<()> {
        match &self.json[key] {
            Value::Null => Ok(()),
            Value::String(text) if allowed.contains(&text.as_str()) => Ok(()),
            other => Err(self.bad(format!("{key:?} is {other}, only {allowed:?} is supported"))),
        }
    }

    /// The section with `defaults` where it says nothing.
    pub fn with_defaults(&self, defaults: &Value) -> Value {
        let mut fields: Map<String, Value> = defaults.as_object().cloned().unwrap_or_default();
        fields.extend(self.json.as_object().cloned().unwrap_or_default());
        Value::Object(fields)
    }

    /// The language model that this section describes, with `model_type` and, where it is known, `rows` in place of
    /// what the section says.
    pub fn decoder(&self, model_type: &str, rows: Option<usize>, defaults: &Value) -> Result<DecoderConfig> {
        let mut json = self.with_defaults(defaults);
        json["model_type"] = model_type.into();
        if let Some(rows) = rows {
            json["vocab_size"] = rows.into();
        }
        DecoderConfig::from_hf_json(&json).map_err(|error| self.bad(error.to_string()))
    }
}

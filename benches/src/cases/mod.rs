//! The cases, read from `cases.json`.

mod connector;
mod dino;
mod generator;
mod language;
mod loader;
mod memory;
mod sam;
mod training;
mod video;
mod vision;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use strefer_nn::ParamStore;

/// Work that can be done again and again.
pub struct Prepared {
    /// Does it once and waits until it is done.
    pub work: Box<dyn FnMut() -> Result<()>>,
    /// Numbers that the model consists of.
    pub parameters: usize,
}

/// Something to measure.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is, for a table.
    pub title: String,
    /// How often it is measured by default.
    pub runs: usize,
    /// What one run gets through: how many, and of what.
    pub units: (u64, String),
    work: Work,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Work {
    Vision(vision::Vision),
    Connector(connector::Video),
    Train(training::Train),
    Prefill(language::Prompt),
    Decode(language::Prompt),
    Memory(memory::Memory),
    Video(video::Video),
    Loader(loader::Loader),
    SamImage(sam::Sam),
    SamMemory(sam::Sam),
    SamVideo(sam::Sam),
    /// As a video, on our side alone.
    SamStream(sam::Sam),
    Dino(dino::Dino),
    /// On our side alone: no other generator of such data is open.
    Generator(generator::Generator),
}

/// All cases by name.
pub fn cases() -> Result<BTreeMap<String, Case>> {
    serde_json::from_str(include_str!("../../cases.json")).context("reading cases.json")
}

impl Case {
    /// Draws weights and inputs. Files lie in `data`.
    pub fn prepare(&self, data: &Path) -> Result<Prepared> {
        match &self.work {
            Work::Vision(case) => case.prepare(),
            Work::Connector(case) => case.prepare(),
            Work::Train(case) => case.prepare(),
            Work::Prefill(case) => case.prepare_prefill(),
            Work::Decode(case) => case.prepare_decode(),
            Work::Memory(case) => Ok(case.prepare()),
            Work::Video(case) => case.prepare(data),
            Work::Loader(case) => case.prepare(data),
            Work::SamImage(case) => case.prepare_image(),
            Work::SamMemory(case) => case.prepare_memory(),
            Work::SamVideo(case) | Work::SamStream(case) => case.prepare_video(),
            Work::Dino(case) => case.prepare(),
            Work::Generator(case) => case.prepare(data),
        }
    }

    /// The file that has to lie in the data folder.
    pub fn file(&self) -> Option<&str> {
        match &self.work {
            Work::Video(case) => Some(&case.file),
            Work::Loader(case) => Some(&case.file),
            _ => None,
        }
    }
}

/// The type of weights and states.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Precision {
    #[default]
    F32,
    Bf16,
}

/// Weights drawn from a seed; all of them learn, or none.
fn store(learn: bool, precision: Precision) -> ParamStore {
    let dtype = match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
    };
    ParamStore::new(1, &Device::Cpu, dtype).trainable(move |_| learn)
}

fn parameters(store: &ParamStore) -> usize {
    store.tensors().values().map(Tensor::elem_count).sum()
}

/// Token ids that are spread over the vocabulary, `(b, s)`.
fn token_ids(b: usize, s: usize, vocab: usize) -> candle_core::Result<Tensor> {
    let ids: Vec<u32> = (0..b * s).map(|at| (at * 7919 % vocab) as u32).collect();
    Tensor::from_vec(ids, (b, s), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_read_and_says_what_it_gets_through() -> Result<()> {
        let cases = cases()?;
        assert_eq!(cases.len(), 25);
        assert!(cases.values().all(|case| case.runs > 0 && case.units.0 > 0 && !case.title.is_empty()));
        Ok(())
    }
}

//! The cases, read from `cases.json`.

mod attention;
mod connector;
mod dino;
mod generator;
mod language;
mod loader;
mod memory;
mod place;
mod product;
mod sam;
mod training;
mod video;
mod vision;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use serde::Deserialize;
use strefer_nn::ParamStore;

use place::{Machine, Place, Precision};

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
    #[serde(default)]
    device: Machine,
    #[serde(default)]
    dtype: Precision,
    work: Work,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Work {
    Vision(vision::Vision),
    Connector(connector::Video),
    Train(training::Train),
    /// The same, beside the trainer that others use.
    Sft(training::Train),
    Attention(attention::Attention),
    Product(product::Product),
    Linear(product::Layer),
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

/// All cases by name, those of cards too.
pub fn cases() -> Result<BTreeMap<String, Case>> {
    let mut cases: BTreeMap<String, Case> =
        serde_json::from_str(include_str!("../../cases.json")).context("reading cases.json")?;
    let of_cards: BTreeMap<String, Case> =
        serde_json::from_str(include_str!("../../card.json")).context("reading card.json")?;
    cases.extend(of_cards);
    Ok(cases)
}

impl Case {
    /// Whether its memory is records, as that of the engine, and no model's.
    pub fn makes_records(&self) -> bool {
        matches!(self.work, Work::Generator(_))
    }

    /// Whether it goes side by side in portions, as `strefer train` does it.
    pub fn has_portions(&self) -> bool {
        matches!(&self.work, Work::Train(case) if case.portions > 1)
    }

    /// Whether it is meant for a card.
    pub fn needs_card(&self) -> bool {
        self.device == Machine::Card
    }

    /// Draws weights and inputs. Files lie in `data`.
    pub fn prepare(&self, data: &Path, device: &Device) -> Result<Prepared> {
        let place = Place::new(device, self.dtype);
        let Prepared { mut work, parameters } = match &self.work {
            Work::Vision(case) => case.prepare(&place),
            Work::Connector(case) => case.prepare(&place),
            Work::Train(case) | Work::Sft(case) => case.prepare(&place),
            Work::Attention(case) => case.prepare(&place),
            Work::Product(case) => case.prepare(&place),
            Work::Linear(case) => case.prepare(&place),
            Work::Prefill(case) => case.prepare_prefill(&place),
            Work::Decode(case) => case.prepare_decode(&place),
            Work::Memory(case) => case.prepare(&place),
            Work::Video(case) => case.prepare(data),
            Work::Loader(case) => case.prepare(data),
            Work::SamImage(case) => case.prepare_image(&place),
            Work::SamMemory(case) => case.prepare_memory(&place),
            Work::SamVideo(case) | Work::SamStream(case) => case.prepare_video(&place),
            Work::Dino(case) => case.prepare(&place),
            Work::Generator(case) => case.prepare(data),
        }?;
        // A card goes on after a call has returned.
        let finished = move || {
            work()?;
            Ok(place.device.synchronize()?)
        };
        Ok(Prepared { work: Box::new(finished), parameters })
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

fn parameters(store: &ParamStore) -> usize {
    store.tensors().values().map(Tensor::elem_count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_read_and_says_what_it_gets_through() -> Result<()> {
        let cases = cases()?;
        assert_eq!(cases.len(), 25 + 18);
        assert_eq!(cases.values().filter(|case| case.needs_card()).count(), 18);
        assert!(cases.values().all(|case| case.runs > 0 && case.units.0 > 0 && !case.title.is_empty()));
        Ok(())
    }

    #[test]
    fn kinds_of_work_for_cards_run_small_on_the_processor() -> Result<()> {
        let decoder = serde_json::json!({
            "layout": "split", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
        });
        let mut updated = decoder.clone();
        updated["lora"] = serde_json::json!({ "rank": 2, "alpha": 4.0, "modules": ["q_proj", "down_proj"] });
        let attention = serde_json::json!({
            "kind": "attention", "batch": 1, "heads": 4, "key_heads": 2, "tokens": 9, "head_dim": 8, "causal": true, "backward": true,
        });
        for work in [
            attention,
            serde_json::json!({ "kind": "product", "side": 8 }),
            serde_json::json!({ "kind": "linear", "rows": 2, "input": 8, "output": 5, "times": 2 }),
            serde_json::json!({ "kind": "memory", "mib": 1 }),
            serde_json::json!({ "kind": "sft", "batch": 1, "text_tokens": 6, "recompute": true, "lora": true, "decoder": updated }),
            serde_json::json!({ "kind": "sft", "batch": 2, "text_tokens": 6, "decoder": decoder }),
            serde_json::json!({ "kind": "decode", "tokens": 5, "batch": 3, "decoder": decoder }),
        ] {
            let case = serde_json::json!({
                "title": "small", "runs": 1, "units": [1, "runs"], "device": "card", "dtype": "bf16", "work": work,
            });
            let case: Case = serde_json::from_value(case)?;
            let mut prepared =
                case.prepare(Path::new(""), &Device::Cpu).with_context(|| format!("{work}"))?;
            (prepared.work)().with_context(|| format!("{work}"))?;
        }
        Ok(())
    }
}

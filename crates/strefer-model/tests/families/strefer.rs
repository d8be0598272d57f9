//! BLIP-3-Strefer: two batches and three answers of every recording.

use std::path::PathBuf;

use candle_core::Tensor;
use serde_json::Value;
use strefer_core::golden;
use strefer_llm::GenerationConfig;
use strefer_model::{IGNORE, Inputs, prefix};
use strefer_nn::testing::Golden;

use super::Any;
use super::place::{Place, json_file, tensors, word_tokenizer};
use super::whole::{Recorded, answer, compare, integers, objects, prompt, sample};

/// One recorded model.
pub struct Recording {
    dir: PathBuf,
    config: Value,
    pub place: Place,
}

/// The recordings' own and the references'.
pub fn recordings() -> Vec<Recording> {
    golden::dirs("strefer_e2e").into_iter().map(Recording::open).collect()
}

impl Recording {
    pub fn open(dir: PathBuf) -> Self {
        let config = json_file(&dir.join("config.json"));
        let special = config["special_tokens"].as_object().unwrap();
        let mut specials: Vec<(&str, usize)> =
            special.iter().map(|(token, id)| (token.as_str(), id.as_u64().unwrap() as usize)).collect();
        specials.push(("<pad>", config["pad_token_id"].as_u64().unwrap() as usize));
        let count = specials.iter().map(|(_, id)| id + 1).max().unwrap();
        let mut published = config.clone();
        published["model_type"] = "xgenmm".into();
        let weights = tensors(&Golden::open(&dir, "weights"));
        let place = Place::new(published, word_tokenizer(count, &specials), weights);
        Self { dir, config, place }
    }

    fn special(&self, token: &str) -> i64 {
        self.config["special_tokens"][token].as_i64().unwrap()
    }

    /// Vision features have a side of so many patches.
    fn side(&self) -> usize {
        let vision = &self.config["vision_config"];
        (vision["image_size"].as_u64().unwrap() / vision["patch_size"].as_u64().unwrap()) as usize
    }

    /// One row: frames `(t, 1, 3, h, w)`, and objects on frames of their own. Without objects `<region>` stays text.
    fn inputs(
        &self,
        ids: &[i64],
        labels: &[i64],
        video: &Tensor,
        masked: Option<(Tensor, Tensor)>,
        rows: &Value,
    ) -> Inputs {
        let video = video.squeeze(1).unwrap();
        let t = video.dim(0).unwrap() as u32;
        let image = self.special("<image>");
        let region = masked.is_some().then(|| self.special("<region>"));
        let (mut frames, mut regions) = (vec![video], Vec::new());
        if let Some((mask_frames, masks)) = masked {
            let rows: Vec<Vec<u32>> = serde_json::from_value(rows.clone()).unwrap();
            regions = objects(&masks, &rows, t, self.side());
            frames.push(mask_frames.squeeze(1).unwrap());
        }
        let frames = Tensor::cat(&frames, 0).unwrap();
        let tokens = prompt(ids, |id| id == image, region);
        sample("row", frames, (0..t).collect(), regions, tokens, labels.to_vec())
    }

    pub fn batch(&self, name: &str) -> (Vec<Inputs>, Recorded) {
        let inputs = Golden::open(&self.dir, &format!("{name}_inputs"));
        let outputs = Golden::open(&self.dir, &format!("{name}_outputs"));
        let (ids, labels) = (integers(&inputs.tensor("input_ids")), integers(&inputs.tensor("labels")));
        let videos = inputs.tensor("vision_x");
        let batch = integers(&inputs.tensor("attention_mask"))
            .iter()
            .enumerate()
            .map(|(row, mask)| {
                let len = mask.iter().filter(|flag| **flag != 0).count();
                let of = |what: &str| format!("{what}.{row}");
                let masked = inputs
                    .contains(&of("masks"))
                    .then(|| (inputs.tensor(&of("mask_frames")), inputs.tensor(&of("masks"))));
                let rows = &self.config["cases"][name]["ann_indices"][row];
                self.inputs(&ids[row][..len], &labels[row][..len], &videos.get(row).unwrap(), masked, rows)
            })
            .collect();
        let regions: Vec<Tensor> = (0..)
            .map(|k| format!("region_tokens.{k}"))
            .take_while(|name| outputs.contains(name))
            .map(|name| outputs.tensor(&name))
            .collect();
        let recorded = Recorded {
            features: Some(outputs.tensor("vision_features").flatten(0, 2).unwrap()),
            videos: outputs.tensor("vision_tokens").flatten(0, 2).unwrap(),
            regions: Some(Tensor::cat(&regions, 0).unwrap()),
            embeds: outputs.tensor("inputs_embeds"),
            mask: outputs.tensor("spliced_attention_mask"),
            labels: outputs.tensor("spliced_labels"),
            logits: outputs.tensor("logits"),
            loss: outputs.tensor("loss"),
            grads: tensors(&Golden::open(&self.dir, &format!("{name}_grads"))),
        };
        (batch, recorded)
    }

    /// Compares a batch through the folder as it lies there now.
    pub fn compare(&self, name: &str) -> Result<(), String> {
        let (batch, recorded) = self.batch(name);
        let checkpoint = self.place.open().map_err(|error| error.to_string())?;
        compare(&checkpoint, &batch, &recorded, |name| !name.starts_with(prefix::VISION))
    }
}

#[test]
fn batches_equal_the_recorded_ones_with_loss_and_gradients() {
    for recording in recordings() {
        for name in ["batch", "batch_mixed"] {
            recording
                .compare(name)
                .unwrap_or_else(|what| panic!("{} {name}: {what}", recording.dir.display()));
        }
    }
}

#[test]
fn answers_equal_the_recorded_ones() -> Any {
    for recording in recordings() {
        let checkpoint = recording.place.open()?;
        for name in ["generate", "generate_eos", "generate_nomask"] {
            let golden = Golden::open(&recording.dir, name);
            let case = &recording.config["cases"][name];
            let ids = integers(&golden.tensor("input_ids")).remove(0);
            let masked =
                golden.contains("masks").then(|| (golden.tensor("mask_frames"), golden.tensor("masks")));
            let video = golden.tensor("vision_x").get(0)?;
            let labels = vec![IGNORE; ids.len()];
            let inputs = recording.inputs(&ids, &labels, &video, masked, &case["ann_indices"]);
            let cfg = GenerationConfig {
                max_new_tokens: case["max_new_tokens"].as_u64().unwrap() as usize,
                eos_ids: serde_json::from_value(case["eos_token_id"].clone()).unwrap_or_default(),
                ..GenerationConfig::default()
            };
            let first = golden.tensor("step_logits").get(0)?;
            let tokens = answer(&checkpoint, &inputs, &cfg, &golden.tensor("prompt_embeds"), &first)?;
            let recorded: Vec<u32> = serde_json::from_value(case["sequence"].clone())?;
            assert_eq!(tokens, recorded, "{} {name}", recording.dir.display());
        }
    }
    Ok(())
}

#[test]
fn one_disturbed_weight_does_not_agree() {
    for weight in [
        "vision_encoder.encoder.layers.1.mlp.fc2.bias",
        "vision_tokenizer.temporal_encoder.initial_memory",
        "region_encoder.feat_linear.0.bias",
        "lang_model.model.layers.1.self_attn.qkv_proj.weight",
        "lang_model.lm_head.additional_fc.bias",
    ] {
        let mut recording = recordings().remove(0);
        recording.place.disturb(weight);
        assert!(recording.compare("batch").is_err(), "{weight}");
    }
}

#[test]
fn the_folder_means_the_published_model() -> Any {
    let recording = recordings().remove(0);
    let checkpoint = recording.place.open()?;
    assert_eq!(checkpoint.family, Some(strefer_model::Family::Strefer));
    let config = &checkpoint.config;
    assert_eq!(i64::from(config.tokens.region.unwrap()), recording.special("<region>"));
    assert_eq!(i64::from(config.tokens.first_time.unwrap()), recording.special("<0>"));
    assert_eq!(i64::from(config.tokens.video), recording.special("<image>"));
    Ok(())
}

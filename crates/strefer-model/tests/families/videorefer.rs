//! VideoRefer: a batch of four kinds of samples, and an answer with and without a repetition penalty.

use std::path::PathBuf;

use candle_core::Tensor;
use serde_json::Value;
use strefer_core::golden;
use strefer_llm::GenerationConfig;
use strefer_model::{Checkpoint, IGNORE, Inputs, prefix};
use strefer_nn::testing::Golden;

use super::Any;
use super::place::{Place, json_file, tensors, word_tokenizer};
use super::whole::{Recorded, answer, compare, integers, objects, prompt, sample};

/// One recorded model.
pub struct Recording {
    pub dir: PathBuf,
    cases: Value,
    pub place: Place,
}

/// The recordings' own and, where they are, the references'.
pub fn recordings() -> Vec<Recording> {
    let dirs = golden::dirs("videorefer_e2e").into_iter().chain(golden::find("videorefer"));
    dirs.filter(|dir| dir.join("e2e_config.json").is_file()).map(Recording::open).collect()
}

/// Stands for an image, and for a video.
const PLACEHOLDERS: [i64; 2] = [-200, -201];

impl Recording {
    pub fn open(dir: PathBuf) -> Self {
        let config = json_file(&dir.join("e2e_config.json"));
        let size = |key: &str| config[key].as_u64().unwrap() as usize;
        let tokenizer = word_tokenizer(size("vocab_size"), &[("<region>", size("region_token_id"))]);
        let weights = tensors(&Golden::open(&dir, "e2e_weights"));
        let cases = json_file(&dir.join("e2e_cases.json"));
        Self { dir, cases, place: Place::new(config, tokenizer, weights) }
    }

    /// One row. `rows` are those of its objects in `frames`; an image is shown as often as a video has frames.
    fn inputs(
        &self,
        ids: &[i64],
        labels: &[i64],
        image: &Tensor,
        frames: &Tensor,
        masks: &Tensor,
        rows: &[Vec<u32>],
    ) -> Inputs {
        let config = &self.place.config;
        let count = config["num_frames"].as_u64().unwrap() as usize;
        let (image, shown) = match image.rank() {
            4 => (image.clone(), (0..count as u32).collect()),
            _ => (image.unsqueeze(0).unwrap(), vec![0; count]),
        };
        let vision = &config["vision_config"];
        let side = (vision["image_size"].as_u64().unwrap() / vision["patch_size"].as_u64().unwrap()) as usize;
        let regions = objects(masks, rows, image.dim(0).unwrap() as u32, side);
        let frames = Tensor::cat(&[&image, frames], 0).unwrap();
        let tokens = prompt(ids, |id| PLACEHOLDERS.contains(&id), config["region_token_id"].as_i64());
        sample("row", frames, shown, regions, tokens, labels.to_vec())
    }

    pub fn batch(&self) -> (Vec<Inputs>, Recorded) {
        let inputs = Golden::open(&self.dir, "e2e_batch_inputs");
        let outputs = Golden::open(&self.dir, "e2e_batch_outputs");
        let (ids, labels) = (integers(&inputs.tensor("input_ids")), integers(&inputs.tensor("labels")));
        let mut batch = Vec::new();
        let mut first = 0;
        for (row, mask) in integers(&inputs.tensor("attention_mask")).iter().enumerate() {
            let len = mask.iter().filter(|flag| **flag != 0).count();
            let of = |what: &str| inputs.tensor(&format!("{what}.{row}"));
            let mut rows: Vec<Vec<u32>> =
                serde_json::from_value(self.cases["ann_indices_offset"][row].clone()).unwrap();
            rows.iter_mut().flatten().for_each(|index| *index -= first);
            first += of("frames").dim(0).unwrap() as u32;
            batch.push(self.inputs(
                &ids[row][..len],
                &labels[row][..len],
                &of("images"),
                &of("frames"),
                &of("masks"),
                &rows,
            ));
        }
        let grads = tensors(&Golden::open(&self.dir, "e2e_batch_grads"));
        let recorded = Recorded {
            features: Some(outputs.tensor("vision_features").flatten(0, 1).unwrap()),
            videos: outputs.tensor("mm_features").flatten(0, 1).unwrap(),
            regions: Some(outputs.tensor("mask_feats")),
            embeds: outputs.tensor("inputs_embeds"),
            mask: outputs.tensor("attention_mask"),
            labels: outputs.tensor("labels"),
            logits: outputs.tensor("logits"),
            loss: outputs.tensor("loss"),
            grads: grads.into_iter().map(|(name, grad)| (name["grad.".len()..].to_owned(), grad)).collect(),
        };
        (batch, recorded)
    }

    /// Compares the batch through the folder as it lies there now.
    pub fn compare(&self) -> Result<(), String> {
        self.compare_with(&self.place.open().map_err(|error| error.to_string())?)
    }

    /// Compares the batch through another checkpoint.
    pub fn compare_with(&self, checkpoint: &Checkpoint) -> Result<(), String> {
        let (batch, recorded) = self.batch();
        compare(checkpoint, &batch, &recorded, |name| !name.starts_with(prefix::VISION))
    }
}

#[test]
fn batches_equal_the_recorded_ones_with_loss_and_gradients() {
    let recordings = recordings();
    assert!(!recordings.is_empty());
    for recording in recordings {
        recording.compare().unwrap_or_else(|what| panic!("{}: {what}", recording.dir.display()));
    }
}

#[test]
fn answers_equal_the_recorded_ones() -> Any {
    for recording in recordings() {
        let checkpoint = recording.place.open()?;
        let (batch, _) = recording.batch();
        let golden = Golden::open(&recording.dir, "e2e_infer_outputs");
        let ids = integers(&golden.tensor("input_ids")).remove(0);
        let region = recording.place.config["region_token_id"].as_i64();
        let inputs = Inputs {
            tokens: prompt(&ids, |id| PLACEHOLDERS.contains(&id), region),
            labels: vec![IGNORE; ids.len()],
            ..batch[0].clone()
        };
        let case = &recording.cases["infer"];
        let answers = case["greedy_new_tokens_by_repetition_penalty"].as_object().unwrap();
        assert!(!answers.is_empty());
        for (penalty, recorded) in answers {
            let cfg = GenerationConfig {
                max_new_tokens: case["max_new_tokens"].as_u64().unwrap() as usize,
                repetition_penalty: penalty.parse()?,
                ..GenerationConfig::default()
            };
            let (embeds, last) = (golden.tensor("inputs_embeds"), golden.tensor("logits_last"));
            let tokens = answer(&checkpoint, &inputs, &cfg, &embeds, &last)?;
            let recorded: Vec<u32> = serde_json::from_value(recorded.clone())?;
            assert_eq!(tokens, recorded, "{} penalty {penalty}", recording.dir.display());
        }
    }
    Ok(())
}

#[test]
fn one_disturbed_weight_does_not_agree() {
    for weight in [
        "model.vision_tower.vision_tower.vision_model.encoder.layers.1.self_attn.v_proj.weight",
        "model.mm_projector.s2.b4.se.fc1.bias",
        "model.region_encoder.feat_linear.2.weight",
        "model.layers.0.mlp.up_proj.weight",
        "lm_head.weight",
    ] {
        let mut recording = recordings().remove(0);
        recording.place.disturb(weight);
        assert!(recording.compare().is_err(), "{weight}");
    }
}

#[test]
fn tensors_that_no_step_uses_do_not_matter() {
    let mut recording = recordings().remove(0);
    for weight in ["encoder.layers.2.mlp.fc1.bias", "post_layernorm.weight", "head.probe"] {
        recording.place.disturb(&format!("model.vision_tower.vision_tower.vision_model.{weight}"));
    }
    recording.compare().unwrap();
}

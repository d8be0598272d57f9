//! LLaVA-OneVision: a batch and an answer of every recorded model, with a head of its own and with a tied one.

use std::path::PathBuf;

use candle_core::Tensor;
use strefer_core::golden;
use strefer_llm::GenerationConfig;
use strefer_model::{IGNORE, Inputs};
use strefer_nn::testing::Golden;

use super::Any;
use super::place::{Place, json_file, tensors, word_tokenizer};
use super::whole::{Recorded, answer, compare, integers, prompt, sample};

/// One recorded model.
pub struct Recording {
    dir: PathBuf,
    pub suffix: &'static str,
    video: i64,
    pub place: Place,
}

/// All models of all folders.
pub fn recordings() -> Vec<Recording> {
    let of_dir = |dir: PathBuf| ["", "_tied"].map(|suffix| Recording::open(dir.clone(), suffix));
    golden::dirs("llava_onevision").into_iter().flat_map(of_dir).collect()
}

impl Recording {
    fn open(dir: PathBuf, suffix: &'static str) -> Self {
        let config = json_file(&dir.join(format!("config{suffix}.json")));
        let (image, video) = (&config["image_token_index"], &config["video_token_index"]);
        let (image, video) = (image.as_u64().unwrap() as usize, video.as_u64().unwrap() as usize);
        let count = config["text_config"]["vocab_size"].as_u64().unwrap() as usize;
        let tokenizer = word_tokenizer(count, &[("<image>", image), ("<video>", video)]);
        let weights = tensors(&Golden::open(&dir, &format!("weights{suffix}")));
        Self { dir, suffix, video: video as i64, place: Place::new(config, tokenizer, weights) }
    }

    /// One row, in which the video's id stands once for each of its tokens; labels likewise.
    fn inputs(&self, ids: &[i64], labels: &[i64], video: Tensor) -> Inputs {
        let keep = |at: &usize| ids[*at] != self.video || *at == 0 || ids[at - 1] != self.video;
        let kept: Vec<usize> = (0..ids.len()).filter(keep).collect();
        let of = |values: &[i64]| kept.iter().map(|&at| values[at]).collect::<Vec<i64>>();
        let tokens = prompt(&of(ids), |id| id == self.video, None);
        let shown = (0..video.dim(0).unwrap() as u32).collect();
        sample("row", video, shown, Vec::new(), tokens, of(labels))
    }

    /// Compares the batch through the folder as it lies there now; `stored` gives the folder's name of a tensor that
    /// was recorded.
    pub fn compare(&self, stored: impl Fn(&str) -> String) -> Result<(), String> {
        let golden = Golden::open(&self.dir, &format!("batch{}", self.suffix));
        let (ids, labels) = (integers(&golden.tensor("in.input_ids")), integers(&golden.tensor("in.labels")));
        let videos = golden.tensor("in.pixel_values_videos");
        let mask = golden.tensor("in.attention_mask");
        let batch: Vec<Inputs> = integers(&mask)
            .iter()
            .enumerate()
            .map(|(row, mask)| {
                let len = mask.iter().filter(|flag| **flag != 0).count();
                self.inputs(&ids[row][..len], &labels[row][..len], videos.get(row).unwrap())
            })
            .collect();
        let grads = tensors(&golden).into_iter();
        let recorded = Recorded {
            features: None,
            videos: golden.tensor("out.video_features").flatten(0, 1).unwrap(),
            regions: None,
            embeds: golden.tensor("out.inputs_embeds"),
            mask,
            labels: golden.tensor("in.labels"),
            logits: golden.tensor("out.logits"),
            loss: golden.tensor("out.loss"),
            grads: grads
                .filter_map(|(name, grad)| Some((stored(name.strip_prefix("grad.")?), grad)))
                .collect(),
        };
        let checkpoint = self.place.open().map_err(|error| error.to_string())?;
        compare(&checkpoint, &batch, &recorded, |_| true)
    }
}

#[test]
fn batches_equal_the_recorded_ones_with_loss_and_gradients() {
    for recording in recordings() {
        recording
            .compare(str::to_owned)
            .unwrap_or_else(|what| panic!("{}{}: {what}", recording.dir.display(), recording.suffix));
    }
}

#[test]
fn answers_equal_the_recorded_ones() -> Any {
    for recording in recordings() {
        let checkpoint = recording.place.open()?;
        let golden = Golden::open(&recording.dir, &format!("greedy{}", recording.suffix));
        let ids = integers(&golden.tensor("in.input_ids")).remove(0);
        let video = golden.tensor("in.pixel_values_videos").get(0)?;
        let inputs = recording.inputs(&ids, &vec![IGNORE; ids.len()], video);
        let recorded = integers(&golden.tensor("out.tokens")).remove(0);
        let cfg = GenerationConfig { max_new_tokens: recorded.len(), ..GenerationConfig::default() };
        let loaded = recording.place.load()?;
        let embeds = loaded.model.splice(std::slice::from_ref(&inputs))?.embeds;
        let first = golden.tensor("out.step_logits").get(0)?.get(0)?;
        let tokens = answer(&checkpoint, &inputs, &cfg, &embeds, &first)?;
        let tokens: Vec<i64> = tokens.into_iter().map(i64::from).collect();
        assert_eq!(tokens, recorded, "{}{}", recording.dir.display(), recording.suffix);
    }
    Ok(())
}

#[test]
fn one_disturbed_weight_does_not_agree() {
    for weight in [
        "vision_tower.vision_model.encoder.layers.1.mlp.fc2.weight",
        "multi_modal_projector.linear_2.bias",
        "image_newline",
        "language_model.model.layers.0.self_attn.q_proj.bias",
        "language_model.lm_head.weight",
    ] {
        let mut recording = recordings().remove(0);
        recording.place.disturb(weight);
        assert!(recording.compare(str::to_owned).is_err(), "{weight}");
    }
}

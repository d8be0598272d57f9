//! LLaVA-OneVision: batches of videos and of images and an answer of every recorded model, with a head of its own and with
//! a tied one.

use std::path::PathBuf;

use candle_core::Tensor;
use strefer_core::golden;
use strefer_llm::GenerationConfig;
use strefer_model::tiles::Tiling;
use strefer_model::{IGNORE, Inputs, VideoLlmConfig};
use strefer_nn::testing::Golden;

use super::Any;
use super::place::{Place, json_file, tensors, word_tokenizer};
use super::whole::{Recorded, answer, compare, integers, prompt, sample};

/// One recorded model.
pub struct Recording {
    dir: PathBuf,
    pub suffix: &'static str,
    image: i64,
    video: i64,
    pub place: Place,
}

/// A recorded batch of images.
pub struct Images {
    /// Its file without the ending.
    pub name: String,
    pub golden: Golden,
}

impl Images {
    /// How the image of each row was cut.
    pub fn tilings(&self, cfg: &VideoLlmConfig) -> Vec<Tiling> {
        let (tiles, size, side) = (cfg.tiles.as_ref().unwrap(), cfg.image_size(), cfg.grid_side());
        let sizes = integers(&self.golden.tensor("in.image_sizes")).into_iter();
        sizes.map(|image| tiles.tiling(image[0] as usize, image[1] as usize, size, side).unwrap()).collect()
    }

    /// The pixels of a row's image: the whole in small and all tiles.
    pub fn pixels(&self, row: usize, tiling: &Tiling) -> Tensor {
        let pixels = self.golden.tensor("in.pixel_values").get(row).unwrap();
        pixels.narrow(0, 0, 1 + tiling.rows * tiling.columns).unwrap()
    }
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
        let (image, video) = (image as i64, video as i64);
        Self { dir, suffix, image, video, place: Place::new(config, tokenizer, weights) }
    }

    /// The batches of images that were recorded of this model.
    pub fn images(&self) -> Vec<Images> {
        let files = std::fs::read_dir(&self.dir).unwrap().map(|file| file.unwrap().file_name());
        let names = files.filter_map(|file| Some(file.to_str()?.strip_suffix(".safetensors")?.to_owned()));
        let wanted = |name: &String| name.starts_with("images_") && self.suffix.is_empty();
        let opened = names.filter(wanted).map(|name| Images { golden: Golden::open(&self.dir, &name), name });
        opened.collect()
    }

    /// One row, in which the id of the video or image stands once for each of its tokens; labels likewise.
    fn inputs(&self, ids: &[i64], labels: &[i64], pixels: Tensor) -> Inputs {
        let visual = |id: i64| id == self.video || id == self.image;
        let keep = |at: &usize| !visual(ids[*at]) || *at == 0 || ids[at - 1] != ids[*at];
        let kept: Vec<usize> = (0..ids.len()).filter(keep).collect();
        let of = |values: &[i64]| kept.iter().map(|&at| values[at]).collect::<Vec<i64>>();
        let tokens = prompt(&of(ids), visual, None);
        let shown = (0..pixels.dim(0).unwrap() as u32).collect();
        sample("row", pixels, shown, Vec::new(), tokens, of(labels))
    }

    /// The rows of a batch; `pixels` tells what each shows.
    fn batch(&self, golden: &Golden, pixels: impl Fn(usize) -> Tensor) -> Vec<Inputs> {
        let (ids, labels) = (integers(&golden.tensor("in.input_ids")), integers(&golden.tensor("in.labels")));
        let masks = integers(&golden.tensor("in.attention_mask"));
        let lens = masks.iter().map(|mask| mask.iter().filter(|flag| **flag != 0).count());
        let row =
            |(row, len): (usize, usize)| self.inputs(&ids[row][..len], &labels[row][..len], pixels(row));
        lens.enumerate().map(row).collect()
    }

    /// Compares the batch through the folder as it lies there now; `stored` gives the folder's name of a tensor that
    /// was recorded.
    pub fn compare(&self, stored: impl Fn(&str) -> String) -> Result<(), String> {
        let golden = Golden::open(&self.dir, &format!("batch{}", self.suffix));
        let videos = golden.tensor("in.pixel_values_videos");
        let batch = self.batch(&golden, |row| videos.get(row).unwrap());
        let tokens = golden.tensor("out.video_features").flatten(0, 1).unwrap();
        let checkpoint = self.place.open().map_err(|error| error.to_string())?;
        compare(&checkpoint, &batch, &recorded(&golden, None, tokens, stored), |_| true)
    }

    /// As [`Recording::compare`], with every batch of images.
    pub fn compare_images(&self, stored: impl Fn(&str) -> String) -> Result<(), String> {
        let checkpoint = self.place.open().map_err(|error| error.to_string())?;
        for images in self.images() {
            let tilings = images.tilings(&checkpoint.config);
            let mut batch = self.batch(&images.golden, |row| images.pixels(row, &tilings[row]));
            for (inputs, tiling) in batch.iter_mut().zip(tilings) {
                inputs.tiling = Some(tiling);
            }
            let (features, tokens) = ("out.features", "out.image_features");
            let (features, tokens) = (images.golden.tensor(features), images.golden.tensor(tokens));
            let recorded = recorded(&images.golden, Some(features), tokens, &stored);
            compare(&checkpoint, &batch, &recorded, |_| true)
                .map_err(|what| format!("{}: {what}", images.name))?;
        }
        Ok(())
    }
}

fn recorded(
    golden: &Golden,
    features: Option<Tensor>,
    videos: Tensor,
    stored: impl Fn(&str) -> String,
) -> Recorded {
    let grads = tensors(golden).into_iter();
    Recorded {
        features,
        videos,
        regions: None,
        embeds: golden.tensor("out.inputs_embeds"),
        mask: golden.tensor("in.attention_mask"),
        labels: golden.tensor("in.labels"),
        logits: golden.tensor("out.logits"),
        loss: golden.tensor("out.loss"),
        grads: grads.filter_map(|(name, grad)| Some((stored(name.strip_prefix("grad.")?), grad))).collect(),
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
fn images_in_tiles_equal_the_recorded_ones_with_loss_and_gradients() {
    for recording in recordings() {
        recording
            .compare_images(str::to_owned)
            .unwrap_or_else(|what| panic!("{}{}: {what}", recording.dir.display(), recording.suffix));
    }
    assert!(recordings().remove(0).images().len() >= 2);
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
        assert!(recording.compare_images(str::to_owned).is_err(), "{weight}, images");
    }
}

//! RexSeek: parsing, boxes, pixels, towers and whole answers equal the reference's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use image::RgbImage;
use serde_json::Value;
use strefer_core::golden;
use strefer_llm::{DecoderConfig, Tokenizer};
use strefer_model::Error;
use strefer_model::rexseek::{
    Prompt, RexSeek, RexSeekConfig, RexSeekOptions, Vision, indices, parse, parse_as_evaluated, prepare,
    to_canvas,
};
use strefer_nn::testing::{
    Golden, assert_all_grads, assert_close, device, max_abs_diff, randn, relative_diff, values,
};
use strefer_nn::{ParamStore, Weights, save_safetensors};
use strefer_vision::clip::ClipVisionConfig;
use strefer_vision::convnext::{ConvNextConfig, canonical};
use strefer_vision::siglip::FeatureLayer;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// All files of that name in the folders of a family.
fn files(family: &str, name: &str) -> Vec<PathBuf> {
    golden::find(family).into_iter().map(|dir| dir.join(name)).filter(|path| path.is_file()).collect()
}

fn rows(xs: &Tensor) -> Vec<[f32; 4]> {
    xs.to_vec2::<f32>().unwrap().into_iter().map(|row| row.try_into().unwrap()).collect()
}

/// A picture from a tensor `(h, w, 3)`.
fn picture(xs: &Tensor) -> RgbImage {
    let (h, w, _) = xs.dims3().unwrap();
    RgbImage::from_raw(w as u32, h as u32, xs.flatten_all().unwrap().to_vec1().unwrap()).unwrap()
}

#[test]
fn answers_are_read_as_upstream_reads_them() {
    let mut compared = 0;
    for path in
        [files("rexseek_answers", "answer_parser.json"), files("rexseek_modules", "answer_parser.json")]
            .concat()
    {
        for case in json(&path).as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let wanted = |key: &str| -> Vec<(String, Vec<usize>)> {
                let pairs: Vec<(String, Vec<String>)> = serde_json::from_value(case[key].clone()).unwrap();
                let index = |tag: &String| tag[4..tag.len() - 1].parse().unwrap();
                pairs.into_iter().map(|(phrase, tags)| (phrase, tags.iter().map(index).collect())).collect()
            };
            let groups = parse(text);
            let found: Vec<_> =
                groups.iter().map(|group| (group.phrase.clone(), group.objects.clone())).collect();
            assert_eq!(found, wanted("answer_strefer"), "{text:?}");
            let evaluated = parse_as_evaluated(text);
            let found: Vec<_> = evaluated.into_iter().map(|group| (group.phrase, group.objects)).collect();
            assert_eq!(found, wanted("answer_eval"), "{text:?}");
            for (boxes, wanted) in case["indices"].as_object().unwrap() {
                let wanted: Vec<usize> = serde_json::from_value(wanted.clone()).unwrap();
                assert_eq!(indices(&groups, boxes.parse().unwrap()), wanted, "{text:?}, {boxes} boxes");
            }
            compared += 1;
        }
    }
    assert!(compared >= 250, "{compared} answers");
}

#[test]
fn boxes_lie_on_the_canvas_as_upstream_puts_them() {
    let mut compared = 0;
    for path in files("rexseek_modules", "box_preparation.json") {
        for case in json(&path)["cases"].as_array().unwrap() {
            let [width, height]: [u32; 2] = serde_json::from_value(case["image_wh"].clone()).unwrap();
            let of = |key: &str| -> Vec<[f32; 4]> { serde_json::from_value(case[key].clone()).unwrap() };
            let boxes = of("boxes_xyxy");
            for (half, key) in [(false, "canvas_768_xyxy_f32"), (true, "canvas_768_xyxy_f16")] {
                let found = to_canvas(&boxes, (width, height), 768, half).unwrap();
                for (found, wanted) in found.as_flattened().iter().zip(of(key).as_flattened()) {
                    let tolerance = if half { 0.0 } else { 1e-4 };
                    assert!((found - wanted).abs() <= tolerance, "{width}x{height}: {found} for {wanted}");
                }
                compared += 1;
            }
        }
    }
    for (golden, model) in scenes() {
        let image = picture(&golden.tensor("image"));
        let placed =
            to_canvas(&rows(&golden.tensor("boxes")), image.dimensions(), model.config().canvas, true)
                .unwrap();
        assert_eq!(placed, rows(&golden.tensor("placed")));
        compared += 1;
    }
    assert!(compared > 0);
}

/// Sizes of the recorded modules; those of what was not recorded are free.
fn modules_config(dir: &Path) -> Option<RexSeekConfig> {
    let cfg = json(&dir.join("config.json"));
    let sizes = |value: &Value| -> Vec<usize> { serde_json::from_value(value.clone()).unwrap() };
    let canvas = cfg["canvas"].as_u64()? as usize;
    let hidden = cfg["hidden_size"].as_u64()? as usize;
    let llm = DecoderConfig {
        hidden_size: hidden,
        num_attention_heads: 2,
        num_hidden_layers: 1,
        ..DecoderConfig::tiny(40)
    };
    Some(RexSeekConfig {
        llm,
        clip: ClipVisionConfig {
            hidden_size: cfg["clip_hidden"].as_u64()? as usize,
            intermediate_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            image_size: canvas * 7 / 16,
            patch_size: 14,
            ..ClipVisionConfig::large_336()
        },
        feature: FeatureLayer::Hidden(-2),
        convnext: ConvNextConfig {
            depths: sizes(&cfg["convnext"]["depths"]),
            hidden_sizes: sizes(&cfg["convnext"]["dims"]),
            patch_size: 4,
        },
        canvas,
        max_boxes: 100,
    })
}

/// Towers with recorded weights; those of CLIP were not recorded.
fn modules(cfg: &RexSeekConfig, weights: Weights) -> Vision {
    let store = ParamStore::new(3, device(), DType::F32).with_weights(weights);
    Vision::new(cfg, store.var_builder()).unwrap()
}

fn renamed(weights: Weights) -> Weights {
    let aux = "vision_tower_aux.";
    let tower = weights.clone().renamed(|name| name.starts_with(aux).then(|| name.to_owned())).unwrap();
    let tower = canonical(tower).unwrap().renamed(|name| Some(format!("{aux}{name}"))).unwrap();
    weights.renamed(|name| (!name.starts_with(aux)).then(|| name.to_owned())).unwrap().joined(tower).unwrap()
}

#[test]
fn recorded_modules_give_the_recorded_tokens() {
    for dir in golden::dirs("rexseek_modules") {
        let Some(cfg) = modules_config(&dir) else { continue };
        let vision = modules(&cfg, renamed(Golden::open(&dir, "weights").weights()));
        let golden = Golden::open(&dir, "encode_images");
        let (small, canvas) = (golden.tensor("pixel_values_low"), golden.tensor("pixel_values_aux"));
        let seen = vision.encode_image(&small, &canvas).unwrap();
        for (at, map) in seen.maps.iter().enumerate() {
            assert_close(&map.permute((0, 3, 1, 2)).unwrap(), &golden.tensor(&format!("stage_{at}")), 2e-5);
        }
        let joined = vision.join(&golden.tensor("clip_features"), &seen.maps).unwrap();
        assert_close(&joined.tokens, &golden.tensor("image_tokens"), 2e-5);
        let objects = Golden::open(&dir, "encode_objects");
        for kind in ["f32", "f16"] {
            let boxes = rows(&objects.tensor(&format!("{kind}.boxes")));
            let tokens = vision.encode_objects(&seen.maps, &boxes).unwrap();
            assert_close(&tokens, &objects.tensor(&format!("{kind}.object_tokens")), 2e-5);
        }
        let inputs = Golden::open(&dir, "prepare_input");
        for case in (0..).take_while(|case| inputs.contains(&format!("{case}.image_u8"))) {
            let tensor = |name: &str| inputs.tensor(&format!("{case}.{name}"));
            let image = picture(&tensor("image_u8"));
            let prepared = prepare(&image, &cfg).unwrap();
            assert_close(&prepared.canvas.squeeze(0).unwrap(), &tensor("pixel_values_aux"), 1e-5);
            assert_close(&prepared.small.squeeze(0).unwrap(), &tensor("pixel_values"), 1e-5);
            let placed =
                to_canvas(&rows(&tensor("boxes_in")), image.dimensions(), cfg.canvas, false).unwrap();
            for (found, wanted) in placed.as_flattened().iter().zip(values(&tensor("gt_boxes"))) {
                assert!((f64::from(*found) - wanted).abs() < 1e-4);
            }
        }
    }
}

#[test]
fn prompts_have_the_published_layout() {
    use strefer_model::rexseek::Chunk;
    let ids = |prompt: &Prompt, into: &mut Vec<i64>| {
        for chunk in prompt.chunks() {
            match chunk {
                Chunk::Text(text) => into.extend(text.chars().map(|letter| i64::from(u32::from(letter)))),
                Chunk::Image => into.push(-200),
                Chunk::Object(_) => into.push(-300),
            }
        }
    };
    for path in files("rexseek_modules", "box_preparation.json") {
        for case in json(&path)["prompt_layout"]["cases"].as_array().unwrap() {
            let mut found = Vec::new();
            ids(&Prompt::scene(3), &mut found);
            ids(&Prompt::question("Which one is the tall person?"), &mut found);
            assert_eq!(found, serde_json::from_value::<Vec<i64>>(case["ids_codepoints"].clone()).unwrap());
        }
    }
    assert_eq!(Prompt::scene(2).chunks()[2], Chunk::Text("\n<obj0>".into()));
}

fn load(dir: &Path) -> RexSeek {
    RexSeek::load(dir, device(), DType::F32, RexSeekOptions::default()).unwrap()
}

/// Every recorded scene of every recorded model.
fn scenes() -> Vec<(Golden, RexSeek)> {
    let of = |dir: &PathBuf| {
        let count = json(&dir.join("answers.json")).as_array().unwrap().len();
        (0..count).map(|at| (Golden::open(dir, &format!("scene_{at}")), load(dir))).collect::<Vec<_>>()
    };
    let scenes: Vec<_> = golden::dirs("rexseek").iter().flat_map(of).collect();
    assert!(!scenes.is_empty());
    scenes
}

/// Logits behind a prompt, by one pass over all of it.
fn logits(model: &RexSeek, prompt: &Tensor) -> Tensor {
    let s = prompt.dim(1).unwrap();
    let positions = Tensor::arange(0u32, s as u32, device()).unwrap().unsqueeze(0).unwrap();
    let hidden =
        model.decoder().forward(prompt, &positions, &strefer_nn::ops::AttentionMask::causal(), None).unwrap();
    model.decoder().logits(&hidden.narrow(1, s - 1, 1).unwrap()).unwrap().flatten_all().unwrap()
}

fn prompt(model: &RexSeek, image: &RgbImage, boxes: &[[f32; 4]], expression: &str) -> Tensor {
    let parts = [model.embed_scene(image, boxes).unwrap(), model.embed_question(expression).unwrap()];
    Tensor::cat(&parts, 1).unwrap()
}

#[test]
fn whole_answers_are_those_of_the_reference() {
    for dir in golden::dirs("rexseek") {
        let model = load(&dir);
        for (at, asked) in json(&dir.join("answers.json")).as_array().unwrap().iter().enumerate() {
            let golden = Golden::open(&dir, &format!("scene_{at}"));
            let (image, boxes) = (picture(&golden.tensor("image")), rows(&golden.tensor("boxes")));
            let prepared = prepare(&image, model.config()).unwrap();
            assert_close(&prepared.canvas, &golden.tensor("canvas"), 1e-5);
            assert_close(&prepared.small, &golden.tensor("small"), 2e-5);
            let asked = asked.as_array().unwrap();
            let expressions: Vec<&str> =
                asked.iter().map(|one| one["expression"].as_str().unwrap()).collect();
            for (nth, expression) in expressions.iter().enumerate() {
                let found = prompt(&model, &image, &boxes, expression);
                assert_close(&found.squeeze(0).unwrap(), &golden.tensor(&format!("{nth}.prompt")), 1e-4);
                assert_close(&logits(&model, &found), &golden.tensor(&format!("{nth}.logits")), 1e-4);
            }
            let scene = model.scene(&image, &boxes).unwrap();
            assert_eq!((scene.boxes(), scene.left_out()), (boxes.len(), 0));
            for (answer, wanted) in scene.ask(&expressions).into_iter().zip(asked) {
                let answer = answer.unwrap();
                assert_eq!(answer.text, wanted["text"].as_str().unwrap());
                let indices: Vec<usize> = serde_json::from_value(wanted["indices"].clone()).unwrap();
                assert_eq!(answer.indices, indices);
                assert_eq!(answer.groups.is_empty(), indices.is_empty());
                assert!(!answer.cut);
                let ids: Vec<u32> = serde_json::from_value(wanted["ids"].clone()).unwrap();
                let scores: Vec<f64> = serde_json::from_value(wanted["log_probabilities"].clone()).unwrap();
                let of = |index: usize| {
                    let token = model.tokenizer().token_id(&format!("<obj{index}>")).unwrap();
                    scores[ids.iter().position(|id| *id == token).unwrap()]
                };
                for (index, score) in answer.indices.iter().zip(&answer.log_probabilities) {
                    assert!((score.unwrap() - of(*index)).abs() < 1e-3, "{score:?} for {}", of(*index));
                }
            }
        }
    }
}

#[test]
fn expressions_asked_together_are_answered_as_each_alone() {
    for (golden, model) in scenes() {
        let (image, boxes) = (picture(&golden.tensor("image")), rows(&golden.tensor("boxes")));
        let scene = model.scene(&image, &boxes).unwrap();
        let asked = ["first", "", "the last two", "a <|im_end|> b", "nothing"];
        let together = scene.ask(&asked);
        for (at, (expression, answer)) in asked.into_iter().zip(&together).enumerate() {
            let alone = scene.ask(&[expression]).remove(0);
            match (answer, alone) {
                (Ok(answer), Ok(alone)) => {
                    assert_eq!((&answer.text, &answer.indices), (&alone.text, &alone.indices));
                }
                (Err(Error::Grounding { subject, .. }), Err(_)) => {
                    assert!([1, 3].contains(&at) && subject.contains(expression), "{subject}");
                }
                (one, other) => panic!("{expression:?}: {one:?} and {other:?}"),
            }
        }
        assert!(together[1].is_err() && together[3].is_err());
    }
}

#[test]
fn more_boxes_than_indices_are_cut_and_counted_and_no_boxes_have_no_answer() {
    let dir = &golden::dirs("rexseek")[0];
    let model = load(dir);
    let image = RgbImage::from_pixel(30, 20, image::Rgb([9, 99, 200]));
    let most = model.config().max_boxes;
    let boxes = vec![[1.0, 1.0, 9.0, 9.0]; most + 3];
    let scene = model.scene(&image, &boxes).unwrap();
    assert_eq!((scene.boxes(), scene.left_out()), (most, 3));
    assert!(scene.ask(&["first"])[0].as_ref().unwrap().indices.iter().all(|index| *index < most));
    let empty = model.scene(&image, &[]).unwrap();
    let answers = empty.ask(&["first", "second"]);
    assert_eq!(answers.len(), 2);
    assert!(answers.into_iter().all(|answer| answer.unwrap().groups.is_empty()));
    assert!(matches!(model.scene(&RgbImage::new(0, 3), &boxes), Err(Error::Grounding { .. })));
    assert!(matches!(model.scene(&image, &[[2.0, 0.0, 1.0, 1.0]]), Err(Error::Grounding { .. })));
    let brief = RexSeekOptions { max_new_tokens: 2, ..RexSeekOptions::default() };
    let model = RexSeek::load(dir, device(), DType::F32, brief).unwrap();
    assert!(model.scene(&image, &boxes[..2]).unwrap().ask(&["first"])[0].as_ref().unwrap().cut);
}

/// All tensors of a folder, one of them changed by `change`, in a folder of their own.
fn disturbed(dir: &Path, name: &str, change: impl FnOnce(Tensor) -> Tensor) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(dir.join(file), copy.path().join(file)).unwrap();
    }
    let weights = Weights::open(dir.join("model.safetensors")).unwrap();
    let load = |name: &str| weights.load(name, DType::F32, device()).unwrap();
    let mut tensors: BTreeMap<String, Tensor> =
        weights.names().map(|name| (name.to_owned(), load(name))).collect();
    let changed = change(tensors.remove(name).unwrap());
    tensors.insert(name.to_owned(), changed);
    let all = Weights::from_tensors("disturbed", tensors);
    save_safetensors(copy.path(), "model", &all, usize::MAX, &BTreeMap::new()).unwrap();
    copy
}

#[test]
fn one_disturbed_weight_breaks_the_agreement() {
    let dir = &golden::dirs("rexseek")[0];
    let golden = Golden::open(dir, "scene_0");
    let (image, boxes) = (picture(&golden.tensor("image")), rows(&golden.tensor("boxes")));
    let expression = json(&dir.join("answers.json"))[0][0]["expression"].as_str().unwrap().to_owned();
    for name in [
        "mm_projector.0.weight",
        "mm_object_projector.2.bias",
        "vision_tower_aux.vision_stages.2.blocks.1.conv_dw.weight",
        "vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
        "model.layers.1.self_attn.q_proj.weight",
    ] {
        let copy = disturbed(dir, name, |xs| {
            let noise = (randn(5, xs.dims()) * 0.3).unwrap();
            (xs + noise).unwrap()
        });
        let found = logits(&load(copy.path()), &prompt(&load(copy.path()), &image, &boxes, &expression));
        assert!(relative_diff(&found, &golden.tensor("0.logits")) > 1e-3, "{name}");
    }
    // CLIP's last layer is behind the state that is looked at.
    let unread = "vision_tower.vision_tower.vision_model.encoder.layers.2.mlp.fc1.weight";
    let copy = disturbed(dir, unread, |xs| (xs + 1.0).unwrap());
    let found = prompt(&load(copy.path()), &image, &boxes, &expression).squeeze(0).unwrap();
    assert!(
        max_abs_diff(&found, &prompt(&load(dir), &image, &boxes, &expression).squeeze(0).unwrap()) == 0.0
    );
}

#[test]
fn every_weight_gets_a_gradient() {
    let dir = &golden::dirs("rexseek")[0];
    let cfg = load(dir).config().clone();
    let store = ParamStore::new(1, device(), DType::F32).trainable(|_| true);
    let tokenizer = Tokenizer::load(dir).unwrap();
    let model = RexSeek::new(cfg, tokenizer, RexSeekOptions::default(), store.var_builder()).unwrap();
    let golden = Golden::open(dir, "scene_0");
    let embeds = prompt(&model, &picture(&golden.tensor("image")), &rows(&golden.tensor("boxes")), "first");
    let loss =
        (logits(&model, &embeds) * randn(7, &[model.config().llm.vocab_size])).unwrap().sum_all().unwrap();
    assert_all_grads(&store.vars(), &loss.backward().unwrap());
}

#[test]
fn folders_that_are_no_rexseek_are_refused_with_what_is_wrong() {
    let dir = &golden::dirs("rexseek")[0];
    let error = |change: &dyn Fn(&Path)| {
        let copy = disturbed(dir, "mm_projector.2.bias", |xs| xs);
        change(copy.path());
        RexSeek::load(copy.path(), device(), DType::F32, RexSeekOptions::default()).unwrap_err().to_string()
    };
    let with = |key: &'static str, value: Value| {
        move |dir: &Path| {
            let path = dir.join("config.json");
            let mut config = json(&path);
            config[key] = value.clone();
            fs::write(path, config.to_string()).unwrap();
        }
    };
    for (key, value, said) in [
        ("model_type", "qwen2".into(), "rexseek_qwen"),
        ("mm_projector_type", "linear".into(), "mlp2x_gelu"),
        ("mm_vision_select_feature", "cls_patch".into(), "patch"),
        ("image_size_aux", 64.into(), "canvas"),
        ("mm_hidden_size", 7.into(), "mm_hidden_size"),
        ("mm_vision_select_layer", 9.into(), "hidden state 9"),
        ("max_num_objects", 400.into(), "<obj"),
        ("vision_aux_config", 3.into(), "vision_aux_config"),
    ] {
        let found = error(&with(key, value));
        assert!(found.contains(said), "{key}: {found}");
    }
    assert!(error(&|dir| fs::remove_file(dir.join("tokenizer.json")).unwrap()).contains("tokenizer.json"));
    assert!(error(&|dir| fs::write(dir.join("config.json"), "{").unwrap()).contains("config.json"));
    let copy = disturbed(dir, "mm_projector.2.bias", |xs| Tensor::cat(&[&xs, &xs], 0).unwrap());
    let found = RexSeek::load(copy.path(), device(), DType::F32, RexSeekOptions::default()).unwrap_err();
    assert!(found.to_string().contains("mm_projector.2.bias"), "{found}");
}

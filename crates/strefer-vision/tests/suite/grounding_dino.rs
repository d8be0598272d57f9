//! Grounding DINO against recorded numbers.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde_json::Value;
use strefer_nn::testing::{Golden, assert_close, device, max_abs_diff, randn, relative_diff, values};
use strefer_nn::{ParamStore, Weights, save_safetensors};
use strefer_vision::grounding_dino::{
    Answer, Detector, GroundingDino, GroundingDinoConfig, ImageBatch, Phrases, Steps, SwinConfig, TextMask,
    Thresholds, detections,
};

use crate::common::weights;

fn cases() -> Vec<PathBuf> {
    crate::common::cases("grounding_dino")
}

fn read<T: serde::de::DeserializeOwned>(dir: &Path, file: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(dir.join(file)).unwrap()).unwrap()
}

/// Cases are recorded with transformers 5 and its plain attention, unless they say otherwise.
fn config(dir: &Path) -> GroundingDinoConfig {
    let manifest: Value = read(dir, "manifest.json");
    let said = manifest.get("text_mask").map(|mask| serde_json::from_value(mask.clone()).unwrap());
    GroundingDinoConfig { text_mask: said.unwrap_or(TextMask::Raise), ..read(dir, "config.json") }
}

fn model(dir: &Path, weights: Weights) -> GroundingDino {
    GroundingDino::load(&config(dir), weights, device(), DType::F32).unwrap()
}

fn inputs(golden: &Golden) -> (ImageBatch, Phrases) {
    let mask = golden.tensor("in.pixel_mask").to_dtype(DType::U32).unwrap().to_vec3::<u32>().unwrap();
    let size = |mask: &Vec<Vec<u32>>| {
        let rows = mask.iter().filter(|row| row[0] != 0).count();
        (rows, mask[0].iter().filter(|column| **column != 0).count())
    };
    let ids = golden.tensor("in.input_ids").to_dtype(DType::U32).unwrap().to_vec2::<u32>().unwrap();
    let valid = golden.tensor("in.attention_mask").to_dtype(DType::U32).unwrap().to_vec2::<u32>().unwrap();
    let text = |(ids, valid): (Vec<u32>, &Vec<u32>)| -> Vec<u32> {
        ids.into_iter().zip(valid).filter(|(_, valid)| **valid != 0).map(|(id, _)| id).collect()
    };
    let texts: Vec<Vec<u32>> = ids.into_iter().zip(&valid).map(text).collect();
    let sizes = mask.iter().map(size).collect();
    (ImageBatch { pixels: golden.tensor("in.pixel_values"), sizes }, Phrases::new(&texts).unwrap())
}

/// The files that hold whole runs.
fn runs(dir: &Path) -> Vec<(String, Golden)> {
    let manifest: Value = read(dir, "manifest.json");
    let names = manifest.as_object().unwrap().iter().filter(|(_, case)| case.get("out.logits").is_some());
    let runs: Vec<_> = names.map(|(name, _)| (name.clone(), Golden::open(dir, name))).collect();
    assert!(!runs.is_empty());
    runs
}

fn planes(xs: &Tensor) -> Tensor {
    xs.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap()
}

/// Compares numbers of which some are infinite in the reference; those are not looked at.
#[track_caller]
fn assert_close_where_finite(found: &Tensor, wanted: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), wanted.dims());
    let (found, wanted) = (values(found), values(wanted));
    let largest = wanted.iter().filter(|x| x.is_finite()).fold(0f64, |most, x| most.max(x.abs()));
    let mut compared = 0;
    for (found, wanted) in found.iter().zip(&wanted).filter(|(_, wanted)| wanted.is_finite()) {
        let diff = (found - wanted).abs() / largest;
        assert!(diff <= tolerance, "{found} instead of {wanted}, {diff:e} of the largest value");
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn masks_and_positions_of_phrases_match_the_reference() {
    for dir in cases() {
        for (_, golden) in runs(&dir) {
            let (_, phrases) = inputs(&golden);
            let (b, s) = phrases.dims();
            let wanted = values(&golden.tensor("text_self_attention_mask"));
            let positions = values(&golden.tensor("text_position_ids"));
            for row in 0..b {
                let own = phrases.phrase(row);
                for (at, id) in own.iter().enumerate() {
                    for (other, other_id) in own.iter().enumerate() {
                        let sees = wanted[(row * s + at) * s + other] != 0.0;
                        assert_eq!(id == other_id, sees, "row {row}, {at} sees {other}");
                    }
                    assert_eq!(f64::from(phrases.positions(row)[at]), positions[row * s + at]);
                }
            }
        }
    }
}

fn compare_steps(steps: &Steps, golden: &Golden, on_the_way: Option<&Golden>) {
    if let Some(way) = on_the_way {
        for (at, map) in steps.maps.iter().enumerate() {
            assert_close(&planes(map), &way.tensor(&format!("swin.feature_maps.{at}")), 1e-5);
        }
        assert_close(&steps.bert, &way.tensor("bert.last_hidden_state"), 1e-5);
        assert_close(&steps.text, &way.tensor("text_features"), 1e-5);
        for (at, level) in steps.levels.iter().enumerate() {
            let wanted = way.tensor(&format!("input_proj.{at}")).flatten_from(2).unwrap().t().unwrap();
            assert_close(level, &wanted.contiguous().unwrap(), 1e-5);
        }
        for (at, layer) in steps.encoder.iter().enumerate() {
            let wanted = |what: &str| way.tensor(&format!("encoder.{at}.{what}"));
            assert_close(&layer.fused_image, &wanted("fusion.vision"), 1e-5);
            assert_close(&layer.fused_text, &wanted("fusion.text"), 1e-5);
            assert_close(&layer.attended, &wanted("deformable_attn"), 2e-5);
            assert_close(&layer.image, &wanted("vision"), 2e-5);
            assert_close(&layer.text, &wanted("text"), 2e-5);
        }
        for (at, layer) in steps.decoder.iter().enumerate() {
            assert_close(&layer.positions, &way.tensor(&format!("decoder.{at}.query_pos")), 2e-5);
            assert_close(&layer.hidden, &way.tensor(&format!("decoder.{at}.hidden")), 2e-5);
        }
    }
    let last = steps.encoder.last().unwrap();
    assert_close(&last.image, &golden.tensor("encoder_last_hidden_state_vision"), 2e-5);
    assert_close(&last.text, &golden.tensor("encoder_last_hidden_state_text"), 2e-5);
    let (_, _, s) = steps.selected.scores.dims3().unwrap();
    let wanted = golden.tensor("enc_outputs_class").narrow(2, 0, s).unwrap();
    assert_close_where_finite(&steps.selected.scores, &wanted, 2e-5);
    let wanted = golden.tensor("enc_outputs_coord_logits");
    assert_close_where_finite(&steps.selected.boxes, &wanted, 2e-5);
    let infinite = |xs: &Tensor| values(xs).iter().map(|x| x.is_infinite()).collect::<Vec<_>>();
    assert_eq!(infinite(&steps.selected.boxes), infinite(&wanted));
    let wanted = values(&golden.tensor("topk_proposals"));
    let cells: Vec<f64> = steps.selected.cells.iter().flatten().map(|cell| f64::from(*cell)).collect();
    assert_eq!(cells, wanted);
    assert_close(&steps.selected.references, &golden.tensor("init_reference_points"), 1e-5);
    for (at, layer) in steps.decoder.iter().enumerate() {
        let wanted = |what: &str| golden.tensor(what).narrow(1, at, 1).unwrap().squeeze(1).unwrap();
        assert_close(&layer.normed, &wanted("intermediate_hidden_states"), 2e-5);
        assert_close(&layer.references, &wanted("intermediate_reference_points"), 2e-5);
    }
    let wanted = golden.tensor("out.logits");
    assert!(
        values(&wanted.narrow(2, s, wanted.dim(2).unwrap() - s).unwrap()).iter().all(|x| x.is_infinite())
    );
    assert_close_where_finite(&steps.answer.logits, &wanted.narrow(2, 0, s).unwrap(), 2e-5);
    assert_close(&steps.answer.boxes, &golden.tensor("out.pred_boxes"), 2e-5);
}

#[test]
fn every_step_matches_the_reference() {
    for dir in cases() {
        let model = model(&dir, weights(&dir));
        for (name, golden) in runs(&dir) {
            let (images, phrases) = inputs(&golden);
            let steps = model.steps(&images, &phrases).unwrap();
            let way = format!("{name}_intermediate");
            let exists = dir.join(format!("{way}.safetensors")).is_file();
            compare_steps(&steps, &golden, exists.then(|| Golden::open(&dir, &way)).as_ref());
        }
    }
}

#[test]
fn boxes_and_words_that_are_kept_match_the_reference() {
    for dir in cases() {
        let model = model(&dir, weights(&dir));
        for (name, golden) in runs(&dir) {
            let wanted: Value = golden.config(&format!("{name}_postprocess.json"));
            let number = |name: &str| wanted[name].as_f64().unwrap() as f32;
            let thresholds = Thresholds { score: number("threshold"), token: number("text_threshold") };
            let sizes: Vec<(usize, usize)> = wanted["target_sizes_hw"]
                .as_array()
                .unwrap()
                .iter()
                .map(|size| (size[0].as_u64().unwrap() as usize, size[1].as_u64().unwrap() as usize))
                .collect();
            let (images, phrases) = inputs(&golden);
            let answer = model.forward(&images, &phrases).unwrap();
            let columns = model.config().max_text_len;
            let found = detections(&answer, &phrases, &sizes, thresholds, columns).unwrap();
            for (row, found) in found.iter().enumerate() {
                let wanted = &wanted["results"][row];
                let list = |what: &str| wanted[what].as_array().unwrap().clone();
                let queries: Vec<u64> = found.iter().map(|d| d.query as u64).collect();
                let wanted_queries: Vec<u64> =
                    list("query_indices").iter().map(|q| q.as_u64().unwrap()).collect();
                assert_eq!(queries, wanted_queries);
                for (at, detection) in found.iter().enumerate() {
                    assert!((f64::from(detection.score) - list("scores")[at].as_f64().unwrap()).abs() < 1e-5);
                    for (corner, wanted) in detection.area.iter().zip(list("boxes")[at].as_array().unwrap()) {
                        assert!((f64::from(*corner) - wanted.as_f64().unwrap()).abs() < 1e-2);
                    }
                    let ids = phrases.ids(row);
                    let words: Vec<u64> = detection.columns.iter().map(|at| u64::from(ids[*at])).collect();
                    let wanted: Vec<u64> = list("phrase_token_ids")[at]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|id| id.as_u64().unwrap())
                        .collect();
                    assert_eq!(words, wanted, "image {row}, box {at}");
                    let own = phrases.phrase(row);
                    assert!(detection.own_columns.windows(2).all(|two| own[two[0]] == own[two[1]]));
                }
            }
        }
    }
}

#[test]
fn one_disturbed_weight_breaks_the_agreement() {
    for dir in cases() {
        for name in [
            "model.backbone.conv_encoder.model.encoder.layers.1.blocks.0.attention.self.relative_position_bias_table",
            "model.encoder.layers.1.fusion_layer.attn.values_text_proj.weight",
            "model.encoder.layers.0.deformable_layer.self_attn.sampling_offsets.bias",
            "model.decoder.layers.1.encoder_attn_text.value.weight",
            "bbox_embed.0.layers.2.bias",
        ] {
            let all = weights(&dir);
            let plain = all.load(name, DType::F32, device()).unwrap();
            let noise = (randn(1, plain.dims()) * 0.3).unwrap();
            let rest = all.renamed(|other| (other != name).then(|| other.to_owned())).unwrap();
            let changed = [(name.to_owned(), (plain + noise).unwrap())].into_iter().collect();
            let weights = rest.joined(Weights::from_tensors("disturbed", changed)).unwrap();
            let (_, golden) = runs(&dir).remove(0);
            let (images, phrases) = inputs(&golden);
            let answer = model(&dir, weights).forward(&images, &phrases).unwrap();
            assert!(relative_diff(&answer.boxes, &golden.tensor("out.pred_boxes")) > 1e-3, "{name}");
        }
    }
}

#[test]
fn any_copy_of_the_box_head_is_found_and_strange_tensors_are_named() {
    for dir in cases() {
        let (_, golden) = runs(&dir).remove(0);
        let (images, phrases) = inputs(&golden);
        let answer = |weights: Weights| model(&dir, weights).forward(&images, &phrases).unwrap().boxes;
        let wanted = answer(weights(&dir));
        for copy in ["bbox_embed.1.", "model.decoder.bbox_embed.1."] {
            let moved = weights(&dir).renamed(|name| Some(name.replace("bbox_embed.0.", copy))).unwrap();
            assert_eq!(max_abs_diff(&answer(moved), &wanted), 0.0);
        }
        let copies = weights(&dir).renamed(|name| {
            name.starts_with("bbox_embed.0.")
                .then(|| format!("model.decoder.{}", name.replace("bbox_embed.0.", "bbox_embed.1.")))
        });
        let all = weights(&dir).joined(copies.unwrap()).unwrap();
        assert_eq!(max_abs_diff(&answer(all), &wanted), 0.0);
        let extra = [("model.strange.weight".to_owned(), randn(1, &[2]))].into_iter().collect();
        let more = weights(&dir).joined(Weights::from_tensors("more", extra)).unwrap();
        let said = GroundingDino::load(&config(&dir), more, device(), DType::F32).unwrap_err().to_string();
        assert!(said.contains("model.strange.weight"), "{said}");
    }
}

fn small() -> GroundingDinoConfig {
    let mut cfg = GroundingDinoConfig::tiny();
    cfg.backbone_config = SwinConfig {
        embed_dim: 8,
        depths: vec![1, 2, 1, 1],
        num_heads: vec![1, 2, 2, 4],
        ..cfg.backbone_config
    };
    cfg.text_config.hidden_size = 16;
    cfg.text_config.num_attention_heads = 2;
    cfg.text_config.num_hidden_layers = 1;
    cfg.text_config.intermediate_size = 32;
    cfg.text_config.vocab_size = 1100;
    (cfg.d_model, cfg.encoder_ffn_dim, cfg.decoder_ffn_dim) = (32, 48, 48);
    (cfg.encoder_attention_heads, cfg.decoder_attention_heads) = (4, 4);
    (cfg.encoder_layers, cfg.decoder_layers, cfg.num_queries) = (1, 2, 5);
    cfg
}

#[test]
fn threads_change_no_bit() {
    let store = ParamStore::new(3, device(), DType::F32);
    let model = GroundingDino::new(&small(), store.var_builder()).unwrap();
    let images = ImageBatch { pixels: randn(1, &[1, 3, 200, 264]), sizes: vec![(200, 264)] };
    let phrases = Phrases::new(&[vec![101, 9, 8, 1012, 11, 1012, 102]]).unwrap();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| model.forward(&images, &phrases).unwrap())
    };
    let (one, three) = (with(1), with(3));
    assert_eq!(max_abs_diff(&one.boxes, &three.boxes), 0.0);
    assert_eq!(max_abs_diff(&one.logits, &three.logits), 0.0);
}

#[test]
fn an_image_in_a_batch_gets_what_it_gets_alone() {
    let store = ParamStore::new(3, device(), DType::F32);
    let model = GroundingDino::new(&small(), store.var_builder()).unwrap();
    let first = randn(1, &[1, 3, 64, 96]);
    let second = randn(2, &[1, 3, 96, 64]);
    let filled = |xs: &Tensor| {
        let (_, _, h, w) = xs.dims4().unwrap();
        xs.pad_with_zeros(2, 0, 96 - h).unwrap().pad_with_zeros(3, 0, 96 - w).unwrap()
    };
    let texts = [vec![101, 7, 1012, 102], vec![101, 9, 8, 1012, 11, 1012, 102]];
    let together = ImageBatch {
        pixels: Tensor::cat(&[filled(&first), filled(&second)], 0).unwrap(),
        sizes: vec![(64, 96), (96, 64)],
    };
    let both = model.forward(&together, &Phrases::new(&texts).unwrap()).unwrap();
    let alone = |xs: Tensor, size: (usize, usize), text: &Vec<u32>| -> Answer {
        let images = ImageBatch { pixels: filled(&xs), sizes: vec![size] };
        model.forward(&images, &Phrases::new(std::slice::from_ref(text)).unwrap()).unwrap()
    };
    for (row, (xs, size)) in [(first, (64, 96)), (second, (96, 64))].into_iter().enumerate() {
        let alone = alone(xs, size, &texts[row]);
        let part = |xs: &Tensor| xs.narrow(0, row, 1).unwrap();
        assert_close(&part(&both.boxes), &alone.boxes, 1e-5);
        let s = texts[row].len();
        assert_close(&part(&both.logits).narrow(2, 0, s).unwrap(), &alone.logits, 1e-5);
    }
}

#[test]
fn inputs_that_make_no_sense_are_refused() {
    let store = ParamStore::new(3, device(), DType::F32);
    let model = GroundingDino::new(&small(), store.var_builder()).unwrap();
    let says = |sizes: Vec<(usize, usize)>, texts: &[Vec<u32>], what: &str| {
        let images = ImageBatch { pixels: randn(1, &[1, 3, 32, 32]), sizes };
        let error = model.forward(&images, &Phrases::new(texts).unwrap()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    let text = vec![101, 7, 1012, 102];
    says(vec![(32, 40)], std::slice::from_ref(&text), "32x32");
    says(vec![(32, 32)], &[text.clone(), text.clone()], "2 texts");
    says(vec![(32, 32)], &[vec![101, 5000, 1012, 102]], "5000");
    says(vec![(32, 32)], &[vec![101; 300]], "300 tokens");
}

/// A tokenizer of a few words, with the separators where BERT has them.
fn tokenizer() -> String {
    let words = [("[PAD]", 0), ("[UNK]", 100), ("[CLS]", 101), ("[SEP]", 102), (".", 1012), ("?", 1029)];
    let more = ["a", "red", "dog", "##gy", "cat", "bicycle"].into_iter().zip(200..);
    let vocab: serde_json::Map<String, Value> =
        words.into_iter().chain(more).map(|(word, id)| (word.to_owned(), Value::from(id))).collect();
    let special = |id: u32, content: &str| {
        serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true})
    };
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "[PAD]"), special(100, "[UNK]"), special(101, "[CLS]"), special(102, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": null,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    })
    .to_string()
}

#[test]
fn a_folder_opens_and_boxes_belong_to_the_phrases_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = ParamStore::new(3, device(), DType::F32);
    GroundingDino::new(&small(), store.var_builder()).unwrap();
    let weights = Weights::from_tensors("fresh", store.tensors());
    save_safetensors(dir.path(), "model", &weights, usize::MAX, &Default::default()).unwrap();
    std::fs::write(dir.path().join("config.json"), serde_json::to_string(&small()).unwrap()).unwrap();
    let open = || Detector::open(dir.path(), device(), DType::F32);
    assert!(open().unwrap_err().to_string().contains("tokenizer.json"));
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer().replace("1029", "1030")).unwrap();
    assert!(open().unwrap_err().to_string().contains('?'));
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer()).unwrap();
    let detector = open().unwrap();

    let images = ImageBatch { pixels: randn(1, &[1, 3, 64, 96]), sizes: vec![(64, 96)] };
    let all = Thresholds { score: 0.0, token: 0.0 };
    let asked = ["A red doggy.", "cat? dog", "bicycle"];
    let found = detector.detect(&images, &[(128, 192)], &asked, all).unwrap();
    assert_eq!((found.len(), found[0].len()), (1, small().num_queries));
    for found in &found[0] {
        let [left, top, right, bottom] = found.area;
        assert!(left <= right && top <= bottom && left >= 0.0 && right <= 192.0 && bottom <= 128.0);
        // The second phrase is two to the model.
        let words = [&["a red doggy"][..], &["cat", "dog"], &["bicycle"]][found.phrase];
        assert!(words.contains(&found.words.as_str()), "{found:?}");
        assert!(found.score > 0.0 && found.score <= found.best && found.best < 1.0);
        assert!(found.label.contains(&found.words) && found.label.len() > found.words.len(), "{found:?}");
    }
    let none =
        detector.detect(&images, &[(128, 192)], &asked, Thresholds { score: 1.0, token: 0.25 }).unwrap();
    assert!(none[0].is_empty());
    for (asked, says) in
        [(vec!["dog", " . "], "no words"), (vec!["dog"; 200], "402 tokens"), (vec![], "0 phrases")]
    {
        let wanted = detector.detect(&images, &[(128, 192)], &asked, all).unwrap_err().to_string();
        assert!(wanted.contains(says), "{wanted}");
    }
}

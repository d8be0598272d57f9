//! SAM 2.1 on single images against recorded numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde_json::Value;
use strefer_nn::ParamStore;
use strefer_nn::testing::{Golden, assert_close, device, max_abs_diff, randn, relative_diff};
use strefer_vision::sam2::{Click, Decoded, Label, Prompt, PromptPoint, Sam2, Sam2Config, canonical};

fn cases() -> Vec<PathBuf> {
    crate::common::cases("sam2_image")
}

fn store(dir: &Path) -> ParamStore {
    let weights = canonical(Golden::open(dir, "weights").weights()).unwrap();
    ParamStore::new(1, device(), DType::F32).with_weights(weights)
}

fn config(dir: &Path) -> Sam2Config {
    Golden::open(dir, "weights").config("config.json")
}

fn model(dir: &Path) -> Sam2 {
    let store = store(dir);
    let model = Sam2::new(&config(dir), store.var_builder()).unwrap();
    store.check_complete().unwrap();
    model
}

/// Channels first, as the reference has its maps.
fn planes(xs: &Tensor) -> Tensor {
    xs.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap()
}

fn at(xs: &Tensor, row: usize) -> Tensor {
    xs.get(row).unwrap()
}

#[test]
fn every_map_of_the_encoder_matches_the_reference() {
    for dir in cases() {
        let model = model(&dir);
        let golden = Golden::open(&dir, "encoder");
        let pixels = golden.tensor("in.pixel_values");
        let embedded = golden.tensor("backbone.patch_embed");
        let embedded = embedded.broadcast_add(&golden.tensor("backbone.pos_embed")).unwrap();
        assert_close(&model.backbone().embed(&pixels).unwrap(), &embedded, 1e-5);
        for (stage, map) in model.backbone().forward(&pixels).unwrap().iter().enumerate() {
            assert_close(map, &golden.tensor(&format!("backbone.stage{stage}")), 1e-5);
        }
        for (level, map) in model.pyramid(&pixels).unwrap().iter().enumerate() {
            assert_close(&planes(map), &golden.tensor(&format!("fpn.{level}")), 1e-5);
        }
        let features = model.encode(&pixels).unwrap();
        for (level, map) in features.fine.iter().enumerate() {
            assert_close(&planes(map), &golden.tensor(&format!("image_embeddings.{level}")), 1e-5);
        }
        let top = model.without_memory(&features).unwrap();
        assert_close(&planes(&top), &golden.tensor("image_embeddings.2"), 1e-5);
        let (_, d, h, w) = golden.tensor("dense_pe").dims4().unwrap();
        let places = planes(&model.dense_positions().reshape((1, h, w, d)).unwrap());
        assert_close(&places, &golden.tensor("dense_pe"), 1e-5);
    }
}

fn points(golden: &Golden, image: usize) -> Vec<Vec<PromptPoint>> {
    let mut objects: Vec<Vec<PromptPoint>> = Vec::new();
    if golden.contains("in.input_points") {
        let places: Vec<Vec<Vec<f32>>> = at(&golden.tensor("in.input_points"), image).to_vec3().unwrap();
        let labels = at(&golden.tensor("in.input_labels"), image).to_dtype(DType::I64).unwrap();
        let labels: Vec<Vec<i64>> = labels.to_vec2().unwrap();
        let label = |label: i64| match label {
            0 => Label::Outside,
            1 => Label::Inside,
            -1 => Label::Nothing,
            -10 => Label::Padding,
            other => panic!("label {other}"),
        };
        objects = places
            .iter()
            .zip(&labels)
            .map(|(places, labels)| {
                let points = places.iter().zip(labels);
                points.map(|(xy, l)| PromptPoint { xy: [xy[0], xy[1]], label: label(*l) }).collect()
            })
            .collect();
    }
    if golden.contains("in.input_boxes") {
        let boxes: Vec<Vec<f32>> = at(&golden.tensor("in.input_boxes"), image).to_vec2().unwrap();
        objects.resize(boxes.len(), Vec::new());
        for (points, b) in objects.iter_mut().zip(boxes) {
            points.push(PromptPoint { xy: [b[0], b[1]], label: Label::TopLeft });
            points.push(PromptPoint { xy: [b[2], b[3]], label: Label::BottomRight });
        }
    }
    if objects.is_empty() {
        objects.push(vec![PromptPoint { xy: [0.0; 2], label: Label::Nothing }]);
    }
    objects
}

fn manifest(dir: &Path) -> BTreeMap<String, Value> {
    let all: BTreeMap<String, Value> = Golden::open(dir, "weights").config("manifest.json");
    all.into_iter().filter(|(_, case)| case.get("multimask_output").is_some()).collect()
}

fn decode(model: &Sam2, golden: &Golden, encoder: &Golden, image: usize) -> (Tensor, Tensor, Decoded) {
    let features = model.encode(&encoder.tensor("in.pixel_values")).unwrap().of_image(image).unwrap();
    let logits = golden.contains("in.input_masks").then(|| at(&golden.tensor("in.input_masks"), image));
    let (sparse, dense) = model.embed_prompts(&points(golden, image), logits.as_ref()).unwrap();
    let top = model.without_memory(&features).unwrap();
    let decoded = model.decode(&features, &top, &sparse, &dense).unwrap();
    (sparse, dense, decoded)
}

#[test]
fn every_prompt_gives_the_masks_of_the_reference() {
    for dir in cases() {
        let model = model(&dir);
        let encoder = Golden::open(&dir, "encoder");
        let cases = manifest(&dir);
        assert!(cases.len() >= 5);
        for (name, case) in cases {
            let golden = Golden::open(&dir, &name);
            let mut cfg = model.config().mask_decoder_config.clone();
            cfg.dynamic_multimask_stability_thresh = case["stability_thresh"].as_f64().unwrap();
            let several = case["multimask_output"].as_bool().unwrap();
            let images = golden.tensor("out.pred_masks").dim(0).unwrap();
            for image in 0..images {
                let wanted = |what: &str| at(&golden.tensor(what), image);
                let (sparse, dense, decoded) = decode(&model, &golden, &encoder, image);
                assert_close(&sparse, &wanted("sparse_embeddings"), 1e-5);
                if golden.contains("dense_embeddings") {
                    let (d, h, w) = wanted("dense_embeddings").dims3().unwrap();
                    let dense = planes(&dense.reshape((1, h, w, d)).unwrap()).squeeze(0).unwrap();
                    assert_close(&dense, &wanted("dense_embeddings"), 1e-5);
                }
                assert_close(&decoded.tokens, &wanted("transformer.queries"), 1e-5);
                if golden.contains("transformer.keys") {
                    let objects = decoded.image.dim(0).unwrap();
                    let keys = golden.tensor("transformer.keys").squeeze(1).unwrap();
                    let keys = keys.narrow(0, image * objects, objects).unwrap();
                    assert_close(&decoded.image, &keys, 1e-5);
                }
                if golden.contains("stability_scores") {
                    let delta = cfg.dynamic_multimask_stability_delta;
                    let found: Vec<f32> =
                        decoded.stability(delta).unwrap().into_iter().map(|x| x as f32).collect();
                    let wanted: Vec<f32> =
                        wanted("stability_scores").flatten_all().unwrap().to_vec1().unwrap();
                    assert_eq!(found, wanted, "{name}");
                    assert_close(&decoded.iou, &at(&golden.tensor("all_iou_scores"), image), 1e-5);
                }
                let chosen = decoded.choose(several, &cfg).unwrap();
                assert_close(&chosen.masks, &wanted("out.pred_masks"), 2e-5);
                assert_close(&chosen.iou, &wanted("out.iou_scores"), 1e-5);
                assert_close(&decoded.object_score, &wanted("out.object_score_logits"), 1e-5);
            }
        }
    }
}

#[test]
fn masks_in_the_size_of_the_image_match_the_reference() {
    let mut compared = 0;
    for dir in cases() {
        let model = model(&dir);
        let encoder = Golden::open(&dir, "encoder");
        for (name, case) in manifest(&dir) {
            let golden = Golden::open(&dir, &name);
            let Some(binary) = golden.names().into_iter().find(|name| name.starts_with("post.binary")) else {
                continue;
            };
            let mut cfg = model.config().clone();
            let threshold = case["stability_thresh"].as_f64().unwrap();
            cfg.mask_decoder_config.dynamic_multimask_stability_thresh = threshold;
            let model = Sam2::new(&cfg, store(&dir).var_builder()).unwrap();
            let several = case["multimask_output"].as_bool().unwrap();
            let (_, objects, masks, height, width) = golden.tensor(&binary).dims5().unwrap();
            let wanted =
                golden.tensor(&binary).get(0).unwrap().flatten_all().unwrap().to_vec1::<u8>().unwrap();
            let logits = golden.tensor(&binary.replace("binary", "resized_logits")).get(0).unwrap();
            let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
            let features = model.encode(&encoder.tensor("in.pixel_values")).unwrap().of_image(0).unwrap();
            let side = model.image_size();
            // The order of several masks follows their estimates.
            let iou = at(&golden.tensor("out.iou_scores"), 0).to_vec2::<f32>().unwrap();
            for (object, points) in points(&golden, 0).iter().enumerate() {
                let mut prompt = Prompt::default();
                let mut corners = Vec::new();
                for PromptPoint { xy: [x, y], label } in points.iter().copied() {
                    match label {
                        Label::Inside => prompt.clicks.push(Click { x, y, inside: true }),
                        Label::Outside => prompt.clicks.push(Click { x, y, inside: false }),
                        _ => corners.extend([x, y]),
                    }
                }
                if let &[left, top, right, bottom] = corners.as_slice() {
                    prompt.area = Some([left, top, right, bottom]);
                }
                let found = model.predict(&features, &prompt, (side, side), several).unwrap();
                let mut order: Vec<usize> = (0..masks).collect();
                order.sort_by(|a, b| iou[object][*b].total_cmp(&iou[object][*a]));
                for (at, place) in order.into_iter().enumerate() {
                    let mask = found.mask(at, height, width).unwrap();
                    let start = (object * masks + place) * height * width;
                    for (pixel, found) in mask.as_slice().iter().enumerate() {
                        let clear = logits[start + pixel].abs() > 1e-3;
                        assert!(!clear || *found == wanted[start + pixel], "{name} {object} {pixel}");
                    }
                    compared += 1;
                }
            }
            assert!(objects > 0);
        }
    }
    assert!(compared > 0);
}

#[test]
fn one_disturbed_weight_breaks_the_agreement() {
    for dir in cases() {
        for name in [
            "vision_encoder.backbone.blocks.1.attn.qkv.weight",
            "prompt_encoder.point_embed.weight",
            "mask_decoder.transformer.layers.1.cross_attn_image_to_token.v_proj.weight",
        ] {
            let store = store(&dir).trainable(move |asked| asked == name);
            let shapes = Sam2::new(&config(&dir), store.var_builder()).unwrap();
            let var = &store.vars()[name];
            let noise = (randn(1, var.dims()) * 0.05).unwrap();
            var.set(&(var.as_detached_tensor() + noise).unwrap()).unwrap();
            drop(shapes);
            // Weights are laid out anew when a model is built, so the disturbed one is built from the same store.
            let model = Sam2::new(&config(&dir), store.var_builder()).unwrap();
            let golden = Golden::open(&dir, "point_multi");
            let (_, _, decoded) = decode(&model, &golden, &Golden::open(&dir, "encoder"), 0);
            let chosen = decoded.choose(true, &model.config().mask_decoder_config).unwrap();
            let wanted = at(&golden.tensor("out.pred_masks"), 0);
            assert!(relative_diff(&chosen.masks, &wanted) > 1e-3, "{name}");
        }
    }
}

fn small() -> Sam2Config {
    let mut cfg = Sam2Config::tiny();
    cfg.vision_config.backbone_config.embed_dim_per_stage = vec![8, 16, 32, 64];
    cfg.prompt_encoder_config.image_size = 64;
    cfg
}

#[test]
fn objects_asked_about_at_once_get_what_they_get_alone() {
    let store = ParamStore::new(3, device(), DType::F32);
    let model = Sam2::new(&small(), store.var_builder()).unwrap();
    let features = model.encode(&randn(1, &[1, 3, 64, 64])).unwrap();
    let top = model.without_memory(&features).unwrap();
    let point = |x: f32, y: f32| vec![PromptPoint { xy: [x, y], label: Label::Inside }];
    let points = [point(3.0, 40.0), point(50.0, 7.5), point(20.0, 20.0)];
    let masks = |points: &[Vec<PromptPoint>]| {
        let (sparse, dense) = model.embed_prompts(points, None).unwrap();
        model.decode(&features, &top, &sparse, &dense).unwrap().masks
    };
    let alone: Vec<Tensor> = points.iter().map(|p| masks(std::slice::from_ref(p))).collect();
    assert_close(&masks(&points), &Tensor::cat(&alone, 0).unwrap(), 1e-6);
}

#[test]
fn prompts_and_images_that_make_no_sense_are_refused() {
    let store = ParamStore::new(3, device(), DType::F32);
    let model = Sam2::new(&small(), store.var_builder()).unwrap();
    let wrong = model.encode(&randn(1, &[1, 3, 64, 60])).unwrap_err().to_string();
    assert!(wrong.contains("64x64") && wrong.contains("64x60"), "{wrong}");
    let features = model.encode(&randn(1, &[1, 3, 64, 64])).unwrap();
    for (prompt, says) in [
        (Prompt::click(f32::NAN, 1.0), "NaN"),
        (Prompt::boxed([5.0, 1.0, 4.0, 8.0]), "ends before it begins"),
        (Prompt { logits: Some(randn(1, &[1, 4, 4])), ..Prompt::default() }, "no mask"),
    ] {
        let said = model.predict(&features, &prompt, (64, 64), true).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }
    // An earlier answer may be given back.
    let first = model.predict(&features, &Prompt::click(9.0, 9.0), (64, 64), true).unwrap();
    assert!(first.iou.is_sorted_by(|a, b| a >= b));
    let logits = Some(first.logits(0).unwrap());
    let again = Prompt { logits, ..Prompt::click(9.0, 9.0) };
    let second = model.predict(&features, &again, (64, 64), false).unwrap();
    assert!(max_abs_diff(&second.masks, &first.masks.narrow(0, 0, 1).unwrap()) > 0.0);
}

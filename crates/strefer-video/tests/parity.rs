//! Samplers and the image processor against numbers recorded from the published models' code.

use std::path::Path;

use image::RgbImage;
use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::Value;
use strefer_core::golden;
use strefer_video::{
    jpeg, sample,
    transform::{self, Resize},
};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The files called `name` in the folders of `family`; at least one.
fn files(family: &str, name: &str) -> Vec<std::path::PathBuf> {
    let found: Vec<_> =
        golden::dirs(family).iter().map(|dir| dir.join(name)).filter(|file| file.exists()).collect();
    assert!(!found.is_empty(), "no {name} in {family}");
    found
}

fn indices(case: &Value) -> Vec<usize> {
    case["indices"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap() as usize).collect()
}

fn number(case: &Value, key: &str) -> usize {
    case[key].as_u64().unwrap_or_else(|| panic!("no {key} in {case}")) as usize
}

fn seconds(clock: &Value) -> f64 {
    clock.as_str().unwrap().split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

#[test]
fn videorefer_chooses_the_same_frames() {
    let mut n_cases = 0;
    for file in files("videorefer", "frame_sampling_cases.json") {
        for case in json(&file).as_array().unwrap() {
            let n_total = number(case, "frames_in_range");
            let ours = match case["mode"].as_str().unwrap() {
                "uniform" => sample::midpoints(n_total, number(case, "num_frames")),
                "fps" => sample::at_rate(n_total, case["fps"].as_f64().unwrap(), 1.0),
                other => panic!("unknown mode {other}"),
            };
            assert_eq!(ours, indices(case), "{case}");
            n_cases += 1;
        }
    }
    assert!(n_cases > 0);
}

#[test]
fn strefer_chooses_the_same_frames() {
    let mut n_cases = 0;
    for file in files("frame_sampling_strefer", "sampling.json") {
        let cases = json(&file);
        let group = |name: &str| cases[name].as_array().unwrap().clone();
        for case in group("linspace_whole") {
            let (n_total, n) = (number(&case, "n_frames_video"), number(&case, "num_frames"));
            assert_eq!(sample::linspace_trunc(n_total, n), indices(&case), "{case}");
            n_cases += 1;
        }
        for case in group("linspace_segment") {
            let (n_total, fps) = (number(&case, "n_frames_video"), case["fps"].as_f64().unwrap());
            let (first, last) = sample::segment(seconds(&case["start"]), seconds(&case["end"]), fps, n_total);
            let ours = sample::linspace_between(first, last, number(&case, "num_frames"));
            assert_eq!(ours, indices(&case), "{case}");
            let duration_s = (last - first) as f64 / fps;
            assert!((duration_s - case["duration"].as_f64().unwrap()).abs() < 1e-9, "{case}");
            n_cases += 1;
        }
        for case in group("videorefer_midpoints") {
            let (n_total, n) = (number(&case, "n_frames_video"), number(&case, "num_frames"));
            assert_eq!(sample::midpoints(n_total, n), indices(&case), "{case}");
            n_cases += 1;
        }
        for case in group("torchcodec_v1") {
            let n_total = number(&case, "n_frames_video");
            if case.get("error").is_some() {
                assert_eq!(sample::strided(n_total, 32, 0), None, "{case}");
            } else {
                let max_start = case["start_range"][1].as_u64().unwrap() as usize;
                assert_eq!(sample::strided_max_start(n_total, 32), Some(max_start), "{case}");
                assert_eq!(
                    sample::strided(n_total, 32, number(&case, "start")),
                    Some(indices(&case)),
                    "{case}"
                );
                assert_eq!(sample::strided(n_total, 32, max_start + 1), None);
            }
            n_cases += 1;
        }
        for case in group("torchcodec_v2") {
            let get = |key: &str| case[key].as_f64().unwrap();
            let (n_total, fps) = (number(&case, "n_frames_video"), get("fps"));
            let n = number(&case, "num_frames");
            let end_s = n_total as f64 / fps;
            let times_s = sample::clip_times(get("start_s"), get("end_s"), n, get("offset_s"), end_s);
            let shown: Vec<usize> =
                times_s.iter().map(|time_s| ((time_s * fps) as usize).min(n_total - 1)).collect();
            assert_eq!(shown, indices(&case), "{case}");
            n_cases += 1;
        }
    }
    assert!(n_cases > 0);
}

#[test]
fn annotated_frames_are_collected_as_strefer_does() {
    let mut n_cases = 0;
    for file in files("frame_sampling_strefer", "records.json") {
        for record in json(&file)["records"].as_array().unwrap() {
            let Some(annotation) = record["record"]["annotation"].as_array() else { continue };
            for variant in record["selection_variants"].as_array().unwrap() {
                let chosen = variant["selected_key_per_object"].as_array();
                let keys = |object: usize, masks: &Value| -> Vec<usize> {
                    let one = chosen.map(|chosen| chosen[object].as_str().unwrap().to_string());
                    let all = masks.as_object().unwrap().keys().cloned();
                    let keys: Vec<String> = one.map_or_else(|| all.collect(), |key| vec![key]);
                    let mut keys: Vec<usize> = keys.iter().map(|key| key.parse().unwrap()).collect();
                    keys.sort_unstable();
                    keys
                };
                let objects: Vec<Vec<usize>> =
                    annotation.iter().enumerate().map(|(object, masks)| keys(object, masks)).collect();
                let found = sample::annotated(&objects);
                assert_eq!(serde_json::json!(found.frames), variant["mask_frame_keys"], "{}", record["name"]);
                assert_eq!(serde_json::json!(found.rows), variant["ann_indices"], "{}", record["name"]);
                n_cases += 1;
            }
        }
    }
    assert!(n_cases > 0);
}

#[test]
fn a_shifted_sampler_is_noticed() {
    let mut differing = 0;
    for file in files("videorefer", "frame_sampling_cases.json") {
        for case in json(&file).as_array().unwrap().iter().filter(|case| case["mode"] == "uniform") {
            let (n_total, n) = (number(case, "frames_in_range"), number(case, "num_frames"));
            differing += usize::from(sample::linspace_trunc(n_total, n) != indices(case));
        }
    }
    assert!(differing > 0, "another rule passes for VideoRefer's");
}

fn picture(tensor: &TensorView) -> RgbImage {
    let [height, width, 3] = *tensor.shape() else { panic!("not an image: {:?}", tensor.shape()) };
    RgbImage::from_raw(width as u32, height as u32, tensor.data().to_vec()).unwrap()
}

/// Compares every recorded picture after `change` and returns the largest difference in steps of 8-bit values, and the
/// number of cases.
fn worst_difference(change: impl Fn(RgbImage) -> RgbImage) -> (f32, usize) {
    let (mut worst, mut n_cases) = (0f32, 0);
    for file in files("videorefer", "image_preprocess.safetensors") {
        let manifest = json(&file.with_file_name("manifest.json"));
        let bytes = std::fs::read(&file).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for case in manifest["image_preprocess"]["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let pad = case["pad_to_square"].as_bool().unwrap();
            let size = number(case, "size");
            let image = change(picture(&tensors.tensor(&format!("{name}.image")).unwrap()));
            let square =
                transform::to_square(&image, size as u32, if pad { Resize::Pad } else { Resize::Square });
            let ours = transform::to_pixels(&square, size as u32);
            let theirs: Vec<f32> = match tensors.tensor(&format!("{name}.pixel_values")) {
                Ok(values) => values
                    .data()
                    .chunks_exact(4)
                    .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
                    .collect(),
                Err(_) => {
                    let values = tensors.tensor(&format!("{name}.resized_u8")).unwrap();
                    values.data().iter().map(|&value| (f32::from(value) / 255.0 - 0.5) / 0.5).collect()
                }
            };
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let most = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            worst = worst.max(most * 127.5);
            n_cases += 1;
        }
    }
    (worst, n_cases)
}

#[test]
fn pixels_are_those_of_the_reference_processor() {
    let (worst, n_cases) = worst_difference(|image| image);
    assert!(n_cases > 0);
    assert!(worst < 1e-3, "differs by {worst} of 255");
}

#[test]
fn a_changed_pixel_is_noticed() {
    let (worst, _) = worst_difference(|mut image| {
        let (x, y) = (image.width() / 2, image.height() / 2);
        image.get_pixel_mut(x, y).0[1] ^= 0x80;
        image
    });
    assert!(worst > 0.5);
}

#[test]
fn pictures_come_through_jpeg_as_pil_leaves_them() {
    let mean_gap = |a: &[u8], b: &[u8]| {
        a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    };
    let mut compared = 0;
    for file in files("jpeg", "pictures.safetensors") {
        let bytes = std::fs::read(file).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for (name, before) in tensors.tensors() {
            let Some(name) = name.strip_prefix("in.") else { continue };
            let after = tensors.tensor(&format!("out.{name}")).unwrap();
            let (height, width) = (before.shape()[0] as u32, before.shape()[1] as u32);
            let image = RgbImage::from_raw(width, height, before.data().to_vec()).unwrap();
            let found = jpeg::round_trip(&image, jpeg::USUAL_QUALITY).unwrap();
            let gap = mean_gap(found.as_raw(), after.data());
            let changed = mean_gap(before.data(), after.data());
            assert!(gap < 0.6 && gap < changed / 10.0, "{name}: {gap:.3} where JPEG changes {changed:.3}");
            let rough = jpeg::round_trip(&image, 30).unwrap();
            assert!(mean_gap(rough.as_raw(), after.data()) > gap * 2.0, "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 2);
}

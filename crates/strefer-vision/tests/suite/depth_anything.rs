//! Depth Anything V2 against recorded numbers.

use candle_core::{DType, Tensor};
use strefer_nn::testing::{Golden, assert_close, device};
use strefer_vision::depth_anything::{DepthAnything, DepthAnythingConfig};

fn model(dir: &std::path::Path) -> DepthAnything {
    let golden = Golden::open(dir, "weights");
    DepthAnything::load(&golden.config("config.json"), golden.weights(), device(), DType::F32).unwrap()
}

#[test]
fn depth_in_metres_matches_the_reference() {
    for dir in crate::common::cases("depth_anything") {
        let model = model(&dir);
        for name in ["square", "wide"] {
            let golden = Golden::open(&dir, name);
            let depth = model.forward(&golden.tensor("in.pixel_values")).unwrap();
            assert_close(&depth, &golden.tensor("out.predicted_depth"), 1e-5);
        }
    }
}

#[test]
fn a_picture_gives_what_its_normalised_pixels_give() {
    let dir = &crate::common::cases("depth_anything")[0];
    let model = model(dir);
    let rgb: Vec<u8> = (0..28 * 42 * 3).map(|at| (at * 7 % 251) as u8).collect();
    let found = model.depth(&rgb, 28, 42).unwrap();
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let value = |at: usize| {
        let (plane, pixel) = (at / (28 * 42), at % (28 * 42));
        (f32::from(rgb[3 * pixel + plane]) / 255.0 - mean[plane]) / std[plane]
    };
    let pixels = Tensor::from_iter((0..rgb.len()).map(value), device()).unwrap();
    let wanted = model.forward(&pixels.reshape((1, 3, 28, 42)).unwrap()).unwrap();
    assert_close(&Tensor::from_vec(found.clone(), (1, 28, 42), device()).unwrap(), &wanted, 1e-6);
    assert!(found.iter().all(|metres| (0.0..=80.0).contains(metres)));
    assert!(model.depth(&rgb, 28, 41).is_err());
    assert!(model.depth(&rgb[..28 * 40 * 3], 28, 40).is_err(), "40 is no multiple of a patch");
}

#[test]
fn pictures_keep_their_shape_near_518_pixels() {
    let model = model(&crate::common::cases("depth_anything")[0]);
    // 1080p: 518/1080 changes it less than 518/1920. 518 by 920.9, 65.8 patches.
    assert_eq!(model.input_size(1080, 1920), (518, 924));
    assert_eq!(model.input_size(518, 518), (518, 518));
    // Upright, and a picture smaller than that: the larger side changes less.
    assert_eq!(model.input_size(1920, 1080), (924, 518));
    assert_eq!(model.input_size(240, 320), (392, 518));
}

#[test]
fn models_that_do_not_give_metres_are_refused() {
    let dir = &crate::common::cases("depth_anything")[0];
    let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
    let place = tempfile::tempdir().unwrap();
    for (from, to, said) in [
        ("\"metric\"", "\"relative\"", "not metres"),
        ("\"max_depth\": 80", "\"max_depth\": 0", "max_depth"),
        ("\"hidden_size\": 24,", "\"hidden_size\": 24, \"use_swiglu_ffn\": true,", "gated"),
        ("0.5", "0.25", "reassemble_factors"),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(place.path().join("config.json"), text.replace(from, to)).unwrap();
        let error = DepthAnythingConfig::open(&place.path().join("config.json")).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("config.json"), "{error}");
    }
}

//! Referees over pictures on disk: with recorded weights, and with a teacher that this test plays.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use candle_core::DType;
use image::{Rgb, RgbImage};
use serde_json::json;
use strefer_core::golden;
use strefer_engine::masklets::eyes::FrameStore;
use strefer_engine::masklets::referees::{
    MarksReferee, RexSeekReferee, SimilarityOptions, SimilarityReferee,
};
use strefer_engine::masklets::{Answer, Area, Referee};
use strefer_model::rexseek::{RexSeek, RexSeekOptions};
use strefer_nn::testing::device;
use strefer_teacher::{Answer as Said, Part, Prompt, Rules, Sampling};
use strefer_video::transform::{Resize, normalise, to_square};
use strefer_video::{Limits, VideoSource, jpeg};
use strefer_vision::siglip::Siglip;

const BOXES: [Area; 2] = [[4.0, 4.0, 30.0, 40.0], [20.0, 10.0, 60.0, 44.0]];

fn picture() -> RgbImage {
    RgbImage::from_fn(64, 48, |x, y| Rgb([(4 * x) as u8, (5 * y) as u8, 90]))
}

fn film(dir: &Path) -> FrameStore {
    for name in ["000.png", "001.png"] {
        picture().save(dir.join(name)).unwrap();
    }
    let source = VideoSource::open(dir, &Limits::default()).unwrap();
    FrameStore::open(source, 2).unwrap().0
}

fn own(family: &str) -> PathBuf {
    golden::dirs(family).into_iter().find(|dir| dir.join("tokenizer.json").is_file()).unwrap()
}

#[test]
fn rexseek_is_asked_about_a_frame_as_it_is_alone() {
    let dir = tempfile::tempdir().unwrap();
    let frames = film(dir.path());
    let model = RexSeek::load(own("rexseek"), device(), DType::F32, RexSeekOptions::default()).unwrap();
    let expressions = ["the left one", "the dog"];
    let found = RexSeekReferee::new(&frames, &model).refer(1, &BOXES, &expressions).unwrap();
    let scene = model.scene(&picture(), &BOXES.map(|area| area.map(|side| side as f32))).unwrap();
    let direct: Vec<_> = scene.ask(&expressions).into_iter().map(Result::unwrap).collect();
    assert_eq!(found.len(), 2);
    for (found, direct) in found.iter().zip(&direct) {
        assert_eq!(found.indices, direct.indices);
        assert_eq!(found.confidence.len(), found.indices.len());
        assert!(found.confidence.iter().all(|sure| (0.0..=1.0).contains(sure)));
    }
    assert!(RexSeekReferee::new(&frames, &model).refer(9, &BOXES, &expressions).is_err());
}

#[test]
fn the_cut_out_that_fits_best_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let frames = film(dir.path());
    let model = Siglip::open(&own("siglip_pair"), device(), DType::F32).unwrap();
    let options = SimilarityOptions { margin: 0.0, least_logit: None };
    let expressions = ["a red car", "the small dog"];
    let found =
        SimilarityReferee::new(&frames, &model, options.clone()).refer(0, &BOXES, &expressions).unwrap();

    let pixels = [(4, 4, 26, 36), (20, 10, 40, 34)].into_iter().flat_map(|(x, y, w, h)| {
        let cut = image::imageops::crop_imm(&picture(), x, y, w, h).to_image();
        normalise(&to_square(&cut, model.image_size() as u32, Resize::Square))
    });
    let (images, texts) = (model.images(pixels.collect()).unwrap(), model.texts(&expressions).unwrap());
    let logits = model.pair().logits(&texts, &images).unwrap().to_vec2::<f32>().unwrap();
    for (found, logits) in found.iter().zip(&logits) {
        let best = usize::from(logits[1] > logits[0]);
        assert_eq!(found.indices, [best]);
        let share = 1.0 / (1.0 + (logits[1 - best] - logits[best]).exp());
        assert!((found.confidence[0] - f64::from(share)).abs() < 1e-5);
    }
    let top = f64::from(logits[0][0].max(logits[0][1]));
    let strict = SimilarityOptions { least_logit: Some(top + 1e-3), ..options };
    let mut strict = SimilarityReferee::new(&frames, &model, strict);
    assert_eq!(strict.refer(0, &BOXES, &expressions[..1]).unwrap(), [Answer::default()]);
    assert_eq!(strict.refer(0, &[], &expressions).unwrap(), [Answer::default(), Answer::default()]);
}

#[test]
fn a_teacher_sees_numbered_outlines_and_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let frames = film(dir.path());
    let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&seen);
    let teacher = Rules::new("numbers", move |question| {
        let image = question.parts.iter().find_map(|part| match part {
            Part::Image(bytes) => Some(bytes.to_vec()),
            _ => None,
        });
        kept.lock().unwrap().push((question.words(), image.unwrap(), question.schema.clone()));
        let value = json!({ "answers": [{ "expression": 2, "objects": [2, 1] }] });
        Ok(Said { value: Some(value), ..Said::of("") })
    });
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/engine/referees/marks.txt");
    let prompt = Prompt::open(&file).unwrap();
    let mut referee = MarksReferee::new(&frames, &teacher, &prompt, Sampling::default());
    assert_eq!(referee.name(), "marks:numbers");
    let answers = referee.refer(1, &BOXES, &["the left one", "the dog"]).unwrap();
    assert_eq!(answers[0], Answer::default());
    assert_eq!(answers[1].indices, [1, 0]);

    let seen = seen.lock().unwrap();
    let (words, image, schema) = &seen[0];
    assert!(words.contains("1. the left one") && words.contains("2. the dog"), "{words}");
    let schema = schema.as_ref().unwrap();
    assert_eq!(schema["properties"]["answers"]["items"]["properties"]["objects"]["items"]["maximum"], 2);
    let drawn = image::load_from_memory(image).unwrap().to_rgb8();
    assert_eq!(drawn.dimensions(), (64, 48));
    // Red is the first outline, green the second; JPEG mixes colours of neighbouring pixels.
    let plain = picture();
    let more = |x: u32, y: u32, channel: usize| {
        i32::from(drawn.get_pixel(x, y).0[channel]) - i32::from(plain.get_pixel(x, y).0[channel])
    };
    assert!(more(4, 30, 0) > 60 && more(4, 30, 1) < -40, "{:?}", drawn.get_pixel(4, 30));
    assert!(more(59, 40, 0) < -60, "{:?}", drawn.get_pixel(59, 40));
    assert!(more(2, 2, 0).abs() < 20 && more(2, 2, 1).abs() < 20);
}

#[test]
fn only_the_detector_sees_frames_before_jpeg() {
    let dir = tempfile::tempdir().unwrap();
    let frames = film(dir.path());
    assert_eq!(*frames.worked(0).unwrap(), picture());
    let frames = frames.through_jpeg(jpeg::USUAL_QUALITY);
    assert_eq!(*frames.frame(0).unwrap(), picture());
    let worked = frames.worked(0).unwrap();
    assert_ne!(*worked, picture());
    assert_eq!(*worked, jpeg::round_trip(&picture(), 75).unwrap());
}

//! Masklets with networks: tiny ones with recorded weights, over pictures on disk.

use std::path::{Path, PathBuf};

use candle_core::DType;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use strefer_core::records::{AssignStatus, MaskletsFailure};
use strefer_core::{FrameKey, IndexSpace, golden};
use strefer_engine::masklets::eyes::{
    BoxEyes, ColourLooks, DrawnBox, FrameStore, GivenBoxes, Meant, Thresholds, TrackEyes,
};
use strefer_engine::masklets::{
    Answer, Area, CorrectedConfig, Detector, Looks, Nobody, Perception, Referee, Seen, Sought, Tracker, Way,
    corrected,
};
use strefer_nn::testing::device;
use strefer_video::{Limits, VideoSource};
use strefer_vision::grounding_dino;
use strefer_vision::sam2::{Pass, Prompt, Sam2Video, Session, SessionOptions, VideoPrompt, pixels};

const SIZE: (u32, u32) = (56, 40);

/// Pictures of two squares that move apart; those named are no pictures.
fn film(dir: &Path, count: u32, broken: &[u32]) {
    for frame in 0..count {
        let picture = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            let inside = |left: u32| (left..left + 14).contains(&x) && (10..26).contains(&y);
            match (inside(6 + frame / 2), inside(38 - frame / 2)) {
                (true, _) => Rgb([220, 40, 30]),
                (_, true) => Rgb([30, 60, 210]),
                _ => Rgb([(4 * x) as u8, (3 * y) as u8, 90]),
            }
        });
        let path = dir.join(format!("{frame:03}.png"));
        if broken.contains(&frame) {
            std::fs::write(path, b"no picture").unwrap();
        } else {
            picture.save(path).unwrap();
        }
    }
}

fn source(dir: &Path) -> VideoSource {
    VideoSource::open(dir, &Limits::default()).unwrap()
}

fn recorded(family: &str) -> PathBuf {
    let dirs = golden::dirs(family);
    dirs.into_iter()
        .find(|dir| dir.join("weights.safetensors").is_file())
        .expect("our own goldens hold weights")
}

fn tracker() -> Sam2Video {
    let (from, dir) = (recorded("sam2_video"), tempfile::tempdir().unwrap());
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    std::fs::copy(from.join("weights.safetensors"), dir.path().join("model.safetensors")).unwrap();
    Sam2Video::open(dir.path(), device(), DType::F32).unwrap()
}

/// Whatever is asked for, the first box is meant.
#[derive(Default)]
struct First {
    asked: usize,
}

impl Referee for First {
    fn name(&self) -> &str {
        "first"
    }

    fn refer(&mut self, _: usize, boxes: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>> {
        self.asked += 1;
        assert!(!boxes.is_empty());
        Ok(vec![Answer { indices: vec![0], confidence: vec![0.9] }; expressions.len()])
    }
}

fn sought(expressions: &[(&str, &str)]) -> Vec<Sought> {
    let one = |(at, (expression, noun)): (usize, &(&str, &str))| Sought {
        eid: format!("e{at}"),
        expression: (*expression).to_owned(),
        noun: (*noun).to_owned(),
    };
    expressions.iter().enumerate().map(one).collect()
}

#[test]
fn frames_are_those_of_the_video_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    film(dir.path(), 60, &[]);
    let video = source(dir.path());
    let (frames, timeline) = FrameStore::open(video.clone(), 32).unwrap();
    assert_eq!((frames.len(), frames.size(), timeline.is_partial), (32, (40, 56), false));
    for position in (0..32).chain((0..32).rev()).chain([5, 25, 5, 14]) {
        let expected = &video.frames_at_indices(&[timeline.indices[position]]).unwrap()[0].image;
        assert_eq!(frames.frame(position).unwrap().as_ref(), expected, "{position}");
    }
    assert!(frames.frame(32).is_err());
}

#[test]
fn frames_that_cannot_be_read_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    film(dir.path(), 12, &[3, 4, 11]);
    let (frames, timeline) = FrameStore::open(source(dir.path()), 12).unwrap();
    assert_eq!((timeline.space, timeline.is_partial, frames.len()), (IndexSpace::Source, true, 9));
    let keys: Vec<u32> = timeline.keys.iter().map(|key| key.0).collect();
    assert_eq!(keys, [0, 1, 2, 5, 6, 7, 8, 9, 10]);
    (0..9).for_each(|position| assert!(frames.frame(position).is_ok()));

    let model = tracker();
    let wanted = sought(&[("the red one", "square")]);
    let drawn = DrawnBox { position: 4, area: [8.0, 10.0, 22.0, 26.0], meant: Meant::Expression(0) };
    let mut perception = Perception {
        detector: &mut GivenBoxes::new(vec![drawn], &wanted, None),
        tracker: &TrackEyes::new(&frames, &model, SessionOptions::default(), 2),
        referee: &mut Nobody,
        looks: &mut ColourLooks::new(&frames),
    };
    let cfg = CorrectedConfig { every: 1, ..CorrectedConfig::default() };
    let record = corrected::run("film", &wanted, &timeline, &mut perception, &cfg);
    assert_eq!((record.failure, record.n_read, record.start_index), (None, Some(9), Some(6)));
    assert!(record.objects[0].frames.contains_key(&FrameKey(6)));
    assert!(record.objects[0].frames.keys().all(|key| keys.contains(&key.0)));

    let broken = tempfile::tempdir().unwrap();
    film(broken.path(), 1, &[]);
    let video = source(broken.path());
    film(broken.path(), 1, &[0]);
    assert!(matches!(FrameStore::open(video, 4), Err(MaskletsFailure::Unreadable { .. })));
}

#[test]
fn what_a_person_drew_stays_two_things() {
    // The tiny tracker may take both for the whole picture.
    let dir = tempfile::tempdir().unwrap();
    film(dir.path(), 8, &[]);
    let (frames, timeline) = FrameStore::open(source(dir.path()), 8).unwrap();
    let model = tracker();
    let wanted = sought(&[("the red one", "square"), ("the blue one", "square")]);
    let drawn = |position, area, at| DrawnBox { position, area, meant: Meant::Expression(at) };
    let boxes = vec![drawn(0, [6.0, 10.0, 20.0, 26.0], 0), drawn(4, [34.0, 9.5, 52.0, 27.0], 1)];
    let alone = |at: usize| {
        let eyes = TrackEyes::new(&frames, &model, SessionOptions::default(), 4);
        let count = |way, positions: &mut dyn Iterator<Item = usize>| {
            let mut session = eyes.begin(boxes[at].position, way).unwrap();
            session.add(0, boxes[at].position, boxes[at].area).unwrap();
            positions.filter(|&position| !session.step(position).unwrap()[0].1.is_empty()).count()
        };
        let start = boxes[at].position;
        (count(Way::Forward, &mut (start..8)), count(Way::Backward, &mut (0..=start).rev()))
    };
    let expected: Vec<usize> = (0..2).map(alone).map(|(forward, backward)| forward + backward - 1).collect();
    let mut perception = Perception {
        detector: &mut GivenBoxes::new(boxes.clone(), &wanted, None),
        tracker: &TrackEyes::new(&frames, &model, SessionOptions::default(), 2),
        referee: &mut Nobody,
        looks: &mut ColourLooks::new(&frames),
    };
    let cfg = CorrectedConfig { every: 1, patience: 8, ..CorrectedConfig::default() };
    let record = corrected::run("film", &wanted, &timeline, &mut perception, &cfg);
    let found: Vec<usize> = record.objects.iter().map(|object| object.frames.len()).collect();
    assert_eq!(found, expected);
    assert!(found.iter().all(|count| *count > 2), "{found:?}");
}

#[test]
fn both_ways_equal_sessions_over_the_frames_in_that_order() {
    let dir = tempfile::tempdir().unwrap();
    film(dir.path(), 9, &[]);
    let (frames, _) = FrameStore::open(source(dir.path()), 9).unwrap();
    let model = tracker();
    let eyes = TrackEyes::new(&frames, &model, SessionOptions::default(), 3);
    let areas = [[6.0, 8.5, 24.0, 26.0], [30.5, 10.0, 54.0, 27.0]];
    let (start, mut not_empty) = (4usize, 0);
    for way in [Way::Forward, Way::Backward] {
        let order: Vec<usize> = match way {
            Way::Forward => (start..9).collect(),
            Way::Backward => (0..=start).rev().collect(),
        };
        let encode = |position: usize| {
            let image = frames.frame(position).unwrap();
            pixels(image.as_raw(), 40, 56, model.image().image_size()).unwrap()
        };
        let mut session = Session::new((40, 56), Some(order.len()), SessionOptions::default());
        let first = model.image().encode(&encode(start)).unwrap();
        for (object, area) in areas.iter().enumerate() {
            let prompt = VideoPrompt::Points(Prompt::boxed(area.map(|side| side as f32)));
            model.prompt(&mut session, 0, &first, object as u64, &prompt).unwrap();
        }
        let pixels_of = |frame: usize| Ok::<_, std::convert::Infallible>(Some(encode(order[frame])));
        let direct = model.propagate(&mut session, Pass::forward(), pixels_of).unwrap();

        let mut own = eyes.begin(start, way).unwrap();
        assert!(own.step(start).unwrap().is_empty(), "nothing is followed yet");
        for (object, area) in areas.iter().enumerate() {
            own.add(object as u32, start, *area).unwrap();
        }
        for (frame, expected) in direct.enumerate() {
            let found = own.step(order[frame]).unwrap();
            assert_eq!(found.len(), 2);
            for ((object, mask), expected) in found.iter().zip(&expected.unwrap().objects) {
                assert_eq!(u64::from(*object), expected.object_id);
                assert_eq!(*mask, expected.mask(40, 56).unwrap(), "{way:?} {frame}");
                not_empty += usize::from(!mask.is_empty());
            }
        }
        own.remove(0);
        assert_eq!(own.step(order[order.len() - 1]).unwrap().len(), 1);
        let before = if way == Way::Forward { start - 1 } else { start + 1 };
        assert!(own.step(before).is_err(), "a frame before the start");
    }
    assert!(not_empty > 10, "{not_empty} masks");
}

/// A folder of a detector with recorded weights and a tokenizer of a few words.
fn detector_folder(dir: &Path) {
    let recorded = recorded("grounding_dino");
    std::fs::copy(recorded.join("config.json"), dir.join("config.json")).unwrap();
    std::fs::copy(recorded.join("weights.safetensors"), dir.join("model.safetensors")).unwrap();
    let words = [("[PAD]", 0), ("[UNK]", 100), ("[CLS]", 101), ("[SEP]", 102), (".", 1012), ("?", 1029)];
    let more = [("square", 200), ("dog", 201)];
    let vocab: serde_json::Map<String, Value> =
        words.into_iter().chain(more).map(|(word, id)| (word.to_owned(), Value::from(id))).collect();
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "[PAD]"), special(100, "[UNK]"), special(101, "[CLS]"), special(102, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    });
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

#[test]
fn detector_tracker_and_referee_are_walked_end_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let (pictures, weights) = (dir.path().join("film"), dir.path().join("dino"));
    std::fs::create_dir(&pictures).unwrap();
    std::fs::create_dir(&weights).unwrap();
    film(&pictures, 5, &[]);
    detector_folder(&weights);
    let (frames, timeline) = FrameStore::open(source(&pictures), 5).unwrap();
    let found_by = grounding_dino::Detector::open(&weights, device(), DType::F32).unwrap();
    let model = tracker();
    let mut eyes = BoxEyes::new(&frames, &found_by, Thresholds { score: 0.0, token: 0.0 });
    let nouns = ["square", "dog"].map(str::to_owned);
    let found = eyes.detect(0, &nouns).unwrap();
    assert!(!found.is_empty());
    for found in &found {
        assert!(found.noun.is_some_and(|noun| noun < 2) && found.score > 0.0, "{found:?}");
        assert!(found.label.contains("square") && found.label.contains("dog"), "all tokens fit: {found:?}");
        assert!(found.area[2] <= 56.0 && found.area[3] <= 40.0);
    }

    let mut referee = First::default();
    let wanted = sought(&[("the red one", "square"), ("the blue one", "square")]);
    let cfg = CorrectedConfig {
        open_score: 0.0,
        keep_score: 0.0,
        least_support: 0.0,
        least_confidence: 0.0,
        ..CorrectedConfig::default()
    };
    let mut perception = Perception {
        detector: &mut eyes,
        tracker: &TrackEyes::new(&frames, &model, SessionOptions::default(), 4),
        referee: &mut referee,
        looks: &mut ColourLooks::new(&frames),
    };
    let record = corrected::run("film", &wanted, &timeline, &mut perception, &cfg);
    assert_eq!(record.failure, None);
    assert_eq!(record.objects.len(), 2);
    assert!(record.objects.iter().any(|object| !object.frames.is_empty()), "{record:?}");
    let one = record.objects.iter().find(|object| !object.frames.is_empty()).unwrap();
    let assign = one.assign.as_ref().unwrap();
    assert!(matches!(assign.status, AssignStatus::Vote | AssignStatus::Shortcut), "{assign:?}");
    assert_eq!(assign.model, "first");
    assert!(referee.asked > 1, "{}", referee.asked);
}

#[test]
fn looks_are_colours_inside_the_mask() {
    let dir = tempfile::tempdir().unwrap();
    film(dir.path(), 3, &[]);
    let (frames, _) = FrameStore::open(source(dir.path()), 3).unwrap();
    let mut looks = ColourLooks::new(&frames);
    let mut look = |position: usize, left: usize| {
        let area = strefer_core::PixelBox { x0: left, y0: 12, x1: left + 10, y1: 24 };
        looks.look(position, &strefer_core::Mask::from_box(40, 56, area)).unwrap().unwrap()
    };
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (red, later, blue) = (look(0, 8), look(2, 9), look(0, 40));
    assert!((product(&red, &red) - 1.0).abs() < 1e-6);
    assert!(product(&red, &later) > 0.95 && product(&red, &blue) < 0.2);
    let tiny = strefer_core::Mask::from_fn(40, 56, |y, x| (y, x) == (3, 3));
    assert_eq!(ColourLooks::new(&frames).look(0, &tiny).unwrap(), None);
}

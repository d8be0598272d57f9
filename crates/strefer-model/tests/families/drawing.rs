//! What is drawn into frames to point at objects and moments, through the processor.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use strefer_core::mixture::Augment;
use strefer_core::sample::{RegionMode, Role, Segment};
use strefer_core::{FrameKey, Gesture, Mask, PixelBox, Rng, Sample};
use strefer_llm::GenerationConfig;
use strefer_model::question::{Mark, MarkShape, Question};
use strefer_model::{
    FrameCache, Inputs, Loaded, Processor, ProcessorOptions, PromptToken, Purpose, VisualPrompt,
};
use strefer_video::{Limits, VideoSource};

use super::place::fresh_tiny;
use super::{Any, llava_onevision};

/// Twelve grey frames, three a second; the tiny model is shown eight of them.
const FRAMES: usize = 12;
const SHOWN: [usize; 8] = [0, 1, 3, 4, 6, 7, 9, 11];

/// A fresh tiny model and a video.
struct Desk {
    dir: tempfile::TempDir,
    loaded: Loaded,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_frames(&dir.path().join("frames"));
        let loaded = fresh_tiny(dir.path(), "What is it doing?");
        Self { dir, loaded }
    }

    fn sample(&self, text: &str, marks: &[(usize, PixelBox)], times_s: &[f64]) -> Sample {
        sample(&self.dir.path().join("frames"), text, marks, times_s).unwrap()
    }

    fn processor(&self, draw: VisualPrompt, cache: Option<&Arc<FrameCache>>) -> Processor {
        let mut options = ProcessorOptions { draw, ..ProcessorOptions::default() };
        if let Some(cache) = cache {
            options.cache = Arc::clone(cache);
        }
        self.loaded.processor.with_options(options)
    }

    fn inputs(&self, draw: VisualPrompt, sample: &Sample) -> Inputs {
        self.processor(draw, None).process(sample, &Purpose::Infer).unwrap()
    }

    fn refused(&self, draw: VisualPrompt, sample: &Sample) -> String {
        self.processor(draw, None).process(sample, &Purpose::Infer).unwrap_err().to_string()
    }

    fn text(&self, inputs: &Inputs) -> String {
        let ids = inputs.tokens.iter().filter_map(|token| match token {
            PromptToken::Text(id) => Some(*id),
            _ => None,
        });
        self.loaded.processor.tokenizer().decode(&ids.collect::<Vec<u32>>(), false).unwrap()
    }
}

fn write_frames(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    for frame in 0..FRAMES {
        let pixel = image::Rgb([100 + 5 * frame as u8; 3]);
        RgbImage::from_pixel(96, 64, pixel).save(dir.join(format!("{frame:02}.png"))).unwrap();
    }
}

/// A question about boxes in frames.
fn sample(
    frames: &Path,
    text: &str,
    marks: &[(usize, PixelBox)],
    times_s: &[f64],
) -> strefer_model::Result<Sample> {
    let info = VideoSource::open(frames, &Limits::default())?.info().clone();
    let mark = |&(frame, area): &(usize, PixelBox)| Mark::Once {
        shape: MarkShape::Gesture(Gesture::Box(area)),
        at_s: info.times_s[frame],
    };
    let question = Question {
        id: "question".to_owned(),
        video: frames.to_owned(),
        text: text.to_owned(),
        marks: marks.iter().map(mark).collect(),
        times_s: times_s.to_vec(),
    };
    question.to_sample(&info)
}

fn pixels(inputs: &Inputs) -> Vec<Vec<f32>> {
    inputs.frames.flatten_from(1).unwrap().to_vec2().unwrap()
}

/// Source frames that look different; the same ones are shown.
fn changed(plain: &Inputs, drawn: &Inputs) -> Vec<usize> {
    let (before, after) = (pixels(plain), pixels(drawn));
    let pairs = plain.shown.iter().zip(&drawn.shown);
    assert_eq!(plain.shown_frames(), drawn.shown_frames());
    let differs = |(old, new): &(&u32, &u32)| before[**old as usize] != after[**new as usize];
    pairs.filter(differs).map(|(old, _)| plain.frame_indices[*old as usize]).collect()
}

fn regions(inputs: &Inputs) -> usize {
    inputs.tokens.iter().filter(|token| matches!(token, PromptToken::Region(_))).count()
}

const LEFT: PixelBox = PixelBox { x0: 8, y0: 8, x1: 40, y1: 40 };
const RIGHT: PixelBox = PixelBox { x0: 50, y0: 12, x1: 90, y1: 60 };

#[test]
fn objects_get_other_surfaces_where_their_masks_lie_and_only_for_one_sample() {
    let desk = Desk::new();
    let asked = desk.sample("Does <region> hit <region>?", &[(3, LEFT), (9, RIGHT)], &[]);
    let cache = Arc::new(FrameCache::new(1 << 20));
    let learnt = |texture: f64, seed: u64| {
        let options = ProcessorOptions {
            augment: Augment { texture, ..Augment::default() },
            cache: Arc::clone(&cache),
            ..ProcessorOptions::default()
        };
        let processor = desk.loaded.processor.with_options(options);
        processor.process(&asked, &Purpose::Train(Rng::new(seed, "test"))).unwrap()
    };
    let plain = learnt(0.0, 1);
    // Grey frames stay grey where a surface is plain: of several draws some are not.
    let changed_by: BTreeSet<usize> = (0..8).flat_map(|seed| changed(&plain, &learnt(1.0, seed))).collect();
    assert_eq!(changed_by, BTreeSet::from([3, 9]));
    assert_eq!(pixels(&learnt(1.0, 3)), pixels(&learnt(1.0, 3)));
    assert_eq!(changed(&plain, &learnt(0.0, 2)), [0; 0], "the cache holds plain frames");
}

#[test]
fn marked_objects_are_drawn_where_they_are_marked_and_called_by_their_numbers() {
    let desk = Desk::new();
    let asked = desk.sample("Does <region> hit <region>?", &[(3, LEFT), (9, RIGHT)], &[]);
    let plain = desk.inputs(VisualPrompt::None, &asked);
    assert_eq!((plain.shown_frames(), regions(&plain)), (SHOWN.to_vec(), 2));
    let drawn = desk.inputs(VisualPrompt::Som, &asked);
    assert_eq!(changed(&plain, &drawn), [3, 9]);
    assert_eq!((regions(&drawn), drawn.regions.len()), (0, 0));
    let text = desk.text(&drawn);
    let expected =
        "\n2 objects are outlined and carry numbers: 1 in red, 2 in green.\nDoes object 1 hit object 2?";
    assert!(text.contains(expected), "{text}");
    assert_eq!(pixels(&desk.inputs(VisualPrompt::Som, &asked)), pixels(&drawn));

    let boxed = desk.inputs(VisualPrompt::Boxes, &asked);
    assert_eq!(changed(&plain, &boxed), [3, 9]);
    let text = desk.text(&boxed);
    assert!(text.contains("The video is 4.00s long. You see 8 frames"), "{text}");
    assert!(text.contains(": 0.00s, 0.33s, 1.00s, 1.33s, 2.00s, 2.33s, 3.00s, 3.67s. 2 objects"), "{text}");
    assert!(text.contains("Does the object in the red box hit the object in the blue box?"), "{text}");
}

#[test]
fn a_marked_frame_that_would_not_be_shown_takes_the_place_of_the_nearest_one() {
    let desk = Desk::new();
    let shown = |marks: &[(usize, PixelBox)]| {
        desk.inputs(VisualPrompt::Som, &desk.sample("What?", marks, &[])).shown_frames()
    };
    assert_eq!(shown(&[(2, LEFT)]), [0, 2, 3, 4, 6, 7, 9, 11]);
    // Frame 1 carries a mark itself.
    assert_eq!(shown(&[(2, LEFT), (1, RIGHT)]), [0, 1, 2, 4, 6, 7, 9, 11]);
    assert_eq!(shown(&[(2, LEFT), (2, RIGHT)]), [0, 2, 3, 4, 6, 7, 9, 11]);
    let nine: Vec<(usize, PixelBox)> = (0..9).map(|frame| (frame, LEFT)).collect();
    let refused = desk.refused(VisualPrompt::Som, &desk.sample("What?", &nine, &[]));
    assert!(refused.contains("more frames are marked than the 8 that are shown"), "{refused}");
}

#[test]
fn an_object_with_many_masks_is_drawn_in_every_shown_frame_that_has_one() {
    let desk = Desk::new();
    let mut asked = desk.sample("What?", &[(0, LEFT)], &[]);
    let mask = Mask::from_box(64, 96, LEFT);
    asked.regions[0].masks =
        [1, 2, 6, 8].map(|frame| (FrameKey(frame), (&mask).into())).into_iter().collect();
    asked.regions[0].mode = RegionMode::Multi;
    let plain = desk.inputs(VisualPrompt::None, &asked);
    assert_eq!(changed(&plain, &desk.inputs(VisualPrompt::Boxes, &asked)), [1, 6]);
}

#[test]
fn every_shown_frame_has_its_number_and_moments_are_called_by_it() {
    let desk = Desk::new();
    let asked = desk.sample("What does <region> do?", &[(2, LEFT)], &[1.1, 3.4]);
    let plain = desk.inputs(VisualPrompt::None, &asked);
    let drawn = desk.inputs(VisualPrompt::Numberit, &asked);
    assert_eq!(changed(&plain, &drawn), SHOWN);
    assert_eq!(regions(&drawn), 1, "objects keep their tokens");
    let text = desk.text(&drawn);
    assert!(text.contains("The red number in the bottom right corner"), "{text}");
    // Frame 2 of those shown is seen at 1.00 s; 3.4 s lies nearer to 3.67 s than to 3.00 s.
    assert!(text.contains("do between frame 2 and frame 7?"), "{text}");

    let both = desk.inputs(VisualPrompt::Both, &asked);
    let text = desk.text(&both);
    assert!(text.contains("carries the number 1. The red number in"), "{text}");
    assert!(text.contains("What does object 1 do between frame 2 and frame 7?"), "{text}");
    assert_eq!(regions(&both), 0);
}

#[test]
fn what_is_learnt_names_moments_as_the_question_does() {
    let desk = Desk::new();
    let mut asked = desk.sample("When does <region> stop?", &[(3, LEFT)], &[1.0]);
    asked.conversations[0].text = "<video>\nWhen does <region:0> stop?".to_owned();
    asked.say(Role::Assistant, "<region:0> stops at <time:0>.");
    let purpose = Purpose::Train(Rng::new(1, "drawing"));
    let inputs = desk.processor(VisualPrompt::Both, None).process(&asked, &purpose).unwrap();
    let learnt: Vec<u32> =
        inputs.labels.iter().filter(|&&label| label >= 0).map(|&label| label as u32).collect();
    let learnt = desk.loaded.processor.tokenizer().decode(&learnt, true).unwrap();
    assert_eq!(learnt.trim(), "object 1 stops at frame 2.");
}

#[test]
fn drawn_and_plain_frames_do_not_mix_in_the_cache() {
    let desk = Desk::new();
    let cache = Arc::new(FrameCache::new(64 << 20));
    let asked = [(3, LEFT), (2, RIGHT), (3, RIGHT)].map(|mark| desk.sample("What?", &[mark], &[]));
    use VisualPrompt::{Both, Boxes, None, Numberit, Som};
    for draw in [None, Som, Numberit, Both, Boxes, None, Numberit, Both, Som, None] {
        for sample in &asked {
            let kept = desk.processor(draw, Some(&cache)).process(sample, &Purpose::Infer).unwrap();
            assert_eq!(pixels(&kept), pixels(&desk.inputs(draw, sample)), "{draw}");
        }
    }
    let looks: BTreeSet<String> = [None, Som, Numberit, Both, Boxes]
        .map(|draw| format!("{:?}", pixels(&desk.inputs(draw, &asked[0]))))
        .into_iter()
        .collect();
    assert_eq!(looks.len(), 5);
}

#[test]
fn what_cannot_be_drawn_is_refused_and_nothing_is_said_where_nothing_is_drawn() {
    let desk = Desk::new();
    let tiny = PixelBox { x0: 4, y0: 4, x1: 5, y1: 6 };
    let speck = desk.sample("What?", &[(3, LEFT), (3, tiny)], &[]);
    for draw in [VisualPrompt::Som, VisualPrompt::Boxes] {
        assert!(desk.refused(draw, &speck).contains("region 1 is too small to be drawn"));
    }
    let nine = desk.sample("What?", &[(3, LEFT); 9], &[]);
    assert!(desk.refused(VisualPrompt::Boxes, &nine).contains("9 regions, boxes have 8 colours"));
    assert!(desk.processor(VisualPrompt::Som, None).process(&nine, &Purpose::Infer).is_ok());
    let mut elsewhere = desk.sample("What?", &[(1, LEFT)], &[]);
    elsewhere.media[0].segment = Some(Segment { start_s: 2.0, end_s: None });
    let refused = desk.refused(VisualPrompt::Boxes, &elsewhere);
    assert!(refused.contains("region 0 is marked outside the part that is shown"), "{refused}");
    let none = desk.sample("What?", &[], &[]);
    let plain = desk.inputs(VisualPrompt::None, &none);
    for draw in [VisualPrompt::Som, VisualPrompt::Boxes] {
        let drawn = desk.inputs(draw, &none);
        assert_eq!(
            (drawn.tokens, changed(&plain, &desk.inputs(draw, &none))),
            (plain.tokens.clone(), vec![])
        );
    }
}

#[test]
fn a_model_without_a_region_connector_is_asked_about_drawn_objects() -> Any {
    let mut place = llava_onevision::recordings().remove(0).place;
    place.config["text_config"]["max_position_embeddings"] = 512.into();
    place.write();
    let loaded = place.load()?;
    let frames = tempfile::tempdir()?;
    write_frames(&frames.path().join("frames"));
    let asked = sample(&frames.path().join("frames"), "What is <region>?", &[(3, LEFT)], &[])?;
    let cfg = GenerationConfig { max_new_tokens: 2, ..GenerationConfig::default() };
    for draw in [VisualPrompt::Boxes, VisualPrompt::Som] {
        let options = ProcessorOptions { draw, ..ProcessorOptions::default() };
        let inputs = loaded.processor.with_options(options).process(&asked, &Purpose::Infer)?;
        let ids = loaded.model.generate(&inputs, &cfg, |_| std::ops::ControlFlow::Continue(()))?;
        assert_eq!(ids.len(), 2, "{draw}");
    }
    Ok(())
}

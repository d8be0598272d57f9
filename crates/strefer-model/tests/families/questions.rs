//! A person's question about a folder of frames, through the processor and the model of every family.

use std::path::Path;

use image::RgbImage;
use strefer_core::{Gesture, PixelBox, Sample};
use strefer_llm::GenerationConfig;
use strefer_model::question::{Mark, MarkShape, Question};
use strefer_model::{Inputs, Loaded, PromptToken, Purpose};
use strefer_video::{Limits, VideoSource};

use super::place::Place;
use super::{Any, llava_onevision, strefer, videorefer};

/// Six frames, three a second.
fn write_frames(dir: &Path) {
    for frame in 0..6u32 {
        let pixel = |x: u32, y: u32| image::Rgb([(20 * x) as u8, (20 * y) as u8, (40 * frame) as u8]);
        RgbImage::from_fn(12, 8, pixel).save(dir.join(format!("{frame}.png"))).unwrap();
    }
}

/// A question about `marks` objects in a folder of frames.
fn question(frames: &Path, text: &str, marks: usize, times_s: &[f64]) -> strefer_model::Result<Sample> {
    write_frames(frames);
    let info = VideoSource::open(frames, &Limits::default())?.info().clone();
    let area = PixelBox { x0: 1, y0: 1, x1: 9, y1: 7 };
    let question = Question {
        id: "question".to_owned(),
        video: frames.to_owned(),
        text: text.to_owned(),
        marks: vec![Mark::Once { shape: MarkShape::Gesture(Gesture::Box(area)), at_s: 1.0 }; marks],
        times_s: times_s.to_vec(),
    };
    question.to_sample(&info)
}

fn ask(loaded: &Loaded, text: &str, marks: usize, times_s: &[f64]) -> strefer_model::Result<Inputs> {
    let frames = tempfile::tempdir().unwrap();
    let sample = question(frames.path(), text, marks, times_s)?;
    loaded.processor.process(&sample, &Purpose::Infer)
}

fn count(inputs: &Inputs, wanted: fn(&PromptToken) -> bool) -> usize {
    inputs.tokens.iter().filter(|token| wanted(token)).count()
}

fn answers(place: &Place, marks: usize, times_s: &[f64]) -> Any {
    let loaded = place.load()?;
    let text = if marks > 0 { "w3 <region> w5" } else { "w3 w5" };
    let inputs = ask(&loaded, text, marks, times_s)?;
    assert_eq!(inputs.shown.len(), loaded.processor.config().frames.count);
    assert_eq!(count(&inputs, |token| *token == PromptToken::Video), 1);
    assert_eq!(count(&inputs, |token| matches!(token, PromptToken::Region(_))), marks);
    let cfg = GenerationConfig { max_new_tokens: 3, ..GenerationConfig::default() };
    let ids = loaded.model.generate(&inputs, &cfg, |_| std::ops::ControlFlow::Continue(()))?;
    assert_eq!(ids.len(), 3);
    loaded.processor.decode(&ids)?;
    Ok(())
}

#[test]
fn every_family_answers_a_question() -> Any {
    answers(&strefer::recordings().remove(0).place, 1, &[1.0])?;
    answers(&videorefer::recordings().remove(0).place, 1, &[1.0])?;
    let mut place = llava_onevision::recordings().remove(0).place;
    // 32 frames are more than the recording's positions.
    place.config["text_config"]["max_position_embeddings"] = 512.into();
    place.write();
    answers(&place, 0, &[1.0])
}

#[test]
fn times_are_tokens_for_strefer_and_text_for_the_others() -> Any {
    let recording = strefer::recordings().remove(0);
    let loaded = recording.place.load()?;
    let first = loaded.processor.config().tokens.first_time.unwrap();
    let inputs = ask(&loaded, "w3 at <time>", 0, &[0.0])?;
    assert!(inputs.tokens.contains(&PromptToken::Text(first)));
    let loaded = videorefer::recordings().remove(0).place.load()?;
    assert!(loaded.processor.config().tokens.first_time.is_none());
    ask(&loaded, "w3 at <time>", 0, &[0.0])?;
    Ok(())
}

#[test]
fn a_region_without_a_connector_or_before_its_video_is_refused() -> Any {
    let loaded = llava_onevision::recordings().remove(0).place.load()?;
    let error = ask(&loaded, "w3 <region>", 1, &[]).unwrap_err();
    assert!(error.to_string().contains("no region connector"), "{error}");

    let loaded = strefer::recordings().remove(0).place.load()?;
    let frames = tempfile::tempdir()?;
    let mut sample = question(frames.path(), "<region> w5", 1, &[])?;
    sample.conversations[0].text = "<region:0> w5 <video>\nw7".to_owned();
    let error = loaded.processor.process(&sample, &Purpose::Infer).unwrap_err();
    assert!(error.to_string().contains("before the video"), "{error}");
    Ok(())
}

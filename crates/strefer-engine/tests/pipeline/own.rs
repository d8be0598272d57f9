//! A Video LLM in this process as a teacher. Its weights are random: what it says is noise, of the form asked for.

use std::path::Path;
use std::sync::Arc;

use image::{Rgb, RgbImage};
use serde_json::json;
use strefer_engine::EngineConfig;
use strefer_engine::pipeline::{OwnTeacher, Stage};
use strefer_model::preset::init_tiny;
use strefer_nn::testing::device;
use strefer_teacher::{Clip, Fault, Part, Question, Sampling, Teacher};
use strefer_video::jpeg;

use crate::lab::{Lab, Way};

/// Its vocabulary holds little but single bytes, so that noise soon comes to the end of a text.
fn model(folder: &Path, seed: u64) {
    init_tiny(folder, ["a red box".to_owned()], 330, seed).unwrap();
}

fn frame(red: u8) -> Arc<[u8]> {
    let picture = RgbImage::from_fn(48, 32, |x, _| Rgb([red, (5 * x) as u8, 90]));
    jpeg::encode(&picture, 90).unwrap().into()
}

fn clip(reds: &[u8]) -> Part {
    let indices = (0..reds.len()).map(|at| 3 * at).collect();
    Part::Clip(Clip {
        frames: reds.iter().map(|&red| frame(red)).collect(),
        indices,
        total: 3 * reds.len(),
        fps: 6.0,
    })
}

fn drawn(max_tokens: u32) -> Sampling {
    Sampling { max_tokens, temperature: 2.0, ..Sampling::default() }
}

fn choice() -> Question {
    let colours: Vec<String> = (0..40).map(|at| format!("colour {at}")).collect();
    let schema = json!({
        "type": "object",
        "properties": { "colour": { "enum": colours }, "moves": { "type": "boolean" } },
        "required": ["colour", "moves"],
        "additionalProperties": false,
    });
    Question {
        schema: Some(schema),
        sampling: drawn(64),
        ..Question::new("q", "Which colour has <region:0>?")
    }
}

#[test]
fn what_is_shown_and_said_is_what_it_answers_about() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("model");
    model(&folder, 3);
    let teacher = OwnTeacher::open(&folder, device().clone()).unwrap();
    let ask = |question: &Question| {
        let answer = teacher.ask(question).unwrap();
        let colour = answer.value.as_ref().unwrap()["colour"].as_str().unwrap();
        assert!(colour.starts_with("colour "));
        assert!(answer.usage.prompt_tokens > 10 && answer.usage.completion_tokens > 5);
        answer
    };
    let words = ask(&choice());
    assert_eq!(ask(&choice()), words, "the same question has the same answer");
    let still = ask(&choice().showing(Part::Image(frame(200))));
    let film = ask(&choice().showing(clip(&[10, 90, 200])));
    assert!(still.usage.prompt_tokens > words.usage.prompt_tokens);
    assert!(film.usage.prompt_tokens > still.usage.prompt_tokens, "a video has more to see than an image");
    let answers = |at: u8| ask(&choice().showing(clip(&[at, at / 2, 255 - at])));
    assert!((0..4u8).any(|at| answers(60 * at).text != film.text), "it does not look");

    let two = choice().showing(Part::Image(frame(1))).showing(clip(&[1]));
    assert!(matches!(teacher.ask(&two), Err(Fault::Own { reason, .. }) if reason.contains("not several")));
    let short = Question { sampling: drawn(3), ..choice() };
    assert!(matches!(teacher.ask(&short), Err(Fault::Unfinished { max_tokens: 3, .. })));
    let senseless = Question { schema: Some(json!({ "type": 7 })), ..choice() };
    assert_eq!(teacher.ask(&senseless).unwrap_err().kind(), "store");
    let broken = choice().showing(Part::Image(Arc::from(*b"no picture")));
    assert_eq!(teacher.ask(&broken).unwrap_err().kind(), "own");
}

#[test]
fn what_threads_ask_side_by_side_is_answered_as_it_is_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("model");
    model(&folder, 3);
    let questions: Vec<Question> = (0..6u8)
        .map(|at| match at % 3 {
            0 => Question { sampling: Sampling { seed: u64::from(at), ..drawn(64) }, ..choice() },
            1 => choice().showing(Part::Image(frame(40 * at))),
            _ => choice().showing(clip(&[at, 90, 200])),
        })
        .collect();
    let alone = OwnTeacher::open(&folder, device().clone()).unwrap();
    let together = OwnTeacher::open(&folder, device().clone()).unwrap();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let together = &together;
        let ask = |question| scope.spawn(move || together.ask(question).unwrap());
        let threads: Vec<_> = questions.iter().map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (question, answer) in questions.iter().zip(answers) {
        assert_eq!(alone.ask(question).unwrap(), answer);
    }
}

#[test]
fn its_name_tells_its_weights_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    for (name, seed) in [("one", 3), ("same", 3), ("other", 4)] {
        model(&folder(name), seed);
    }
    let name = |name: &str| OwnTeacher::open(&folder(name), device().clone()).unwrap().model().to_owned();
    let [one, same, other] = ["one", "same", "other"].map(|called| {
        let name = name(called);
        assert!(name.starts_with(called));
        name.split_once(' ').unwrap().1.to_owned()
    });
    assert_eq!(one, same);
    assert_ne!(one, other);
    let error = OwnTeacher::open(&dir.path().join("nowhere"), device().clone()).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}

fn config(lab: &Lab, model: &Path) -> EngineConfig {
    let text = format!(
        r#"
        [teachers.eyes]
        model = "{}"
        [recognise]
        teacher = "eyes"
        frames = 4
        sampling = {{ temperature = 2.0, max_tokens = 1600 }}
        [parse]
        teacher = "eyes"
        "#,
        model.display()
    );
    let file = lab.path("engine.toml");
    std::fs::write(&file, text).unwrap();
    EngineConfig::load(&file, &[]).unwrap()
}

#[test]
fn a_stage_asks_it_once() {
    let lab = Lab::new();
    lab.films(2);
    let folder = lab.path("model");
    model(&folder, 3);
    let cfg = config(&lab, &folder);
    let way = || Way { only: Some(Stage::Recognise), ..Way::default() };
    let summary = lab.run_so("out", &cfg, &way());
    assert_eq!((summary.left, summary.parked), (0, 0), "{:?}", lab.failures("out"));
    let asked = lab.ledger("out");
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|entry| entry.usage.prompt_tokens > 100));
    lab.run_so("out", &cfg, &way());
    assert_eq!(lab.ledger("out").len(), 2, "an answer that is there is not asked for");
    assert_eq!(lab.plan("out", &cfg).stages[&Stage::Recognise].there, 2);

    // Weights that cannot be loaded say nothing about videos: the run ends, and they are as they were.
    let weights = folder.join("model.safetensors");
    let good = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &good[..good.len() / 2]).unwrap();
    let summary = lab.run_so("broken", &cfg, &way());
    let stopped = summary.stopped.unwrap();
    assert!(summary.left == 2 && stopped.contains("model.safetensors"), "{stopped}");
    assert!(lab.failures("broken").is_empty());

    let mut wrong = cfg.clone();
    wrong.teachers.get_mut("eyes").unwrap().model = None;
    assert!(wrong.validate().unwrap_err().to_string().contains("neither endpoints nor a model"));
}

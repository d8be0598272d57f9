//! What stages make, and of what.

use std::collections::BTreeSet;

use strefer_core::Sample;
use strefer_core::records::{Boundary, Clips, Entities, Transcript};
use strefer_engine::config::{RephraseConfig, TeacherConfig};
use strefer_engine::inspect::{self, InspectOptions};
use strefer_engine::pipeline::{Fault, Stage};
use strefer_teacher::{Budget, Price, Sampling};

use crate::lab::{FRAMES, Lab, Way, config, fields, knows, words};
use crate::stand_in::StandIn;

#[test]
fn frames_become_samples_by_way_of_all_stages() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(2);
    let summary = lab.run("out", &config(&server));
    assert_eq!((summary.videos, summary.parked, summary.left, summary.stopped), (2, 0, 0, None));
    assert!(summary.samples >= 2 && summary.turns > 10, "{} turns", summary.turns);

    let entities: Vec<Entities> = lab.records("out/entities.jsonl");
    let names: Vec<(&str, &str, &str)> = entities[1]
        .items
        .iter()
        .map(|entity| (entity.eid.as_str(), entity.noun.as_str(), entity.general_noun.as_str()))
        .collect();
    assert_eq!(names, [("e0", "boy", "person"), ("e1", "dog", "dog")]);
    assert_eq!(entities[0].items[1].source_span, Some((36, 51)));

    // 36 frames at three a second, a cut in the middle.
    let clips: Vec<Clips> = lab.records("out/clips.jsonl");
    let parts: Vec<(f64, f64, Boundary)> =
        clips[0].items.iter().map(|clip| (clip.start_s, clip.end_s, clip.boundary)).collect();
    assert_eq!(parts, [(0.0, 6.0, Boundary::Shot), (6.0, 12.0, Boundary::End)]);

    // No mask shows the dog after the cut: nobody is asked about it there.
    let transcripts: Vec<Transcript> = lab.records("out/transcript.jsonl");
    let cells: Vec<(Option<&str>, Option<bool>)> =
        transcripts[0].items.iter().map(|item| (item.text.as_deref(), item.visible)).collect();
    let runs = "runs after the boy";
    assert_eq!(
        cells,
        [
            (Some("walks to the right"), Some(true)),
            (Some(runs), Some(true)),
            (Some("stands still"), Some(true)),
            (None, Some(false)),
        ]
    );
    assert_eq!(transcripts[0].scene_text["c1"], "All turns blue.");
    let asked = server.asked();
    let later = asked.iter().filter(|body| words(body).contains("from second 6.0"));
    assert!(later.clone().count() == 2 && later.into_iter().all(|body| !fields(body).contains("e1")));

    // A paragraph, a list, two broad nouns, two parts, of two videos; the questions in words are the same for both.
    let kinds: Vec<usize> = ["paragraph", "entities", "noun", "scene"]
        .iter()
        .map(|field| asked.iter().filter(|body| fields(body).contains(*field)).count())
        .collect();
    assert_eq!(kinds, [2, 1, 2, 4]);
    let provenance = transcripts[0].provenance.as_ref().unwrap();
    assert_eq!((provenance.model.as_deref(), provenance.stage.as_deref()), (Some("m"), Some("transcribe")));
    let samples: Vec<Sample> = lab.records("out/samples.jsonl");
    assert!(samples.iter().any(|sample| !sample.regions.is_empty() && !sample.times.is_empty()));

    // Nothing is left to ask.
    assert_eq!(lab.run("out", &config(&server)).kept, 2);
    assert_eq!(server.asked().len(), asked.len());
}

#[test]
fn a_change_makes_again_only_what_reads_it() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(1);
    let mut cfg = config(&server);
    lab.run("out", &cfg);
    let asked = server.asked().len();
    let before = lab.files("out");
    cfg.instruct.seed = 9;
    assert_eq!(lab.run("out", &cfg).kept, 0);
    assert_eq!(server.asked().len(), asked);
    let after = lab.files("out");
    assert!(
        before["transcript.jsonl"] == after["transcript.jsonl"]
            && before["samples.jsonl"] != after["samples.jsonl"]
    );
    // More frames for the transcript: two parts are asked about again, nothing before them.
    cfg.transcribe.as_mut().unwrap().frames = 4;
    lab.run("out", &cfg);
    assert_eq!(server.asked().len(), asked + 2);
    // A copy of a film under another name: what is made of it is there.
    lab.film("z", FRAMES, 0);
    lab.give([lab.masklets("a", FRAMES), lab.masklets("z", FRAMES)]);
    let summary = lab.run("out", &cfg);
    assert_eq!((summary.videos, server.asked().len()), (2, asked + 2));
    let transcripts: Vec<Transcript> = lab.records("out/transcript.jsonl");
    assert_eq!(transcripts[1].video_id, "z");
}

#[test]
fn stages_run_alone_and_in_the_end_give_the_same() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(2);
    let cfg = config(&server);
    lab.run("whole", &cfg);
    let alone = |stage| lab.run_so("alone", &cfg, &Way { only: Some(stage), ..Way::default() });
    assert_eq!(alone(Stage::Transcribe).waiting, 2);
    for stage in [Stage::Clips, Stage::Recognise, Stage::Parse, Stage::Transcribe] {
        let summary = alone(stage);
        assert_eq!((summary.waiting, summary.left), (0, 0), "{stage}");
        assert_eq!(alone(stage).kept, 2, "{stage}");
    }
    let asked = server.asked().len();
    lab.run("alone", &cfg);
    assert_eq!(server.asked().len(), asked);
    assert_eq!(lab.files("whole"), lab.files("alone"));
}

#[test]
fn questions_in_other_words_are_checked() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(1);
    let mut cfg = config(&server);
    lab.run("plain", &cfg);
    cfg.rephrase =
        Some(RephraseConfig { teacher: "eyes".into(), prompt: None, sampling: Sampling::default() });
    lab.run("other", &cfg);
    let (plain, other): (Vec<Sample>, Vec<Sample>) =
        (lab.records("plain/samples.jsonl"), lab.records("other/samples.jsonl"));
    assert_eq!(plain.len(), other.len());
    let mut changed = 0;
    for (plain, other) in plain.iter().zip(&other) {
        assert_eq!((&plain.regions, &plain.times), (&other.regions, &other.times));
        for (old, new) in plain.conversations.iter().zip(&other.conversations) {
            if old.text != new.text {
                let text = old.text.trim_start_matches("<video>\n");
                assert_eq!(new.text.trim_start_matches("<video>\n"), format!("Please: {text}"));
                changed += 1;
            }
        }
    }
    assert!(changed > 5, "{changed} questions");
    // One that tells which object is meant keeps its template.
    let leaks = StandIn::start([]).answering(|body| knows(body).replace("Please:", "About the red shirt:"));
    cfg.teachers.get_mut("eyes").unwrap().endpoints[0].url.clone_from(&leaks.url);
    lab.run("leaky", &cfg);
    let leaky: Vec<Sample> = lab.records("leaky/samples.jsonl");
    for sample in &leaky {
        let boy = sample.regions.iter().find(|region| region.eid.as_deref() == Some("e0"));
        let Some(mark) = boy.map(|boy| format!("<region:{}>", boy.rid)) else { continue };
        for turn in sample.conversations.iter().filter(|turn| turn.text.contains(&mark)) {
            assert!(!turn.text.contains("About the red shirt"), "{}", turn.text);
        }
    }
    assert!(lab.notes("leaky").iter().any(|(_, kind)| kind == "kept_template"));
}

#[test]
fn a_plan_counts_what_a_run_then_asks_and_asks_nothing() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(3);
    let mut cfg = config(&server);
    cfg.teachers.get_mut("eyes").unwrap().endpoints[0].price = Price { prompt: 1e6, completion: 0.0 };
    let plan = lab.plan("out", &cfg);
    assert_eq!((plan.videos, plan.finished, server.asked().len()), (3, 0, 0));
    assert_eq!(plan.stages[&Stage::Recognise].asks, 3);
    assert!(plan.tokens > 0 && !plan.stages[&Stage::Recognise].measured);
    assert_eq!(plan.stages[&Stage::Clips].missing, 3);
    lab.run("out", &cfg);
    let plan = lab.plan("out", &cfg);
    assert_eq!((plan.finished, plan.asks, plan.cost), (3, 0, 0.0));
    // Other frames: what is known about the videos and the asks before tells exactly what it takes.
    cfg.transcribe.as_mut().unwrap().frames = 2;
    let plan = lab.plan("out", &cfg);
    let stage = &plan.stages[&Stage::Transcribe];
    assert_eq!((plan.asks, stage.asks, stage.prompt_tokens, stage.measured), (6, 6, 60, true));
    assert!((plan.cost - 60.0).abs() < 1e-6);
    let before = server.asked().len();
    lab.run("out", &cfg);
    assert_eq!(server.asked().len(), before + 6);
}

#[test]
fn a_budget_ends_a_run_and_a_larger_one_goes_on() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(2);
    let mut cfg = config(&server);
    cfg.work.workers = 1;
    let asks = |cfg: &mut TeacherConfig, asks| cfg.budget = Budget { asks, ..Budget::default() };
    asks(cfg.teachers.get_mut("eyes").unwrap(), Some(5));
    let summary = lab.run("out", &cfg);
    assert_eq!((summary.left, server.asked().len()), (2, 5));
    assert!(summary.stopped.unwrap().contains("budget is spent: 5 of 5 asks"));
    assert!(lab.failures("out").is_empty(), "the videos are as they were");
    asks(cfg.teachers.get_mut("eyes").unwrap(), None);
    assert_eq!(lab.run("out", &cfg).videos, 2);
    assert_eq!(server.asked().len(), 9);
    let answered = lab.ledger("out").into_iter().map(|entry| entry.key).collect::<BTreeSet<_>>();
    assert_eq!(answered.len(), 9);
    // A key that is not taken says nothing about videos either.
    let shut = StandIn::start(vec![crate::stand_in::Act::Status(401, None); 9]);
    cfg.teachers.get_mut("eyes").unwrap().endpoints[0].url.clone_from(&shut.url);
    let summary = lab.run("shut", &cfg);
    assert!(summary.left == 2 && summary.stopped.unwrap().contains("401"));
    assert!(
        !matches!(lab.failures("shut").first(), Some(failure) if matches!(failure.fault, Fault::Teacher { .. }))
    );
}

#[test]
fn a_run_becomes_pages_to_look_at() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(2);
    std::fs::write(lab.path("films/broken.mp4"), "no video").unwrap();
    let options = InspectOptions { frames: 3, ..InspectOptions::default() };
    let write = || inspect::write(&lab.path("out"), &lab.path("films"), &lab.path("pages"), &options);
    lab.run_so("out", &config(&server), &Way { stop_after: Some(1), ..Way::default() });
    assert!(write().unwrap_err().to_string().contains("let the run finish"));
    lab.run("out", &config(&server));
    assert_eq!(write().unwrap(), 2);
    let index = std::fs::read_to_string(lab.path("pages/index.html")).unwrap();
    for words in ["00001.html", "broken", "cannot be read"] {
        assert!(index.contains(words), "{words}");
    }
    let page = std::fs::read_to_string(lab.path("pages/videos/00000.html")).unwrap();
    for words in ["the small brown dog", "runs after the boy", "not there", "&lt;region:0&gt;", "02.jpg"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("<region:0>"));
    let picture = image::open(lab.path("pages/videos/00000/00.jpg")).unwrap();
    assert_eq!((picture.width(), picture.height()), (48, 32));
    assert!(write().unwrap_err().to_string().contains("exists"));
}

//! From truth to records, from records to facts, and what is refused on the way.

mod common;

use strefer_core::Span;
use strefer_core::records::Boundary;
use strefer_core::sample::TimeStyle;
use strefer_engine::config::Form;
use strefer_engine::export::source_keyed;
use strefer_engine::facts::{Facts, HELD_OUT};
use strefer_engine::instruct::generate;
use strefer_engine::stages::Stages;
use strefer_engine::stkit::run::StkitRunConfig;
use strefer_engine::truth::TruthAction;
use strefer_engine::{EngineConfig, InstructConfig};

fn stages() -> Stages {
    common::truth(7, 3).stages()
}

fn error(stages: &Stages) -> String {
    Facts::new(stages).unwrap_err().to_string()
}

#[test]
fn parts_cover_the_video_and_end_where_something_changes() {
    for index in 0..40 {
        let truth = common::truth(7, index);
        let clips = truth.stages().clips.items;
        assert_eq!((clips[0].start_s, clips[clips.len() - 1].end_s), (0.0, 4.0));
        assert!(
            clips.windows(2).all(|pair| pair[0].end_s == pair[1].start_s && pair[0].end_s > pair[0].start_s)
        );
        let starts_at = |at_s: f64| clips.iter().any(|clip| (clip.start_s - at_s).abs() < 1e-3);
        for action in truth.entities.iter().flat_map(|entity| &entity.actions) {
            assert!(action.span.start_s == 0.0 || starts_at(action.span.start_s));
        }
        for cut_s in truth.cuts_s {
            assert!(clips.iter().any(|clip| clip.end_s == cut_s && clip.boundary == Boundary::Shot));
        }
    }
}

#[test]
fn runs_give_the_timeline_back() {
    let mut truth = common::truth(7, 3);
    let entity = &mut truth.entities[0];
    entity.visible = vec![Span { start_s: 0.0, end_s: 4.0 }];
    entity.masks = (0..32).map(|key| (strefer_core::FrameKey(key), entity.masks[0].clone())).collect();
    let action =
        |start_s, end_s, text: &str| TruthAction { span: Span { start_s, end_s }, text: text.to_owned() };
    entity.actions = vec![action(0.0, 1.5, "jumps"), action(1.5, 2.75, "spins"), action(2.75, 4.0, "jumps")];
    let facts = Facts::new(&truth.stages()).unwrap();
    let told: Vec<(f64, f64, &str)> =
        facts.entities[0].actions().map(|(run, text)| (run.span.start_s, run.span.end_s, text)).collect();
    assert_eq!(told, [(0.0, 1.5, "jumps"), (1.5, 2.75, "spins"), (2.75, 4.0, "jumps")]);
    let inside = Span { start_s: 1.6, end_s: 2.0 };
    let across = Span { start_s: 1.0, end_s: 2.0 };
    assert_eq!(facts.entities[0].action_in(&inside), Some("spins"));
    assert_eq!(facts.entities[0].action_in(&across), None);
}

#[test]
fn a_mask_against_the_words_is_a_conflict_and_proves_nothing() {
    let mut truth = common::truth(7, 3);
    truth.entities[0].visible = vec![Span { start_s: 0.0, end_s: 4.0 }];
    truth.entities[0].masks.clear();
    let facts = Facts::new(&truth.stages()).unwrap();
    assert!(facts.entities[0].cells.iter().all(|cell| cell.conflict));
    assert!(facts.entities[0].runs.is_empty());
    assert!(facts.entities[0].absences().next().is_none());
}

#[test]
fn a_sentence_with_its_subject_becomes_a_predicate() {
    let mut stages = stages();
    let expression = stages.entities.items[0].expression.clone();
    for item in stages.transcript.items.iter_mut().filter(|item| item.eid == "e0") {
        item.text = item.text.take().map(|text| format!("The {expression} {text}."));
    }
    let plain = Facts::new(&common::truth(7, 3).stages()).unwrap();
    assert_eq!(Facts::new(&stages).unwrap().entities[0].runs, plain.entities[0].runs);
}

#[test]
fn held_out_objects_are_marked_in_the_records() {
    let mut truth = common::truth(7, 3);
    truth.entities[0].held_out = true;
    truth.entities[1].held_out = false;
    let stages = truth.stages();
    assert_eq!(stages.entities.items[0].attributes[HELD_OUT], "true");
    let facts = Facts::new(&stages).unwrap();
    assert!(facts.entities[0].held_out() && !facts.entities[1].held_out());
}

#[test]
fn records_that_do_not_belong_together_are_refused_by_name() {
    let mut other = stages();
    other.clips.video_id = "elsewhere".to_owned();
    assert_eq!(error(&other), r#"video v0003: its clips record is about "elsewhere""#);
    let mut unknown = stages();
    unknown.transcript.items[0].eid = "e9".to_owned();
    assert_eq!(error(&unknown), r#"video v0003: the transcript record names "e9", which is not listed"#);
    let mut twice = stages();
    twice.entities.items[1].eid = "e0".to_owned();
    assert_eq!(error(&twice), r#"video v0003: "e0" is listed twice"#);
    let mut gap = stages();
    gap.clips.items.remove(0);
    assert!(error(&gap).contains("expected to start at 0"));
    let mut timeless = stages();
    timeless.masklets.frame_times_s.truncate(1);
    assert!(error(&timeless).contains("has no time (1 are listed)"));
    let mut resized = stages();
    resized.video.width = 64;
    assert!(error(&resized).contains("(128, 64)"));
}

#[test]
fn what_the_published_formats_can_say_comes_back_from_them() {
    let cfg = InstructConfig {
        form: Form::SingleTurn,
        time_styles: vec![TimeStyle::Token],
        ..InstructConfig::default()
    };
    let (mut strefer, mut videorefer) = (0, 0);
    for index in 0..20 {
        let facts = common::facts(7, index);
        for sample in generate(&facts, &cfg).unwrap() {
            if let Ok(fields) = strefer_core::import::strefer::export(&sample) {
                let back = strefer_core::import::strefer::import(fields, 0).unwrap();
                assert_eq!(back.conversations, sample.conversations);
                assert!(back.regions.iter().zip(&sample.regions).all(|(a, b)| a.masks == b.masks));
                let seconds = |sample: &strefer_core::Sample| {
                    sample.times.iter().map(|time| time.s).collect::<Vec<_>>()
                };
                assert_eq!((back.regions.len(), seconds(&back)), (sample.regions.len(), seconds(&sample)));
                strefer += 1;
            }
            let by_source = source_keyed(&sample, facts.video.n_frames).unwrap();
            if let Ok(fields) = strefer_core::import::videorefer::export(&by_source) {
                let back = strefer_core::import::videorefer::import(fields, 0).unwrap();
                assert_eq!(back.conversations, by_source.conversations);
                assert!(back.regions.iter().zip(&by_source.regions).all(|(a, b)| a.masks == b.masks));
                assert_eq!(back.media, by_source.media);
                videorefer += 1;
            }
        }
    }
    assert!(strefer > 300 && videorefer > 200, "{strefer} {videorefer}");
}

#[test]
fn every_configuration_of_the_project_is_accepted() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/engine");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        count += 1;
        if path.file_name().unwrap().to_string_lossy().starts_with("stkit-") {
            StkitRunConfig::load(&path, &[]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            continue;
        }
        let config: EngineConfig = strefer_core::settings::load(&path, &[]).unwrap();
        config.instruct.validate().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    assert!(count > 0);
}

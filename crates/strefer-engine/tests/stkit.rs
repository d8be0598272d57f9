//! Clips of trajectories become samples: balanced, repeatable, each with one true answer.

use std::collections::{BTreeMap, BTreeSet};

use strefer_core::sample::{MediaKind, Role};
use strefer_core::{Rng, Sample, StkitAnswer, StkitFacts, StkitTask};
use strefer_engine::Error;
use strefer_engine::stkit::clip::{ClipObject, Source};
use strefer_engine::stkit::{Clip, Generated, StkitConfig, Up, generate};

const FRAMES: usize = 40;

/// One object that walks and turns at random, or stands still.
fn object(id: usize, rng: &mut Rng) -> ClipObject {
    let (mut x, mut y) = (rng.range(-20.0, 20.0), rng.range(-20.0, 20.0));
    let (mut angle, speed) =
        (rng.range(0.0, std::f64::consts::TAU), if rng.chance(0.1) { 0.0 } else { rng.range(0.2, 15.0) });
    let turn = rng.range(-0.2, 0.2);
    let mut xyz = Vec::new();
    for _ in 0..FRAMES {
        xyz.push(Some([x, y, 0.0]));
        angle += turn * rng.uniform();
        (x, y) = (x + 0.5 * speed * angle.cos(), y + 0.5 * speed * angle.sin());
    }
    ClipObject {
        id: id.to_string(),
        category: "vehicle.car".to_owned(),
        xyz,
        boxes: vec![Some([10.0, 20.0, 60.0, 50.0]); FRAMES],
        source: Source::Gt,
    }
}

fn clip(number: u64) -> Clip {
    let mut rng = Rng::new(11, "test clips").at(number);
    let objects = (0..1 + rng.below(5)).map(|id| object(id, &mut rng)).collect();
    Clip {
        clip_id: format!("clip{number}"),
        fps: 2.0,
        up: Up::Z,
        size: Some((100, 200)),
        frames: (0..FRAMES).map(|at| format!("frames/{number}/{at}.jpg")).collect(),
        times_s: (0..FRAMES).map(|at| at as f64 * 0.5).collect(),
        objects,
    }
}

fn config(per_task: Option<usize>) -> StkitConfig {
    StkitConfig { per_task, seed: 3, ..StkitConfig::default() }
}

fn generated(n_clips: u64, per_task: Option<usize>) -> Generated {
    generate((0..n_clips).map(clip).collect(), &config(per_task)).unwrap()
}

fn facts(sample: &Sample) -> StkitFacts {
    StkitFacts::of(sample).unwrap()
}

#[test]
fn every_task_gets_as_many_questions_as_are_wanted() {
    let samples = generated(60, Some(24)).samples;
    let mut counts: BTreeMap<StkitTask, usize> = BTreeMap::new();
    for sample in &samples {
        *counts.entry(facts(sample).task).or_default() += 1;
        assert_eq!(sample.task.as_ref().unwrap().name, facts(sample).task.name());
    }
    assert_eq!(counts, StkitTask::ALL.map(|task| (task, 24)).into());
    let ids: BTreeSet<&str> = samples.iter().map(|sample| sample.id.as_str()).collect();
    assert_eq!(ids.len(), samples.len());
}

#[test]
fn answers_are_balanced() {
    let samples = generated(60, Some(24)).samples;
    let mut same: BTreeMap<String, usize> = BTreeMap::new();
    let mut first_wins = 0;
    for facts in samples.iter().map(facts) {
        match (facts.task, &facts.label) {
            (StkitTask::MovementDirectionComparison, StkitAnswer::Word(word)) => {
                *same.entry(word.clone()).or_default() += 1;
            }
            (StkitTask::TravelingSpeedComparison, StkitAnswer::Word(word)) => {
                first_wins += usize::from(&facts.options[0] == word);
            }
            _ => {}
        }
    }
    assert_eq!(same, [("no".to_owned(), 12), ("yes".to_owned(), 12)].into());
    assert_eq!(first_wins, 12);
}

#[test]
fn a_sample_shows_marked_frames_and_says_what_is_marked() {
    let Generated { samples, overlays, .. } = generated(20, None);
    for sample in &samples {
        let overlay = overlays.iter().find(|overlay| overlay.clip_id == sample.video_id).unwrap();
        assert_eq!(sample.media[0].kind, MediaKind::Frames);
        assert_eq!(sample.media[0].uri, overlay.folder);
        assert_eq!(overlay.frames.len(), FRAMES);
        let [question, answer] = sample.conversations.as_slice() else { panic!("{}", sample.id) };
        assert_eq!((question.role, answer.role), (Role::User, Role::Assistant));
        assert!(question.text.starts_with("<video>\nThe video is 20.00s long. You see 40 frames"));
        assert!(question.text.contains("0.00s, 0.50s,") && question.text.contains("19.50s. "));
        assert!(overlay.marks.iter().all(|mark| question.text.contains(mark.colour.name())));
        if let StkitAnswer::Word(word) = facts(sample).label {
            assert!(answer.text.to_lowercase().contains(&word), "{}", answer.text);
        }
    }
    let asked: BTreeSet<&str> = samples.iter().map(|sample| sample.video_id.as_str()).collect();
    assert_eq!(asked.len(), overlays.len());
}

#[test]
fn a_clip_gets_the_same_questions_whatever_else_is_generated() {
    let of_clip = |n_clips| -> Vec<Sample> {
        generated(n_clips, None).samples.into_iter().filter(|sample| sample.video_id == "clip2").collect()
    };
    assert!(!of_clip(3).is_empty());
    assert_eq!(of_clip(3), of_clip(7));
    assert_eq!(generated(9, Some(5)), generated(9, Some(5)));
}

#[test]
fn what_is_wrong_with_the_input_is_named() {
    let refused = |clips| generate(clips, &config(None)).unwrap_err();
    assert!(matches!(refused(vec![clip(0), clip(0)]), Error::ClipTwice { clip_id } if clip_id == "clip0"));
    let mut broken = clip(1);
    broken.objects[0].boxes.pop();
    let message = refused(vec![clip(0), broken]).to_string();
    assert_eq!(message, "clip clip1, object 0: 39 boxes for 40 times");
    let cfg = StkitConfig { objects_per_clip: 0, ..StkitConfig::default() };
    assert!(matches!(generate(Vec::new(), &cfg), Err(Error::Config(_))));
    assert_eq!(generate(Vec::new(), &config(None)).unwrap(), Generated::default());
}

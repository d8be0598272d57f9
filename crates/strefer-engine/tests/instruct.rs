//! The generator over a seeded world: what it asks is complete, balanced, true and safe.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{ACTIONS, facts};
use strefer_core::placeholder::{Piece, pieces};
use strefer_core::sample::{AnswerFormat, RegionMode, Role, Turn};
use strefer_core::validate::MediaFacts;
use strefer_core::{FrameMask, QuizFacts, Rle, Sample, Span};
use strefer_engine::InstructConfig;
use strefer_engine::config::Form;
use strefer_engine::facts::Facts;
use strefer_engine::instruct::generate;
use strefer_engine::instruct::task::TaskKind;
use strefer_engine::language::rewrite::find_leak;

const VIDEOS: u64 = 60;

fn config(form: Form) -> InstructConfig {
    InstructConfig {
        seed: 3,
        form,
        actions: ACTIONS.iter().map(|text| (*text).to_owned()).collect(),
        ..InstructConfig::default()
    }
}

/// All samples of a world, each with the facts of its video.
fn world(cfg: &InstructConfig) -> Vec<(Facts, Sample)> {
    (0..VIDEOS)
        .flat_map(|index| {
            let facts = facts(7, index);
            let samples = generate(&facts, cfg).unwrap();
            samples.into_iter().map(move |sample| (facts.clone(), sample)).collect::<Vec<_>>()
        })
        .collect()
}

fn question(sample: &Sample) -> &str {
    &sample.conversations[0].text
}

fn task(sample: &Sample) -> &str {
    &sample.task.as_ref().unwrap().name
}

#[test]
fn every_task_appears_and_every_sample_is_valid() {
    let mut tasks = BTreeSet::new();
    for (facts, sample) in world(&config(Form::SingleTurn)) {
        let video = &facts.video;
        let known =
            MediaFacts { duration_s: Some(video.duration_s), frame_size: Some((video.height, video.width)) };
        sample.validate(known).unwrap();
        tasks.insert(task(&sample).to_owned());
    }
    let alone = TaskKind::ALL.iter().filter(|task| task.usual_count() > 0);
    assert_eq!(tasks, alone.map(|task| task.name().to_owned()).collect());
    let groups: BTreeSet<&str> = TaskKind::ALL.iter().map(|task| task.group()).collect();
    assert_eq!(groups, ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "base"].into());
}

#[test]
fn placeholders_and_references_are_the_same_in_number() {
    for (_, sample) in world(&config(Form::Conversations)) {
        let all: Vec<Piece<'_>> = sample.conversations.iter().flat_map(|turn| pieces(&turn.text)).collect();
        let regions: BTreeSet<usize> = all
            .iter()
            .filter_map(|piece| if let Piece::Region(Some(index)) = piece { Some(*index) } else { None })
            .collect();
        let times: Vec<usize> = all
            .iter()
            .filter_map(|piece| if let Piece::Time(index) = piece { Some(*index) } else { None })
            .collect();
        assert_eq!(regions, (0..sample.regions.len()).collect());
        assert_eq!(times, (0..sample.times.len()).collect::<Vec<_>>(), "{}", sample.id);
        assert_eq!(all.iter().filter(|piece| **piece == Piece::Visual).count(), 1);
    }
}

#[test]
fn no_question_about_a_masked_object_gives_it_away() {
    let mut masked = 0;
    for (facts, sample) in world(&config(Form::SingleTurn)) {
        for region in &sample.regions {
            let eid = region.eid.as_ref().unwrap();
            let entity = facts.entities.iter().find(|entity| entity.entity.eid == *eid).unwrap();
            assert_eq!(find_leak(question(&sample), &entity.entity), None, "{}", question(&sample));
            masked += 1;
        }
    }
    assert!(masked > 500, "{masked}");
}

#[test]
fn the_answer_of_a_single_question_is_what_is_scored() {
    let mut kinds = BTreeSet::new();
    for (facts, sample) in world(&config(Form::SingleTurn)) {
        let quiz = QuizFacts::of(&sample).unwrap();
        let answer = sample.conversations[1].text.trim_end_matches('.').to_lowercase();
        assert_eq!(answer, quiz.answer, "{}", sample.id);
        if let Some(choices) = &sample.choices {
            assert!(
                choices.contains(&quiz.answer) || quiz.kind == "count",
                "{} not in {choices:?}",
                quiz.answer
            );
        }
        if let Some(other) = &quiz.other {
            assert_ne!(other.answer, quiz.answer);
            assert_ne!(other.region.eid, sample.regions[0].eid);
            if let Some(entity) =
                facts.entities.iter().find(|entity| other.region.eid.as_ref() == Some(&entity.entity.eid))
                && let Some(value) = entity.entity.attributes.get(&quiz.kind)
            {
                assert_eq!(*value, other.answer, "the other answer is true of the other object");
            }
        }
        if ["region_attribute", "region_name", "mask_verify", "mask_time_behavior"].contains(&task(&sample)) {
            assert!(quiz.other.is_some(), "{} needs another object", sample.id);
        }
        kinds.insert(quiz.kind);
    }
    assert!(
        ["colour", "pattern", "shape", "size", "action_at_time", "count"]
            .iter()
            .all(|kind| kinds.contains(*kind))
    );
}

#[test]
fn yes_and_no_are_equally_often_right() {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (_, sample) in world(&config(Form::SingleTurn)) {
        if sample.answer_format == Some(AnswerFormat::Yesno) {
            *counts.entry((task(&sample).to_owned(), QuizFacts::of(&sample).unwrap().answer)).or_default() +=
                1;
        }
    }
    for task in ["mask_verify", "time_verify", "scene_exists"] {
        let of = |answer: &str| counts.get(&(task.to_owned(), answer.to_owned())).copied().unwrap_or(0);
        assert!(of("yes") == of("no") && of("yes") >= 20, "{task}: {counts:?}");
    }
}

#[test]
fn attribute_values_are_asked_about_evenly() {
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (_, sample) in world(&config(Form::SingleTurn)) {
        if task(&sample) == "region_attribute" {
            let quiz = QuizFacts::of(&sample).unwrap();
            *counts.entry(quiz.kind).or_default().entry(quiz.answer).or_default() += 1;
        }
    }
    let totals: Vec<usize> = counts.values().map(|values| values.values().sum()).collect();
    assert_eq!(counts.len(), 4);
    assert!(totals.iter().min().unwrap() * 2 > *totals.iter().max().unwrap(), "{counts:?}");
    for values in counts.values() {
        assert!(values.values().min().unwrap() * 3 > *values.values().max().unwrap(), "{counts:?}");
    }
}

#[test]
fn false_premises_are_at_most_three_in_ten_of_a_group() {
    let (mut negative, mut all) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    for (_, sample) in world(&config(Form::SingleTurn)) {
        let task = sample.task.unwrap();
        let group = if task.group == "G8" { "G7".to_owned() } else { task.group };
        *negative.entry(group.clone()).or_default() += usize::from(task.negative);
        *all.entry(group).or_default() += 1;
    }
    assert!(negative["G7"] > 20 && negative["G4"] > 5 && negative["G6"] > 5, "{negative:?}");
    for (group, count) in &negative {
        assert!(10 * count <= 3 * all[group], "{group}: {count} of {}", all[group]);
    }
}

#[test]
fn an_object_is_called_invisible_only_where_no_record_shows_it() {
    let mut absences = 0;
    for (facts, sample) in world(&config(Form::SingleTurn)) {
        if QuizFacts::of(&sample).unwrap().kind != "absent" {
            continue;
        }
        absences += 1;
        let times: Vec<f64> = sample.times.iter().map(|time| time.s).collect();
        let asked = Span { start_s: times[0], end_s: times[times.len() - 1] + 1e-6 };
        let entity = match sample.regions.first() {
            Some(region) => {
                facts.entities.iter().find(|entity| region.eid.as_ref() == Some(&entity.entity.eid))
            }
            None => {
                facts.entities.iter().find(|entity| question(&sample).contains(&entity.entity.expression))
            }
        };
        let entity = entity.unwrap();
        assert!(!entity.is_sighted(&asked), "{}", sample.id);
        for (cell, clip) in entity.cells.iter().zip(&facts.clips) {
            if (Span { start_s: clip.start_s, end_s: clip.end_s }).intersection(&asked).is_some() {
                assert_eq!((cell.text.as_ref(), cell.visible, cell.conflict), (None, Some(false), false));
            }
        }
    }
    assert!(absences > 10, "{absences}");
}

#[test]
fn actions_at_a_time_are_those_of_the_transcript() {
    let mut checked = 0;
    for (index, (_, sample)) in world(&config(Form::SingleTurn)).into_iter().enumerate() {
        if task(&sample) != "mask_time_behavior" {
            continue;
        }
        let at: u64 = sample.video_id[1..].parse().unwrap();
        let truth = common::truth(7, at);
        let position: usize = sample.regions[0].eid.as_ref().unwrap()[1..].parse().unwrap();
        for time in &sample.times {
            let inside = |span: &Span| span.start_s - 1e-6 <= time.s && time.s <= span.end_s + 1e-6;
            let does = truth.entities[position].actions.iter().filter(|action| inside(&action.span));
            let said = sample.conversations[1].text.to_lowercase();
            // "moves to the left" and "moving to the left" share all but the ending of the verb.
            let agrees = does.into_iter().any(|action| said.starts_with(&action.text[..3]));
            assert!(agrees, "{index}: {said} at {}", time.s);
        }
        checked += 1;
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn the_same_seed_gives_the_same_samples_and_another_seed_others() {
    let cfg = config(Form::Conversations);
    let first = generate(&facts(7, 4), &cfg).unwrap();
    assert_eq!(first, generate(&facts(7, 4), &cfg).unwrap());
    assert_ne!(first, generate(&facts(7, 4), &InstructConfig { seed: 4, ..cfg }).unwrap());
}

#[test]
fn conversations_have_many_turns_and_tell_nothing_before_it_is_asked() {
    let cfg = config(Form::Conversations);
    let (mut turns, mut samples) = (0, 0);
    for (_, sample) in world(&cfg) {
        samples += 1;
        turns += sample.conversations.len() / 2;
        assert!(sample.conversations.len() / 2 <= cfg.turns_per_sample);
        let questions: Vec<&str> = sample
            .conversations
            .iter()
            .filter(|turn| turn.role == Role::User)
            .map(|turn| turn.text.trim_start_matches("<video>\n"))
            .collect();
        let described = questions.iter().position(|text| text.contains("everything that happens"));
        assert!(described.is_none_or(|at| questions[at + 1..].iter().all(|text| !text.contains("How many"))));
    }
    assert!(turns as f64 / samples as f64 > 3.0, "{turns} turns in {samples} samples");
}

#[test]
fn tasks_can_be_chosen_and_nonsense_is_refused() {
    let cfg = InstructConfig { tasks: [(TaskKind::SceneCount, 3)].into(), ..config(Form::SingleTurn) };
    let samples = generate(&facts(7, 1), &cfg).unwrap();
    assert!(samples.len() == 3 && samples.iter().all(|sample| task(sample) == "scene_count"));
    let none = InstructConfig { tasks: BTreeMap::new(), ..cfg.clone() };
    assert!(generate(&facts(7, 1), &none).unwrap_err().to_string().contains("no task"));
    let share = InstructConfig { negative_share: 2.0, ..cfg };
    assert!(generate(&facts(7, 1), &share).unwrap_err().to_string().contains("negative_share is 2"));
    assert!(serde_json::from_str::<InstructConfig>(r#"{"sed": 1}"#).is_err());
}

#[test]
fn frames_shown_alone_show_every_object_asked_about() {
    let tasks = [(TaskKind::RegionName, 4), (TaskKind::RegionAttribute, 4)].into();
    let cfg = InstructConfig { tasks, frames_per_video: 3, ..config(Form::Frames) };
    let mut by_video: BTreeMap<String, usize> = BTreeMap::new();
    for (facts, sample) in world(&cfg) {
        *by_video.entry(sample.video_id.clone()).or_default() += 1;
        let segment = sample.media[0].segment.unwrap();
        let (start, end) = (segment.start_s * facts.video.fps, segment.end_s.unwrap() * facts.video.fps);
        assert_eq!(start as usize, end as usize, "one frame");
        for region in &sample.regions {
            let keys: Vec<u32> = region.masks.keys().map(|key| key.0).collect();
            assert_eq!(keys, [start as u32]);
        }
    }
    assert_eq!(by_video.len(), VIDEOS as usize);
    assert!(by_video.values().all(|&count| count <= 3) && by_video.values().any(|&count| count == 3));

    let boxes: BTreeMap<TaskKind, usize> = [(TaskKind::RegionBox, 40)].into();
    let cfg = InstructConfig { tasks: boxes.clone(), ..config(Form::Conversations) };
    assert!(generate(&facts(7, 0), &cfg).unwrap_err().to_string().contains("single frames only"));
    let cfg = InstructConfig { tasks: [(TaskKind::MaskBehavior, 1)].into(), ..config(Form::Frames) };
    let error = generate(&facts(7, 0), &cfg).unwrap_err().to_string();
    assert!(error.contains("mask_behavior"), "{error}");
}

/// The region that a question is about, and the box in its answer, in hundredths.
fn told_box(turns: &[Turn]) -> (usize, Vec<f64>) {
    let asked = pieces(&turns[0].text).into_iter().find_map(|piece| match piece {
        Piece::Region(index) => index,
        _ => None,
    });
    let sides = turns[1].text.trim_end_matches('.').split(' ').map(|part| part.parse().unwrap());
    (asked.unwrap(), sides.collect())
}

#[test]
fn boxes_are_those_of_the_frame_that_is_shown() {
    let tasks = [(TaskKind::RegionBox, 40)].into();
    let cfg = InstructConfig { tasks, frames_per_video: 8, ..config(Form::Frames) };
    let mut compared = 0;
    for (facts, sample) in world(&cfg) {
        let (width, height) = (f64::from(facts.video.width), f64::from(facts.video.height));
        for turns in sample.conversations.chunks(2) {
            let (asked, told) = told_box(turns);
            let (_, mask) = sample.regions[asked].masks.iter().next().unwrap();
            let FrameMask::Rle(rle) = mask else { panic!("no mask") };
            let seen = Rle::try_from(rle.clone()).unwrap().to_mask().bbox().unwrap();
            let sides = [(seen.x0, width), (seen.y0, height), (seen.x1, width), (seen.y1, height)];
            for (told, (side, of)) in told.into_iter().zip(sides) {
                assert!((told - 100.0 * side as f64 / of).abs() <= 1.0, "{told} for {side} of {of}");
            }
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared} boxes");
}

#[test]
fn boxes_at_a_time_are_those_of_the_frame_then() {
    let tasks = [(TaskKind::MaskTimeBox, 12)].into();
    let cfg = InstructConfig { tasks, ..config(Form::Conversations) };
    let mut compared = 0;
    for (facts, sample) in world(&cfg) {
        let (width, height) = (f64::from(facts.video.width), f64::from(facts.video.height));
        for (turns, time) in sample.conversations.chunks(2).zip(&sample.times) {
            let (asked, told) = told_box(turns);
            let eid = &sample.regions[asked].eid;
            let entity =
                facts.entities.iter().find(|entity| Some(&entity.entity.eid) == eid.as_ref()).unwrap();
            let then = entity.sightings.iter().find(|seen| (seen.at_s - time.s).abs() < 1e-3).unwrap();
            let [x, y, w, h] = then.frame.bbox_xywh.map(f64::from);
            for (told, (side, of)) in
                told.into_iter().zip([(x, width), (y, height), (x + w, width), (y + h, height)])
            {
                assert!((told - 100.0 * side / of).abs() <= 1.0, "{told} for {side} of {of}");
            }
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared} boxes");
}

#[test]
fn objects_are_pointed_at_in_one_frame_or_all_along_as_asked() {
    for (share, expected) in [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)] {
        let cfg = InstructConfig { single_frame_share: share, ..config(Form::Conversations) };
        let modes: Vec<bool> = world(&cfg)
            .into_iter()
            .filter(|(_, sample)| !sample.regions.is_empty())
            .map(|(_, sample)| {
                let single = sample.regions[0].mode == RegionMode::SingleRandom;
                assert!(
                    sample.regions.iter().all(|region| (region.mode == RegionMode::SingleRandom) == single)
                );
                single
            })
            .collect();
        let found = modes.iter().filter(|single| **single).count() as f64 / modes.len() as f64;
        assert!((found - expected).abs() < 0.15, "{found} of {share}");
    }
    let cfg = InstructConfig { single_frame_share: 1.0, ..config(Form::SingleTurn) };
    for (_, sample) in world(&cfg) {
        assert!(sample.regions.iter().all(|region| region.fixed_key.is_some()), "scoring draws nothing");
    }
}

#[test]
fn conversations_of_few_turns_can_be_left_out() {
    let cfg = InstructConfig { fewest_turns: 5, ..config(Form::Conversations) };
    let samples = world(&cfg);
    assert!(!samples.is_empty() && samples.iter().all(|(_, sample)| sample.conversations.len() >= 10));
}

#[test]
fn times_stay_inside_a_video_whose_length_is_no_whole_number_of_milliseconds() {
    let cfg = InstructConfig { jitter: 0.0, contrast_only: false, ..InstructConfig::default() };
    for index in 0..20 {
        let mut stages = common::truth(7, index).stages();
        let end_s = 3.9996;
        stages.video.duration_s = end_s;
        stages.clips.items.last_mut().unwrap().end_s = end_s;
        let samples = generate(&Facts::new(&stages).unwrap(), &cfg).unwrap();
        assert!(samples.iter().flat_map(|sample| &sample.times).all(|time| time.s <= end_s));
    }
}

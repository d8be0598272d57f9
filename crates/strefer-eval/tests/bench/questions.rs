//! QVHighlights as moments and as questions about moments; STKit-Bench.

use serde_json::{Value, json};
use strefer_eval::Unmatched;
use strefer_eval::bench::{BenchId, BenchOptions, LessonForm, ObjectForm, View, Views, lesson};
use strefer_eval::records::Reply;

use crate::stand_in::{Root, mask};

fn annotation(qid: u64, windows: Value) -> Value {
    let clips: Vec<u64> = vec![0];
    json!({"qid": qid, "query": format!("query {qid}"), "duration": 20, "vid": format!("v{qid}_0.0_20.0"),
        "relevant_windows": windows, "relevant_clip_ids": clips, "saliency_scores": [[4, 4, 4]]})
}

fn highlights(root: &Root) {
    let all = [
        annotation(4, json!([[2, 8], [12, 14]])),
        annotation(5, json!([[0, 2]])),
        annotation(6, json!([[0, 20]])),
        annotation(7, json!([[0, 20]])),
    ];
    root.lines("qvhighlights/highlight_val_release.jsonl", &all);
}

#[test]
fn moments_are_found_in_words() {
    let root = Root::new();
    highlights(&root);
    let bench = root.open(BenchId::Qvhighlights);
    assert_eq!(bench.items()[0].sample.media[0].uri, "qvhighlights/videos/v4_0.0_20.0.mp4");
    let said = ["12 - 14, 2 - 8", "0-4", "from 0 to 25 seconds", "at no time"];
    let reply = |(item, text): (&strefer_eval::bench::Item, &&str)| Reply {
        id: item.id().into(),
        text: (*text).into(),
    };
    let replies: Vec<Reply> = bench.items().iter().zip(&said).map(reply).collect();
    let scores: Vec<Option<f64>> = (0..4).map(|at| bench.read(at, said[at]).score).collect();
    assert_eq!(scores, [Some(1.0), Some(0.5), Some(1.0), Some(0.0)]);
    let sheet = bench.sheet(&replies, Unmatched::REFUSE, None).unwrap();
    let value = |name: &str| sheet.lines.iter().find(|line| line.name == name).unwrap().value;
    assert_eq!((value("MR-full-R1@0.5"), value("MR-mIoU")), (Some(75.0), Some(62.5)));
    assert!(value("HL-min-VeryGood-Hit1").is_some());
}

#[test]
fn questions_about_moments_follow_their_rule() {
    let root = Root::new();
    highlights(&root);
    let choice = root.open(BenchId::QvhighlightsChoice);
    for (item, qid) in choice.items().iter().zip(4_usize..) {
        let offer = item.offer.as_ref().unwrap();
        assert_eq!(offer.texts[qid % 4], format!("Query {qid}."));
        assert_eq!(item.label, json!(format!("({}) query {qid}", ['A', 'B', 'C', 'D'][qid % 4])));
    }
    let times = |at: usize| choice.items()[at].sample.times.iter().map(|time| time.s).collect::<Vec<_>>();
    assert_eq!((times(0), times(2)), (vec![2.0, 8.0], vec![0.0, 20.0]));
    assert!(choice.items()[0].sample.conversations[0].text.contains("between <time:0> and <time:1>"));
    assert_eq!(choice.read(0, "A").score, Some(1.0));
    assert_eq!(choice.read(0, "The letter is A").chosen, None);

    let yes_no = root.open(BenchId::QvhighlightsYesNo);
    let labels: Vec<&Value> = yes_no.items().iter().map(|item| &item.label).collect();
    // The third and fourth happen all the time: there is nothing to say no to.
    assert_eq!(labels, ["Yes.", "No.", "Yes.", "Yes."]);
    assert_eq!(yes_no.items()[3].groups["form"], "yes, as it happens all the time");
    let constant = |text: &str| {
        let replies: Vec<Reply> =
            yes_no.items().iter().map(|item| Reply { id: item.id().into(), text: text.into() }).collect();
        let sheet = yes_no.sheet(&replies, Unmatched::REFUSE, None).unwrap();
        let value = |name: &str| sheet.lines.iter().find(|line| line.name == name).unwrap().value.unwrap();
        (value("accuracy"), value("balanced accuracy"), value("answered yes"))
    };
    assert_eq!(constant("Yes."), (75.0, 50.0, 100.0));
    assert_eq!(constant("No, it does not."), (25.0, 50.0, 0.0));
    assert_eq!(constant("Nothing"), (0.0, 0.0, 0.0));
}

#[test]
fn other_moments_have_the_other_answer() {
    let root = Root::new();
    highlights(&root);
    let bench = root.open(BenchId::QvhighlightsYesNo);
    let views = Views::new(&*bench, 0);
    // Asked about [2, 8], where it happens; put in is the first place of that length where it does not.
    let put = views.put(View::ShuffledTimes, 0).unwrap();
    assert_eq!(put.sample.times.iter().map(|time| time.s).collect::<Vec<_>>(), [14.0, 20.0]);
    assert_eq!(views.other_answer(View::ShuffledTimes, 0), Some(1));
    assert_eq!(views.other_answer(View::ShuffledTimes, 1), Some(0));
}

#[test]
fn queries_may_come_with_the_masks_of_what_they_name() {
    let root = Root::new();
    highlights(&root);
    let grounded = BenchOptions { grounded: true, objects: ObjectForm::Plain, ..BenchOptions::default() };
    let open = |id: BenchId| id.open(root.path(), &grounded);
    let missing = open(BenchId::Qvhighlights).err().unwrap().to_string();
    assert!(missing.contains("highlight_val_release.objects.jsonl"), "{missing}");
    let file = "qvhighlights/highlight_val_release.objects.jsonl";
    let line = |qid: u64, query: &str| json!({"qid": qid, "query": query, "annotation": [mask(2)]});
    root.lines(file, &[line(5, "<region> jumps")]);
    for id in [BenchId::Qvhighlights, BenchId::QvhighlightsYesNo] {
        let bench = open(id).unwrap();
        let texts: Vec<&str> =
            bench.items().iter().map(|item| item.sample.conversations[0].text.as_str()).collect();
        assert!(texts[0].contains("query 4") && texts[1].contains("\"<region:0> jumps\""), "{texts:?}");
        let regions: Vec<usize> = bench.items().iter().map(|item| item.sample.regions.len()).collect();
        assert_eq!(regions, [0, 1, 0, 0]);
        assert_eq!(bench.facts()["grounded"], 1);
        assert!(bench.probes().contains(&View::OtherMask) && bench.probes().contains(&View::ShuffledTimes));
        for item in bench.items() {
            item.sample.validate(Default::default()).unwrap();
        }
    }
    let refused = |lines: &[Value]| {
        root.lines(file, lines);
        open(BenchId::Qvhighlights).err().unwrap().to_string()
    };
    assert!(refused(&[line(9, "<region> jumps")]).contains("record 9: no query has this number"));
    assert!(refused(&[line(5, "it jumps")]).contains("0 <region> in the query, 1 objects annotated"));
    assert!(open(BenchId::Stkit).err().unwrap().to_string().contains("stkit has no masks"));
}

#[test]
fn of_a_masked_object_is_asked_what_it_does_then_and_not_at_its_other_moments() {
    let root = Root::new();
    let mut second = annotation(8, json!([[10, 14]]));
    second["vid"] = "v4_0.0_20.0".into();
    // What it does at the same time is as right, and no answer beside the other.
    let mut meanwhile = annotation(9, json!([[6, 12]]));
    meanwhile["vid"] = "v4_0.0_20.0".into();
    let others = (20..30).map(|qid| annotation(qid, json!([[0, 2]])));
    let all: Vec<Value> =
        [annotation(4, json!([[2, 8]])), meanwhile, second].into_iter().chain(others).collect();
    root.lines("qvhighlights/highlight_val_release.jsonl", &all);
    let line = |qid: u64, does: &str| json!({"qid": qid, "query": format!("<region> {does}"), "annotation": [mask(2)]});
    let does = |qid: u64| ["spins", "falls", "stops", "waits"][qid as usize % 4];
    let mut lines = vec![line(4, "jumps"), line(8, "rolls away"), line(9, "spins")];
    lines.extend((20..29).map(|qid| line(qid, does(qid))));
    root.lines("qvhighlights/highlight_val_release.objects.jsonl", &lines);
    let grounded = BenchOptions { grounded: true, objects: ObjectForm::Plain, ..BenchOptions::default() };
    let bench = BenchId::QvhighlightsChoice.open(root.path(), &grounded).unwrap();
    let item = &bench.items()[0];
    let text = &item.sample.conversations[0].text;
    assert!(
        text.starts_with("<video>\nWhat does <region:0> do between <time:0> and <time:1>?\n(A) it jumps\n")
    );
    let offer = item.offer.as_ref().unwrap();
    assert_eq!(offer.question, "<video>\nWhat is <region:0> doing between <time:0> and <time:1>?");
    assert_eq!(offer.texts[..2], ["It jumps.", "It rolls away."]);
    // Two of what others do, each once.
    let strangers: std::collections::BTreeSet<&str> = offer.texts[2..].iter().map(String::as_str).collect();
    assert!(
        strangers.len() == 2 && strangers.iter().all(|text| !["It jumps.", "It spins."].contains(text)),
        "{strangers:?}"
    );
    let views = Views::new(&*bench, 0);
    let put = views.put(View::ShuffledTimes, 0).unwrap();
    assert_eq!(put.sample.times.iter().map(|time| time.s).collect::<Vec<_>>(), [10.0, 14.0]);
    assert_eq!(views.other_answer(View::ShuffledTimes, 0), Some(1));
    // A query without its object is asked in words, as ever.
    let last = &bench.items()[12];
    assert!(last.sample.regions.is_empty() && last.sample.conversations[0].text.contains("What happens"));
    assert!(last.offer.as_ref().unwrap().texts.contains(&"Query 29.".to_owned()));
}

#[test]
fn lessons_ask_as_the_benchmark_does_or_without_its_answers() {
    let root = Root::new();
    root.bench_q(2);
    let bench = root.open(BenchId::VideoreferQ);
    let said = |form: LessonForm| {
        let lesson = lesson(BenchId::VideoreferQ, &bench.items()[1], form).unwrap().unwrap();
        lesson.validate(Default::default()).unwrap();
        (lesson.conversations[0].text.clone(), lesson.conversations[1].text.clone())
    };
    let (asked, letter) = said(LessonForm::Asked);
    assert!(asked.contains("(B) It is blue") && letter == "(B)", "{asked} {letter}");
    let (bare, words) = said(LessonForm::Bare);
    assert!(!bare.contains("It is blue") && bare.contains("What colour") && words == "It is blue", "{bare}");
    highlights(&root);
    let moments = root.open(BenchId::Qvhighlights);
    assert_eq!(moments.items()[0].right.as_deref(), Some("2.0 - 8.0, 12.0 - 14.0"));
    assert!(lesson(BenchId::Qvhighlights, &moments.items()[0], LessonForm::Bare).unwrap().is_none());
}

#[test]
fn stkit_questions_are_samples_of_the_engine() {
    let root = Root::new();
    let sample = |task: &str, said: &str, label: Value, options: Value| {
        json!({"id": task, "video_id": "a", "media": [{"kind": "frames", "uri": "marked/a"}],
            "conversations": [{"role": "user", "text": "<video>\nHow far?"}, {"role": "assistant", "text": said}],
            "type": "sample", "eval": {"task": task, "label": label, "options": options}})
    };
    let lines = [
        sample("traveled_distance", "8.0 meters.", json!(8.0), json!([])),
        sample("traveling_speed_comparison", "The red one.", json!("red"), json!(["red", "blue"])),
    ];
    root.lines("stkit/STKit-Bench.jsonl", &lines);
    let bench = root.open(BenchId::Stkit);
    assert_eq!(bench.items()[0].sample.media[0].uri, "stkit/marked/a");
    assert_eq!(bench.items()[0].sample.conversations.len(), 1);
    assert_eq!(bench.read(0, "About 10 m.").score, Some(1.0));
    assert_eq!(bench.read(1, "The blue one").score, Some(0.0));
    assert_eq!(bench.items()[1].offer.as_ref().unwrap().texts, ["red", "blue"]);
    let mut none = lines[0].clone();
    none["eval"] = Value::Null;
    root.lines("stkit/STKit-Bench.jsonl", &[none]);
    assert!(root.refused(BenchId::Stkit).contains("traveled_distance"));
}

//! Benchmarks whose answers a judge reads: its replies stand beside the items, and comparisons take them from there.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use strefer_eval::bench::{BenchId, View};
use strefer_eval::judge::Judge;
use strefer_eval::run::{Report, work};
use strefer_eval::{Bootstrap, Unmatched};
use strefer_teacher::{Answer, Fault, Prompt, Question, Rules, Sampling};

use crate::stand_in::{Desk, Fake, Root, mask, pace};

/// Asks a judge by the name `model` that replies by a rule.
fn with_judge<T>(
    model: &str,
    rule: impl Fn(&str) -> Result<String, Fault> + Send + Sync + 'static,
    then: impl FnOnce(&Judge<'_>) -> T,
) -> T {
    let teacher = Rules::new(model, move |question: &Question| rule(&question.words()).map(Answer::of));
    let prompt = Prompt::new("judge", "Judge.");
    then(&Judge { teacher: &teacher, prompt: &prompt, sampling: Sampling::default(), threads: 2 })
}

fn items(dir: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ratings(all: [u8; 4]) -> String {
    let [subject, looks, order, made_up] = all;
    format!(
        "1. Subject Correspondence: {subject}\n2. Appearance Description: {looks}\n\
         3. Temporal Description: {order}\n4. Hallucination Detection: {made_up}"
    )
}

#[test]
fn ratings_stand_beside_each_item_and_runs_are_compared_by_them() {
    let root = Root::new();
    let record = |id: usize| json!({"id": id, "video": format!("{id}.mp4"), "caption": format!("It is {id}."), "frame_idx": 3, "annotation": [mask(2)]});
    root.json("videorefer/VideoRefer-Bench-D.json", (1..=3).map(record).collect());
    let bench = root.open(BenchId::VideoreferD);
    let desk = Desk::new(&*bench, BenchId::VideoreferD, &[View::Real, View::NoVideo]);
    let bootstrap = Bootstrap { resamples: 100, seed: 0 };
    let never = AtomicBool::new(false);
    let dirs = ["good", "bad"].map(|name| root.path().join(name));
    for (dir, word) in dirs.iter().zip(["fine", "poor"]) {
        let say = |ask: &strefer_eval::answer::Ask| match ask.put.look.blind {
            true => Ok("nothing".to_owned()),
            false => Ok(format!("{word} {}", ask.id)),
        };
        desk.with(dir, |run| work(run, &Fake::new(say), pace(), &never, &|_| {}).unwrap());
    }
    let rule = |asked: &str| match asked.rsplit("Predicted answer: ").next().unwrap() {
        "fine 1" => Ok(ratings([5, 4, 3, 2])),
        "fine 2" => Ok("2. Appearance Description: 4".to_owned()),
        "fine 3" | "poor 3" => Err(Fault::Budget("over".to_owned())),
        _ => Ok(ratings([1, 1, 1, 1])),
    };
    let asks = AtomicUsize::new(0);
    let each = || {
        asks.fetch_add(1, Ordering::Relaxed);
    };
    with_judge("strict", rule, |judge| {
        for dir in &dirs {
            desk.with(dir, |run| Report { run, rater: Some((judge, &each)), bootstrap }.write().unwrap());
        }
    });
    // Every answer in every view once.
    assert_eq!(asks.load(Ordering::Relaxed), 12);
    let good = items(&dirs[0], "items.jsonl");
    assert_eq!(good[0]["score"], 3.5);
    assert_eq!(good[0]["points"]["Temporal Description"], 3.0);
    assert!(good[0]["verdict"].as_str().unwrap().starts_with("1. Subject"));
    // Where a point has no rating there is no mean, and without a reply there is nothing.
    assert!(good[1]["score"].is_null() && good[1]["points"] == json!({"Appearance Description": 4.0}));
    assert!(good[2]["verdict"].is_null() && good[2]["points"].is_null());
    assert_eq!(items(&dirs[0], "items-no_video.jsonl")[2]["score"], 1.0);
    let summary: Value =
        serde_json::from_slice(&std::fs::read(dirs[0].join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["metrics"]["Appearance Description"], json!({"n": 2, "mean": 4.0}));
    assert!(summary["views"]["no_video"]["drop"]["mean"].is_number(), "{summary}");

    // Both runs were judged by the same judge: nobody is asked.
    let compare = |own: &Path, other: &Path| {
        desk.with(own, |run| Report { run, rater: None, bootstrap }.compare(other))
    };
    let table = compare(&dirs[0], &dirs[1]).unwrap();
    let line = table.lines().find(|line| line.starts_with("| Appearance Description")).unwrap();
    assert!(line.contains("4.00") && line.contains("1.00") && line.contains("+3.00"), "{table}");
    // By another judge they are no pairs, unless it is asked about the other run, too.
    let rejudged = |asked: &str| Ok(ratings(if asked.contains("poor") { [2; 4] } else { [3; 4] }));
    with_judge("mild", rejudged, |judge| {
        desk.with(&dirs[0], |run| {
            let report = Report { run, rater: Some((judge, &each)), bootstrap };
            report.write().unwrap();
            let table = report.compare(&dirs[1]).unwrap();
            assert!(table.contains("+1.00") && table.contains("3 of 3 questions scored"), "{table}");
        });
    });
    let refused = compare(&dirs[0], &dirs[1]).unwrap_err().to_string();
    assert!(refused.contains("bad: it was judged by another judge"), "{refused}");
}

#[test]
fn captions_are_right_if_a_judge_who_knows_them_alone_chooses_right() {
    let root = Root::new();
    let choice = json!({"question": "How fast is it?\nA. slowly\nB. fast", "answer": "B. fast"});
    let second = json!({"question": "Is it red?\nA. red\nB. blue", "answer": "A. red"});
    let asked = |more: Value| {
        let mut row = json!({"question": "Write a caption.\nInformation A: slow\nInformation B: fast", "answer": "B. fast"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let own = json!({"mc_question": "Which way?\nA. left\nB. right", "mc_answer": "A. left"});
    let rows = json!([asked(json!({})), asked(json!({})), asked(json!({})), asked(own)]);
    root.json("tempcompass/questions/captioning.json", json!({"v": {"speed": rows}}));
    let missing = root.refused(BenchId::TempcompassCaptioning);
    assert!(missing.contains("multi-choice.json") && !missing.contains("captioning.json,"), "{missing}");
    root.json("tempcompass/questions/multi-choice.json", json!({"v": {"order": [choice]}}));
    let alone = root.refused(BenchId::TempcompassCaptioning);
    assert!(alone.contains("captioning/v/speed/0: no question with options"), "{alone}");
    root.json("tempcompass/questions/multi-choice.json", json!({"v": {"speed": [choice, second]}}));
    let bench = root.open(BenchId::TempcompassCaptioning);
    let item = &bench.items()[0];
    assert_eq!((item.id(), item.label.as_str()), ("captioning/v/speed/0", Some("B. fast")));
    assert!(item.sample.conversations[0].text.ends_with("Information B: fast"));
    assert_eq!(bench.items()[3].label, "A. left");

    let desk = Desk::new(&*bench, BenchId::TempcompassCaptioning, &[View::Real]);
    let never = AtomicBool::new(false);
    let dir = root.path().join("run");
    let say = |ask: &strefer_eval::answer::Ask| Ok(format!("Caption {}.</s>", &ask.id[ask.id.len() - 1..]));
    desk.with(&dir, |run| work(run, &Fake::new(say), pace(), &never, &|_| {}).unwrap());
    let unjudged = desk.report(&dir);
    assert!(unjudged.table.contains("not judged: name a judge"), "{}", unjudged.table);
    let rule = |asked: &str| {
        let (caption, question) = asked.split_once("\nQuestion:\n").unwrap();
        match caption.strip_prefix("Description of the video: ").unwrap() {
            "Caption 0." => Ok("Reasoning: It dashes.\nAnswer: B. fast".to_owned()),
            "Caption 1." => Ok("Answer: None of the choices are correct".to_owned()),
            "Caption 2." => Err(Fault::Budget("over".to_owned())),
            _ => Ok(format!("Answer: {}", question.lines().nth(1).unwrap())),
        }
    };
    let bootstrap = Bootstrap { resamples: 100, seed: 0 };
    let outcome = with_judge("judge", rule, |judge| {
        desk.with(&dir, |run| Report { run, rater: Some((judge, &|| ())), bootstrap }.write().unwrap())
    });
    let scores: Vec<Value> = items(&dir, "items.jsonl").iter().map(|it| it["score"].clone()).collect();
    assert_eq!(scores, [json!(1.0), json!(0.0), Value::Null, json!(1.0)]);
    let metrics = &outcome.summary["metrics"];
    assert_eq!((&metrics["n"], &metrics["unparsed"]), (&3.into(), &1.into()));
    assert_eq!(metrics["by_dimension"]["speed"]["accuracy_pct"], 100.0 * (2.0 / 3.0));
    assert_eq!(metrics["judge"]["model"], "judge");
    for note in [
        "1 without a reply of the judge, in no score (captioning/v/speed/2)",
        "1 the judge chose no option or several, counted as wrong (captioning/v/speed/1)",
    ] {
        assert!(outcome.table.contains(note), "{}", outcome.table);
    }
    let nobody = with_judge(
        "silent",
        |_| Err(Fault::Budget("over".to_owned())),
        |judge| {
            desk.with(&dir, |run| Report { run, rater: Some((judge, &|| ())), bootstrap }.write().unwrap())
        },
    );
    assert!(nobody.table.contains("the judge replied to nothing"), "{}", nobody.table);
    assert!(bench.sheet(&[], Unmatched::LEAVE_OUT, None).is_err());
}

//! Answers about motion are read and scored as recorded.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use strefer_core::{StkitAnswer, StkitTask, golden};
use strefer_eval::records::Reply;
use strefer_eval::stkit::{Answered, Question, judge, parse, score, summarise};
use strefer_eval::{Coverage, Unmatched, records};

/// Our own recordings, and `file` among those of the whole family.
fn files(file: &str) -> Vec<PathBuf> {
    let dirs = golden::dirs("stkit_scoring").into_iter().chain(golden::find("stkit"));
    let files: Vec<PathBuf> = dirs.map(|dir| dir.join(file)).filter(|path| path.is_file()).collect();
    assert!(!files.is_empty(), "no {file}");
    files
}

fn read<T: serde::de::DeserializeOwned>(path: &PathBuf) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct ParseCase {
    task: StkitTask,
    text: String,
    options: Option<Vec<String>>,
    expected: Value,
}

impl ParseCase {
    fn holds(&self) -> bool {
        let found = parse(self.task, &self.text, self.options.as_deref().unwrap_or_default());
        match (&found, self.task.read(&self.expected)) {
            (Some(StkitAnswer::Number(found)), Some(StkitAnswer::Number(expected))) => {
                (found - expected).abs() <= 1e-9 * expected.abs()
            }
            (found, expected) => *found == expected,
        }
    }
}

#[derive(Deserialize)]
struct ScorerCases {
    items: Vec<ScorerItem>,
    expected_summary: Value,
}

#[derive(Deserialize)]
struct ScorerItem {
    task: StkitTask,
    label: Value,
    prediction: Value,
    expected: ExpectedVerdict,
}

#[derive(Deserialize)]
struct ExpectedVerdict {
    correct: bool,
    error: Option<f64>,
}

fn close(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && b.iter().all(|(key, b)| a.get(key).is_some_and(|a| close(a, b)))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * b.abs()
        }
        _ => found == expected,
    }
}

fn answers(items: &[ScorerItem]) -> Vec<Answered> {
    let answer = |(at, item): (usize, &ScorerItem)| {
        let said = item.task.read(&item.prediction);
        assert_eq!(said.is_none(), item.prediction.is_null(), "{} of {:?}", item.prediction, item.task);
        let truth = item.task.read(&item.label).unwrap();
        Answered { id: at.to_string(), task: item.task, truth, said }
    };
    items.iter().enumerate().map(answer).collect()
}

#[test]
fn answers_are_read_as_recorded() {
    for path in files("parse.json") {
        let cases: Vec<ParseCase> = read(&path);
        assert!(!cases.is_empty());
        for case in cases {
            assert!(case.holds(), "{}: {:?}, not {}", path.display(), case.text, case.expected);
        }
    }
}

#[test]
fn a_disturbed_text_is_noticed() {
    for path in files("parse.json") {
        for mut case in read::<Vec<ParseCase>>(&path) {
            case.text = match (case.expected.is_null(), case.task) {
                (false, _) => "nothing".to_owned(),
                (true, StkitTask::TraveledDistance) => "3 m".to_owned(),
                (true, StkitTask::TravelingSpeed) => "3 km/h".to_owned(),
                (true, StkitTask::MovementDirection) => "3 o'clock".to_owned(),
                (true, StkitTask::DirectionTimestamp) => "1 to 2".to_owned(),
                (true, StkitTask::MovementDirectionComparison) => "yes".to_owned(),
                (true, _) => case.options.as_ref().unwrap()[0].clone(),
            };
            assert!(!case.holds(), "{}", case.text);
        }
    }
}

#[test]
fn verdicts_and_means_equal_the_recorded_ones() {
    for path in files("scorer.json") {
        let cases: ScorerCases = read(&path);
        assert!(!cases.items.is_empty());
        let answers = answers(&cases.items);
        for (item, Answered { truth, said, .. }) in cases.items.iter().zip(&answers) {
            let verdict = judge(truth, said.as_ref());
            assert_eq!(verdict.correct, item.expected.correct, "{truth:?} {said:?}");
            assert_eq!(verdict.error.is_some(), item.expected.error.is_some(), "{truth:?} {said:?}");
            let (found, expected) = (verdict.error.unwrap_or(0.0), item.expected.error.unwrap_or(0.0));
            assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} {expected}");
        }
        let found = summarise(&answers, Coverage::default()).to_json();
        assert!(close(&found, &cases.expected_summary), "{found}");
    }
}

#[test]
fn a_disturbed_prediction_is_noticed() {
    for path in files("scorer.json") {
        let cases: ScorerCases = read(&path);
        let all = answers(&cases.items);
        for at in 0..all.len() {
            let mut disturbed = all.clone();
            disturbed[at].said = match &all[at].said {
                Some(_) => None,
                None => Some(all[at].truth.clone()),
            };
            let found = summarise(&disturbed, Coverage::default()).to_json();
            assert!(!close(&found, &cases.expected_summary), "item {at}");
        }
    }
}

#[test]
fn replies_are_read_and_scored_with_what_is_missing_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("questions.jsonl");
    let lines = [
        r#"{"id":"a","task":"traveled_distance","label":20}"#,
        r#"{"id":"b","task":"traveled_distance_comparison","label":"red","options":["red","blue"]}"#,
        r#"{"id":"c","task":"direction_timestamp","label":[0,2]}"#,
    ];
    std::fs::write(&path, lines.join("\n")).unwrap();
    let questions: Vec<Question> = records::read_lines(&path).unwrap();
    let reply = |id: &str, text: &str| Reply { id: id.to_owned(), text: text.to_owned() };
    let mut replies = vec![reply("a", "It goes 24 m."), reply("b", "Neither."), reply("d", "?")];
    let error = score(&questions, &replies, Unmatched::REFUSE).unwrap_err().to_string();
    assert!(error.contains("1 missing (c)") && error.contains("(d)"), "{error}");
    replies[2] = reply("c", "0:00 to 0:04");
    let scores = score(&questions, &replies, Unmatched::REFUSE).unwrap();
    let by_task: Vec<_> = scores.tasks.iter().map(|it| (it.accuracy, it.unparsed, it.mean_error)).collect();
    assert_eq!(by_task, [(1.0, 0, Some(4.0)), (1.0, 0, Some(0.5)), (0.0, 1, None)]);
    assert_eq!(scores.average_accuracy(), None);

    std::fs::write(&path, r#"{"id":"a","task":"movement_direction","label":13}"#).unwrap();
    let error = records::read_lines::<Question>(&path).unwrap_err().to_string();
    assert!(
        error.contains("questions.jsonl") && error.contains("record a") && error.contains("13"),
        "{error}"
    );
    std::fs::write(&path, r#"{"id":"a","task":"height","label":1}"#).unwrap();
    let error = records::read_lines::<Question>(&path).unwrap_err().to_string();
    assert!(error.contains("questions.jsonl, line 1") && error.contains("height"), "{error}");
}

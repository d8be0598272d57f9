//! Choices are read as recorded and as worked out by hand; runs are scored and compared.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use strefer_core::golden;
use strefer_eval::choice::{Question, Reading, score};
use strefer_eval::records::Reply;
use strefer_eval::{Bootstrap, Summary, Unmatched, records};

#[derive(Deserialize)]
struct Cases {
    mvbench: Vec<Case>,
    videomme_parse: Vec<Case>,
    videomme_score_letter: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(alias = "output")]
    text: String,
    #[serde(default)]
    options: Vec<String>,
    pred_idx: Option<usize>,
    letter: Option<String>,
}

impl Case {
    /// The recorded position; of an empty letter none.
    fn expected(&self) -> Option<usize> {
        let letter = self.letter.as_ref().and_then(|letter| letter.bytes().next());
        self.pred_idx.or(letter.map(|letter| usize::from(letter - b'A')))
    }
}

/// What the reference takes where nothing is chosen; we count such answers instead.
const TAKEN_UNREAD: usize = 2;

impl Cases {
    /// What we find and what is recorded.
    fn pairs(&self) -> Vec<(&str, Option<usize>, Option<usize>)> {
        let four = ["A", "B", "C", "D"].map(str::to_owned);
        let forced =
            |reading: Reading, case: &Case| reading.choice(&case.text, &case.options).or(Some(TAKEN_UNREAD));
        let mut pairs = Vec::new();
        for case in &self.mvbench {
            pairs.push((case.text.as_str(), forced(Reading::VideoRefer, case), case.expected()));
        }
        for case in &self.videomme_parse {
            pairs.push((case.text.as_str(), forced(Reading::VideoReferWords, case), case.expected()));
        }
        for case in &self.videomme_score_letter {
            let found = Reading::VideoMme.choice(&case.text, &four);
            pairs.push((case.text.as_str(), found, case.expected()));
        }
        pairs
    }
}

fn files() -> Vec<Cases> {
    let dirs = golden::dirs("videorefer_scoring").into_iter().chain(golden::find("videorefer"));
    let paths = dirs.map(|dir| dir.join("eval_parsing_cases.json")).filter(|path| path.is_file());
    let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let files: Vec<Cases> = paths.map(read).collect();
    assert!(!files.is_empty());
    files
}

#[test]
fn choices_equal_the_recorded_ones() {
    for cases in files() {
        assert!(!cases.mvbench.is_empty() && !cases.videomme_parse.is_empty());
        assert!(!cases.videomme_score_letter.is_empty());
        for (text, found, expected) in cases.pairs() {
            assert_eq!(found, expected, "{text:?}");
        }
    }
}

#[test]
fn a_disturbed_answer_is_noticed() {
    for mut cases in files() {
        let Cases { mvbench, videomme_parse, videomme_score_letter } = &mut cases;
        for case in mvbench.iter_mut().chain(videomme_parse).chain(videomme_score_letter) {
            let other = if case.expected() == Some(0) { "(B)" } else { "(A)" };
            case.text = other.to_owned();
        }
        assert!(cases.pairs().iter().all(|(_, found, expected)| found != expected));
    }
}

#[track_caller]
fn reads(reading: Reading, options: &[&str], cases: &[(&str, Option<usize>)]) {
    let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    for (text, expected) in cases {
        assert_eq!(reading.choice(text, &options), *expected, "{reading:?} {text:?}");
    }
}

#[test]
fn mv_bench_in_the_harness_by_hand() {
    let cases = [
        ("B. the blue one", Some(1)),
        (" (C) ", Some(2)),
        ("Answer: D", Some(3)),
        ("option\nb", Some(1)),
        // The article counts as a letter.
        ("It is a dog, so D", Some(0)),
        ("E", None),
        ("the blue one", None),
        ("", None),
    ];
    reads(Reading::MvBench, &["red", "blue", "two", "dog"], &cases);
}

#[test]
fn the_first_word_of_mv_bench_by_hand() {
    let cases = [
        ("(B) blue", Some(1)),
        ("b. blue", Some(1)),
        ("C", Some(2)),
        ("(D),", Some(3)),
        ("(A)(B)", None),
        ("(", None),
        ("...", None),
        ("Answer: A", None),
        ("E", None),
        ("", None),
    ];
    reads(Reading::MvBenchFirstWord, &["red", "blue", "two", "dog"], &cases);
}

#[test]
fn video_mme_by_hand() {
    let options = ["A. x", "B. x", "C. x", "D. x"];
    let both =
        [("The best answer is (B)", Some(1)), ("D.", Some(3)), ("Sure, C", Some(2)), ("i see no bird", None)];
    reads(Reading::VideoMme, &options, &both);
    reads(Reading::VideoMmeHarness, &options, &both);
    // Only the harness takes this opening away.
    reads(Reading::VideoMme, &options, &[("Answer: C", Some(0))]);
    reads(Reading::VideoMmeHarness, &options, &[("Answer: C", Some(2)), ("Option: B", Some(1))]);
}

#[test]
fn letters_that_stand_alone_by_hand() {
    let cases =
        [("Best: B", Some(1)), ("(C)", Some(2)), ("B_1 or A", Some(0)), ("a", None), ("D", None), ("", None)];
    reads(Reading::Letter, &["x", "y", "z"], &cases);
}

#[test]
fn next_qa_by_hand() {
    let options = ["to eat", "to play with the dog", "to sleep", "to sit", "to run"];
    let cases = [
        ("B", Some(1)),
        ("C.", Some(2)),
        ("(A) or rather (D)", Some(3)),
        ("A C E", Some(4)),
        ("C.because", Some(2)),
        ("He goes there to sleep, not to sit.", Some(3)),
        ("to play with the dog", None),
        ("he wants to play with the dog", Some(1)),
        ("I do not know", None),
    ];
    reads(Reading::NextQa, &options, &cases);
}

#[test]
fn temp_compass_by_hand() {
    let options = ["A. rising", "B. falling", "C. turning"];
    let cases = [
        ("B. falling", Some(1)),
        ("C</s>", Some(2)),
        ("A) rising", Some(0)),
        ("B. rising", Some(1)),
        ("falling", None),
        ("Both", None),
        ("D", None),
    ];
    reads(Reading::TempCompassChoice, &options, &cases);
    let cases = [("Yes, it does.", Some(0)), ("no</s>", Some(1)), ("It does not", None)];
    reads(Reading::TempCompassYesNo, &["yes", "no"], &cases);
    let cases = [
        ("Option 2: A ball falls.", Some(1)),
        ("A ball rises.", Some(0)),
        ("(B) A ball falls.", Some(1)),
        ("Option 1.", Some(0)),
        ("2.", Some(1)),
        ("A ball turns.", None),
    ];
    reads(Reading::TempCompassCaption, &["Option 1: A ball rises.", "Option 2: A ball falls."], &cases);
}

fn question(id: usize, answer: usize, task: &str) -> Question {
    Question {
        id: id.to_string(),
        options: ["x", "y", "z"].map(str::to_owned).to_vec(),
        answer,
        groups: BTreeMap::from([("task".to_owned(), task.to_owned())]),
        reading: None,
    }
}

fn reply(id: usize, text: &str) -> Reply {
    Reply { id: id.to_string(), text: text.to_owned() }
}

#[test]
fn accuracies_are_counted_by_group_with_what_is_not_read() {
    let questions =
        [question(0, 0, "count"), question(1, 1, "count"), question(2, 2, "order"), question(3, 0, "order")];
    let replies = [reply(3, "nothing"), reply(2, "C"), reply(1, "A"), reply(0, "A")];
    let run = |replies: &[Reply]| score(&questions, replies, Reading::Letter, Unmatched::REFUSE);
    let scores = run(&replies).unwrap();
    assert_eq!((scores.all.n, scores.all.accuracy, scores.all.unparsed), (4, 0.5, 1));
    let tasks = &scores.by_group["task"];
    assert_eq!((tasks["count"].accuracy, tasks["order"].accuracy, tasks["order"].unparsed), (0.5, 0.5, 1));
    let error = run(&replies[1..]).unwrap_err().to_string();
    assert!(error.contains("3 questions have predictions") && error.contains("1 missing (3)"), "{error}");
}

#[test]
fn two_runs_are_compared_question_by_question() {
    let questions: Vec<Question> = (0..400).map(|id| question(id, 0, "count")).collect();
    let sheet = |right: &dyn Fn(usize) -> bool, from: usize| {
        let said = |id| reply(id, if right(id) { "A" } else { "B" });
        let replies: Vec<Reply> = (from..400).map(said).collect();
        score(&questions, &replies, Reading::Letter, Unmatched::LEAVE_OUT).unwrap().sheet(&questions)
    };
    let better = |id: usize| id.is_multiple_of(2) || id % 10 == 1;
    let (first, second) = (sheet(&|id| id.is_multiple_of(2), 0), sheet(&better, 0));
    let found = Summary::new(&second, Some(&first), Bootstrap::default()).unwrap().to_json();
    let line = &found["scores"][0];
    assert_eq!((line["value"].as_f64(), line["other"].as_f64()), (Some(60.0), Some(50.0)));
    let number = |name: &str| line.pointer(name).and_then(serde_json::Value::as_f64).unwrap();
    assert!((number("/difference/mean") - 10.0).abs() < 1e-9 && number("/difference/p_value") < 0.01);
    // Of 40 questions in 400: 10 and 1.96 standard errors of 1.5.
    assert!((number("/difference/interval/low") - 7.06).abs() < 0.5);
    let error = Summary::new(&second, Some(&sheet(&better, 1)), Bootstrap::default()).err().unwrap();
    assert!(error.to_string().contains("1 only in this run (0), none only in the other"), "{error}");
}

#[test]
fn wrong_questions_are_errors_that_name_file_and_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("questions.jsonl");
    let says = |text: &str, parts: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let error = records::read_lines::<Question>(&path).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    says(r#"{"id":"q","options":["x","y"],"answer":2}"#, &["questions.jsonl, record q", "answer 2 of 2"]);
    says(r#"{"id":"q","options":["x"],"answer":0}"#, &["record q", "no choice"]);
    says(r#"{"id":"q","candidates":["x"],"answer":"x"}"#, &["questions.jsonl, line 1"]);
}

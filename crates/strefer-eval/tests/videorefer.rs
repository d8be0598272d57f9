//! Answers to VideoRefer-Bench are read and scored as recorded.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use strefer_core::golden;
use strefer_eval::videorefer::{bench_d, bench_q};
use strefer_eval::{Error, Paired, Unmatched, records};

/// Our own recordings, and `file` among those of the whole family.
fn files<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let dirs = golden::dirs("videorefer_scoring").into_iter().chain(golden::find("videorefer"));
    let paths: Vec<PathBuf> = dirs.map(|dir| dir.join(file)).filter(|path| path.is_file()).collect();
    assert!(!paths.is_empty(), "no {file}");
    paths.iter().map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect()
}

#[derive(Deserialize)]
struct Cases {
    bench_q: BenchQ,
}

#[derive(Deserialize)]
struct BenchQ {
    cases: Vec<Line>,
    aggregate_lines: Vec<bench_q::Prediction>,
    aggregate: serde_json::Value,
}

#[derive(Deserialize)]
struct Line {
    pred: String,
    #[serde(rename = "Answer")]
    answer: String,
    correct: u8,
}

impl Line {
    fn holds(&self) -> bool {
        let kind = bench_q::Kind::Basic;
        let (answer, pred) = (self.answer.clone(), self.pred.clone());
        let line = bench_q::Prediction { video: String::new(), answer, pred, kind };
        line.correct() == (self.correct == 1)
    }
}

#[test]
fn chosen_letters_and_their_shares_equal_the_recorded_ones() {
    for Cases { bench_q: recorded } in files("eval_parsing_cases.json") {
        assert!(!recorded.cases.is_empty() && !recorded.aggregate_lines.is_empty());
        for line in &recorded.cases {
            assert!(line.holds(), "{:?} for {:?}", line.pred, line.answer);
        }
        assert_eq!(bench_q::tally(&recorded.aggregate_lines).to_json(), recorded.aggregate);
    }
}

#[test]
fn a_disturbed_answer_is_noticed() {
    for Cases { bench_q: mut recorded } in files("eval_parsing_cases.json") {
        for line in &mut recorded.cases {
            line.pred = if line.correct == 1 { "(Z)".to_owned() } else { line.answer.clone() };
            assert!(!line.holds(), "{:?} for {:?}", line.pred, line.answer);
        }
        for at in 0..recorded.aggregate_lines.len() {
            let mut lines = recorded.aggregate_lines.clone();
            lines[at].pred = if lines[at].correct() { "(Z)".to_owned() } else { lines[at].answer.clone() };
            assert_ne!(bench_q::tally(&lines).to_json(), recorded.aggregate);
        }
    }
}

#[derive(Deserialize)]
struct BenchD {
    replies: Vec<Rated>,
    summary: Summary,
}

#[derive(Deserialize)]
struct Rated {
    reply: String,
    ratings: [Option<f64>; 4],
}

#[derive(Deserialize)]
struct Summary {
    axes: Vec<AxisMean>,
    mean: f64,
}

#[derive(Deserialize)]
struct AxisMean {
    n: usize,
    mean: f64,
}

impl BenchD {
    fn scores(&self) -> bench_d::Scores {
        let id = |at: usize| at as u64;
        let question = |at: usize| bench_d::Question { id: id(at), video: "v".into(), caption: "c".into() };
        let judgement = |(at, rated): (usize, &Rated)| bench_d::Judgement {
            id: id(at),
            reply: Some(rated.reply.clone()),
        };
        let questions: Vec<_> = (0..self.replies.len()).map(question).collect();
        let judgements: Vec<_> = self.replies.iter().enumerate().map(judgement).collect();
        bench_d::score(&questions, &judgements, Unmatched::REFUSE).unwrap()
    }

    fn agrees(&self) -> bool {
        let scores = self.scores();
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-12;
        let mut axes = scores.axes.iter().zip(&self.summary.axes);
        axes.all(|(found, axis)| found.n == axis.n && near(found.mean.unwrap(), axis.mean))
            && near(scores.mean().unwrap(), self.summary.mean)
    }
}

#[test]
fn ratings_and_their_means_equal_the_recorded_ones() {
    for recorded in files::<BenchD>("bench_d.json") {
        assert!(!recorded.replies.is_empty());
        for rated in &recorded.replies {
            assert_eq!(bench_d::parse(&rated.reply), rated.ratings, "{}", rated.reply);
        }
        assert!(recorded.agrees());
        let unparsed = recorded.scores().axes.iter().map(|axis| axis.unparsed.len()).max().unwrap();
        assert!(unparsed > 0, "replies in prose are counted");
    }
}

#[test]
fn a_disturbed_reply_is_noticed() {
    for mut recorded in files::<BenchD>("bench_d.json") {
        for at in 0..recorded.replies.len() {
            let reply = recorded.replies[at].reply.clone();
            recorded.replies[at].reply = match recorded.replies[at].ratings.iter().any(Option::is_some) {
                true => "Well described.".to_owned(),
                false => "1. Subject Correspondence: 5".to_owned(),
            };
            assert!(!recorded.agrees(), "{reply}");
            recorded.replies[at].reply = reply;
        }
    }
}

const QUESTION: &str = r#"{"id":4,"video":"v","Question":"What is <object1><region>?","type":"Basic Questions","options":["(A) a dog","(B) a cat"],"Answer":"(B) a cat","frame_idx":"0","annotation":[]}"#;
const LINE: &str = r#"{"video":"v","Answer":"(B) a cat","pred":"B","type":"Basic Questions"}"#;

#[test]
fn questions_without_an_answer_and_answers_without_a_question_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (truth, said) = (dir.path().join("VideoRefer-Bench-Q.json"), dir.path().join("merge.json"));
    // Two questions of one video may well have the same answer.
    std::fs::write(&truth, format!("[{QUESTION},{}]", QUESTION.replace("\"id\":4", "\"id\":5"))).unwrap();
    std::fs::write(&said, format!("{LINE}\n{LINE}\n")).unwrap();
    let questions: Vec<bench_q::Question> = records::read_array(&truth).unwrap();
    let mut lines: Vec<bench_q::Prediction> = records::read_lines(&said).unwrap();
    let paired = bench_q::matched(&questions, &lines, Unmatched::REFUSE).unwrap();
    let all =
        |paired: &Paired<'_, _, bench_q::Prediction>| bench_q::tally(paired.pairs.iter().map(|it| it.1)).all;
    assert!(paired.coverage.is_complete());
    assert_eq!(all(&paired), bench_q::Tally { n: 2, right: 2, unparsed: 0 });
    lines[1].video = "w".to_owned();
    let error = bench_q::matched(&questions, &lines, Unmatched::REFUSE).unwrap_err();
    let Error::Unmatched { coverage } = &error else { panic!("{error}") };
    assert_eq!((coverage.missing.as_slice(), coverage.extra.len()), (&["5".to_owned()][..], 1));
    assert!(error.to_string().contains("w: Basic Questions, (B) a cat"), "{error}");
    let paired = bench_q::matched(&questions, &lines, Unmatched::LEAVE_OUT).unwrap();
    assert_eq!(all(&paired).n, 1);
    lines[0].pred = String::new();
    assert_eq!(bench_q::tally(&lines[..1]).all, bench_q::Tally { n: 1, right: 0, unparsed: 1 });
}

#[test]
fn wrong_files_are_errors_that_name_file_and_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("VideoRefer-Bench-Q.json");
    let says = |text: String, parts: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let error = records::read_array::<bench_q::Question>(&path).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    says(
        format!("[{}]", QUESTION.replace("(B) a cat\",\"frame", "B\",\"frame")),
        &["Bench-Q.json, record 4", "\"B\""],
    );
    says(
        format!("[{}]", QUESTION.replace("(B) a cat\",\"frame", "(C) a cow\",\"frame")),
        &["record 4", "none of its options"],
    );
    says(format!("[{QUESTION},{QUESTION}]"), &["record 4", "twice"]);
    says(
        format!("[\n{QUESTION},\n{}]", QUESTION.replace("Basic", "Easy")),
        &["Bench-Q.json, line 3", "Easy"],
    );
    says(LINE.to_owned(), &["Bench-Q.json, line 1"]);
}

#[test]
fn descriptions_that_no_judge_rated_are_named() {
    let question = |id| bench_d::Question { id, video: "v".into(), caption: "A heron.".into() };
    let judged = |id, reply: Option<&str>| bench_d::Judgement { id, reply: reply.map(str::to_owned) };
    let all = "1. Subject Correspondence: 4\n2. Appearance Description: 2\n3. Temporal Description: 3\n\
               4. Hallucination Detection: 5";
    let questions = [question(1), question(2), question(3)];
    let judgements = [judged(1, Some(all)), judged(2, None), judged(3, Some("Nice."))];
    let scores = bench_d::score(&questions, &judgements, Unmatched::REFUSE).unwrap();
    assert_eq!((scores.mean(), &scores.without_reply), (Some(3.5), &vec![2]));
    assert!(scores.axes.iter().all(|axis| axis.n == 1 && axis.unparsed == [3]));
    let error = bench_d::score(&questions, &judgements[..2], Unmatched::REFUSE).unwrap_err().to_string();
    assert!(error.contains("1 missing (3)"), "{error}");
    let prose = bench_d::score(&questions[2..], &judgements[2..], Unmatched::REFUSE).unwrap();
    assert_eq!(prose.mean(), None);
}

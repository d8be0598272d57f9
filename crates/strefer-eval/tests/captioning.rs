//! Tokens and scores of captions equal the recorded ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};
use strefer_core::golden;
use strefer_eval::captioning::{
    Caption, CaptionRecord, Meteor, PredictionRecord, Scores, score, spice_of, tokenize, tokenize_records,
};
use strefer_eval::{Unmatched, records};

const TOLERANCE: f64 = 1e-9;

/// The files `<name>.json` and `<name>_expected.json`.
struct Set {
    path: PathBuf,
    items: Vec<Item>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Item {
    prediction: String,
    references: Vec<String>,
}

#[derive(Deserialize)]
struct Expected {
    corpus: Value,
    per_item: Value,
    tokenized: Tokenized,
}

#[derive(Clone, Deserialize)]
struct Tokenized {
    predictions: Vec<String>,
    references: Vec<Vec<String>>,
}

impl Tokenized {
    fn captions(&self) -> Vec<Caption> {
        let caption = |(prediction, references): (&String, &Vec<String>)| Caption {
            prediction: prediction.clone(),
            references: references.clone(),
        };
        self.predictions.iter().zip(&self.references).map(caption).collect()
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn sets() -> Vec<Set> {
    let in_dir = |dir: PathBuf| {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let expected = files.filter(|path| path.to_string_lossy().ends_with("_expected.json"));
        let set = |path: PathBuf| {
            let items = PathBuf::from(path.to_string_lossy().replace("_expected.json", ".json"));
            Set { items: read(&items), expected: read(&path), path: items }
        };
        let sets: Vec<Set> = expected.map(set).collect();
        assert!(sets.iter().any(|set| !set.items.is_empty()), "a folder without a set");
        sets
    };
    golden::dirs("captioning").into_iter().flat_map(in_dir).collect()
}

/// Laid out as the recorded numbers are.
fn written(scores: &Scores) -> (Value, Value) {
    let all: Vec<_> = std::iter::once(&scores.corpus).chain(&scores.items).collect();
    let columns = [
        ("Bleu_1", all.iter().map(|it| it.bleu[0]).collect::<Vec<f64>>()),
        ("Bleu_2", all.iter().map(|it| it.bleu[1]).collect()),
        ("Bleu_3", all.iter().map(|it| it.bleu[2]).collect()),
        ("Bleu_4", all.iter().map(|it| it.bleu[3]).collect()),
        ("ROUGE_L", all.iter().map(|it| it.rouge_l).collect()),
        ("CIDEr", all.iter().map(|it| it.cider).collect()),
    ];
    let mut both = (json!({}), json!({}));
    for (name, values) in columns {
        both.0[name] = values[0].into();
        both.1[name] = values[1..].into();
    }
    both
}

/// The name of the first number that is not the recorded one; METEOR is not ours.
fn difference(found: &Value, expected: &Value, path: &str) -> Option<String> {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let mut names = expected.iter().filter(|(name, _)| *name != "METEOR");
            names.find_map(|(name, value)| {
                let found = found.get(name).unwrap_or(&Value::Null);
                difference(found, value, &format!("{path} {name}"))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(at, (a, b))| difference(a, b, &format!("{path}[{at}]")))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            // Some are 0 but for the tiny constants that keep the toolkit's quotients defined.
            let near = (a - b).abs() <= TOLERANCE * b.abs().max(1e-3);
            (!near).then(|| format!("{path}: {a} is not {b}"))
        }
        _ => (found != expected).then(|| format!("{path}: {found} is not {expected}")),
    }
}

fn score_difference(set: &Set, tokenized: &Tokenized) -> Option<String> {
    let (corpus, items) = written(&score(&tokenized.captions()));
    let name = set.path.display().to_string();
    difference(&corpus, &set.expected.corpus, &name).or(difference(&items, &set.expected.per_item, &name))
}

#[test]
fn scores_equal_the_recorded_ones() {
    for set in sets() {
        assert_eq!(set.items.len(), set.expected.tokenized.predictions.len());
        assert_eq!(score_difference(&set, &set.expected.tokenized), None);
    }
}

#[test]
fn a_disturbed_caption_is_noticed() {
    for set in sets() {
        for at in 0..set.items.len() {
            let mut prediction = set.expected.tokenized.clone();
            prediction.predictions[at] += " zebra";
            assert!(score_difference(&set, &prediction).is_some(), "{} {at}", set.path.display());
            let mut reference = set.expected.tokenized.clone();
            reference.references[at].iter_mut().for_each(|text| text.insert_str(0, "zebra zebra "));
            assert!(score_difference(&set, &reference).is_some(), "{} {at}", set.path.display());
        }
    }
}

fn token_difference(set: &Set) -> Option<String> {
    let tokenized = &set.expected.tokenized;
    let said: Vec<&String> = set.items.iter().map(|item| &item.prediction).collect();
    let references: Vec<&String> = set.items.iter().flat_map(|item| &item.references).collect();
    let expected = tokenized.predictions.iter().chain(tokenized.references.iter().flatten());
    let texts = said.iter().chain(&references);
    let found: Vec<String> = tokenize(&said).into_iter().chain(tokenize(&references)).collect();
    assert_eq!(found.len(), expected.clone().count());
    let mut all = texts.zip(found.into_iter().zip(expected));
    all.find(|(_, (found, expected))| found != *expected)
        .map(|(text, (found, expected))| format!("{text}\n{found}\n{expected}"))
}

#[test]
fn tokens_equal_the_recorded_ones() {
    for set in sets() {
        assert_eq!(token_difference(&set), None, "{}", set.path.display());
    }
}

#[test]
fn a_disturbed_text_has_other_tokens() {
    for mut set in sets() {
        for at in 0..set.items.len() {
            let text = set.items[at].prediction.clone();
            set.items[at].prediction += " (zebra)";
            assert!(token_difference(&set).is_some());
            set.items[at].prediction = text;
        }
    }
}

/// A stand-in that answers every caption with its number of words, and makes scores of these.
const STAND_IN: &str = r#"while read -r first rest; do
  case "$first" in
    SCORE) set -- $rest; echo "$#" ;;
    EVAL) for word in $rest; do [ "$word" = "|||" ] || echo "0.$word"; done; echo 0.5 ;;
  esac
done"#;

fn caption(prediction: &str, reference: &str) -> Caption {
    Caption { prediction: prediction.to_owned(), references: vec![reference.to_owned()] }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn meteor_is_asked_in_its_own_words() {
    let mut meteor = Meteor::start(shell(STAND_IN)).unwrap();
    for _ in 0..2 {
        let scores = meteor.score(&[caption("a b", "c"), caption("a ||| b c", "d e")]).unwrap();
        // Two separators, and the texts' words.
        assert_eq!((scores.items, scores.corpus), (vec![0.5, 0.7], 0.5));
    }
}

/// A stand-in for SPICE: it scores what it was told to, and keeps what it was asked.
fn spice_stand_in(scores: &str) -> Command {
    let mut command = shell(
        "case \"$1 $2 $4 $6\" in *captions.json\\ -cache\\ -out\\ -silent) ;; *) exit 9;; esac\n[ -d \"$3\" ] || exit 8\ngrep -q '\"test\":\"b c\"' \"$1\" && grep -q '\"refs\":\\[\"d e\"\\]' \"$1\" || exit 7\nprintf '%s' \"$SCORES\" > \"$5\"",
    );
    command.arg("sh").env("SCORES", scores);
    command
}

#[test]
fn spice_is_asked_in_its_own_files() {
    let captions = [caption("a b", "c"), caption("b c", "d e")];
    let ask = |scores: &str| spice_of(spice_stand_in(scores), &captions);
    let all = |id: usize, f: &str| {
        format!(
            "{{\"image_id\":{id},\"scores\":{{\"All\":{{\"pr\":1.0,\"f\":{f}}},\"Object\":{{\"f\":0.5}}}}}}"
        )
    };
    // In any order; what has no number has none.
    let scores = ask(&format!("[{},{}]", all(1, "0.25"), all(0, "null"))).unwrap();
    assert_eq!(scores.items, [None, Some(0.25)]);
    let complaint = |scores: &str| ask(scores).unwrap_err().to_string();
    assert!(complaint(&format!("[{}]", all(1, "0.25"))).contains("no score for caption 0"));
    assert!(complaint("well done").contains("its scores: "));
    assert!(complaint("[{\"image_id\":0,\"scores\":{}}]").contains("no part \"All\""));
    let gone = spice_of(Command::new("no-such-program"), &captions).unwrap_err().to_string();
    assert!(gone.contains("no-such-program"), "{gone}");
    let stopped = spice_of(shell("echo no memory >&2; exit 3"), &captions).unwrap_err().to_string();
    assert!(stopped.contains("no memory"), "{stopped}");
}

#[test]
fn a_program_that_is_not_there_or_talks_prose_is_an_error() {
    let error = Meteor::start(Command::new("no-such-program")).unwrap_err().to_string();
    assert!(error.contains("no-such-program"), "{error}");
    let captions = [caption("a", "b")];
    let said = |script| Meteor::start(shell(script)).unwrap().score(&captions).unwrap_err().to_string();
    let prose = said("while read -r line; do echo well done; done");
    assert!(prose.contains("\"well done\" instead of a number"), "{prose}");
    assert!(said("read -r line").contains("sh: "));
}

#[test]
#[ignore = "needs Java and the path of meteor-1.5.jar, with its table of paraphrases, in METEOR_JAR"]
fn meteor_equals_the_recorded_scores() {
    let jar = std::env::var_os("METEOR_JAR").expect("METEOR_JAR");
    let mut meteor = Meteor::java(Path::new(&jar)).unwrap();
    let mut compared = 0;
    for set in sets().iter().filter(|set| !set.expected.corpus["METEOR"].is_null()) {
        let scores = meteor.score(&set.expected.tokenized.captions()).unwrap();
        let found = (scores.corpus.into(), scores.items.into());
        assert_eq!(difference(&found.0, &set.expected.corpus["METEOR"], "corpus"), None);
        assert_eq!(difference(&found.1, &set.expected.per_item["METEOR"], "items"), None);
        compared += set.items.len();
    }
    assert!(compared > 0);
}

#[test]
fn records_are_paired_by_id_and_what_is_missing_is_named() {
    let record =
        |id: &str, text: &str| CaptionRecord { id: id.to_owned(), references: vec![text.to_owned()] };
    let said = |id: &str, text: &str| PredictionRecord { id: id.to_owned(), prediction: text.to_owned() };
    let captions = [record("a", "A man walks."), record("b", "Two dogs run!")];
    let predictions = [said("b", "two dogs run"), said("a", "A man, walks")];
    let tokenized = tokenize_records(&captions, &predictions, Unmatched::REFUSE).unwrap();
    assert!(tokenized.coverage.is_complete() && score(&tokenized.captions).corpus.rouge_l == 1.0);
    let error = tokenize_records(&captions, &predictions[..1], Unmatched::REFUSE).unwrap_err().to_string();
    assert!(error.contains("1 missing (a)"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("captions.jsonl");
    std::fs::write(&path, r#"{"id":"a","references":[" "]}"#).unwrap();
    let error = records::read_lines::<CaptionRecord>(&path).unwrap_err().to_string();
    assert!(error.contains("captions.jsonl, record a") && error.contains("no reference"), "{error}");
}

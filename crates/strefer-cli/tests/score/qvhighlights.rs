//! Moments and highlights, and wrong files of each kind.

use std::path::Path;

use serde_json::{Value, json};
use strefer_core::golden;

use super::{Desk, cell, read};

/// Annotations, predictions and recorded numbers.
fn qvhighlights_sets() -> Vec<[String; 3]> {
    let sets = golden::dirs("qvhighlights").into_iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
    let paths = sets.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    let truths = paths.filter(|path| path.ends_with("_gt.jsonl"));
    let set = |truth: String| {
        ["_gt.jsonl", "_preds.jsonl", "_metrics.json"].map(|ending| truth.replace("_gt.jsonl", ending))
    };
    truths.map(set).collect()
}

#[test]
fn qvhighlights_prints_the_recorded_digits() {
    let desk = Desk::new();
    assert!(!qvhighlights_sets().is_empty());
    for [truth, said, metrics] in qvhighlights_sets() {
        let metrics = read(Path::new(&metrics));
        let table = desk.table("qvhighlights", &said, &truth, &["--out", "scores.json"]);
        let written = read(&desk.0.path().join("scores.json"));
        assert_eq!(written["metrics"], metrics, "{truth}");
        assert_eq!(written["missing"], json!([]));
        for (name, value) in metrics["brief"].as_object().unwrap() {
            let shown = value.as_f64().map_or("-".to_owned(), |value| format!("{value:.2}"));
            assert_eq!(cell(&table, name, 1), shown, "{truth} {name}");
        }
        for line in written["scores"].as_array().unwrap().iter().filter(|line| line["n"].as_u64() > Some(1)) {
            let number = |value: &Value| value.as_f64().unwrap();
            let [low, high] = ["low", "high"].map(|end| number(&line["interval"][end]));
            assert!(low - 0.01 <= number(&line["value"]) && number(&line["value"]) <= high + 0.01, "{line}");
        }
    }
}

const ANNOTATION: &str = r#"{"qid":7,"query":"q","duration":10,"vid":"v","relevant_windows":[[0,4]],"relevant_clip_ids":[0,1],"saliency_scores":[[1,2,4],[1,2,3]]}"#;
const PREDICTION: &str =
    r#"{"qid":7,"vid":"v","pred_relevant_windows":[[0,4,1.0]],"pred_saliency_scores":[3,2,1,1,1]}"#;

fn numbered(line: &str, qids: &[u64]) -> String {
    qids.iter().map(|qid| line.replace("\"qid\":7", &format!("\"qid\":{qid}")) + "\n").collect()
}

#[test]
fn unmatched_predictions_are_named_and_left_out_only_when_asked() {
    let desk = Desk::new();
    let truth = desk.write("truth.jsonl", &numbered(ANNOTATION, &[1, 2, 3]));
    let whole = desk.write("whole.jsonl", &numbered(PREDICTION, &[1, 2, 3]));
    let table = desk.table("qvhighlights", &whole, &truth, &[]);
    assert!(table.contains("3 of 3 questions scored") && !table.contains("left out"), "{table}");
    assert_eq!(cell(&table, "MR-full-R1@0.5", 1), "100.00");

    let part = desk.write("part.jsonl", &numbered(PREDICTION, &[2]));
    let missing = ["part.jsonl: 1 questions have predictions; 2 missing (1, 3)", "add --allow-missing\n"];
    desk.complains("qvhighlights", [&part, &truth], &[], &missing);
    let table = desk.table("qvhighlights", &part, &truth, &["--allow-missing"]);
    assert!(table.contains("1 of 3 questions scored") && table.contains("2 without a prediction"), "{table}");
    assert_eq!(desk.json("qvhighlights", &part, &truth, &["--allow-missing"])["missing"], json!(["1", "3"]));

    let more = desk.write("more.jsonl", &numbered(PREDICTION, &[1, 2, 3, 8]));
    desk.complains("qvhighlights", [&more, &truth], &[], &["1 without a question (8)", "--allow-extra"]);
    desk.complains("qvhighlights", [&more, &truth], &["--allow-missing"], &["--allow-extra"]);
    assert_eq!(desk.json("qvhighlights", &more, &truth, &["--allow-extra"])["extra"], json!(["8"]));

    // Another version of the annotations: other queries, or other videos.
    let other = desk.write("other.jsonl", &numbered(PREDICTION, &[11, 12]));
    let flags = ["--allow-missing", "--allow-extra"];
    desk.complains("qvhighlights", [&other, &truth], &flags, &["0 questions", "truth.jsonl"]);
    let renamed = desk.write("renamed.jsonl", &numbered(ANNOTATION, &[1, 2, 3]).replace("\"v\"", "\"w\""));
    desk.complains(
        "qvhighlights",
        [&whole, &renamed],
        &[],
        &["query 1", "video v", "about w", "renamed.jsonl?"],
    );
    let unlabelled = desk.write("test.jsonl", "{\"qid\":1,\"query\":\"q\",\"duration\":10,\"vid\":\"v\"}\n");
    desk.complains("qvhighlights", [&whole, &unlabelled], &[], &["test.jsonl, line 1", "relevant_windows"]);
}

#[test]
fn wrong_files_are_named_with_their_lines() {
    let desk = Desk::new();
    let truth = desk.write("truth.jsonl", &numbered(ANNOTATION, &[1, 2]));
    let whole = desk.write("whole.jsonl", &numbered(PREDICTION, &[1, 2]));
    let twice = desk.write("twice.jsonl", &numbered(PREDICTION, &[1, 2, 1, 2]));
    let named = ["twice.jsonl: 2 coming twice (record 1 on lines 1 and 3, record 2 on lines 2 and 4)"];
    desk.complains("qvhighlights", [&twice, &truth], &[], &named);
    let broken = desk.write("broken.jsonl", &(numbered(PREDICTION, &[1]) + "{\"qid\":2,"));
    desk.complains("qvhighlights", [&broken, &truth], &[], &["broken.jsonl, line 2"]);
    let text = numbered(PREDICTION, &[1, 2]).replace("[0,4,1.0]", "[5,4,1.0]");
    let backwards = desk.write("backwards.jsonl", &text);
    desk.complains(
        "qvhighlights",
        [&backwards, &truth],
        &[],
        &["record 1 on line 1", "ends before it starts"],
    );
    desk.complains("qvhighlights", ["nowhere.jsonl", &truth], &[], &["nowhere.jsonl"]);
    desk.complains("qvhighlights", [&whole, "nowhere.jsonl"], &[], &["nowhere.jsonl"]);
    desk.complains(
        "qvhighlights",
        [&whole, &truth],
        &["--out", "no/scores.json"],
        &["cannot write no/scores"],
    );
    let empty = desk.write("empty.jsonl", "");
    desk.complains("qvhighlights", [&empty, &truth], &["--allow-missing"], &["0 questions", "2 missing"]);
}

#[test]
fn a_query_without_windows_or_saliency_is_counted_and_named() {
    let desk = Desk::new();
    let truth = desk.write("truth.jsonl", &numbered(ANNOTATION, &[1, 2]));
    let silent = numbered(PREDICTION, &[1]) + r#"{"qid":2,"pred_relevant_windows":[]}"#;
    let said = desk.write("said.jsonl", &silent);
    let table = desk.table("qvhighlights", &said, &truth, &[]);
    assert!(table.contains("1 without a predicted window, counted as not found (2)"), "{table}");
    assert!(table.contains("1 without predicted saliency, counted as not found (2)"), "{table}");
    assert_eq!((cell(&table, "MR-mIoU", 1), cell(&table, "MR-long-mAP", 1)), ("50.00", "-"));
    let windows =
        desk.write("windows.jsonl", &numbered(r#"{"qid":7,"pred_relevant_windows":[[0,4,1]]}"#, &[1, 2]));
    let table = desk.table("qvhighlights", &windows, &truth, &[]);
    assert!(table.contains("highlight detection is not scored") && !table.contains("HL-min"), "{table}");
}

#[test]
fn two_runs_are_compared_query_by_query() {
    let desk = Desk::new();
    let qids: Vec<u64> = (1..=20).collect();
    let truth = desk.write("truth.jsonl", &numbered(ANNOTATION, &qids));
    let good = desk.write("good.jsonl", &numbered(PREDICTION, &qids));
    let wrong = PREDICTION.replace("[0,4,1.0]", "[6,8,1.0]");
    let worse =
        desk.write("worse.jsonl", &(numbered(PREDICTION, &qids[..10]) + &numbered(&wrong, &qids[10..])));
    let found = desk.json("qvhighlights", &good, &truth, &["--compare", &worse]);
    let line = &found["scores"][0];
    assert_eq!((&line["value"], &line["other"]), (&json!(100.0), &json!(50.0)));
    assert_eq!((&line["difference"]["mean"], &line["difference"]["p_value"]), (&json!(50.0), &json!(0.0)));
    let table = desk.table("qvhighlights", &worse, &truth, &["--compare", &good]);
    assert_eq!(cell(&table, "MR-full-R1@0.5", 6), "-50.00");
    assert_eq!(cell(&table, "HL-min-Fair-Hit1", 6), "+0.00");
    let part = desk.write("part.jsonl", &numbered(PREDICTION, &qids[1..]));
    let more = ["--allow-missing", "--compare", part.as_str()];
    desk.complains("qvhighlights", [&good, &truth], &more, &["1 only in this run (1), none"]);
}

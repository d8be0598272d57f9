//! Scores of QVHighlights equal the recorded ones to the last printed digit.

use std::path::{Path, PathBuf};

use serde_json::Value;
use strefer_core::golden;
use strefer_eval::qvhighlights::{Annotation, Prediction, Scores, score};
use strefer_eval::records::read_lines;
use strefer_eval::{Error, Unmatched};

/// The files `<name>_gt.jsonl`, `<name>_preds.jsonl` and `<name>_metrics.json`.
struct Set {
    name: String,
    annotations: Vec<Annotation>,
    predictions: Vec<Prediction>,
    metrics: Value,
}

impl Set {
    fn open(truth: &Path) -> Self {
        let name = truth.file_name().unwrap().to_str().unwrap().strip_suffix("_gt.jsonl").unwrap().to_owned();
        let beside = |ending: &str| truth.with_file_name(format!("{name}{ending}"));
        Self {
            annotations: read_lines(truth).unwrap(),
            predictions: read_lines(&beside("_preds.jsonl")).unwrap(),
            metrics: serde_json::from_slice(&std::fs::read(beside("_metrics.json")).unwrap()).unwrap(),
            name,
        }
    }

    fn score(&self) -> Scores {
        score(&self.annotations, &self.predictions, Unmatched::REFUSE).unwrap()
    }
}

fn sets() -> Vec<Set> {
    let in_dir = |dir: PathBuf| {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let truths = files.filter(|path| path.to_string_lossy().ends_with("_gt.jsonl"));
        let mut sets: Vec<Set> = truths.map(|path| Set::open(&path)).collect();
        assert!(!sets.is_empty(), "a folder without a set");
        sets.sort_by(|a, b| a.name.cmp(&b.name));
        sets
    };
    golden::dirs("qvhighlights").into_iter().flat_map(in_dir).collect()
}

#[test]
fn scores_equal_the_recorded_ones_to_the_last_digit() {
    for set in sets() {
        assert_eq!(set.score().to_json(), set.metrics, "{}", set.name);
    }
}

#[test]
fn a_disturbed_prediction_is_noticed() {
    let (mut all, mut seen) = (0, 0);
    for mut set in sets() {
        for at in 0..set.predictions.len().min(20) {
            let original = set.predictions[at].clone();
            let shift = |window: &mut [f64; 3]| *window = [window[0] + 150.0, window[1] + 150.0, window[2]];
            set.predictions[at].pred_relevant_windows.iter_mut().flatten().for_each(shift);
            set.predictions[at].pred_saliency_scores.iter_mut().flatten().for_each(|score| *score = -*score);
            let noticed = set.score().to_json() != set.metrics;
            // A query for which nothing was right before cannot become worse.
            let alone = |set: &Set| {
                score(&set.annotations, &set.predictions[at..=at], Unmatched::LEAVE_OUT).unwrap().to_json()
            };
            let disturbed = alone(&set);
            set.predictions[at] = original;
            assert!(noticed || disturbed == alone(&set), "{}, prediction {at}", set.name);
            all += 1;
            seen += usize::from(noticed);
        }
    }
    assert!(2 * seen > all, "{seen} of {all}");
}

#[test]
fn missing_and_extra_predictions_are_named_and_not_scored_in_silence() {
    let mut set = sets().remove(0);
    let first = set.predictions.remove(0);
    set.predictions.push(Prediction { qid: 987_654, ..first.clone() });
    let error = score(&set.annotations, &set.predictions, Unmatched::REFUSE).unwrap_err();
    let Error::Unmatched { coverage } = &error else { panic!("{error}") };
    assert_eq!(
        (&coverage.missing, &coverage.extra),
        (&vec![first.qid.to_string()], &vec!["987654".to_owned()])
    );
    let text = error.to_string();
    assert!(text.contains(&format!("1 missing ({})", first.qid)) && text.contains("987654"), "{text}");

    let scores = score(&set.annotations, &set.predictions, Unmatched::LEAVE_OUT).unwrap();
    assert_eq!(scores.coverage, *coverage);
    assert_eq!(scores.moments.unwrap().full.n_queries, set.annotations.len() - 1);
    assert!(score(&set.annotations, &[], Unmatched::LEAVE_OUT).is_err());
}

#[test]
fn a_query_without_windows_or_saliency_counts_as_not_found() {
    let mut set = sets().remove(0);
    let before = set.score();
    set.predictions[0].pred_relevant_windows = Some(vec![]);
    set.predictions[0].pred_saliency_scores = None;
    let qid = set.predictions[0].qid;
    let after = set.score();
    let (moments, highlights) = (after.moments.unwrap(), after.highlights.unwrap());
    assert_eq!((&moments.without_windows, &highlights.without_saliency), (&vec![qid], &vec![qid]));
    assert_eq!(moments.full.n_queries, set.annotations.len());
    assert!(moments.full.mean_map() <= before.moments.unwrap().full.mean_map());
    for prediction in &mut set.predictions {
        prediction.pred_saliency_scores = None;
    }
    let scores = set.score();
    assert!(scores.highlights.is_none() && scores.to_json()["brief"].get("HL-min-Fair-mAP").is_none());
}

#[test]
fn a_length_class_without_queries_is_null() {
    let mut set = sets().remove(0);
    for annotation in &mut set.annotations {
        annotation.relevant_windows.retain(|window| window[1] - window[0] > 30.0);
    }
    set.annotations.retain(|annotation| !annotation.relevant_windows.is_empty());
    let scores = score(&set.annotations, &set.predictions, Unmatched::LEAVE_OUT).unwrap().to_json();
    assert!(scores["short"]["MR-mAP"]["0.5"].is_null() && scores["brief"]["MR-short-mAP"].is_null());
    assert!(scores["long"]["MR-mAP"]["average"].is_number());
}

#[test]
fn wrong_files_are_errors_that_name_file_and_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.jsonl");
    let annotation = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_lines::<Annotation>(&path).unwrap_err().to_string()
    };
    let good = r#"{"qid":7,"query":"q","duration":10,"vid":"v","relevant_windows":[[0,4]],"relevant_clip_ids":[0,1],"saliency_scores":[[1,2,3],[1,2,3]]}"#;
    let says = |text: String, parts: &[&str]| {
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    says(annotation(&format!("{good}\n{good}\n")), &["broken.jsonl", "record 7", "twice"]);
    says(annotation(&good.replace("[0,1]", "[0,5]")), &["broken.jsonl", "record 7", "clip 5"]);
    says(annotation(&good.replace("[0,1]", "[0]")), &["record 7", "1 relevant clips", "2 rows"]);
    says(annotation(&good.replace("[[0,4]]", "[[4,4]]")), &["record 7", "window 4 to 4"]);
    says(annotation(&good.replace("[[0,4]]", "[]")), &["record 7", "no relevant window"]);
    says(annotation(&good.replace("10", "1")), &["record 7", "1 s"]);
    // Test annotations as they were first released: no labels.
    says(annotation(r#"{"qid":7,"query":"q","duration":10,"vid":"v"}"#), &["line 1", "relevant_windows"]);

    let prediction = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_lines::<Prediction>(&path)
    };
    says(
        prediction(r#"{"qid":7,"pred_relevant_windows":[[5,4,1]]}"#).unwrap_err().to_string(),
        &["record 7", "5 to 4"],
    );
    says(prediction("{\"qid\":7}\nqid 8\n").unwrap_err().to_string(), &["broken.jsonl, line 2"]);
    says(
        prediction(r#"{"qid":7,"pred_saliency_scores":[NaN]}"#).unwrap_err().to_string(),
        &["broken.jsonl, line 1"],
    );
    let other = prediction(r#"{"qid":7,"vid":"w"}"#).unwrap();
    let error = score(&[serde_json::from_str(good).unwrap()], &other, Unmatched::REFUSE).unwrap_err();
    says(error.to_string(), &["query 7", "video w", "about v"]);
    says(read_lines::<Prediction>(&dir.path().join("none")).unwrap_err().to_string(), &["none"]);
}

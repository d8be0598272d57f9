//! The published rules equal the recorded numbers, case by case; a disturbed case does not.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde_json::{Map, Value, json};
use strefer_core::{Mask, Rle, golden};
use strefer_engine::masklets::published::assign::{self, Kept, Partition};
use strefer_engine::masklets::published::merge;
use strefer_engine::masklets::published::start::{self, Policy, middle_out};
use strefer_engine::masklets::{Area, Detection, boxes};
use strefer_model::rexseek;

/// Every recording of this name, ours and, where they lie beside the project, those of the original.
fn files(name: &str) -> Vec<Value> {
    let dirs = golden::dirs("masklets").into_iter().chain(golden::find("rexseek_modules"));
    let files = dirs.map(|dir| dir.join(format!("{name}.json"))).filter(|path| path.is_file());
    let read = |path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let files: Vec<Value> = files.map(read).collect();
    assert!(!files.is_empty(), "no recording of {name}");
    files
}

/// The cases of all files that are lists.
fn cases(name: &str, fewest: usize) -> Vec<Value> {
    let lists = files(name).into_iter().map(|file| file.get("cases").cloned().unwrap_or(file));
    let cases: Vec<Value> = lists.flat_map(|list| list.as_array().unwrap().clone()).collect();
    assert!(cases.len() >= fewest, "{} cases of {name}", cases.len());
    cases
}

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    numbers(value)
}

/// Checks all cases, and that a disturbed one is noticed wherever `disturb` finds something to disturb.
fn compare(cases: &[Value], agrees: impl Fn(&Value) -> bool, disturb: impl Fn(&mut Value) -> bool) {
    let mut noticed = 0;
    for case in cases {
        assert!(agrees(case), "{case}");
        let mut disturbed = case.clone();
        if disturb(&mut disturbed) {
            noticed += usize::from(!agrees(&disturbed));
        }
    }
    assert!(noticed > 0, "no disturbance is noticed");
}

#[test]
fn frames_are_visited_from_the_middle_out() {
    let mut count = 0;
    for file in files("bfs_order") {
        for (n, order) in file.as_object().unwrap() {
            let n: usize = n.parse().unwrap();
            assert_eq!(middle_out(n), numbers::<Vec<usize>>(order), "{n}");
            assert!(n < 2 || middle_out(n) != Policy::First.order(n) || n == 2);
            count += 1;
        }
    }
    assert!(count >= 30, "{count} orders");
}

fn detection(value: &Value) -> Detection {
    Detection {
        area: numbers(&value["box"]),
        score: value["score"].as_f64().unwrap(),
        label: value["label"].as_str().unwrap().to_owned(),
        noun: None,
        expression: None,
    }
}

fn starts_alike(case: &Value) -> bool {
    let policy = match case["policy"].as_str().unwrap() {
        "heuristic" => Policy::MiddleOut,
        "first" => Policy::First,
        _ => Policy::End,
    };
    let order = policy.order(case["n_frames"].as_u64().unwrap() as usize);
    let found = start::find(&order, case["num_expressions"].as_u64().unwrap() as usize, 0.5, |position| {
        let found = case["detections"][position.to_string()].as_array();
        Ok::<_, Infallible>(found.into_iter().flatten().map(detection).collect())
    });
    let start = found.unwrap().unwrap();
    let near = |a: &f64, b: &f64| (a - b).abs() < 1e-5;
    let scores: Vec<f64> = numbers(&case["scores"]);
    let areas: Vec<Area> = numbers(&case["boxes"]);
    let labels: Vec<&str> = start.detections.iter().map(|found| found.label.as_str()).collect();
    json!(start.looked) == case["visited_frames"]
        && json!(start.position) == case["start_frame"]
        && json!(start.detections.is_empty()) == case["upstream_aborts_no_box"]
        && json!(labels) == case["labels"]
        && scores.len() == labels.len()
        && start.detections.iter().zip(&scores).all(|(found, score)| near(&found.score, score))
        && start
            .detections
            .iter()
            .zip(&areas)
            .all(|(found, area)| found.area.iter().zip(area).all(|(a, b)| near(a, b)))
}

#[test]
fn tracking_starts_where_the_original_starts() {
    compare(&cases("start_frame", 20), starts_alike, |case| {
        let key = case["start_frame"].to_string();
        let found = case["detections"].get_mut(&key).and_then(Value::as_array_mut);
        found.is_some_and(|found| found.pop().is_some())
    });
}

fn matches_alike(case: &Value) -> bool {
    let [own, others]: [Vec<Area>; 2] = ["pred_boxes", "target_boxes"].map(|key| numbers(&case[key]));
    let matching = merge::matching(&own, &others);
    if let Some(table) = case.get("giou") {
        for (a, row) in own.iter().zip(table.as_array().unwrap()) {
            for (b, value) in others.iter().zip(row.as_array().unwrap()) {
                let agree = match (boxes::giou(*a, *b), value.as_f64()) {
                    (Some(found), Some(value)) => (found - value).abs() < 1e-5,
                    (found, value) => found.is_none() && value.is_none(),
                };
                if !agree {
                    return false;
                }
            }
        }
    }
    let Some(matching) = matching else { return case.get("error").is_some() };
    if case.get("error").is_some() {
        return false;
    }
    let pairs: Vec<(usize, usize)> =
        matching.iter().enumerate().filter_map(|(row, column)| Some((row, (*column)?))).collect();
    let total: f64 = pairs.iter().map(|&(row, column)| -boxes::giou(own[row], others[column]).unwrap()).sum();
    let expected: Map<String, Value> = numbers(&case["matching"]);
    pairs.len() == expected.len() && (total - case["total_cost"].as_f64().unwrap()).abs() < 1e-5
}

#[test]
fn boxes_are_matched_at_the_recorded_cost() {
    compare(&cases("hungarian_giou", 12), matches_alike, |case| {
        let area = &mut case["pred_boxes"][0];
        area[2] = json!(area[2].as_f64().unwrap() + 5.0);
        true
    });
}

fn merges_alike(case: &Value) -> bool {
    let n = case["n_frames"].as_u64().unwrap() as usize;
    let start = case["start_frame"].as_u64().unwrap() as usize;
    let objects = case["objects"].as_u64().unwrap() as usize;
    let names =
        |letter: char, frame: usize| (1..=objects).map(|id| format!("{letter}{frame}.{id}")).collect();
    let backward: Vec<Vec<String>> = (0..=start).rev().map(|frame| names('B', frame)).collect();
    let forward: Vec<Vec<String>> = (start..n).map(|frame| names('F', frame)).collect();
    let other = |id: usize| case["matching_backward_to_forward"][id.to_string()].as_u64();
    let matching: Vec<Option<usize>> = (1..=objects).map(|id| Some(other(id)? as usize - 1)).collect();
    let merged = merge::merge(start, &backward, &forward, &matching);
    let merged: BTreeMap<String, BTreeMap<String, String>> = merged
        .into_iter()
        .enumerate()
        .map(|(frame, objects)| {
            (frame.to_string(), objects.into_iter().map(|(id, name)| ((id + 1).to_string(), name)).collect())
        })
        .collect();
    merged == numbers::<BTreeMap<String, BTreeMap<String, String>>>(&case["merged"])
}

#[test]
fn both_directions_are_put_together_as_recorded() {
    compare(&cases("bidirectional_merge", 4), merges_alike, |case| {
        let start = case["start_frame"].as_u64().unwrap();
        case["start_frame"] = json!(start.saturating_sub(1));
        start > 0
    });
}

/// A recorded record that holds some expressions, boxes and objects.
fn laid_out(kept: &Kept, input: &Value) -> Value {
    let pick =
        |key: &str, places: &[usize]| places.iter().map(|&at| input[key][at].clone()).collect::<Value>();
    let objects = |frame: &Value| -> Value {
        let named = kept.objects.iter();
        let named = named.map(|(id, found)| (id.to_string(), frame[(found + 1).to_string()].clone()));
        Value::Object(named.collect())
    };
    let frames = input["masklets"].as_object().unwrap().iter();
    json!({
        "masklets": frames.map(|(key, frame)| (key.clone(), objects(frame))).collect::<Map<_, _>>(),
        "object_box_names": pick("object_box_names", &kept.boxes),
        "object_box_gdinoscores": pick("object_box_gdinoscores", &kept.boxes),
        "object_box_on_the_start_tracking_frame": pick("object_box_on_the_start_tracking_frame", &kept.boxes),
        "start_tracking_frame_idx": input["start_tracking_frame_idx"],
        "referrings": pick("referrings", &kept.expressions),
        "generalized_nouns": pick("generalized_nouns", &kept.expressions),
    })
}

fn assigns_alike(case: &Value) -> bool {
    let input = &case["input"];
    let labels = texts(&input["object_box_names"]);
    let [phrases, nouns] = ["referrings", "generalized_nouns"].map(|key| texts(&input[key]));
    let said = |phrase: &str| -> &str {
        let calls = case["rexseek_calls"].as_array().unwrap();
        let call = calls.iter().rfind(|call| call["referring"] == phrase);
        call.and_then(|call| call["answer"].as_str())
            .unwrap_or_else(|| panic!("{phrase} is asked for nothing"))
    };
    let parts = assign::partitions(&labels, &nouns);
    let (mut asked, mut results) = (0, Vec::new());
    for part in &parts {
        results.push(if assign::is_settled(part, &phrases, &nouns) {
            Some(Kept::unchanged(part))
        } else {
            asked += part.expressions.len();
            let own: Vec<&str> = part.expressions.iter().map(|&at| phrases[at].as_str()).collect();
            let answers: Vec<Vec<usize>> = own
                .iter()
                .map(|phrase| rexseek::indices(&rexseek::parse(said(phrase)), part.boxes.len()))
                .collect();
            assign::resolve(part, &own, &answers)
        });
    }
    let whole = |part: &Partition| laid_out(&Kept::unchanged(part), input);
    let result = |kept: &Option<Kept>| kept.as_ref().map_or(json!(-1), |kept| laid_out(kept, input));
    let merged = assign::merge(results.iter().flatten().cloned());
    let merged = if merged.expressions.is_empty() { json!(-1) } else { laid_out(&merged, input) };
    parts.iter().map(whole).collect::<Value>() == case["partitions"]
        && results.iter().map(result).collect::<Value>() == case["partition_results"]
        && json!(asked) == json!(case["rexseek_calls"].as_array().unwrap().len())
        && merged == case["merged"]
}

#[test]
fn answers_are_assigned_as_recorded() {
    let mut cases = cases("assignment", 40);
    let all = cases.len();
    // The others depend on the order of a set of another language.
    cases.retain(|case| case["partition_order_ascending"] == true);
    assert!(all - cases.len() <= 3 && cases.len() >= 40, "{} of {all} cases", cases.len());
    compare(&cases, assigns_alike, |case| {
        let Some(call) = case["rexseek_calls"].get_mut(0) else { return false };
        call["answer"] = json!("<ground>x</ground><objects><obj1></objects>");
        true
    });
}

#[test]
fn run_lengths_are_those_of_the_original() {
    let alike = |case: &Value| {
        let [height, width]: [u32; 2] = numbers(&case["size"]);
        let Ok(rle) = Rle::from_compressed(height, width, case["counts"].as_str().unwrap()) else {
            return false;
        };
        let mask: Mask = rle.to_mask();
        let [left, top, right, bottom] = boxes::around(&mask);
        let expected: [f64; 4] = numbers(&case["bbox_xywh"]);
        json!(rle.counts()) == case["uncompressed_counts"]
            && Rle::from_mask(&mask).to_compressed() == case["counts"].as_str().unwrap()
            && json!(mask.area()) == case["area"]
            && [left, top, right - left, bottom - top] == expected
    };
    compare(&cases("rle", 8), alike, |case| {
        case["area"] = json!(case["area"].as_u64().unwrap() + 1);
        true
    });
}

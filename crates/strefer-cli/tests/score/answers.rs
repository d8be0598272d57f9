//! Answers about motion, about masked objects, and choices.

use serde_json::{Value, json};

use super::{Desk, cell, near, recorded};

/// A second later, which changes no overlap: sentences do not say negative times.
fn later(item: &mut Value) {
    for which in ["label", "prediction"] {
        for end in item[which].as_array_mut().into_iter().flatten() {
            *end = (end.as_f64().unwrap() + 1.0).into();
        }
    }
}

/// A sentence with this answer in it.
fn sentence(task: &str, answer: &Value) -> String {
    match (task, answer) {
        (_, Value::Null) => "I cannot say.".to_owned(),
        ("traveled_distance", metres) => format!("It moves {metres} m."),
        ("traveling_speed", speed) => format!("About {speed} km/h."),
        ("movement_direction", hour) => format!("Towards {hour} o'clock."),
        ("direction_timestamp", span) => format!("From {} to {} seconds.", span[0], span[1]),
        (_, word) => word.as_str().unwrap().to_owned(),
    }
}

#[test]
fn stkit_bench_prints_the_recorded_means() {
    let desk = Desk::new();
    for cases in recorded(["stkit_scoring", "stkit"], "scorer.json") {
        let (mut questions, mut replies) = (Vec::new(), Vec::new());
        for (id, item) in cases["items"].as_array().unwrap().iter().enumerate() {
            let mut item = item.clone();
            if item["task"] == "direction_timestamp" {
                later(&mut item);
            }
            let task = item["task"].as_str().unwrap();
            let options: Vec<&Value> =
                [&item["label"], &item["prediction"]].into_iter().filter(|word| word.is_string()).collect();
            questions.push(json!({"id": id, "task": task, "label": item["label"], "options": options}));
            replies.push(json!({"id": id.to_string(), "text": sentence(task, &item["prediction"])}));
        }
        let truth = desk.write_lines("truth.jsonl", &questions);
        let said = desk.write_lines("said.jsonl", &replies);
        let expected = &cases["expected_summary"];
        near(&desk.json("stkit", &said, &truth, &[])["metrics"], expected);
        let table = desk.table("stkit", &said, &truth, &[]);
        let average = expected["average_accuracy_pct"].as_f64().unwrap();
        assert_eq!(cell(&table, "average_accuracy_pct", 1), format!("{average:.1}"));
        let unread: u64 =
            expected.as_object().unwrap().values().filter_map(|task| task["unparsed"].as_u64()).sum();
        assert!(table.contains(&format!("{unread} not understood, counted as wrong (")), "{table}");
    }
    let truth = desk.write_lines("one.jsonl", &[json!({"id": 1, "task": "traveled_distance", "label": 8})]);
    let said = desk.write_lines("said.jsonl", &[json!({"id": 1, "answer": "10 m"})]);
    let table = desk.table("stkit", &said, &truth, &[]);
    assert!(table.contains("needs questions of all seven tasks"), "{table}");
    assert_eq!(cell(&table, "traveled_distance.mae", 1), "2.00");
    let failed = desk.write_lines("failed.jsonl", &[json!({"id": 1, "error": "no frame"})]);
    desk.complains("stkit", [&failed, &truth], &[], &["failed.jsonl, line 1", "text"]);
}

#[test]
fn videorefer_bench_q_prints_the_recorded_shares() {
    let desk = Desk::new();
    for cases in recorded(["videorefer_scoring", "videorefer"], "eval_parsing_cases.json") {
        let lines = cases["bench_q"]["aggregate_lines"].as_array().unwrap();
        let question = |(id, line): (usize, &Value)| {
            let answer = &line["Answer"];
            json!({"id": id, "video": line["video"], "Question": "What?", "type": line["type"], "options": [answer], "Answer": answer})
        };
        let questions: Vec<Value> = lines.iter().enumerate().map(question).collect();
        let truth = desk.write("VideoRefer-Bench-Q.json", &Value::from(questions.clone()).to_string());
        let said = desk.write_lines("merge.json", lines);
        let expected = &cases["bench_q"]["aggregate"];
        near(&desk.json("videorefer-q", &said, &truth, &[])["metrics"], expected);
        let table = desk.table("videorefer-q", &said, &truth, &[]);
        let average = 100.0 * expected["average_accuracy"].as_f64().unwrap();
        assert_eq!(cell(&table, "average", 1), format!("{average:.1}"));
        for (kind, counts) in expected["per_type"].as_object().unwrap() {
            assert_eq!(cell(&table, kind, 3), counts["n"].to_string());
        }

        let short = desk.write_lines("short.json", &lines[1..]);
        desk.complains("videorefer-q", [&short, &truth], &[], &["1 missing (0)", "--allow-missing"]);
        let twice = desk.write_lines("twice.json", &[lines.as_slice(), &lines[..1]].concat());
        desk.complains(
            "videorefer-q",
            [&twice, &truth],
            &[],
            &["1 without a question (v0: ", "--allow-extra"],
        );
        let answer = lines[0]["Answer"].as_str().unwrap();
        let edited = Value::from(questions).to_string().replace(answer, "(A) another");
        let edited = desk.write("edited.json", &edited);
        desk.complains("videorefer-q", [&said, &edited], &[], &["missing (0", "without a question", answer]);
    }
}

#[test]
fn videorefer_bench_d_prints_the_recorded_ratings() {
    let desk = Desk::new();
    for cases in recorded(["videorefer_scoring", "videorefer"], "bench_d.json") {
        let replies = cases["replies"].as_array().unwrap();
        let question = |id: usize| json!({"id": id, "video": "v.mp4", "caption": "A heron."});
        let questions: Vec<Value> = (0..replies.len()).map(question).collect();
        let judged = replies.iter().enumerate().map(|(id, rated)| json!({"id": id, "reply": rated["reply"]}));
        let truth = desk.write("VideoRefer-Bench-D.json", &Value::from(questions).to_string());
        let mut judged: Vec<Value> = judged.collect();
        let said = desk.write_lines("judged.jsonl", &judged);
        let found = desk.json("videorefer-d", &said, &truth, &[]);
        let expected = &cases["summary"];
        near(&found["metrics"]["mean"], &expected["mean"]);
        for (line, axis) in
            found["scores"].as_array().unwrap().iter().zip(expected["axes"].as_array().unwrap())
        {
            near(&line["value"], &axis["mean"]);
            assert_eq!(line["n"], axis["n"]);
        }
        let table = desk.table("videorefer-d", &said, &truth, &[]);
        assert_eq!(cell(&table, "mean", 1), format!("{:.2}", expected["mean"].as_f64().unwrap()));
        assert!(table.contains("without a rating of Subject Correspondence, not in its mean ("), "{table}");
        judged[3]["reply"] = Value::Null;
        let said = desk.write_lines("judged.jsonl", &judged);
        let table = desk.table("videorefer-d", &said, &truth, &[]);
        assert!(table.contains("1 without a reply of the judge, in no mean (3)"), "{table}");
    }
}

#[test]
fn choices_are_scored_by_group_in_each_format() {
    let desk = Desk::new();
    let question = |id: &str, answer: usize, task: &str| json!({"id": id, "options": ["x", "y", "z"], "answer": answer, "groups": {"task": task}});
    let truth = [question("a", 0, "count"), question("b", 1, "count"), question("c", 2, "order")];
    let truth = desk.write_lines("truth.jsonl", &truth);
    let said = |lines: &[(&str, &str)]| {
        let line = |(id, text): &(&str, &str)| json!({"id": id, "text": text});
        desk.write_lines("said.jsonl", &lines.iter().map(line).collect::<Vec<_>>())
    };
    let replies = said(&[("a", "(A)"), ("b", "none"), ("c", "I take C.")]);
    let table = desk.table("choices", &replies, &truth, &[]);
    assert_eq!((cell(&table, "accuracy", 1), cell(&table, "task: count", 1)), ("66.7", "50.0"));
    assert!(table.contains("1 answered without a choice, counted as wrong (b)"), "{table}");
    // The first word alone says nothing.
    let first_word = desk.table("choices", &replies, &truth, &["--reading", "mv-bench-first-word"]);
    assert_eq!(cell(&first_word, "accuracy", 1), "33.3");
    let unknown = ["--reading", "guess"];
    desk.complains("choices", [&replies, &truth], &unknown, &["unknown variant `guess`", "mv_bench"]);

    std::fs::create_dir(desk.0.path().join("json")).unwrap();
    let row = |answer: &str| json!({"video": "v", "question": "q", "candidates": ["red", "blue"], "answer": answer});
    desk.write("json/moving_count.json", &json!([row("red"), row("blue")]).to_string());
    desk.write("json/scene_transition.json", &json!([row("blue")]).to_string());
    let replies =
        said(&[("moving_count/0", "A"), ("moving_count/1", "A. red"), ("scene_transition/0", "(B) blue")]);
    let table = desk.table("choices", &replies, "json", &["--format", "mv-bench"]);
    assert_eq!((cell(&table, "task: moving_count", 1), cell(&table, "accuracy", 1)), ("50.0", "66.7"));
    desk.write("json/moving_count.json", &json!([row("green")]).to_string());
    let none = ["moving_count.json, record moving_count/0", "none of its options"];
    desk.complains("choices", [&replies, "json"], &["--format", "mv-bench"], &none);

    let row = json!([{"question_id": "001-1", "duration": "short", "domain": "Knowledge", "sub_category": "Biology",
        "task_type": "Counting Problem", "options": ["A. 1", "B. 2", "C. 3", "D. 4"], "answer": "B", "videoID": "x"}]);
    let rows = desk.write("rows.json", &row.to_string());
    let replies = said(&[("001-1", "The best answer is B")]);
    let found = desk.json("choices", &replies, &rows, &["--format", "video-mme"]);
    assert_eq!(found["metrics"]["by_duration"]["short"]["accuracy_pct"], 100.0);

    let question = json!({"id": 3, "options": ["a", "b", "c"], "answer_id": 2, "area": "physics", "reasoning": "predictive"});
    let videos = desk.write("mc.json", &json!({"video_9": {"mc_question": [question]}}).to_string());
    let replies = said(&[("video_9/3", "C")]);
    let table = desk.table("choices", &replies, &videos, &["--format", "perception-test"]);
    assert_eq!(cell(&table, "area: physics", 1), "100.0");
}

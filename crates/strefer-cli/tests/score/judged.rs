//! Benchmarks with a judge that these tests play.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{Desk, cell};

/// A judge that replies by a rule. Gives its address and how often it was asked.
fn judge(says: fn(&str) -> String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, asks) =
        (format!("http://{}/v1", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asks);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut input = BufReader::new(&stream);
            let (mut line, mut len) = (String::new(), 0);
            while input.read_line(&mut line).unwrap() > 2 {
                let header = line.to_ascii_lowercase();
                len =
                    header.strip_prefix("content-length:").map_or(len, |value| value.trim().parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; len];
            input.read_exact(&mut body).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            assert_eq!(body["messages"][0]["content"], "Rate it.");
            let asked = body["messages"][1]["content"][0]["text"].as_str().unwrap();
            let said = says(asked);
            let reply = json!({ "choices": [{ "message": { "content": said }, "finish_reason": "stop" }] });
            let (reply, close) = (reply.to_string(), "connection: close");
            let len = reply.len();
            write!(stream, "HTTP/1.1 200 OK\r\n{close}\r\ncontent-length: {len}\r\n\r\n{reply}").unwrap();
        }
    });
    (url, asks)
}

/// Finds foxes good, dogs bad, and has nothing to say of cats.
fn of_animals(asked: &str) -> String {
    let rating = |n: usize| {
        let axes = ["Subject Correspondence", "Appearance Description", "Temporal Description"];
        let axes = axes.into_iter().chain(["Hallucination Detection"]).enumerate();
        axes.map(|(at, axis)| format!("{}. {axis}: {n}. So.\n", at + 1)).collect::<String>()
    };
    match asked {
        text if text.contains("Predicted answer: A fox") => rating(5),
        text if text.contains("Predicted answer: A dog") => rating(1),
        _ => "No.".to_owned(),
    }
}

#[test]
fn captions_are_judged_once_and_runs_are_compared_without_a_judge() {
    let desk = Desk::new();
    let rows = json!([{"question": "Tell.", "answer": "B. dunking"}, {"question": "Tell me.", "answer": "B. dunking"}]);
    let choice = json!([{"question": "What does he do?\nA. dribbling\nB. dunking", "answer": "B. dunking"}]);
    for (name, rows) in [("captioning", rows), ("multi-choice", choice)] {
        let folder = desk.0.path().join("bench/tempcompass/questions");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.json"));
        std::fs::write(file, json!({"7": {"action": rows}}).to_string()).unwrap();
    }
    let (url, asks) = judge(|asked| {
        assert!(asked.ends_with("Question:\nWhat does he do?\nA. dribbling\nB. dunking"), "{asked}");
        if asked.contains("dunks") { "Answer: B. dunking".to_owned() } else { "I cannot tell.".to_owned() }
    });
    desk.write("rate.txt", "Rate it.\n");
    let endpoint = format!("[[endpoints]]\nurl = \"{url}\"\nmodel = \"m\"\ntries = 1\n");
    desk.write("judge.toml", &format!("prompt = \"rate.txt\"\n{endpoint}"));
    let said = |name: &str, texts: [&str; 2]| {
        let line =
            |(at, text): (usize, &&str)| json!({"id": format!("captioning/7/action/{at}"), "text": text});
        desk.write_lines(name, &texts.iter().enumerate().map(line).collect::<Vec<_>>())
    };
    let run = |out: &str, more: &[&str]| {
        let file = format!("{out}.jsonl");
        let args = [
            "eval",
            "tempcompass-captioning",
            "--root",
            "bench",
            "--predictions",
            file.as_str(),
            "--out",
            out,
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
        let output = command.current_dir(desk.0.path()).args(args).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    said("good.jsonl", ["He dunks.", "A man dunks."]);
    said("bad.jsonl", ["He dunks.", "A man."]);
    assert_eq!(cell(&run("good", &["--judge", "judge.toml"]), "accuracy", 1), "100.0");
    assert_eq!(cell(&run("bad", &["--judge", "judge.toml"]), "accuracy", 1), "50.0");
    assert_eq!(asks.load(Ordering::Relaxed), 4);
    let compared = run("good", &["--judge", "judge.toml", "--replay", "--compare", "bad"]);
    assert!(compared.contains("+50.0") && asks.load(Ordering::Relaxed) == 4, "{compared}");
}

#[test]
fn descriptions_are_judged_once_and_the_score_says_by_whom() {
    let desk = Desk::new();
    let truth = [(1, "A fox."), (2, "A dog."), (3, "A cat.")]
        .map(|(id, caption)| json!({ "id": id, "video": format!("{id}.mp4"), "caption": caption }));
    let truth = desk.write("VideoRefer-Bench-D.json", &Value::from(truth.to_vec()).to_string());
    let said = [("1", "A fox runs."), ("2", "A dog."), ("3", "A cat.")];
    let said = desk.write_lines(
        "said.jsonl",
        &said.map(|(id, answer)| json!({ "id": id.parse::<u64>().unwrap(), "answer": answer })),
    );
    let (url, asks) = judge(of_animals);
    desk.write("rate.txt", "Rate it.\n");
    let config = |url: &str| {
        let endpoint = format!("[[endpoints]]\nurl = \"{url}\"\nmodel = \"m\"\ntries = 1\n");
        desk.write("judge.toml", &format!("prompt = \"rate.txt\"\n{endpoint}"))
    };
    let file = config(&url);
    let with_judge = ["--judge", file.as_str()];
    let found = desk.json("videorefer-d", &said, &truth, &with_judge);
    assert_eq!((&found["metrics"]["mean"], asks.load(Ordering::Relaxed)), (&json!(3.0), 3));
    assert_eq!(found["metrics"]["judge"]["model"], "m");
    assert_eq!(found["metrics"]["judge"]["prompt"]["text"], "Rate it.\n");
    assert!(found["notes"].to_string().contains("without a rating"), "{}", found["notes"]);

    // Nothing is asked twice; what was kept is enough; the replies are those of a judge's file.
    let again = desk.json("videorefer-d", &said, &truth, &with_judge);
    assert_eq!((&again, asks.load(Ordering::Relaxed)), (&found, 3));
    config("http://127.0.0.1:9/v1");
    let replay = desk.json("videorefer-d", &said, &truth, &["--judge", file.as_str(), "--replay"]);
    assert_eq!(replay["scores"], found["scores"]);
    let replies = desk.json("videorefer-d", "said.jsonl.judged/replies.jsonl", &truth, &[]);
    assert_eq!(replies["scores"], found["scores"]);

    // A judge that is not there rates nothing, and nothing is guessed.
    let other = ["--judge", file.as_str(), "--judged", "other"];
    let silent = desk.json("videorefer-d", &said, &truth, &other);
    assert_eq!(silent["metrics"]["mean"], Value::Null);
    assert!(silent["notes"].to_string().contains("without a reply"), "{}", silent["notes"]);
    desk.write("judge.toml", "prompt = \"none.txt\"\nendpoints = []\n");
    desk.complains("videorefer-d", [&said, &truth], &with_judge, &["none.txt"]);
    let unnamed = desk.write_lines("unnamed.jsonl", &[json!({ "pred": "A fox." })]);
    desk.write("judge.toml", "prompt = \"rate.txt\"\nendpoints = []\n");
    desk.complains("videorefer-d", [&unnamed, &truth], &with_judge, &["no endpoint"]);
}

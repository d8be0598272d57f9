//! Runs on benchmarks as a user starts them: kills, several processes, wrong input.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{Desk, complaint, stdout};

/// Files of a run that must not depend on how it came about.
fn results(run: &Path) -> Vec<String> {
    let names = ["items.jsonl", "items-no_video.jsonl", "items-other_mask.jsonl", "summary.json", "table.md"];
    names.map(|name| std::fs::read_to_string(run.join(name)).unwrap_or_else(|_| panic!("{name}"))).to_vec()
}

/// A benchmark made of a tiny world, run by one process, by one that is killed again and again, and by two at once: the same
/// answers, scores and intervals. `STREFER_EVAL_KILLS` asks for more kills.
#[test]
fn an_evaluation_that_is_killed_or_shared_equals_an_undisturbed_one() {
    let desk = Desk::new();
    let counts = stdout(&desk.run(&["counterpart", "videorefer-q", "--world", "world", "--root", "bench"]));
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert!(
        counts["questions"].as_u64() > Some(10) && counts["with_another_object"].as_u64() > Some(5),
        "{counts}"
    );
    let file = |name: &str| std::fs::read_to_string(desk.path("bench/videorefer").join(name)).unwrap();
    let records: Vec<Value> = serde_json::from_str(&file("VideoRefer-Bench-Q.json")).unwrap();
    for record in &records {
        let options: BTreeSet<&str> =
            record["options"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(options.len() == 4 && options.contains(record["Answer"].as_str().unwrap()), "{record}");
    }
    for other in file("VideoRefer-Bench-Q.others.jsonl").lines() {
        let other: Value = serde_json::from_str(other).unwrap();
        let record = &records[other["id"].as_str().unwrap().parse::<usize>().unwrap()];
        assert_ne!(other["answer"], record["Answer"]);
        assert!(record["options"].as_array().unwrap().contains(&other["answer"]), "{record} {other}");
        assert_ne!(other["annotation"], record["annotation"]);
    }
    let eval = |out: &str| {
        let common =
            ["eval", "videorefer-q", "--model", "model", "--root", "bench", "--likeliest", "--lanes", "1"];
        let views =
            ["--objects", "plain", "--masks", "multi", "--views", "no-video,other-mask", "--out", out];
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
        command
            .current_dir(desk.dir.path())
            .args(common)
            .args(views)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let began = std::time::Instant::now();
    let table = stdout(&eval("straight").output().unwrap());
    let whole_ms = began.elapsed().as_millis() as usize;
    assert!(table.contains("VideoRefer-Bench-Q: ") && table.contains("| other_mask "), "{table}");
    let straight = results(&desk.path("straight"));
    // What was read is kept word for word, with the text around turns.
    let item: Value = serde_json::from_str(straight[0].lines().next().unwrap()).unwrap();
    let prompt = item["prompt"].as_str().unwrap();
    assert!(prompt.contains("<video>") && prompt.contains("<region>"), "{prompt}");
    assert_eq!(item["frame_indices"].as_array().unwrap().len(), 8);

    let kills = std::env::var("STREFER_EVAL_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5);
    let mut rng = strefer_core::Rng::new(13, "kills");
    for _ in 0..kills {
        let mut child = eval("killed").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.below(whole_ms / 2 + 1) as u64));
        // It may have finished already; then there is nothing to kill.
        let _ = child.kill();
        child.wait().unwrap();
    }
    stdout(&eval("killed").output().unwrap());
    assert_eq!(results(&desk.path("killed")), straight);

    let (first, second) = (eval("shared").spawn().unwrap(), eval("shared").spawn().unwrap());
    let (first, second) = (first.wait_with_output().unwrap(), second.wait_with_output().unwrap());
    assert_eq!((stdout(&first), stdout(&second)), (table.clone(), table));
    assert_eq!(results(&desk.path("shared")), straight);

    // Answers that are written together are those that are written alone.
    let written = |batch: &str, out: &str| -> Vec<Value> {
        let common = ["eval", "videorefer-q", "--model", "model", "--root", "bench", "--batch", batch];
        stdout(&desk.run(&[&common[..], &["--out", out]].concat()));
        let items = std::fs::read_to_string(desk.path(out).join("items.jsonl")).unwrap();
        items
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["prediction_text"].clone())
            .collect()
    };
    let alone = written("1", "alone");
    assert!(alone.iter().all(Value::is_string), "{alone:?}");
    assert_eq!(written("3", "together"), alone);

    // The same folder takes no other run, and a second call asks nothing again.
    let other =
        desk.run(&["eval", "videorefer-q", "--model", "model", "--root", "bench", "--out", "straight"]);
    assert!(complaint(&other).contains("differs in questions"));
    let board = stdout(&desk.run(&["leaderboard", "straight", "shared", "--html", "board.html"]));
    assert!(board.contains("| straight * ") && board.contains("published: arXiv 2501.00599"), "{board}");
    assert!(std::fs::read_to_string(desk.path("board.html")).unwrap().contains("<td>shared *</td>"));
}

#[test]
fn benchmarks_name_what_is_missing_and_whose_answers_do_not_fit() {
    let desk = Desk::new();
    let eval = |more: &[&str]| desk.run(&[&["eval"], more].concat());
    let unknown = complaint(&eval(&["nobench", "--out", "x"]));
    assert!(unknown.contains("nobench") && unknown.contains("videorefer-q"), "{unknown}");
    assert!(complaint(&eval(&["mvbench", "--out", "x"])).contains("--root DIR"));
    let samples = complaint(&eval(&["quiz/samples.jsonl", "--probes", "--out", "x"]));
    assert!(samples.contains("--views is for benchmarks"), "{samples}");
    let none = complaint(&eval(&["nextqa", "--root", "bench", "--out", "x"]));
    assert!(none.contains("nextqa/val.csv") && none.contains("map_vid_vidorID.json"), "{none}");

    // Descriptions by somebody else, judged by rules; one is missing, then one is too much.
    stdout(&desk.run(&["counterpart", "videorefer-d", "--world", "world", "--root", "bench"]));
    let text = std::fs::read_to_string(desk.path("bench/videorefer/VideoRefer-Bench-D.json")).unwrap();
    let records: Vec<Value> = serde_json::from_str(&text).unwrap();
    let line =
        |record: &Value| format!("{}\n", serde_json::json!({"id": record["id"], "text": record["caption"]}));
    let lines: Vec<String> = records.iter().map(line).collect();
    desk.write("all.jsonl", &lines.concat());
    desk.write("few.jsonl", &lines[1..].concat());
    desk.write("many.jsonl", &(lines.concat() + "{\"id\": 999, \"text\": \"x\"}\n"));
    let judged = |file: &str, more: &[&str]| {
        let common =
            ["videorefer-d", "--root", "bench", "--judge", "world", "--out", file, "--predictions", file];
        let out = file.replace(".jsonl", "-run");
        let mut args = common.to_vec();
        args[6] = &out;
        eval(&[&args[..], more].concat())
    };
    let perfect: Value = serde_json::from_str(&stdout(&judged("all.jsonl", &["--json"]))).unwrap();
    assert_eq!(perfect["metrics"]["mean"], 5.0, "{perfect}");
    assert_eq!(
        (&perfect["complete"], &perfect["config"]["judge"]["model"]),
        (&true.into(), &"rules of the synthetic world".into())
    );
    let items = std::fs::read_to_string(desk.path("all-run/items.jsonl")).unwrap();
    assert!(
        items.lines().all(|line| line.contains("\"score\":5.0") && line.contains("\"points\":")),
        "{items}"
    );
    let itself = stdout(&judged("all.jsonl", &["--compare", "all-run"]));
    assert!(itself.contains("+0.00"), "{itself}");
    assert!(complaint(&judged("few.jsonl", &[])).contains("1 questions have no answer"));
    assert!(
        stdout(&judged("few.jsonl", &["--allow-missing"])).contains("1 without an answer, in no score (0)")
    );
    assert!(complaint(&judged("many.jsonl", &[])).contains("1 predictions without a question: 999"));

    // A video that is missing, and one that is none.
    let videos = desk.path("bench/videorefer/Panda-70M");
    let first = std::fs::read_dir(&videos).unwrap().next().unwrap().unwrap().path();
    let kept = first.with_extension("kept");
    std::fs::rename(&first, &kept).unwrap();
    let describe = |more: &[&str]| {
        let common =
            ["videorefer-d", "--root", "bench", "--model", "model", "--judge", "world", "--out", "described"];
        eval(&[&common[..], more].concat())
    };
    let missing = complaint(&describe(&[]));
    let name = first.file_name().unwrap().to_str().unwrap();
    assert!(missing.contains(name) && missing.contains("1 videos are missing"), "{missing}");
    let table = stdout(&describe(&["--allow-missing"]));
    assert!(table.contains("without an answer, in no score"), "{table}");
    let items = std::fs::read_to_string(desk.path("described/items.jsonl")).unwrap();
    assert!(items.contains("\"error\":") && items.contains(name), "{items}");
    std::fs::rename(&kept, &first).unwrap();
    let table = stdout(&describe(&[]));
    assert!(!table.contains("without an answer"), "what failed is asked again: {table}");
}

#[test]
fn a_model_of_this_process_may_judge() {
    let desk = Desk::new();
    stdout(&desk.run(&["counterpart", "videorefer-d", "--world", "world", "--root", "bench"]));
    desk.write("judge.txt", "Rate it.");
    desk.write("judge.toml", "prompt = \"judge.txt\"\nmodel = \"model\"\nsampling = { max_tokens = 12 }\n");
    let eval = |judge: &str, more: &[&str]| {
        let common =
            ["eval", "videorefer-d", "--root", "bench", "--model", "model", "--limit", "3", "--json"];
        desk.run(&[&common[..], &["--judge", judge, "--out", "run"], more].concat())
    };
    let first = stdout(&eval("judge.toml", &[]));
    let summary: Value = serde_json::from_str(&first).unwrap();
    let judge = summary["config"]["judge"]["model"].as_str().unwrap();
    assert!(judge.starts_with("model ") && judge.len() > 16, "its weights are part of its name: {judge}");
    // What it says is no rating, and is counted as none; each description was asked about once and is kept.
    let asked = std::fs::read_to_string(desk.path("run/judged/ledger.jsonl")).unwrap().lines().count();
    assert_eq!(stdout(&eval("judge.toml", &["--replay"])), first);
    let again = std::fs::read_to_string(desk.path("run/judged/ledger.jsonl")).unwrap().lines().count();
    assert!(asked >= 3 && again == asked, "{asked} {again}");
    desk.write(
        "both.toml",
        "prompt = \"judge.txt\"\nmodel = \"model\"\n[[endpoints]]\nurl = \"http://localhost:1/v1\"\nmodel = \"x\"\n",
    );
    assert!(complaint(&eval("both.toml", &[])).contains("both endpoints and a model"));
    desk.write("none.toml", "prompt = \"judge.txt\"\nmodel = \"nowhere\"\n");
    assert!(complaint(&eval("none.toml", &[])).contains("nowhere"));
}

#[test]
fn the_other_counterparts_are_benchmarks_too() {
    let desk = Desk::new();
    for bench in ["qvhighlights", "stkit"] {
        if bench == "qvhighlights" && !cfg!(feature = "ffmpeg") {
            continue;
        }
        stdout(&desk.run(&["counterpart", bench, "--world", "world", "--root", "bench"]));
        let eval =
            ["eval", bench, "--root", "bench", "--model", "model", "--probes", "--json", "--out", bench];
        let summary: Value = serde_json::from_str(&stdout(&desk.run(&eval))).unwrap();
        assert_eq!((&summary["complete"], &summary["n_unanswered"]), (&true.into(), &0.into()), "{summary}");
        let reversed = &summary["views"]["reversed"];
        assert!(reversed["n"] == summary["n"] && reversed["drop"].is_object(), "{summary}");
        assert!(summary["reliance"]["time"].is_object(), "{summary}");
    }
}

#[test]
#[cfg(feature = "ffmpeg")]
fn moments_of_masked_objects_are_asked_and_taught() {
    let desk = Desk::new();
    let make = |split: &str| {
        stdout(&desk.run(&[
            "counterpart",
            "qvhighlights",
            "--world",
            "world",
            "--root",
            "bench",
            "--split",
            split,
        ]))
    };
    make("val");
    make("train");
    let other =
        desk.run(&["counterpart", "stkit", "--world", "world", "--root", "bench", "--split", "train"]);
    assert!(complaint(&other).contains("--split is for qvhighlights"));
    let grounded = ["--grounded", "--objects", "plain", "--root", "bench"];
    let eval = ["eval", "qvhighlights-choice", "--model", "model", "--likeliest", "--probes", "--json"];
    let summary = desk.run(&[&eval[..], &grounded, &["--out", "choice"]].concat());
    let summary: Value = serde_json::from_str(&stdout(&summary)).unwrap();
    assert_eq!(summary["config"]["questions"]["grounded"], summary["n"], "{summary}");
    for view in ["other_mask", "shifted_mask", "shuffled_times"] {
        assert!(summary["views"][view]["drop"].is_object(), "{view}: {summary}");
    }
    let lessons = |bench: &str, more: &[&str]| {
        desk.run(&[&["lessons", bench, "--out", "lessons.jsonl"], &grounded[..], more].concat())
    };
    let counts: Value =
        serde_json::from_str(&stdout(&lessons("qvhighlights-yes-no", &["--split", "train"]))).unwrap();
    assert!(counts["samples"].as_u64() > Some(3) && counts["left_out"] == 0, "{counts}");
    let lesson = crate::set(&desk.path("lessons.jsonl")).unwrap().get(0).unwrap();
    assert!(lesson.conversations[0].text.contains("\"<region:0> is "), "{lesson:?}");
    assert_eq!((lesson.conversations[1].text.as_str(), lesson.times.len()), ("Yes.", 2));
    // A split that is no training split is said to be none; what cannot be had is named.
    let warned = lessons("qvhighlights-yes-no", &[]);
    assert!(String::from_utf8_lossy(&warned.stderr).contains("must not be scored on them"));
    assert!(
        complaint(&lessons("qvhighlights", &["--split", "train", "--form", "bare"]))
            .contains("no question has")
    );
    assert!(complaint(&lessons("stkit", &[])).contains("stkit has no masks"));
}

/// Measured by hand: `cargo test --release -p strefer-cli --test cli -- --ignored --nocapture`. A model that takes 50 ms a
/// question, ten questions a video of 5 s in 1280x720 at 30 frames a second, 32 frames a question.
#[test]
#[cfg(feature = "ffmpeg")]
#[ignore = "a measurement, not a check: it takes minutes"]
fn how_long_a_model_waits_for_frames() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use strefer_eval::answer::{Answerer, Ask, Ours, OursOptions, Said};
    use strefer_eval::bench::{BenchId, BenchOptions, View, Views};
    use strefer_eval::run::{Pace, Plan, Run, RunFolder, RunFormat, RunRecord, work};
    use strefer_model::{FrameCache, ProcessorOptions, VisualPrompt};

    struct Slow<'a>(Ours<'a>);

    impl<'a> Answerer for Slow<'a> {
        type Prepared = (String, <Ours<'a> as Answerer>::Prepared);

        fn prepare(&self, ask: Ask) -> strefer_eval::Result<Self::Prepared> {
            Ok((ask.id.clone(), self.0.prepare(ask)?))
        }

        fn answer(&self, _: Self::Prepared) -> strefer_eval::Result<Said> {
            std::thread::sleep(Duration::from_millis(50));
            Ok(Said { prompt: String::new(), text: "0 - 1".to_owned(), frame_indices: Vec::new() })
        }

        fn facts(&self) -> Value {
            Value::Null
        }
    }

    let desk = Desk::new();
    let videos = desk.path("bench/charades/Charades_v1_480");
    std::fs::create_dir_all(&videos).unwrap();
    let mut lines = String::new();
    for video in 0..24 {
        let encoding = strefer_video::write::Encoding { fps: 30.0, ..Default::default() };
        let path = videos.join(format!("v{video}.mp4"));
        let mut writer = strefer_video::write::VideoWriter::create(&path, 1280, 720, &encoding).unwrap();
        for at in 0..150_u32 {
            // Shades that drift behind forty blocks that move, each its own way: as hard to decode as what people film, not as noise.
            let mut frame = image::RgbImage::from_fn(1280, 720, |x, y| {
                image::Rgb([
                    ((x + 2 * at) / 6 % 256) as u8,
                    ((y + at) / 4 % 256) as u8,
                    ((x + y) / 8 % 256) as u8,
                ])
            });
            for block in 0..40 {
                let left = (block * 97 + video * 31 + at * (1 + block % 7)) % 1180;
                let top = (block * 53 + at * (block % 5)) % 620;
                let shade: [u8; 3] =
                    [(block * 40 % 256) as u8, (block * 91 % 256) as u8, (block * 13 % 256) as u8];
                for (y, x) in (top..top + 90).flat_map(|y| (left..left + 90).map(move |x| (y, x))) {
                    let texture = ((x - left) ^ (y - top)) as u8 / 3;
                    frame.put_pixel(x, y, image::Rgb(shade.map(|value| value.saturating_add(texture))));
                }
            }
            writer.push(&frame).unwrap();
        }
        writer.finish().unwrap();
        for sentence in 0..10 {
            lines += &format!("v{video} 1.0 {}.0##sentence {sentence}.\n", 2 + sentence % 3);
        }
    }
    desk.write("bench/charades/charades_sta_test.txt", &lines);
    let reading = ProcessorOptions {
        media_root: desk.path("bench"),
        cache: Arc::new(FrameCache::new(512 << 20)),
        ..ProcessorOptions::default()
    };
    let checkpoint = strefer_model::Checkpoint::open(desk.path("model")).unwrap();
    let loaded = checkpoint.load(strefer_nn::testing::device(), candle_core::DType::F32, reading).unwrap();
    let options = OursOptions {
        frames: Some(32),
        draw: VisualPrompt::None,
        batch: 1,
        lanes: 1,
        likeliest: false,
        facts: Value::Null,
    };
    let slow = Slow(Ours::new(&loaded, options));
    let bench = BenchId::CharadesSta.open(&desk.path("bench"), &BenchOptions::default()).unwrap();
    let views = Views::new(&*bench, 0);
    let plan = Plan::new(&*bench, &views, &[View::Real], None);
    let record = RunRecord {
        format: RunFormat::V1,
        program: String::new(),
        benchmark: BenchId::CharadesSta,
        title: String::new(),
        root: std::path::PathBuf::new(),
        split: None,
        questions: Value::Null,
        items: plan.items(),
        items_sha256: plan.digest(&*bench),
        views: vec![View::Real],
        answers: Value::Null,
        seed: 0,
    };
    let folder = RunFolder::open(&desk.path("run"), &record).unwrap();
    let run = Run { folder: &folder, record: &record, plan: &plan, benchmark: &*bench, views: &views };
    let worked = work(&run, &slow, Pace::default(), &AtomicBool::new(false), &|_| {}).unwrap();
    let bytes = std::fs::metadata(videos.join("v0.mp4")).unwrap().len();
    eprintln!("a video of 5 s has {bytes} bytes");
    let waiting = worked.waiting_s / (worked.waiting_s + worked.answering_s);
    eprintln!("{worked:?}: waiting {:.2} % of the time", 100.0 * waiting);
    assert_eq!(worked.failed, 0);
    assert!(waiting < 0.05, "{worked:?}");
}

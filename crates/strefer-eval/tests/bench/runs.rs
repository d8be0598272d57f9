//! Runs: shared, interrupted, continued, with probes and failures.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use strefer_core::Rng;
use strefer_eval::Bootstrap;
use strefer_eval::answer::{Ask, Predictions};
use strefer_eval::bench::{BenchId, View};
use strefer_eval::leaderboard::Leaderboard;
use strefer_eval::run::{Report, RunFolder, work};

use crate::stand_in::{Desk, Fake, Root, pace};

/// What a model does.
type Rule = fn(&Ask) -> Result<String, String>;

const VIEWS: [View; 3] = [View::Real, View::OtherMask, View::ShiftedMask];

/// Reads the colour off the column of the mask: right for what is marked, whatever was asked.
fn by_mask(ask: &Ask) -> Result<String, String> {
    let mask = ask.put.sample.regions[0].masks[0].to_mask(None).unwrap().unwrap();
    Ok(format!("({})", ['A', 'B', 'C', 'D'][mask.bbox().unwrap().x0 % 4]))
}

fn files(dir: &Path) -> Vec<String> {
    let names =
        ["items.jsonl", "items-other_mask.jsonl", "items-shifted_mask.jsonl", "summary.json", "table.md"];
    names.map(|name| std::fs::read_to_string(dir.join(name)).unwrap()).to_vec()
}

#[test]
fn a_run_that_is_broken_off_again_and_again_equals_an_undisturbed_one() {
    let root = Root::new();
    root.bench_q(90);
    let bench = root.open(BenchId::VideoreferQ);
    let desk = Desk::new(&*bench, BenchId::VideoreferQ, &VIEWS);
    let straight = root.path().join("straight");
    let never = AtomicBool::new(false);
    let worked = desk.with(&straight, |run| work(run, &Fake::new(by_mask), pace(), &never, &|_| {}).unwrap());
    assert!(worked.complete && worked.answered == desk.plan.questions());
    desk.report(&straight);

    let broken = root.path().join("broken");
    let mut rng = Rng::new(7, "breaks");
    let mut answered = 0;
    for _ in 0..5 {
        let (stop, after) = (AtomicBool::new(false), AtomicUsize::new(1 + rng.below(40)));
        let fake = Fake::new(|ask: &Ask| {
            if after.fetch_sub(1, Ordering::SeqCst) == 1 {
                stop.store(true, Ordering::SeqCst);
            }
            by_mask(ask)
        });
        let worked = desk.with(&broken, |run| work(run, &fake, pace(), &stop, &|_| {}).unwrap());
        answered += worked.answered;
        assert!(!worked.complete);
        // A process that is killed may leave half a line.
        let holder = std::fs::read_dir(broken.join("answers")).unwrap().next().unwrap().unwrap().path();
        let mut text = std::fs::read(&holder).unwrap();
        text.truncate(text.len().saturating_sub(3));
        std::fs::write(&holder, text).unwrap();
    }
    let worked = desk.with(&broken, |run| work(run, &Fake::new(by_mask), pace(), &never, &|_| {}).unwrap());
    assert!(worked.complete && worked.answered < desk.plan.questions(), "what was answered stays");
    assert!(answered + worked.answered >= desk.plan.questions());
    desk.report(&broken);
    assert_eq!(files(&broken), files(&straight));
}

#[test]
fn two_workers_share_a_run_and_nothing_is_asked_twice() {
    let root = Root::new();
    root.bench_q(80);
    let bench = root.open(BenchId::VideoreferQ);
    let desk = Desk::new(&*bench, BenchId::VideoreferQ, &VIEWS);
    let dir = root.path().join("run");
    let asked = Mutex::new(Vec::new());
    let never = AtomicBool::new(false);
    let by = |worker: usize| {
        let mut fake = Fake::new(|ask: &Ask| {
            let mask = format!("{:?}", ask.put.sample.regions[0].masks[0]);
            asked.lock().unwrap().push((worker, ask.id.clone(), mask));
            by_mask(ask)
        });
        fake.takes = Duration::from_millis(1);
        desk.with(&dir, |run| work(run, &fake, pace(), &never, &|_| {}).unwrap())
    };
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(|| by(1));
        (by(0), other.join().unwrap())
    });
    assert!(one.complete && two.complete && one.answered > 0 && two.answered > 0, "{one:?} {two:?}");
    assert_eq!(one.answered + two.answered, desk.plan.questions());
    let asked = asked.into_inner().unwrap();
    let different: BTreeSet<_> = asked.iter().map(|(_, id, mask)| (id, mask)).collect();
    assert_eq!((asked.len(), different.len()), (desk.plan.questions(), desk.plan.questions()));
    assert_eq!(desk.report(&dir).unanswered, 0);
}

#[test]
fn what_failed_is_named_counted_in_no_score_and_asked_again() {
    let root = Root::new();
    root.bench_q(8);
    let bench = root.open(BenchId::VideoreferQ);
    let desk = Desk::new(&*bench, BenchId::VideoreferQ, &[View::Real]);
    let dir = root.path().join("run");
    let never = AtomicBool::new(false);
    let failing = Fake::new(|ask: &Ask| match ask.id.as_str() {
        "5" => Err("the video is damaged".to_owned()),
        "6" => Ok("I cannot say".to_owned()),
        _ => Ok("(A)".to_owned()),
    });
    let worked = desk.with(&dir, |run| work(run, &failing, pace(), &never, &|_| {}).unwrap());
    assert!(worked.complete && (worked.answered, worked.failed) == (7, 1));
    let outcome = desk.report(&dir);
    assert_eq!(outcome.unanswered, 1);
    assert!(outcome.table.contains("1 without an answer, in no score (5)"), "{}", outcome.table);
    let summary = &outcome.summary;
    assert_eq!((&summary["complete"], &summary["unanswered"][0]), (&false.into(), &"5".into()));
    assert_eq!(
        (&summary["scores"][0]["name"], &summary["n_unparsed"]),
        (&"Basic Questions".into(), &0.into())
    );
    let items = std::fs::read_to_string(dir.join("items.jsonl")).unwrap();
    let item: Value = serde_json::from_str(items.lines().nth(5).unwrap()).unwrap();
    assert!(item["error"].as_str().unwrap().contains("damaged") && item.get("score").is_none(), "{item}");
    let item: Value = serde_json::from_str(items.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&item["score"], &item["parsed"], item["prompt_sha256"].as_str().unwrap().len()),
        (&1.0.into(), &"A".into(), 64)
    );
    assert_eq!(
        (&item["frame_indices"], &item["group"]["type"]),
        (&serde_json::json!([0, 3]), &"Basic Questions".into())
    );

    let good = Fake::new(|_: &Ask| Ok("(B)".to_owned()));
    let worked = desk.with(&dir, |run| work(run, &good, pace(), &never, &|_| {}).unwrap());
    assert_eq!((worked.answered, worked.failed), (1, 0));
    assert_eq!(desk.report(&dir).summary["complete"], true);
}

#[test]
fn a_folder_belongs_to_one_run() {
    let root = Root::new();
    root.bench_q(8);
    let bench = root.open(BenchId::VideoreferQ);
    let desk = Desk::new(&*bench, BenchId::VideoreferQ, &[View::Real]);
    let dir = root.path().join("run");
    desk.with(&dir, |_| ());
    root.bench_q(9);
    let other = root.open(BenchId::VideoreferQ);
    let other = Desk::new(&*other, BenchId::VideoreferQ, &[View::Real]);
    let error = RunFolder::open(&dir, &other.record).unwrap_err().to_string();
    assert!(error.contains("differs in items"), "{error}");
    let error = RunFolder::open(root.path(), &other.record).unwrap_err().to_string();
    assert!(error.contains("holds no run"), "{error}");
    let mut moved = desk.record.clone();
    moved.root = "elsewhere".into();
    assert!(RunFolder::open(&dir, &moved).is_ok());
}

#[test]
fn probes_tell_a_model_that_looks_from_one_that_does_not() {
    let root = Root::new();
    // Options repeat every four questions and masks every seven: 28 questions have each pair once. A model that reads the
    // mask is right where both agree.
    root.bench_q(28);
    let options = ["(A) It is red", "(B) It is blue", "(C) It is green", "(D) It is white"];
    let other = |id: usize| {
        let next = (id + 1) % 4;
        serde_json::json!({"id": id, "annotation": [crate::stand_in::mask(next)], "answer": options[next]})
    };
    let others: Vec<Value> = (0..28).map(other).collect();
    root.lines("videorefer/VideoRefer-Bench-Q.others.jsonl", &others);
    let bench = root.open(BenchId::VideoreferQ);
    let desk = Desk::new(&*bench, BenchId::VideoreferQ, &VIEWS);
    let never = AtomicBool::new(false);
    let share = |name: &str, rule: fn(&Ask) -> Result<String, String>| {
        let dir = root.path().join(name);
        desk.with(&dir, |run| work(run, &Fake::new(rule), pace(), &never, &|_| {}).unwrap());
        let summary = desk.report(&dir).summary;
        let other = &summary["views"]["other_mask"];
        (other["follows"]["share"].as_f64().unwrap(), other["drop"]["mean"].as_f64().unwrap(), summary)
    };
    let (looks, drop, summary) = share("looks", by_mask);
    assert_eq!((looks, summary["views"]["other_mask"]["follows"]["n"].as_u64()), (1.0, Some(28)));
    assert_eq!(drop, 25.0, "a quarter of the questions is right by chance of the masks");
    assert_eq!(summary["reliance"]["mask"]["mean"], summary["views"]["other_mask"]["drop"]["mean"]);
    let (blind, drop, _) = share("blind", |_| Ok("(A)".to_owned()));
    assert_eq!((blind, drop), (0.25, 0.0));
    assert_eq!(summary["baselines"]["best_position_pct"], 25.0);
}

#[test]
fn questions_are_ready_before_the_model_wants_them_and_never_too_many() {
    let root = Root::new();
    root.bench_q(60);
    let bench = root.open(BenchId::VideoreferQ);
    let desk = Desk::new(&*bench, BenchId::VideoreferQ, &[View::Real]);
    let never = AtomicBool::new(false);
    let mut fake = Fake::new(by_mask);
    fake.takes = Duration::from_millis(2);
    let worked =
        desk.with(&root.path().join("run"), |run| work(run, &fake, pace(), &never, &|_| {}).unwrap());
    let (prepared, answered, most) = *fake.counts.lock().unwrap();
    assert_eq!((prepared, answered), (60, 60));
    // Those ahead, one in the hand of each reader, and the one that is being answered.
    assert!(most <= pace().ahead + pace().readers + 1, "{most}");
    // Preparing takes no time here: what is left is the last question, and threads that had no turn.
    assert!(worked.empty_handed <= 6, "{worked:?}");
}

#[test]
fn somebodys_predictions_are_a_run_too() {
    let root = Root::new();
    root.bench_q(4);
    let bench = root.open(BenchId::VideoreferQ);
    let desk = Desk::new(&*bench, BenchId::VideoreferQ, &[View::Real]);
    let line = |id: usize| serde_json::json!({"id": id, "prediction_text": "(A)"});
    root.lines("said.jsonl", &[line(0), line(1), line(2), line(9)]);
    let predictions = Predictions::open(&root.path().join("said.jsonl")).unwrap();
    assert_eq!(predictions.extra(bench.items().iter().map(|item| item.id())), ["9"]);
    let never = AtomicBool::new(false);
    let dir = root.path().join("run");
    let worked = desk.with(&dir, |run| work(run, &predictions, pace(), &never, &|_| {}).unwrap());
    assert_eq!((worked.answered, worked.failed), (3, 1));
    let outcome = desk.report(&dir);
    assert!(outcome.table.contains("without an answer, in no score (3)"), "{}", outcome.table);
}

#[test]
fn runs_stand_beside_each_other_and_beside_published_numbers() {
    let root = Root::new();
    root.bench_q(8);
    let bench = root.open(BenchId::VideoreferQ);
    let desk = Desk::new(&*bench, BenchId::VideoreferQ, &[View::Real, View::ShiftedMask]);
    let never = AtomicBool::new(false);
    let dirs = ["first", "second"].map(|name| root.path().join(name));
    let rules: [Rule; 2] = [by_mask, |ask| match ask.id.as_str() {
        "3" => Err("no".to_owned()),
        _ => Ok("(A)".to_owned()),
    }];
    for (dir, rule) in dirs.iter().zip(rules) {
        desk.with(dir, |run| work(run, &Fake::new(rule), pace(), &never, &|_| {}).unwrap());
        desk.report(dir);
    }
    let compare = |own: &Path, other: &Path| {
        let bootstrap = Bootstrap { resamples: 100, seed: 0 };
        desk.with(own, |run| Report { run, rater: None, bootstrap }.compare(other))
    };
    assert!(compare(&dirs[0], &dirs[0]).unwrap().contains("+0.0"));
    let other = compare(&dirs[0], &dirs[1]).unwrap_err().to_string();
    assert!(other.contains("1 only in this run (3)"), "{other}");
    let board = Leaderboard::of_runs(dirs.iter().map(std::path::PathBuf::as_path)).unwrap();
    let text = board.to_markdown();
    let row =
        |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{text}"));
    assert!(text.starts_with("## videorefer-q") && row("| first * ").contains("this program"));
    assert!(row("| second * ").contains("25.0") || row("| second * ").contains("28.6"), "{text}");
    assert!(
        row("| VideoRefer-7B, single frame ").contains("published")
            && row("| VideoRefer-7B, single").contains("71.9")
    );
    assert!(text.contains("- second: 8 of 8 questions asked, 2 without an answer: not comparable"), "{text}");
    assert!(text.contains("- first, probes: shifted_mask "), "{text}");
    assert!(text.contains("its files have 8 questions, the published ones 1000: not comparable"), "{text}");
    let html = board.to_html();
    assert!(html.contains("<tr class=\"published\">") && html.contains("<td>first *</td>"));
    assert!(Leaderboard::of_runs([root.path()]).is_err());
}

//! Nothing is asked twice, lost, or paid beyond the budget.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use serde_json::{Value, json};
use strefer_teacher::{
    Answer, Budget, Endpoint, EndpointConfig, Entry, Fault, Price, Question, Recorded, Replay, Rules,
    Teacher, Usage, read_batch, write_batch,
};

use crate::endpoints::config;
use crate::stand_in::{Act, StandIn};

fn question(number: usize) -> Question {
    Question::new("count", format!("What is {number}?"))
}

/// A teacher that counts how often it is asked, and takes its time.
fn counting(asks: &Arc<AtomicUsize>) -> Rules {
    let asks = Arc::clone(asks);
    Rules::new("rules", move |question: &Question| {
        asks.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        let usage = Usage { prompt_tokens: 5, completion_tokens: 1 };
        Ok(Answer { usage, ..Answer::of(question.words()) })
    })
}

fn ledger(folder: &std::path::Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(folder.join("ledger.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn threads_and_later_runs_ask_each_question_once() {
    let (folder, asks) = (tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(0)));
    let recorded = Recorded::open(folder.path(), counting(&asks), Budget::default()).unwrap();
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (recorded, start) = (&recorded, &start);
            scope.spawn(move || {
                start.wait();
                for number in 0..6 {
                    let number = (number + thread) % 6;
                    assert_eq!(recorded.ask(&question(number)).unwrap().text, format!("What is {number}?"));
                }
            });
        }
    });
    assert_eq!(asks.load(Ordering::Relaxed), 6);
    let spent = recorded.spent();
    assert_eq!((spent.asks, spent.answered, spent.usage.prompt_tokens), (6, 6, 30));
    drop(recorded);

    let again = Recorded::open(folder.path(), counting(&asks), Budget::default()).unwrap();
    again.ask(&question(0)).unwrap();
    assert_eq!((asks.load(Ordering::Relaxed), again.spent().asks), (6, 6));
    let replay = Replay::new(folder.path(), "rules");
    assert_eq!(replay.ask(&question(3)).unwrap().text, "What is 3?");
    let fault = replay.ask(&question(7)).unwrap_err();
    assert!(matches!(&fault, Fault::NotRecorded { .. }), "{fault}");
    assert!(fault.to_string().contains(&question(7).key("rules")), "{fault}");
}

#[test]
fn a_ledger_that_a_kill_cut_off_goes_on_and_a_broken_one_is_named() {
    let (folder, asks) = (tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(0)));
    let open = || Recorded::open(folder.path(), counting(&asks), Budget::default());
    open().unwrap().ask(&question(0)).unwrap();
    let path = folder.path().join("ledger.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{}", &whole[..whole.len() / 2])).unwrap();
    let recorded = open().unwrap();
    recorded.ask(&question(1)).unwrap();
    assert_eq!((recorded.spent().asks, ledger(folder.path()).len()), (2, 2));
    drop(recorded);
    std::fs::write(&path, format!("{whole}nonsense\n")).unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("ledger.jsonl, line 2"), "{error}");

    let key = question(0).key("rules");
    let answer = folder.path().join("answers").join(&key[..2]).join(format!("{key}.json"));
    std::fs::write(&path, &whole).unwrap();
    std::fs::write(&answer, "{").unwrap();
    let fault = open().unwrap().ask(&question(0)).unwrap_err();
    assert!(matches!(fault, Fault::Store(_)) && fault.to_string().contains(&key), "{fault}");
}

#[test]
fn two_processes_with_one_folder_see_what_the_other_spent() {
    let (folder, asks) = (tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(0)));
    let budget = Budget { asks: Some(5), ..Budget::default() };
    // Each as a process would open it.
    let open = || Recorded::open(folder.path(), counting(&asks), budget).unwrap();
    let (one, other) = (open(), open());
    for number in 0..2 {
        one.ask(&question(number)).unwrap();
        other.ask(&question(number)).unwrap();
        other.ask(&question(number + 10)).unwrap();
    }
    assert_eq!((one.spent().asks, other.spent().asks, asks.load(Ordering::Relaxed)), (4, 4, 4));
    one.ask(&question(20)).unwrap();
    assert!(matches!(other.ask(&question(21)).unwrap_err(), Fault::Budget(_)));
    assert_eq!((other.spent_on("count").answered, other.spent_on("else").asks), (5, 0));
    // One that opens while another writes takes nothing away.
    drop(open());
    assert_eq!(ledger(folder.path()).len(), 5);
}

#[test]
fn a_budget_ends_the_asking_and_what_is_kept_is_still_given() {
    let budgets = [
        Budget { asks: Some(3), ..Budget::default() },
        Budget { tokens: Some(18), ..Budget::default() },
        Budget { cost: Some(41e-6), ..Budget::default() },
    ];
    for budget in budgets {
        let folder = tempfile::tempdir().unwrap();
        let server = StandIn::start([]);
        let price = Price { prompt: 1.0, completion: 1.0 };
        let teacher: Arc<dyn Teacher> = match budget.cost {
            Some(_) => Arc::new(Endpoint::new(EndpointConfig { price, ..config(&server) }).unwrap()),
            None => Arc::new(counting(&Arc::default())),
        };
        let recorded = Recorded::open(folder.path(), teacher, budget).unwrap();
        for number in 0..3 {
            recorded.ask(&question(number)).unwrap();
        }
        let fault = recorded.ask(&question(3)).unwrap_err();
        assert!(matches!(fault, Fault::Budget(_)), "{budget:?}: {fault}");
        recorded.ask(&question(1)).unwrap();
        assert_eq!(recorded.spent().asks, 3);
    }
}

#[test]
fn faults_stand_in_the_ledger_and_are_asked_again() {
    let (folder, server) = (tempfile::tempdir().unwrap(), StandIn::start([Act::Status(400, None)]));
    let recorded =
        Recorded::open(folder.path(), Endpoint::new(config(&server)).unwrap(), Budget::default()).unwrap();
    recorded.ask(&question(0)).unwrap_err();
    recorded.ask(&question(0)).unwrap();
    let entries = ledger(folder.path());
    let outcomes: Vec<&str> = entries.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes, ["refused", "answered"]);
    let spent = |entry: &Entry| entry.usage.prompt_tokens;
    assert_eq!(entries.iter().map(spent).collect::<Vec<_>>(), [0, 10]);
    assert!(entries[0].reason.as_ref().unwrap().contains("because"));
    assert_eq!((recorded.spent().asks, recorded.spent().answered), (2, 1));
}

#[test]
fn answers_that_cannot_be_used_are_paid_for_all_the_same() {
    let (folder, server) = (tempfile::tempdir().unwrap(), StandIn::start(vec![Act::Say("no"); 3]));
    let recorded =
        Recorded::open(folder.path(), Endpoint::new(config(&server)).unwrap(), Budget::default()).unwrap();
    let form = Question { schema: Some(json!({ "type": "object" })), ..question(0) };
    assert_eq!(recorded.ask(&form).unwrap_err().kind(), "form");
    let Usage { prompt_tokens, completion_tokens } = recorded.spent().usage;
    assert_eq!((prompt_tokens, completion_tokens), (30, 12));
}

#[test]
fn a_file_of_questions_comes_back_as_answers() {
    let (folder, server) = (tempfile::tempdir().unwrap(), StandIn::start([]));
    let questions: Vec<Question> = (0..4).map(question).collect();
    let requests = folder.path().join("requests.jsonl");
    let config = config(&server);
    let doubled = questions.iter().chain(&questions[..1]);
    assert!(write_batch(&requests, &config, doubled).unwrap().is_empty());
    let lines: Vec<Value> = std::fs::read_to_string(&requests)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1]["body"]["messages"][0]["content"][0]["text"], "What is 1?");

    // As a server writes it: in another order, one refused, one missing, one that nobody asked.
    let answer = |line: &Value, text: &str| {
        let body = json!({ "choices": [{ "message": { "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 1 } });
        json!({ "custom_id": line["custom_id"], "error": null,
            "response": { "status_code": 200, "body": body } })
    };
    let refused = json!({ "custom_id": lines[2]["custom_id"], "error": null,
        "response": { "status_code": 400, "body": { "error": "too long" } } });
    let stray = json!({ "custom_id": "stray", "response": null, "error": null });
    let answers = [answer(&lines[3], "three"), refused, answer(&lines[0], "nought"), stray];
    let path = folder.path().join("answers.jsonl");
    std::fs::write(&path, answers.map(|line| line.to_string()).join("\n")).unwrap();
    let recorded =
        Recorded::open(folder.path().join("kept"), Endpoint::new(config).unwrap(), Budget::default())
            .unwrap();
    let faults = read_batch(&path, &recorded, &questions).unwrap();
    assert_eq!(faults.len(), 2);
    assert!(faults.iter().any(|(key, fault)| *key == lines[2]["custom_id"] && fault.kind() == "refused"));
    assert!(
        faults.iter().any(|(key, fault)| *key == lines[1]["custom_id"] && fault.kind() == "not_recorded")
    );
    assert_eq!(recorded.ask(&questions[3]).unwrap().text, "three");
    assert_eq!((recorded.spent().asks, server.asked().len()), (2, 0));
    std::fs::write(&path, "{\"custom_id\": 3}\n").unwrap();
    assert!(read_batch(&path, &recorded, &questions).unwrap_err().to_string().contains("line 1"));
}

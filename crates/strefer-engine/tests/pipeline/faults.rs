//! Whatever goes wrong: nothing is lost, nothing is asked twice, and the run goes on.

use std::collections::BTreeSet;

use strefer_core::records::Transcript;
use strefer_engine::pipeline::{Fault, Stage};

use crate::lab::{FRAMES, Lab, Way, config, knows};
use crate::stand_in::{Act, StandIn};

/// Every question was answered once, however often it was tried.
fn answered_once(lab: &Lab, out: &str) -> usize {
    let entries = lab.ledger(out);
    let answered: Vec<&str> =
        entries.iter().filter(|entry| entry.outcome == "answered").map(|entry| entry.key.as_str()).collect();
    let different: BTreeSet<&str> = answered.iter().copied().collect();
    assert_eq!(answered.len(), different.len(), "a question was answered twice");
    answered.len()
}

/// What servers do wrong, once each.
fn wrongs() -> [Act; 10] {
    [
        Act::Status(429, Some(1)),
        Act::Say("{\"paragraph\": 3}"),
        Act::Break,
        Act::Garbage,
        Act::Status(500, None),
        Act::Close,
        Act::Trickle,
        Act::Say("{\"paragraph\": \"A boy"),
        Act::Unfinished,
        Act::Status(400, None),
    ]
}

#[test]
fn whatever_a_server_does_wrong_nothing_is_lost_or_asked_twice() {
    let (lab, good) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(3);
    lab.run("good", &config(&good));
    let bad = StandIn::start(wrongs()).answering(knows);
    let mut cfg = config(&bad);
    cfg.work.tries = 4;
    let summary = lab.run("bad", &cfg);
    assert_eq!((summary.videos, summary.parked, summary.left), (3, 0, 0));
    assert_eq!(lab.files("good"), lab.files("bad"));
    // Nine questions in words or with frames that differ: 3 paragraphs, a list, 2 nouns, 6 parts.
    assert_eq!(answered_once(&lab, "bad"), good.asked().len());
    let entries = lab.ledger("bad");
    // Tokens of answers that could not be used are in the ledger, too.
    let paid: u64 = entries.iter().map(|entry| entry.usage.prompt_tokens).sum();
    let usable = 10 * good.asked().len() as u64;
    assert_eq!(paid, usable + 30, "two of another form, one that did not end");
    assert!(entries.iter().any(|entry| entry.outcome == "refused"));
}

#[test]
#[ignore = "needs real videos: STREFER_VIDEOS names their folder"]
fn real_videos_go_through_a_server_that_does_everything_wrong() {
    let folder = std::env::var_os("STREFER_VIDEOS").expect("STREFER_VIDEOS names a folder of .mp4 files");
    let (lab, good) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.real(folder.as_ref());
    let videos = lab.inputs().len();
    assert_eq!(lab.run("good", &config(&good)).videos, videos);
    let bad = StandIn::start(wrongs()).answering(knows);
    let mut cfg = config(&bad);
    cfg.work.tries = 4;
    let summary = lab.run("bad", &cfg);
    assert_eq!((summary.videos, summary.parked, summary.left), (videos, 0, 0));
    assert!(summary.samples > 0);
    assert_eq!(lab.files("good"), lab.files("bad"));
    assert_eq!(answered_once(&lab, "bad"), good.asked().len());
}

#[test]
fn a_run_that_is_stopped_again_and_again_gives_what_an_undisturbed_one_gives() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(3);
    let cfg = config(&server);
    lab.run("whole", &cfg);
    let asked = server.asked().len();
    let mut runs = 0;
    loop {
        runs += 1;
        let summary = lab.run_so("stopped", &cfg, &Way { stop_after: Some(1 + runs % 3), ..Way::default() });
        if summary.left == 0 {
            break;
        }
        assert!(runs < 60, "{summary:?}");
    }
    assert!(runs > 3, "{runs} runs");
    lab.run("stopped", &cfg);
    assert_eq!(lab.files("whole"), lab.files("stopped"));
    assert_eq!((answered_once(&lab, "stopped"), server.asked().len()), (asked, 2 * asked));
}

#[test]
fn a_teacher_that_answers_nonsense_for_ever_parks_videos_and_no_more() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(|_| "I am a teapot".to_owned()));
    lab.films(2);
    let cfg = config(&server);
    let summary = lab.run("out", &cfg);
    assert_eq!((summary.videos, summary.parked, summary.left), (0, 2, 0));
    let failures = lab.failures("out");
    assert_eq!(failures.len(), 2);
    for failure in &failures {
        assert!((failure.tries, failure.parked, failure.stage) == (2, true, Some(Stage::Recognise)));
        let Fault::Teacher { teacher, fault, reason } = &failure.fault else { panic!("{failure:?}") };
        assert!(teacher == "eyes" && fault == "form" && reason.contains("teapot"), "{reason}");
    }
    // Three forms of two tries of two videos; parked, they cost nothing more.
    assert_eq!(server.asked().len(), 12);
    assert_eq!(lab.run("out", &cfg).parked, 2);
    assert_eq!(server.asked().len(), 12);
    // Somebody better comes.
    let mut cfg = cfg;
    let good = StandIn::start([]).answering(knows);
    cfg.teachers.get_mut("eyes").unwrap().endpoints[0].url.clone_from(&good.url);
    assert_eq!(lab.run_so("out", &cfg, &Way { retry: true, ..Way::default() }).videos, 2);
    assert!(lab.failures("out").is_empty());
}

#[test]
fn wrong_input_is_recorded_and_the_others_go_on() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(2);
    // One frame; no picture behind the name; a picture that breaks off; nothing given.
    lab.film("c", 1, 10);
    lab.film("d", FRAMES, 80);
    lab.film("e", FRAMES, 90);
    lab.film("f", FRAMES, 100);
    std::fs::write(lab.path("films/d/000.png"), "no picture").unwrap();
    let whole = std::fs::read(lab.path("films/e/030.png")).unwrap();
    std::fs::write(lab.path("films/e/030.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(lab.path("films/g.mp4"), "no video").unwrap();
    let mut one = lab.masklets("c", FRAMES);
    one.frame_times_s = vec![0.0; 12];
    // All masks of the first are empty.
    let mut empty = lab.masklets("a", FRAMES);
    empty.objects.iter_mut().for_each(|object| object.frames.clear());
    let with = ["b", "d", "e", "g"].map(|name| lab.masklets(name, FRAMES));
    lab.give([empty, one].into_iter().chain(with));
    let summary = lab.run("out", &config(&server));
    assert_eq!((summary.videos, summary.parked, summary.left), (4, 3, 0));
    let failures = lab.failures("out");
    let of = |name: &str| &failures.iter().find(|failure| failure.video_id == name).unwrap().fault;
    assert!(matches!(of("d"), Fault::Unreadable { reason } if reason.contains("000.png")), "{:?}", of("d"));
    assert!(matches!(of("f"), Fault::NotGiven { record } if record == "masklets"), "{:?}", of("f"));
    assert!(matches!(of("g"), Fault::Unreadable { reason } if reason.contains("g.mp4")), "{:?}", of("g"));
    let notes: BTreeSet<(String, String)> = lab.notes("out").into_iter().collect();
    let noted = |video: &str, kind: &str| notes.contains(&(video.to_owned(), kind.to_owned()));
    assert!(noted("e", "unread_frames"), "{notes:?}");
    // Where no mask shows anybody, the transcript says who is seen, and no question points at anything.
    let transcripts: Vec<Transcript> = lab.records("out/transcript.jsonl");
    assert!(transcripts[0].items.iter().all(|item| item.visible == Some(false) && item.text.is_none()));
}

#[test]
fn nobody_in_a_video_is_a_record_and_no_question_about_anybody() {
    let nobody = |body: &serde_json::Value| {
        if knows(body).contains("paragraph") { "{\"paragraph\": \"\"}".to_owned() } else { knows(body) }
    };
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(nobody));
    lab.films(1);
    let mut none = lab.masklets("a", FRAMES);
    none.objects.clear();
    lab.give([none]);
    let summary = lab.run("out", &config(&server));
    assert_eq!((summary.videos, summary.parked), (1, 0));
    assert!(lab.notes("out").contains(&("a".to_owned(), "no_entity".to_owned())));
    // A paragraph, and what happens in two parts.
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn an_entity_that_has_no_broad_noun_after_all_tries_is_dropped_and_noted() {
    let silent = |body: &serde_json::Value| {
        let answer = knows(body);
        if answer == "{\"noun\":\"Dog.\"}" { "{\"noun\": \"None\"}".to_owned() } else { answer }
    };
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(silent));
    lab.films(1);
    let mut boy = lab.masklets("a", FRAMES);
    boy.objects.truncate(1);
    lab.give([boy]);
    let summary = lab.run("out", &config(&server));
    assert_eq!(summary.videos, 1);
    assert!(lab.notes("out").contains(&("a".to_owned(), "dropped_entity".to_owned())));
    let text = std::fs::read_to_string(lab.path("out/entities.jsonl")).unwrap();
    assert!(
        text.contains("red shirt") && !text.contains("None") && !text.contains("\"expression\":\"the small")
    );
    let nouns = server.asked().iter().filter(|body| crate::lab::fields(body).contains("noun")).count();
    assert_eq!(nouns, 4, "one for the boy, three for the dog");
}

#[test]
fn a_file_that_cannot_be_written_costs_a_stage_and_is_named() {
    let (lab, server) = (Lab::new(), StandIn::start([]).answering(knows));
    lab.films(1);
    let cfg = config(&server);
    let way = Way { only: Some(Stage::Recognise), ..Way::default() };
    lab.run_so("out", &cfg, &way);
    // A file where a folder should be.
    std::fs::write(lab.path("out/stages/clips"), "").unwrap();
    let summary = lab.run("out", &cfg);
    assert_eq!((summary.videos, summary.parked), (0, 1));
    let failure = &lab.failures("out")[0];
    assert!(matches!(&failure.fault, Fault::Disk { reason, full: false } if reason.contains("stages/clips")));
    std::fs::remove_file(lab.path("out/stages/clips")).unwrap();
    assert_eq!(lab.run_so("out", &cfg, &Way { retry: true, ..Way::default() }).videos, 1);
    answered_once(&lab, "out");
}

#[test]
fn a_stage_that_takes_too_long_is_late_and_goes_on_from_its_answers() {
    let server = StandIn::start([]).answering(knows).takes(std::time::Duration::from_millis(150));
    let lab = Lab::new();
    lab.films(1);
    let mut cfg = config(&server);
    // Three questions of one stage: a list and two nouns; answers are kept, so that each try comes further.
    (cfg.work.stage_s, cfg.work.tries) = (0.25, 9);
    let summary = lab.run("out", &cfg);
    assert_eq!((summary.videos, summary.parked), (1, 0));
    assert_eq!(answered_once(&lab, "out"), server.asked().len());
}

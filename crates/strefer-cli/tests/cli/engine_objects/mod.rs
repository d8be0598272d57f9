//! VideoRefer's data engine as a user runs it: a synthetic world plays the teachers from truth, our own region model reviews
//! in this process; a server that plays wrong parts; three kinds of samples, written for others and read again.

mod teacher;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use strefer_core::records::{Descriptions, Entities, LineRecord, Masklets, QuestionKind, Record};
use strefer_core::sample::{RegionMode, Role};
use strefer_core::validate::MediaFacts;
use strefer_core::{IndexSpace, Mask, PixelBox, Rle, RleRecord, Rng, Sample, jsonl};
use strefer_synth::read_truth;

use crate::lab::{FRAMES, Lab, fields, words};
use crate::stand_in::StandIn;

use teacher::{DEEDS, errs, knows};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../checkpoints/strefer-tiny/final");
const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/engine");

fn run(lab: &Lab, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
    command.current_dir(lab.path("")).args(args).output().expect("the program starts")
}

/// What a program prints.
fn works(lab: &Lab, args: &[&str]) -> Value {
    let output = run(lab, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// All tables; `reviewer` is the rest of `[review]`.
fn config(lab: &Lab, server: &StandIn, reviewer: &str) {
    let text = format!(
        r#"
        version = 1
        [teachers.eyes]
        [[teachers.eyes.endpoints]]
        url = "{}"
        model = "m"
        tries = 2
        [parse]
        teacher = "eyes"
        prompt = "{CONFIGS}/prompts/analyse.txt"
        broad_nouns = false
        [annotate]
        teacher = "eyes"
        frames = 4
        [review]
        teacher = "eyes"
        {reviewer}
        [refine]
        teacher = "eyes"
        [question]
        teacher = "eyes"
        frames = 3
        [objects]
        write = ["short", "detailed", "questions"]
        [instruct]
        dataset = "videorefer"
        [work]
        workers = 2
        tries = 2
        "#,
        server.url
    );
    std::fs::write(lab.path("objects.toml"), text).unwrap();
}

const RUN: [&str; 8] =
    ["engine", "run", "objects.toml", "--given", "given", "--captions", "captions.jsonl", "--videos"];

fn samples(lab: &Lab, file: &str) -> Vec<Sample> {
    lab.records(file)
}

/// Samples as the exported form can say them.
fn plain(mut sample: Sample) -> Sample {
    (sample.provenance, sample.task, sample.answer_format) = (None, None, None);
    (sample.mix, sample.split, sample.origin) = (None, None, None);
    for region in &mut sample.regions {
        (region.eid, region.mode, region.fixed_key) = (None, RegionMode::Multi, None);
    }
    sample
}

/// A world of clips with captions, and masks of which some were changed for those of another body. Gives the changed ones.
fn world(lab: &Lab, clips: usize) -> BTreeSet<(String, String)> {
    let count = clips.to_string();
    works(lab, &["synth", "--out", "world", "--split", "test", "--seed", "22", "--count", &count]);
    let quiz = format!("{CONFIGS}/tiny-strefer.toml");
    works(lab, &["engine", "run", &quiz, "--world", "world", "--frames", "8", "--out", "truth"]);
    let mut deeds = HashMap::new();
    for clip in read_truth(&lab.path("world")).unwrap() {
        for body in clip.bodies {
            let did: Vec<&str> = body.timeline.iter().map(|segment| segment.phrase.as_str()).collect();
            deeds.insert(body.name, format!("It {}.", did.join(", then it ")));
        }
    }
    DEEDS.set(deeds).expect("one test builds a world");
    let entities: Vec<Entities> = lab.records("truth/entities.jsonl");
    let mut masklets: Vec<Masklets> = lab.records("truth/masklets.jsonl");
    let captions: String = entities
        .iter()
        .map(|record| {
            let things: Vec<String> =
                record.items.iter().map(|item| format!("the {}", item.expression)).collect();
            let caption = format!("Here are {}.", things.join(", "));
            json!({ "video": format!("{}.mp4", record.video_id), "caption": caption }).to_string() + "\n"
        })
        .collect();
    std::fs::write(lab.path("captions.jsonl"), captions).unwrap();
    let mut planted = BTreeSet::new();
    for record in masklets.iter_mut().step_by(2) {
        let [one, other, ..] = record.objects.as_mut_slice() else { continue };
        std::mem::swap(&mut one.frames, &mut other.frames);
        for object in [one, other] {
            planted.insert((record.video_id.clone(), object.eid.clone()));
        }
    }
    std::fs::create_dir(lab.path("given")).unwrap();
    let records: Vec<Record> = masklets.into_iter().map(LineRecord::into_record).collect();
    jsonl::write_all(lab.path("given/masklets.jsonl"), &records).unwrap();
    planted
}

#[test]
fn a_world_with_planted_errors_becomes_reviewed_samples_that_others_can_read() {
    let lab = Lab::new();
    // More of them say more about the reviewer.
    let clips = std::env::var("CLIPS").ok().and_then(|count| count.parse().ok()).unwrap_or(16);
    let planted = world(&lab, clips);
    let server = StandIn::start([]).answering(knows);
    config(&lab, &server, &format!("model = \"{TINY}\""));
    let command = [&RUN[..], &["world/videos", "--out", "out"]].concat();
    let summary = works(&lab, &command);
    assert_eq!((&summary["videos"], &summary["parked"]), (&clips.into(), &0.into()));

    // The reviewer against what was planted.
    let described: Vec<Descriptions> = lab.records("out/descriptions.jsonl");
    let (mut caught, mut refused, mut all) = (0, 0, 0);
    for record in &described {
        for item in &record.items {
            let is_planted = planted.contains(&(record.video_id.clone(), item.eid.clone()));
            let review = item.review.as_ref().expect("each is reviewed");
            assert!(!review.seen.is_empty() && !review.reason.is_empty());
            assert_eq!(item.caption.is_none() && item.questions.is_empty(), !review.same, "{}", item.eid);
            caught += usize::from(is_planted && !review.same);
            refused += usize::from(!review.same);
            all += 1;
        }
    }
    let (precision, recall) = (caught as f64 / refused as f64, caught as f64 / planted.len() as f64);
    // A measurement that a person may want to see.
    eprintln!(
        "{all} objects, {} with planted errors, {refused} refused: precision {precision:.3}, recall {recall:.3}",
        planted.len()
    );
    assert!(recall >= 0.8 && precision >= 0.7, "precision {precision}, recall {recall}");
    assert_eq!(lab.notes("out").iter().filter(|(_, kind)| kind == "refused_object").count(), refused);

    // What is written holds together: five samples an object, half of them with one mask.
    let made = samples(&lab, "out/samples.jsonl");
    assert_eq!(made.len(), 5 * (all - refused));
    assert_eq!(summary["samples"], made.len());
    let (mut single, mut tasks) = (0, BTreeMap::<String, usize>::new());
    for sample in &made {
        let size = sample.media[0].size;
        sample.validate(MediaFacts { duration_s: None, frame_size: size }).unwrap();
        let [region] = sample.regions.as_slice() else { panic!("{} has one region", sample.id) };
        assert_eq!(region.index_space, IndexSpace::Source);
        assert_eq!(region.mode == RegionMode::SingleFixed, region.fixed_key.is_some());
        assert!(region.fixed_key.is_none() || region.masks.len() == 1);
        single += usize::from(region.fixed_key.is_some());
        assert_eq!(sample.conversations[0].text.matches("<region:0>").count(), 1);
        assert!(
            sample.conversations[1].role == Role::Assistant && !sample.conversations[1].text.contains('<')
        );
        *tasks.entry(sample.task.as_ref().unwrap().name.clone()).or_default() += 1;
    }
    assert!((2 * single).abs_diff(made.len()) <= described.len(), "{single} of {}", made.len());
    let names =
        ["basic_question", "detailed_caption", "future_question", "reasoning_question", "short_caption"];
    assert_eq!(tasks.keys().collect::<Vec<_>>(), names);

    // Others' form and back.
    works(&lab, &["export", "videorefer", "out/samples.jsonl", "--out", "videorefer.json"]);
    let records: Vec<Value> =
        serde_json::from_slice(&std::fs::read(lab.path("videorefer.json")).unwrap()).unwrap();
    assert_eq!(records.len(), made.len());
    assert!(records[0]["conversations"][0]["value"].as_str().unwrap().starts_with("<video>\n"));
    works(&lab, &["import", "videorefer", "videorefer.json", "--out", "back.jsonl"]);
    let back: Vec<Sample> = samples(&lab, "back.jsonl").into_iter().map(plain).collect();
    assert_eq!(back, made.into_iter().map(plain).collect::<Vec<_>>());

    // The same again asks nobody, whichever stages are gone.
    let (files, asked) = (lab.files("out"), server.asked().len());
    assert_eq!(works(&lab, &command)["kept"], clips);
    for stage in ["refine", "samples"] {
        std::fs::remove_dir_all(lab.path("out/stages").join(stage)).unwrap();
    }
    assert_eq!(works(&lab, &command)["kept"], 0);
    assert_eq!((lab.files("out"), server.asked().len()), (files, asked));
    let output = run(&lab, &["engine", "inspect", "out", "--media-root", "world/videos", "--out", "pages"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(lab.path("pages/videos/00000.html")).unwrap();
    assert!(
        page.contains("<h2>Objects</h2>") && page.contains("something else") && page.contains("words agree")
    );
    let export = run(&lab, &["export", "videorefer", "truth/samples.jsonl", "--out", "no.json"]);
    let said = String::from_utf8_lossy(&export.stderr);
    assert!(!export.status.success() && said.contains("cannot be written as VideoRefer-700K"), "{said}");
    assert!(!lab.path("no.json").exists());
}

/// Films with two masks each, and their captions: `a` names three things, `b` and `c` are about something else.
fn films(lab: &Lab) {
    lab.film("a", FRAMES, 0);
    lab.film("b", FRAMES, 80);
    lab.film("c", FRAMES, 120);
    lab.give(["a", "b", "c"].map(|name| lab.masklets(name, FRAMES)));
    let caption =
        |video: &str, caption: &str| json!({ "video": video, "caption": caption }).to_string() + "\n";
    let a = caption("a", "Here are the red square, the pale dog, the far bird.");
    let b = caption("b", "Here are the odd cat, the odd hat.");
    let c = caption("c", "Here are the shy fox, the blue cup.");
    std::fs::write(lab.path("captions.jsonl"), a + &b + &c).unwrap();
}

#[test]
fn what_a_teacher_gets_wrong_is_asked_again_then_noted_and_the_run_goes_on() {
    let lab = Lab::new();
    films(&lab);
    let server = StandIn::start([]).answering(errs);
    config(&lab, &server, "eyes = \"eyes\"");
    let command = [&RUN[..], &["films", "--out", "out"]].concat();
    let plan = works(&lab, &[&command[..], &["--dry-run"]].concat());
    assert_eq!((&plan["videos"], server.asked().len()), (&3.into(), 0));
    let summary = works(&lab, &command);
    assert_eq!((&summary["videos"], &summary["parked"]), (&2.into(), &1.into()));

    // Nonsense for ever parks its video, which names the stage and the teacher.
    let failures = lab.failures("out");
    assert_eq!((failures.len(), failures[0].video_id.as_str()), (1, "b"));
    let said = format!("{:?}", failures[0]);
    assert!(failures[0].parked && said.contains("Review") && said.contains("eyes"), "{said}");

    let mut records: Vec<Descriptions> = lab.records("out/descriptions.jsonl");
    // Where it is one object of several, that one is left out.
    let eids: Vec<String> = records.remove(1).items.into_iter().map(|item| item.eid).collect();
    assert_eq!(eids, ["e1"], "nobody judged the fox");
    let record = records.remove(0);
    let eids: Vec<&str> = record.items.iter().map(|item| item.eid.as_str()).collect();
    assert_eq!(eids, ["e0", "e1"], "no mask shows the bird");
    let [square, dog] = record.items.as_slice() else { panic!("two items") };
    assert_eq!(square.caption.as_deref(), Some("It is the red square. It stands still."));
    assert_eq!(square.questions.len(), 3);
    assert_eq!(dog.caption, None);
    let kinds: Vec<QuestionKind> = dog.questions.iter().map(|pair| pair.kind).collect();
    assert_eq!(kinds, [QuestionKind::Basic]);
    let notes = lab.notes("out");
    let of = |kind: &str| notes.iter().filter(|note| note.1 == kind).count();
    assert_eq!((of("no_caption"), of("no_question"), of("no_mask")), (1, 2, 1), "{notes:?}");
    assert_eq!(of("not_reviewed"), 1, "{notes:?}");
    // So often as was allowed, each time drawn otherwise.
    let about_dog = |field: &str| {
        let asked = server.asked();
        let bodies =
            asked.iter().filter(|body| fields(body).contains(field) && words(body).contains("pale dog"));
        bodies.map(|body| body["seed"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(about_dog("caption").iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(about_dog("caption").len(), 3);
    // The outline is seen in one frame, questions are asked about three.
    let asked = server.asked();
    let pictures = |body: &Value| {
        let parts = body["messages"][0]["content"].as_array().unwrap();
        parts.iter().filter(|part| part["type"] == "image_url").count()
    };
    let shown = asked.iter().filter(|body| words(body).contains("A red line")).map(pictures);
    assert_eq!(shown.collect::<BTreeSet<_>>(), BTreeSet::from([1, 3]));

    // Stages alone, one after the other, ask the same and make the same; nothing is answered twice.
    let before = server.asked().len();
    for stage in ["parse", "annotate", "review", "refine", "question", "samples"] {
        works(&lab, &[&RUN[..], &["films", "--out", "alone", "--stage", stage]].concat());
    }
    works(&lab, &[&RUN[..], &["films", "--out", "alone"]].concat());
    assert_eq!(lab.files("out")["samples.jsonl"], lab.files("alone")["samples.jsonl"]);
    assert_eq!(lab.files("out")["descriptions.jsonl"], lab.files("alone")["descriptions.jsonl"]);
    assert!(server.asked().len() > before);
    for out in ["out", "alone"] {
        let entries = lab.ledger(out);
        let answered = entries.iter().filter(|entry| entry.outcome == "answered");
        let keys: Vec<&str> = answered.map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len(), "{out}: asked twice");
    }
}

#[test]
fn a_run_about_objects_that_is_killed_again_and_again_asks_nothing_twice() {
    let lab = Lab::new();
    films(&lab);
    let server = StandIn::start([]).answering(errs).takes(Duration::from_millis(30));
    config(&lab, &server, "eyes = \"eyes\"");
    let start = |out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
        command.current_dir(lab.path("")).args(RUN).args(["films", "--out", out]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
    };
    assert!(start("whole").wait().unwrap().success());
    let mut rng = Rng::new(3, "kills");
    let mut kills = 0;
    while kills < 4 {
        let mut child = start("killed");
        std::thread::sleep(Duration::from_millis(80 + rng.below(400) as u64));
        if child.try_wait().unwrap().is_some() {
            // It was through before.
            std::fs::remove_dir_all(lab.path("killed")).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(start("killed").wait().unwrap().success());
    for name in ["samples.jsonl", "descriptions.jsonl", "notes.jsonl"] {
        assert_eq!(lab.files("whole")[name], lab.files("killed")[name], "{name}");
    }
    let keys: Vec<String> = lab
        .ledger("killed")
        .into_iter()
        .filter(|entry| entry.outcome == "answered")
        .map(|entry| entry.key)
        .collect();
    assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len(), "a question was answered twice");
}

#[test]
fn a_dataset_with_masks_becomes_questions_by_the_configuration_that_comes_with_the_program() {
    let lab = Lab::new();
    lab.film("park", FRAMES, 40);
    std::fs::create_dir(lab.path("mevis")).unwrap();
    std::fs::rename(lab.path("films"), lab.path("mevis/JPEGImages")).unwrap();
    let frames: Vec<String> = (0..FRAMES).map(|frame| format!("{frame:03}")).collect();
    let masks: Vec<Value> = (0..FRAMES)
        .map(|frame| {
            let area = PixelBox { x0: frame, y0: 8, x1: (frame + 10).min(48), y1: 20 };
            json!((frame < 18).then(|| RleRecord::from(Rle::from_mask(&Mask::from_box(32, 48, area)))))
        })
        .collect();
    let expressions = json!({
        "0": { "exp": "the square moving to the right", "obj_id": [0], "anno_id": [5] },
        "1": { "exp": "it vanishes in the middle", "obj_id": [0], "anno_id": [5] },
    });
    let meta = json!({ "videos": { "park": { "frames": frames, "expressions": expressions } } });
    std::fs::write(lab.path("mevis/meta_expressions.json"), meta.to_string()).unwrap();
    std::fs::write(lab.path("mevis/mask_dict.json"), json!({ "5": masks }).to_string()).unwrap();
    works(&lab, &["import", "mevis", "mevis", "--out", "given"]);

    let server = StandIn::start([]).answering(knows);
    let shipped = std::fs::read_to_string(format!("{CONFIGS}/videorefer-qa.toml")).unwrap();
    let ours = shipped.replace("http://localhost:8000/v1", &server.url);
    std::fs::write(lab.path("qa.toml"), ours.replace("Qwen/Qwen2.5-VL-32B-Instruct", "m")).unwrap();
    let command =
        ["engine", "run", "qa.toml", "--videos", "mevis/JPEGImages", "--given", "given", "--out", "qa"];
    let plan = works(&lab, &[&command[..], &["--dry-run"]].concat());
    assert_eq!((&plan["asks"], &plan["stages"]["question"]["asks"]), (&1.into(), &1.into()));
    assert_eq!(works(&lab, &command)["samples"], 3);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(words(&asked[0]).contains("It is also: it vanishes in the middle."));
    let made = samples(&lab, "qa/samples.jsonl");
    assert_eq!(made[0].conversations[0].text, "<video>\nWhat is <region:0>?");
    // Of the first 18 frames up to 32 show it; one drawn frame by turns.
    let masks: BTreeSet<usize> = made.iter().map(|sample| sample.regions[0].masks.len()).collect();
    assert_eq!(masks, BTreeSet::from([1, 18]));
    works(&lab, &["export", "videorefer", "qa/samples.jsonl", "--out", "qa.json"]);
}

#[test]
fn short_captions_need_no_more_than_masks_and_wrong_calls_say_what_is_wrong() {
    let lab = Lab::new();
    films(&lab);
    let given = |name: &str| {
        json!({ "type": "entities", "video_id": name, "items": [
        { "eid": "e0", "expression": "red square", "noun": "square", "general_noun": "shape", "active": true },
        { "eid": "e1", "expression": "a <region:3> thing", "noun": "dog", "general_noun": "dog", "active": true },
    ] })
    };
    let lines: String = ["a", "b"].iter().map(|name| given(name).to_string() + "\n").collect();
    std::fs::write(lab.path("given/entities.jsonl"), lines).unwrap();
    let text = "[objects]\nwrite = [\"short\"]\n[instruct]\nsingle_frame_share = 1.0\n";
    std::fs::write(lab.path("short.toml"), text).unwrap();
    let command = ["engine", "run", "short.toml", "--videos", "films", "--given", "given", "--out", "short"];
    assert_eq!(works(&lab, &command)["samples"], 2);
    let made = samples(&lab, "short/samples.jsonl");
    assert_eq!(made[0].conversations[1].text, "A red square.");
    assert!(made.iter().all(|sample| sample.regions[0].mode == RegionMode::SingleFixed));
    let notes = lab.notes("short");
    assert_eq!(notes.iter().filter(|(_, kind)| kind == "dropped_sample").count(), 2, "{notes:?}");

    let complains = |config: &str, more: &[&str], words: &str| {
        std::fs::write(lab.path("wrong.toml"), config).unwrap();
        let call = ["engine", "run", "wrong.toml", "--videos", "films", "--given", "given", "--out", "wrong"];
        let output = run(&lab, &[&call[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !said.contains("panicked") && said.contains(words), "{said}");
    };
    let eyes =
        "[teachers.eyes]\n[[teachers.eyes.endpoints]]\nurl = \"http://127.0.0.1:9/v1\"\nmodel = \"m\"\n";
    let with = |tables: &str| format!("{eyes}{tables}");
    complains(&with("[annotate]\nteacher = \"eyes\"\n"), &[], "[objects] is missing");
    complains("[objects]\nwrite = []\n", &[], "write names short");
    complains("[objects]\nwrite = [\"detailed\"]\n", &[], "needs [refine]");
    complains("[objects]\nwrite = [\"questions\"]\n", &[], "needs [question]");
    complains("[objects]\nwrite = [\"short\"]\n[clips]\n", &[], "clips is for the generator");
    let review = "[objects]\nwrite = [\"short\"]\n[review]\nteacher = \"eyes\"\n";
    complains(&with(review), &[], "name either eyes");
    complains(&with(&format!("{review}model = \"nowhere\"\n")), &[], "opening the reviewer");
    complains(&with(&format!("{review}eyes = \"nose\"\n")), &[], "asks the teacher \"nose\"");
    complains(&with(&format!("{review}eyes = \"eyes\"\nquestion = \"What?\"\n")), &[], "<region:0> once");
    complains(text, &["--captions", "nowhere.jsonl"], "nowhere.jsonl");
    std::fs::write(lab.path("others.csv"), "video,caption\nz.mp4,A dog.\n").unwrap();
    complains(text, &["--captions", "others.csv"], "has a caption of none of the videos");
    let parse = "[objects]\nwrite = [\"short\"]\n[parse]\nteacher = \"eyes\"\n";
    complains(&with(parse), &[], "no video came to anything");
    let failures = lab.failures("wrong");
    assert!(format!("{failures:?}").contains("caption"), "{failures:?}");
}

//! Every benchmark reads its official files from its own folder, and says what is missing or wrong.

use serde_json::{Value, json};
use strefer_core::sample::{MediaKind, RegionMode};
use strefer_eval::Unmatched;
use strefer_eval::bench::{BenchId, BenchOptions, Masks, ObjectForm, Verdicts, missing_media};
use strefer_eval::choice::QuestionFile;
use strefer_eval::records::Reply;

use crate::stand_in::{Root, mask};

/// Scores answers to all items in order; the value of the headline.
fn headline(root: &Root, id: BenchId, said: &[&str]) -> f64 {
    let bench = root.open(id);
    let reply = |(item, text): (&strefer_eval::bench::Item, &&str)| Reply {
        id: item.id().into(),
        text: (*text).into(),
    };
    let replies: Vec<Reply> = bench.items().iter().zip(said).map(reply).collect();
    assert_eq!(replies.len(), bench.items().len());
    let sheet = bench.sheet(&replies, Unmatched::REFUSE, None).unwrap();
    let line = sheet.lines.iter().find(|line| line.name == bench.headline()).unwrap();
    line.value.unwrap()
}

fn turn(root: &Root, id: BenchId, at: usize) -> String {
    root.open(id).items()[at].sample.conversations[0].text.clone()
}

#[test]
fn all_missing_files_are_named_at_once() {
    let root = Root::new();
    for id in BenchId::ALL {
        let error = root.refused(id);
        assert!(error.starts_with(id.name()) && error.contains("missing: "), "{error}");
    }
    root.write("nextqa/other.csv", "");
    let error = root.refused(BenchId::Nextqa);
    assert!(error.contains("val.csv") && error.contains("map_vid_vidorID.json"), "{error}");
}

#[test]
fn videorefer_q_has_its_objects_in_brackets_and_its_mask_of_one_frame() {
    let root = Root::new();
    root.bench_q(4);
    let bench = root.open(BenchId::VideoreferQ);
    let item = &bench.items()[1];
    let text = &item.sample.conversations[0].text;
    let question = "<video>\nWhat colour is <object1>[<region:0>]? (A) It is red (B) It is blue (C) It is green (D) It is white.";
    assert!(text.starts_with(question), "{text}");
    assert_eq!(item.sample.regions[0].mode, RegionMode::SingleFixed);
    assert_eq!(
        (item.sample.media[0].kind, item.sample.media[0].uri.as_str()),
        (MediaKind::Frames, "videorefer/DAVIS/1")
    );
    item.sample.validate(Default::default()).unwrap();
    assert_eq!(missing_media(bench.items(), root.path()).len(), 4);
    let options = BenchOptions { objects: ObjectForm::Plain, masks: Masks::Multi, ..BenchOptions::default() };
    let plain = BenchId::VideoreferQ.open(root.path(), &options).unwrap();
    let sample = &plain.items()[0].sample;
    assert!(sample.conversations[0].text.starts_with("<video>\nWhat colour is <region:0>? (A)"));
    assert_eq!(sample.regions[0].mode, RegionMode::Multi);
    assert_eq!(headline(&root, BenchId::VideoreferQ, &["(A)", "B) It is", "c.", "A"]), 75.0);
}

#[test]
fn a_record_of_another_version_is_named() {
    let root = Root::new();
    let record = |change: fn(&mut Value)| {
        let mut value = json!({
            "id": 7, "video": "a", "type": "Basic Questions", "Question": "What is <object1><region>?",
            "options": ["(A) a", "(B) b"], "Answer": "(A) a", "frame_idx": "3", "annotation": [mask(0)],
        });
        change(&mut value);
        root.json("videorefer/VideoRefer-Bench-Q.json", json!([value]));
        root.refused(BenchId::VideoreferQ)
    };
    assert!(record(|it| it["frame_idx"] = "4".into()).contains("object 0 has no mask in frame 4"));
    assert!(record(|it| it["frame_idx"] = "x".into()).contains("frame_idx"));
    assert!(record(|it| it["Question"] = "What?".into()).contains("0 <region> in the question, 1 objects"));
    assert!(record(|it| it["Answer"] = "(C) c".into()).contains("none of its options"));
    assert!(record(|it| it["type"] = "Hard Questions".into()).contains("Hard Questions"));
    let bad = record(|it| it["annotation"][0]["3"]["extra"] = 1.into());
    assert!(bad.contains("record 7") && bad.contains("extra"), "{bad}");
}

#[test]
fn videorefer_d_describes_and_is_judged_elsewhere() {
    let root = Root::new();
    let record = json!({"id": 3, "video": "a_0:00:05.mp4", "caption": "A grey heron.", "frame_idx": "3", "annotation": [mask(2)]});
    root.json("videorefer/VideoRefer-Bench-D.json", json!([record]));
    let bench = root.open(BenchId::VideoreferD);
    let item = &bench.items()[0];
    assert_eq!(item.sample.media[0].uri, "videorefer/Panda-70M/a_0:00:05.mp4");
    assert!(item.sample.conversations[0].text.contains("[<region:0>]"));
    let reply = Reply { id: "3".into(), text: "A bird.".into() };
    let sheet = bench.sheet(&[reply], Unmatched::REFUSE, None).unwrap();
    assert!(sheet.lines.is_empty() && sheet.notes[0].what.contains("not judged"));
    // A judge that returns prose rates nothing, and that is said.
    let prose = [("3".to_owned(), "A fine description.".to_owned())];
    let verdicts = Verdicts { judge: json!({}), replies: prose.into_iter().collect() };
    let reply = Reply { id: "3".into(), text: "A bird.".into() };
    let sheet = bench.sheet(&[reply], Unmatched::REFUSE, Some(&verdicts)).unwrap();
    assert!(sheet.lines.iter().all(|line| line.value.is_none()) && sheet.metrics["mean"].is_null());
    assert!(sheet.notes[0].what.starts_with("without a rating of Subject Correspondence"));
    assert_eq!((sheet.notes.len(), &sheet.notes[0].ids[..]), (4, &["3".to_owned()][..]));
    let two = json!([{"id": 3, "video": "a.mp4", "caption": "x", "frame_idx": 3, "annotation": [mask(2), mask(1)]}]);
    root.json("videorefer/VideoRefer-Bench-D.json", two);
    assert!(root.refused(BenchId::VideoreferD).contains("2 objects"));
}

#[test]
fn tables_of_choices_by_hand() {
    let root = Root::new();
    let row = |answer: &str| json!({"video": "x.mp4", "question": "What?", "candidates": ["red", "blue"], "answer": answer});
    let mut bounded = row("blue");
    bounded["start"] = 1.5.into();
    bounded["end"] = 4.0.into();
    root.json("mvbench/json/action_sequence.json", json!([row("red"), bounded]));
    root.json(
        "mvbench/json/episodic_reasoning.json",
        json!([{"video": "tv", "question": "Who?", "candidates": ["a", "b"], "answer": "b"}]),
    );
    let bench = root.open(BenchId::Mvbench);
    let media: Vec<_> = bench.items().iter().map(|item| item.sample.media[0].clone()).collect();
    assert_eq!(media[0].uri, "mvbench/video/star/Charades_v1_480/x.mp4");
    assert_eq!(media[1].segment.unwrap().end_s, Some(4.0));
    assert_eq!(
        (media[2].kind, media[2].uri.as_str()),
        (MediaKind::Frames, "mvbench/video/tvqa/frames_fps3_hq/tv")
    );
    let asked = turn(&root, BenchId::Mvbench, 0);
    assert!(asked.starts_with("<video>\nWhat?\n(A) red\n(B) blue\n"), "{asked}");
    assert_eq!(headline(&root, BenchId::Mvbench, &["(A) red", "Best: B", "C"]), 200.0 / 3.0);
    let cut = BenchOptions { cut_already: true, ..BenchOptions::default() };
    let bench = BenchId::Mvbench.open(root.path(), &cut).unwrap();
    assert!(bench.items()[1].sample.media[0].segment.is_none());
    root.json("mvbench/json/juggling.json", json!([row("red")]));
    assert!(root.refused(BenchId::Mvbench).contains("juggling"));

    let mlvu = json!([{"video": "e.mp4", "duration": 480.0, "question": "How many?", "candidates": ["1", "2", "3", "4"], "answer": "3", "question_type": "count"}]);
    root.json("mlvu/json/4_count.json", mlvu.clone());
    let place = |root: &Root| root.open(BenchId::Mlvu).items()[0].sample.media[0].uri.clone();
    assert_eq!(place(&root), "mlvu/video/4_count/e.mp4");
    assert_eq!(root.open(BenchId::Mlvu).items()[0].groups["task"], "count");
    assert_eq!(headline(&root, BenchId::Mlvu, &["(C)"]), 100.0);
    root.write("mlvu/video/count/e.mp4", "");
    assert_eq!(place(&root), "mlvu/video/count/e.mp4");
    // The folder as it is downloaded, with tasks whose answers are free text.
    let free =
        json!([{"video": "s.mp4", "question": "Tell.", "answer": "A story.", "question_type": "summary"}]);
    let downloaded = Root::new();
    downloaded.json("mlvu/MLVU/json/4_count.json", mlvu);
    downloaded.json("mlvu/MLVU/json/9_summary.json", free);
    assert_eq!(place(&downloaded), "mlvu/MLVU/video/4_count/e.mp4");
    assert_eq!(downloaded.open(BenchId::Mlvu).items().len(), 1);
    let alone = downloaded.path().join("mlvu/MLVU/json/9_summary.json");
    let refused = QuestionFile::Mlvu.read(&alone).unwrap_err().to_string();
    assert!(refused.contains("9_summary: its answers are free text"), "{refused}");

    let question = json!({"id": 0, "question": "Is it?", "options": ["yes", "no", "perhaps"], "answer_id": 1, "area": "physics", "reasoning": "descriptive", "tag": []});
    root.json(
        "perception_test/mc_question_valid.json",
        json!({"video_1": {"metadata": {"video_id": "video_1"}, "mc_question": [question]}}),
    );
    assert!(turn(&root, BenchId::PerceptionTest, 0).contains("Is it?\nA. yes\nB. no\nC. perhaps\n"));
    assert_eq!(headline(&root, BenchId::PerceptionTest, &["I say B."]), 100.0);

    root.json("nextqa/map_vid_vidorID.json", json!({"4": "1/4"}));
    root.write(
        "nextqa/val.csv",
        "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n\
         4,99,640,480,\"why, then\",2,6,TP,a,b,\"c, d\",e,f\n",
    );
    let bench = root.open(BenchId::Nextqa);
    assert_eq!(bench.items()[0].sample.media[0].uri, "nextqa/NExTVideo/1/4.mp4");
    assert_eq!(bench.items()[0].groups["type"], "TN");
    assert!(turn(&root, BenchId::Nextqa, 0).contains("why, then\nA. a\nB. b\nC. c, d\n"));
    assert_eq!(headline(&root, BenchId::Nextqa, &["C. c, d"]), 100.0);
    root.write("nextqa/val.csv", "video,question\n4,why\n");
    assert!(root.refused(BenchId::Nextqa).contains("row 2"));
}

#[test]
fn tempcompass_is_read_by_the_rules_of_each_type() {
    let root = Root::new();
    let of =
        |question: &str, answer: &str| json!({"v": {"speed": [{"question": question, "answer": answer}]}});
    root.json("tempcompass/questions/multi-choice.json", of("How fast?\nA. slowly\nB. fast", "B. fast"));
    root.json("tempcompass/questions/yes_no.json", of("Is it fast?", "yes"));
    root.json(
        "tempcompass/questions/caption_matching.json",
        of("Which?\nOption 1: It rises.\nOption 2: It falls.", "Option 2: It falls."),
    );
    root.json("tempcompass/questions/captioning.json", of("Describe it.", "It falls."));
    let bench = root.open(BenchId::Tempcompass);
    let ids: Vec<&str> = bench.items().iter().map(|item| item.id()).collect();
    assert_eq!(ids, ["caption_matching/v/speed/0", "multi-choice/v/speed/0", "yes_no/v/speed/0"]);
    assert_eq!(headline(&root, BenchId::Tempcompass, &["2", "B. fast", "Yes, it is."]), 100.0);
    assert_eq!(headline(&root, BenchId::Tempcompass, &["It falls.", "it goes B", "no"]), 100.0 / 3.0);
    assert!(turn(&root, BenchId::Tempcompass, 2).ends_with("Is it fast?\nReply with yes or no."));
}

#[test]
fn grounding_by_hand() {
    let root = Root::new();
    root.write(
        "charades/charades_sta_test.txt",
        "3MSZA 2.0 6.0##person turn a light on.\nAB 0.0 4.0##person sits.\n",
    );
    // Overlaps of a half and of a quarter; the second of them is found at no threshold.
    assert_eq!(headline(&root, BenchId::CharadesSta, &["2.0 - 4.0 seconds", "It is from 3 to 1"]), 50.0);
    assert_eq!(headline(&root, BenchId::CharadesSta, &["never", "0:00 - 0:04"]), 50.0);
    let captions = json!({"v_a": {"duration": 10.0, "timestamps": [[0, 5], [9, 5]], "sentences": [" A man runs.", "He stops."]}});
    root.json("activitynet/captions/val_2.json", captions.clone());
    root.write("activitynet/videos/v_a.webm", "");
    let bench = root.open(BenchId::Activitynet);
    assert_eq!(bench.items()[1].sample.media[0].uri, "activitynet/videos/v_a.webm");
    assert!(turn(&root, BenchId::Activitynet, 0).contains("\"A man runs\""));
    assert_eq!(headline(&root, BenchId::Activitynet, &["0 - 5", "5 - 9"]), 100.0);
    let mut uneven = captions;
    uneven["v_a"]["sentences"] = json!(["one"]);
    root.json("activitynet/captions/val_2.json", uneven);
    assert!(root.refused(BenchId::Activitynet).contains("1 sentences, 2 timestamps"));
    root.write("charades/charades_sta_test.txt", "3MSZA 2.0##x\n");
    assert!(root.refused(BenchId::CharadesSta).contains("line 1"));
}

#[test]
fn video_mme_is_read_from_the_table_that_is_downloaded() {
    let root = Root::new();
    let name = "test-00000-of-00001.parquet";
    let [golden] = &strefer_core::golden::dirs("videomme_table")[..] else { panic!("one table is recorded") };
    root.write(&format!("videomme/videomme/{name}"), std::fs::read(golden.join(name)).unwrap());
    if !cfg!(feature = "parquet") {
        assert!(root.refused(BenchId::Videomme).contains("without parquet"));
        return;
    }
    let bench = root.open(BenchId::Videomme);
    let ids: Vec<&str> = bench.items().iter().map(|item| item.id()).collect();
    assert_eq!(ids, ["001-1", "001-2"]);
    let item = &bench.items()[0];
    assert_eq!((item.label.as_str(), item.groups["duration"].as_str()), (Some("C. option 1"), "short"));
    assert_eq!(item.sample.media[0].uri, "videomme/videos/abc.mp4");
    assert!(turn(&root, BenchId::Videomme, 0).contains("Wie heißt sie?\nA. option 1\nB. option 1\n"));
    assert_eq!(headline(&root, BenchId::Videomme, &["C", "B"]), 50.0);
    root.write(&format!("videomme/{name}"), "no table");
    assert!(root.refused(BenchId::Videomme).contains(name));
}

#[test]
fn video_mme_and_captions_of_people_by_hand() {
    let root = Root::new();
    let row = json!({"video_id": "001", "duration": "short", "domain": "Knowledge", "sub_category": "x", "url": "", "videoID": "abc",
        "question_id": "001-1", "task_type": "OCR", "question": "What?", "options": ["A. a", "B. b", "C. c", "D. d"], "answer": "C"});
    root.json("videomme/videomme.json", json!([row]));
    assert!(turn(&root, BenchId::Videomme, 0).contains("What?\nA. a\nB. b"));
    assert_eq!(headline(&root, BenchId::Videomme, &["The best answer is: C"]), 100.0);
    let subtitles = BenchOptions { subtitles: Some(4), ..BenchOptions::default() };
    let missing = BenchId::Videomme.open(root.path(), &subtitles).err().unwrap().to_string();
    assert!(missing.contains("videomme/subtitles"), "{missing}");
    std::fs::create_dir(root.path().join("videomme/subtitles")).unwrap();
    let bench = BenchId::Videomme.open(root.path(), &subtitles).unwrap();
    let asked = bench.items()[0].late.as_ref().unwrap().turn().unwrap();
    assert!(asked.contains("(there are none)") && asked.ends_with("D. d\nThe letter is:"), "{asked}");

    // Folders as the archives are packed.
    root.write("videomme/data/abc.mp4", "");
    std::fs::rename(root.path().join("videomme/subtitles"), root.path().join("videomme/subtitle")).unwrap();
    let bench = BenchId::Videomme.open(root.path(), &subtitles).unwrap();
    assert_eq!(bench.items()[0].sample.media[0].uri, "videomme/data/abc.mp4");

    let mask = json!({"size": [8, 8], "counts": [0, 8, 56]});
    let record =
        |caption: &str| json!({"video": "1/a.mp4", "frame_idx": 12, "mask": mask, "caption": caption});
    root.json("hcstvg/captions.json", json!([record("a man in black walks"), record("a woman sits down")]));
    let bench = root.open(BenchId::HcStvg);
    assert_eq!(bench.items()[0].sample.media[0].uri, "hcstvg/video_parts/1/a.mp4");
    bench.items()[0].sample.validate(Default::default()).unwrap();
    // Captions of four and five words that are right in all of their n-grams.
    assert!(headline(&root, BenchId::HcStvg, &["A man in black walks.", "A woman sits down."]) > 9.9);
}

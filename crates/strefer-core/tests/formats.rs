//! Published formats are read, written and read again without loss; broken records are refused with a reason.

use serde_json::{Value, json};
use strefer_core::import::{Fields, llava_video, strefer, videorefer};
use strefer_core::sample::{MediaKind, RegionMode, Role};
use strefer_core::validate::{Issue, MediaFacts};
use strefer_core::{Error, FrameKey, IndexSpace, Mask, Record, Rle, Sample};

fn object(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

fn rle(mask: &Mask) -> Value {
    serde_json::to_value(Rle::from_mask(mask)).unwrap()
}

fn videorefer_record() -> Value {
    let mask = Mask::from_fn(36, 64, |y, x| y > 4 && y < 20 && x > 30);
    json!({
        "id": 7, "video": "clips/park_0042.mp4",
        "conversations": [
            {"from": "human", "value": "<video>\nHow does <object1> [<region>] react to <object2> [<region>]?"},
            {"from": "gpt", "value": "It chases the ball."}],
        "annotation": [
            {"90": {"segmentation": rle(&mask)}, "0": {"segmentation": null}, "45": {}},
            {"45": {"segmentation": [[3.0, 3.0, 20.5, 3.0, 20.5, 9.0]]}, "50": {"segmentation": {"size": [36, 64], "counts": [10, 5, 2289]}}}],
        "height": 36, "width": 64, "type": "detailed"})
}

fn strefer_record() -> Value {
    let mask = Mask::from_fn(24, 32, |y, x| y > 4 && x > 3 && x < 9);
    json!({
        "path": "NExT-QA/videos/NExTVideo/0089/5379320378.mp4",
        "annotation": [{"16": {"segmentation": rle(&mask)}}],
        "start_time": "00:00:06.24", "end_time": "00:00:14.014",
        "conversations": [
            {"from": "human", "value": "<image>\nAbout the <region>.\nWhat did the person do between <start_time> and <end_time>?"},
            {"from": "gpt", "value": "They waved."}]})
}

#[test]
fn videorefer_records_come_back_to_the_letter() {
    let record = object(videorefer_record());
    let sample = videorefer::import(record.clone(), 0).unwrap();
    assert_eq!(sample.regions.len(), 2);
    assert_eq!(sample.regions[0].index_space, IndexSpace::Source);
    let keys: Vec<u32> = sample.regions[0].masks.keys().map(|key| key.0).collect();
    assert_eq!(keys, [90, 0, 45], "the file's order is the order of merging");
    assert!(sample.conversations[0].text.contains("[<region:0>]"));
    sample.validate(MediaFacts { duration_s: None, frame_size: Some((36, 64)) }).unwrap();
    let written = serde_json::to_string(&videorefer::export(&sample).unwrap()).unwrap();
    assert_eq!(written, serde_json::to_string(&record).unwrap());
}

#[test]
fn strefer_records_come_back_to_the_letter() {
    let record = object(strefer_record());
    let sample = strefer::import(record.clone(), 3).unwrap();
    assert_eq!(sample.id, "#3");
    assert_eq!(sample.regions[0].mode, RegionMode::SingleRandom);
    assert_eq!(sample.regions[0].index_space, IndexSpace::STREFER);
    assert_eq!((sample.times[0].s, sample.times[1].s), (6.24, 14.014));
    assert!(sample.conversations[0].text.contains("between <time:0> and <time:1>?"));
    let written = serde_json::to_string(&strefer::export(&sample).unwrap()).unwrap();
    assert_eq!(written, serde_json::to_string(&record).unwrap());
}

#[test]
fn videorefer_folders_in_the_strefer_recipe_are_keyed_by_source_frames() {
    let mut record = object(strefer_record());
    record.insert("path".into(), "MeViS/JPEGImages/x".into());
    let sample = strefer::import(record, 0).unwrap();
    assert_eq!(sample.regions[0].index_space, IndexSpace::Source);
    assert_eq!(sample.media[0].kind, MediaKind::Frames);
}

#[test]
fn llava_video_records_come_back_to_the_letter() {
    let record = object(json!({
        "id": "a-1", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This."}],
        "data_source": "0_30_s", "video": "x/y.mp4"}));
    let sample = llava_video::import(record.clone(), 0).unwrap();
    assert_eq!(sample.conversations[0].role, Role::User);
    let written = serde_json::to_string(&llava_video::export(&sample).unwrap()).unwrap();
    assert_eq!(written, serde_json::to_string(&record).unwrap());
}

#[test]
fn samples_survive_their_own_format() {
    for sample in [
        videorefer::import(object(videorefer_record()), 0).unwrap(),
        strefer::import(object(strefer_record()), 0).unwrap(),
    ] {
        let record = Record::Sample(Box::new(sample));
        let line = serde_json::to_string(&record).unwrap();
        assert!(line.starts_with(r#"{"type":"sample""#), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }
}

#[test]
fn broken_records_are_refused_with_a_reason() {
    let refuse = |change: &dyn Fn(&mut Fields), expected: &str| {
        let mut record = object(videorefer_record());
        change(&mut record);
        let error = videorefer::import(record, 0).unwrap_err().to_string();
        assert!(error.contains("record 7") && error.contains(expected), "{error}");
    };
    refuse(&|r| drop(r.remove("annotation")), "2 <region> in the text, 0 objects");
    refuse(&|r| drop(r.remove("height")), "height and width go together");
    refuse(&|r| drop(r.insert("conversations".into(), json!([{"from": "dog", "value": ""}]))), "dog");
    refuse(&|r| drop(r.insert("annotation".into(), json!([{"x": {}}, {}]))), "not a frame number");

    let mut record = object(strefer_record());
    record.remove("end_time");
    assert!(strefer::import(record, 0).unwrap_err().to_string().contains("start_time and end_time"));
}

fn valid() -> Sample {
    strefer::import(object(strefer_record()), 0).unwrap()
}

fn issue(sample: &Sample, facts: MediaFacts) -> Issue {
    match sample.validate(facts) {
        Err(Error::Invalid { issue, .. }) => issue,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_validator_names_what_is_wrong() {
    let facts = MediaFacts { duration_s: Some(20.0), frame_size: Some((24, 32)) };
    valid().validate(facts).unwrap();

    let short = MediaFacts { duration_s: Some(10.0), ..facts };
    assert!(matches!(issue(&valid(), short), Issue::TimeOutOfRange { .. }));
    let small = MediaFacts { frame_size: Some((12, 16)), ..facts };
    assert!(matches!(issue(&valid(), small), Issue::BadRleSize { region: 0, key: 16, .. }));

    let mut sample = valid();
    sample.regions.clear();
    assert!(matches!(issue(&sample, facts), Issue::RegionCountMismatch { in_text: 1, listed: 0 }));
    let mut sample = valid();
    sample.times.pop();
    assert!(matches!(issue(&sample, facts), Issue::UnknownTime { index: 1, listed: 1 }));
    let mut sample = valid();
    sample.conversations[0].text.push_str("<region:first>");
    assert!(matches!(issue(&sample, facts), Issue::UnknownPlaceholder(_)));
    let mut sample = valid();
    sample.media.clear();
    assert!(matches!(issue(&sample, facts), Issue::MissingMedia));
    let mut sample = valid();
    sample.regions[0].masks.insert(FrameKey(16), (&Mask::zeros(24, 32)).into());
    assert!(matches!(issue(&sample, facts), Issue::EmptyMask { region: 0 }));
    let mut sample = valid();
    sample.regions[0].mode = RegionMode::SingleFixed;
    assert!(matches!(issue(&sample, facts), Issue::UnknownFixedKey { region: 0 }));
    let mut sample = valid();
    sample.conversations.swap(0, 1);
    assert!(matches!(issue(&sample, facts), Issue::TurnOrder { turn: 0 }));
}

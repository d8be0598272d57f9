//! Grounded-VideoLLM's records (`reference`: WHB139426/Grounded-Video-LLM, `datasets/mix_grounded.py`): conversations about
//! videos in which seconds stand in angle brackets, `<12.4>`.

use std::collections::BTreeMap;

use super::conversation::read_turns;
use super::{Fields, is_folder, refused, take, video_id};
use crate::error::Result;
use crate::sample::{
    Media, MediaKind, Origin, OriginFormat, Provenance, Role, Sample, TimeRef, TimeStyle, Turn,
};

/// Reads one record; `position` names it when it has no `question_id`.
///
/// # Errors
/// No `video_file`, a field of another kind than documented, a time before the video's beginning.
pub fn import(mut fields: Fields, position: usize) -> Result<Sample> {
    let id = match fields.shift_remove("question_id") {
        Some(serde_json::Value::String(id)) => id,
        Some(serde_json::Value::Number(id)) => id.to_string(),
        _ => format!("#{position}"),
    };
    let uri: String = take(&mut fields, &id, "video_file")?.ok_or_else(|| refused(&id, "no video_file"))?;
    let dataset: Option<String> = take(&mut fields, &id, "dataset_name")?;
    let mut turns = read_turns(&id, take(&mut fields, &id, "conversation")?.unwrap_or_default())?;
    show_once(&mut turns);
    let mut times = Times::default();
    for turn in &mut turns {
        turn.text = times.take_from(&turn.text).map_err(|reason| refused(&id, reason))?;
    }
    let kind = if is_folder(&uri) { MediaKind::Frames } else { MediaKind::Video };
    let video_id = match take::<String>(&mut fields, &id, "video_id")? {
        Some(name) if !name.is_empty() => name,
        _ => video_id(&uri),
    };
    let mut sample = Sample::new(id, video_id, vec![Media { kind, uri, segment: None, size: None }]);
    sample.conversations = turns;
    sample.times = times.listed;
    sample.provenance = dataset.map(|dataset| Provenance { dataset, ..Provenance::default() });
    sample.origin = Some(Origin { format: OriginFormat::GroundedVideoLlm, fields });
    Ok(sample)
}

/// A conversation that does not say where the video stands has it before the first question.
fn show_once(turns: &mut [Turn]) {
    let shown = |turn: &Turn| turn.text.contains("<image>") || turn.text.contains("<video>");
    if !turns.iter().any(shown)
        && let Some(first) = turns.iter_mut().find(|turn| turn.role == Role::User)
    {
        first.text.insert_str(0, "<video>\n");
    }
}

/// The moments of a conversation; one that is named twice is listed once.
#[derive(Default)]
struct Times {
    listed: Vec<TimeRef>,
    known: BTreeMap<u64, usize>,
}

impl Times {
    /// The text with places of the list instead of seconds.
    fn take_from(&mut self, text: &str) -> std::result::Result<String, String> {
        let (mut taken, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find('<') {
            taken.push_str(&rest[..at]);
            rest = &rest[at..];
            match rest.find('>').and_then(|end| Some((end, seconds(&rest[1..end])?))) {
                Some((end, s)) => {
                    if s < 0.0 {
                        return Err(format!("a time is {s} s, before the video's beginning"));
                    }
                    let listed = &mut self.listed;
                    let tid = *self.known.entry(s.to_bits()).or_insert_with(|| {
                        let tid = listed.len();
                        let rel_to = "media:0".to_owned();
                        listed.push(TimeRef { tid, s, rel_to, style: TimeStyle::Token });
                        tid
                    });
                    taken.push_str(&format!("<time:{tid}>"));
                    rest = &rest[end + 1..];
                }
                None => {
                    taken.push('<');
                    rest = &rest[1..];
                }
            }
        }
        taken.push_str(rest);
        Ok(taken)
    }
}

/// Digits with at most one point and perhaps a minus, as the reference's pattern has it.
fn seconds(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(whole) && is_number(part) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validate::MediaFacts;

    fn read(record: serde_json::Value) -> Result<Sample> {
        let serde_json::Value::Object(fields) = record else { panic!("no object") };
        let sample = import(fields, 7)?;
        sample.validate(MediaFacts::default())?;
        Ok(sample)
    }

    #[test]
    fn seconds_in_brackets_become_times() {
        let sample = read(json!({
            "question_id": 12, "video_id": "abc", "video_file": "anet/v_abc.mp4", "dataset_name": "anet",
            "extra": 1,
            "conversation": [
                {"from": "human", "value": "<image>\nWhat happens from <3> to <12.50>?"},
                {"from": "gpt", "value": "A dog runs until <12.5>, x<y, then <b>rests</b>."}
            ]
        }))
        .unwrap();
        assert_eq!(sample.conversations[0].text, "<image>\nWhat happens from <time:0> to <time:1>?");
        assert_eq!(sample.conversations[1].text, "A dog runs until <time:1>, x<y, then <b>rests</b>.");
        assert_eq!(sample.times.iter().map(|time| time.s).collect::<Vec<_>>(), [3.0, 12.5]);
        assert_eq!((sample.id.as_str(), sample.video_id.as_str()), ("12", "abc"));
        assert_eq!(sample.provenance.unwrap().dataset, "anet");
        assert_eq!(sample.origin.unwrap().fields["extra"], 1);
    }

    #[test]
    fn a_video_that_no_turn_shows_stands_before_the_first_question() {
        let sample = read(json!({"video_file": "a.mp4", "conversation": [
            {"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A dog."}]}))
        .unwrap();
        assert_eq!(sample.conversations[0].text, "<video>\nWhat is it?");
        assert_eq!((sample.id.as_str(), sample.video_id.as_str()), ("#7", "a"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let before = json!({"video_file": "a.mp4", "conversation": [
            {"from": "human", "value": "At <-1.5>?"}, {"from": "gpt", "value": "No."}]});
        assert!(read(before).unwrap_err().to_string().contains("-1.5 s"));
        assert!(read(json!({"conversation": []})).unwrap_err().to_string().contains("no video_file"));
    }
}

//! QVHighlights' annotations (`reference`: jayleicn/moment_detr, `data/`) as questions about when something happens.
//!
//! A record holds a query and the windows in which it happens. The words of the question and of the answer are ours.

use super::{Fields, refused, take};
use crate::error::Result;
use crate::sample::{Media, MediaKind, Origin, OriginFormat, Provenance, Role, Sample, TimeRef, TimeStyle};

/// Reads one record; `position` names it when it has no `qid`.
///
/// # Errors
/// No `vid` or `query`, no window (the test set's are hidden), a window without length or outside the video.
pub fn import(mut fields: Fields, position: usize) -> Result<Sample> {
    let id = take::<u64>(&mut fields, &format!("#{position}"), "qid")?
        .map_or_else(|| format!("#{position}"), |qid| format!("qvhighlights-{qid}"));
    let vid: String = take(&mut fields, &id, "vid")?.ok_or_else(|| refused(&id, "no vid"))?;
    let query: String = take(&mut fields, &id, "query")?.ok_or_else(|| refused(&id, "no query"))?;
    let windows: Vec<[f64; 2]> = take(&mut fields, &id, "relevant_windows")?.unwrap_or_default();
    let duration_s = fields.get("duration").and_then(serde_json::Value::as_f64).unwrap_or(f64::INFINITY);
    if windows.is_empty() {
        return Err(refused(&id, "no relevant_windows"));
    }
    let stands = |[start_s, end_s]: &[f64; 2]| *start_s >= 0.0 && start_s < end_s && *end_s <= duration_s;
    if let Some([start_s, end_s]) = windows.iter().find(|window| !stands(window)) {
        return Err(refused(&id, format!("the window {start_s} to {end_s} s does not lie in the video")));
    }
    let uri = format!("{vid}.mp4");
    let media = Media { kind: MediaKind::Video, uri, segment: None, size: None };
    let mut sample = Sample::new(id, vid, vec![media]);
    let query = query.trim().trim_end_matches('.');
    sample.say(Role::User, format!("<video>\nDuring which parts of the video does this happen: {query}?"));
    let parts: Vec<String> =
        (0..windows.len()).map(|at| format!("<time:{}> to <time:{}>", 2 * at, 2 * at + 1)).collect();
    sample.say(Role::Assistant, format!("From {}.", parts.join(" and from ")));
    let time = |(tid, s)| TimeRef { tid, s, rel_to: "media:0".to_owned(), style: TimeStyle::Token };
    sample.times = windows.into_iter().flatten().enumerate().map(time).collect();
    sample.provenance = Some(Provenance { dataset: "qvhighlights".to_owned(), ..Provenance::default() });
    sample.origin = Some(Origin { format: OriginFormat::Qvhighlights, fields });
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validate::MediaFacts;

    fn read(record: serde_json::Value) -> Result<Sample> {
        let serde_json::Value::Object(fields) = record else { panic!("no object") };
        import(fields, 3)
    }

    #[test]
    fn windows_become_an_answer() {
        let sample = read(json!({"qid": 9, "query": "A man cooks. ", "duration": 150, "vid": "RoripwjYFp8_360.0_510.0",
            "relevant_windows": [[26, 36], [50, 52]], "relevant_clip_ids": [13], "saliency_scores": [[4, 1, 1]]}))
        .unwrap();
        sample.validate(MediaFacts { duration_s: Some(150.0), frame_size: None }).unwrap();
        assert_eq!(
            sample.conversations[0].text,
            "<video>\nDuring which parts of the video does this happen: A man cooks?"
        );
        assert_eq!(sample.conversations[1].text, "From <time:0> to <time:1> and from <time:2> to <time:3>.");
        assert_eq!(sample.times.iter().map(|time| time.s).collect::<Vec<_>>(), [26.0, 36.0, 50.0, 52.0]);
        assert_eq!(sample.media[0].uri, "RoripwjYFp8_360.0_510.0.mp4");
        assert!(sample.origin.unwrap().fields.contains_key("saliency_scores"));
    }

    #[test]
    fn records_without_an_answer_are_refused() {
        let hidden = json!({"qid": 9, "query": "A man cooks.", "duration": 150, "vid": "a_0.0_150.0"});
        assert!(read(hidden.clone()).unwrap_err().to_string().contains("no relevant_windows"));
        let mut late = hidden;
        late["relevant_windows"] = json!([[140, 160]]);
        let refused = read(late).unwrap_err().to_string();
        assert!(refused.contains("qvhighlights-9") && refused.contains("140 to 160 s"), "{refused}");
    }
}

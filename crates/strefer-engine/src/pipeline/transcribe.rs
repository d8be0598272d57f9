//! Stage E: what every entity does in every part. Masks say who can be seen; where the text disagrees, that is marked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use strefer_core::Span;
use strefer_core::masklet::IndexSpace;
use strefer_core::records::{
    ClipSpan, Clips, Entities, Entity, FactMap, Masklets, Transcript, TranscriptItem,
};
use strefer_core::sample::Schema;
use strefer_teacher::{Part, Prompt, Question};
use strefer_video::VideoInfo;
use strefer_video::sample::linspace_between;

use super::at_hand::AtHand;
use super::fault::Fault;
use super::frames;
use super::parse::is_nothing;
use super::store::Note;
use super::teachers::Asked;
use super::watch::Watch;
use crate::config::TranscribeConfig;

/// The field of an answer for the part as a whole.
const SCENE: &str = "scene";

/// When masks show an entity, of those that have a masklet.
pub struct Sights {
    /// Seconds of the frames that were looked at.
    looked_s: Vec<f64>,
    /// Places of those frames that show each entity.
    seen: BTreeMap<String, BTreeSet<usize>>,
}

impl Sights {
    /// Of a video that runs at `fps`.
    pub fn new(masklets: &Masklets, fps: f64) -> Self {
        let looked_s = masklets.frame_times_s.clone();
        let place = |key: u32| match masklets.index_space {
            IndexSpace::Uniform { .. } => Some(key as usize).filter(|place| *place < looked_s.len()),
            IndexSpace::Source => {
                let off = |at: &usize| (looked_s[*at] - f64::from(key) / fps).abs();
                (0..looked_s.len()).min_by(|a, b| off(a).total_cmp(&off(b)))
            }
        };
        let seen = masklets.objects.iter().map(|object| {
            let shown = object.frames.iter().filter(|(_, frame)| frame.area > 0);
            (object.eid.clone(), shown.filter_map(|(key, _)| place(key.0)).collect())
        });
        Self { seen: seen.collect(), looked_s: looked_s.clone() }
    }

    /// Whether masks show an entity in a part; unknown where it has no masklet, or no frame of the part was looked at.
    pub fn shows(&self, eid: &str, part: &Span) -> Option<bool> {
        let seen = self.seen.get(eid)?;
        let mut inside = (0..self.looked_s.len()).filter(|&at| part.contains(self.looked_s[at])).peekable();
        inside.peek()?;
        Some(inside.any(|at| seen.contains(&at)))
    }
}

/// The transcript of a video. An entity whose masks show it nowhere in a part is not asked about there.
///
/// # Errors
/// No frame, no answer, no time.
pub fn transcribe(
    at: &AtHand<'_>,
    (entities, masklets, clips): (&Entities, &Masklets, &Clips),
    cfg: &TranscribeConfig,
    prompt: &Prompt,
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<(Transcript, Vec<Note>), Fault> {
    let sights = Sights::new(masklets, at.video.fps);
    let (mut items, mut scene_text, mut notes) = (Vec::new(), FactMap::new(), Vec::new());
    for clip in &clips.items {
        let span = Span { start_s: clip.start_s, end_s: clip.end_s };
        let visible: Vec<Option<bool>> =
            entities.items.iter().map(|entity| sights.shows(&entity.eid, &span)).collect();
        let sought = entities.items.iter().zip(&visible).filter(|(_, visible)| **visible != Some(false));
        let sought: Vec<&Entity> = sought.map(|(entity, _)| entity).collect();
        let mut said: BTreeMap<String, String> = BTreeMap::new();
        let frames = Shown::new(at, clip, cfg)?;
        // Without anybody to ask about, the part as a whole is still asked about.
        let portions = sought.chunks(cfg.entities_at_once).chain(sought.is_empty().then_some(&[][..]));
        for portion in portions {
            let answer = ask(&frames, clip, portion, cfg, prompt, teacher, watch)?;
            for (name, text) in answer {
                let Value::String(text) = text else { continue };
                let text = text.trim();
                if is_nothing(text) {
                    continue;
                } else if name == SCENE {
                    scene_text.entry(clip.cid.clone()).or_insert_with(|| text.to_owned());
                } else {
                    said.insert(name, text.to_owned());
                }
            }
        }
        for (entity, visible) in entities.items.iter().zip(visible) {
            let text = said.remove(&entity.eid);
            let conflict = visible == Some(true) && text.is_none();
            if conflict {
                let text = "masks show it, the transcript does not".to_owned();
                notes.push(Note::new("conflict", format!("{} in {}", entity.eid, clip.cid), text));
            }
            let (cid, eid) = (clip.cid.clone(), entity.eid.clone());
            // What a teacher does not see and no mask shows is not there, as far as anybody knows.
            let visible = visible.or(text.is_some().then_some(true));
            items.push(TranscriptItem { cid, eid, text, visible, conflict });
        }
    }
    let video_id = at.video.video_id.clone();
    Ok((Transcript { schema: Schema::V1, video_id, provenance: None, items, scene_text }, notes))
}

/// The frames of one part.
struct Shown(strefer_teacher::Clip);

impl Shown {
    fn new(at: &AtHand<'_>, clip: &ClipSpan, cfg: &TranscribeConfig) -> Result<Self, Fault> {
        let source = at.source()?;
        let (first, last) = inside(source.info(), clip);
        let count = cfg.frames.min(last - first + 1);
        // A single frame is the one in the middle.
        let indices =
            if count == 1 { vec![(first + last) / 2] } else { linspace_between(first, last, count) };
        Ok(Self(frames::clip(source, &indices, cfg.side)?))
    }
}

/// The first and the last frame that are shown within a part; the one on the screen where none begins there.
fn inside(info: &VideoInfo, clip: &ClipSpan) -> (usize, usize) {
    let last = info.n_frames().saturating_sub(1);
    let first = info.times_s.partition_point(|&at_s| at_s < clip.start_s - 1e-6);
    let after = info.times_s.partition_point(|&at_s| at_s < clip.end_s - 1e-6);
    if after > first {
        (first, after - 1)
    } else {
        let shown = info.index_at(clip.start_s).unwrap_or(last);
        (shown, shown)
    }
}

fn ask(
    frames: &Shown,
    clip: &ClipSpan,
    entities: &[&Entity],
    cfg: &TranscribeConfig,
    prompt: &Prompt,
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<Map<String, Value>, Fault> {
    let mut properties = Map::new();
    properties.insert(SCENE.to_owned(), json!({ "type": "string" }));
    for entity in entities {
        properties.insert(entity.eid.clone(), json!({ "type": ["string", "null"] }));
    }
    let named: Vec<Value> =
        entities.iter().map(|entity| json!({ "eid": entity.eid, "expression": entity.expression })).collect();
    let facts = json!({
        "frames": frames.0.frames.len(),
        "start": format!("{:.1}", clip.start_s),
        "end": format!("{:.1}", clip.end_s),
        "entities": named,
    });
    let question = prompt.ask(facts).map_err(|error| Fault::Records { reason: error.to_string() })?;
    let question = Question {
        schema: Some(json!({
            "type": "object",
            "required": properties.keys().collect::<Vec<_>>(),
            "properties": properties,
            "additionalProperties": false,
        })),
        sampling: cfg.sampling,
        ..question.showing(Part::Clip(frames.0.clone()))
    };
    teacher.ask(&question, watch)
}

#[cfg(test)]
mod tests {
    use strefer_core::records::Boundary;

    use super::*;

    fn info() -> VideoInfo {
        let times_s = (0..10).map(f64::from).collect();
        VideoInfo { width: 4, height: 4, fps: 1.0, duration_s: 10.0, times_s }
    }

    #[test]
    fn frames_of_a_part_begin_in_it() {
        let clip = |start_s, end_s| ClipSpan {
            cid: String::new(),
            start_s,
            end_s,
            boundary: Boundary::End,
            score: None,
        };
        assert_eq!(inside(&info(), &clip(0.0, 10.0)), (0, 9));
        assert_eq!(inside(&info(), &clip(2.0, 4.0)), (2, 3));
        // Nothing begins between 4.2 and 4.8: the frame of second 4 is on the screen.
        assert_eq!(inside(&info(), &clip(4.2, 4.8)), (4, 4));
        assert_eq!(inside(&info(), &clip(9.5, 10.0)), (9, 9));
    }

    #[test]
    fn masks_tell_what_is_seen_where_they_can() {
        let record = |text: &str| serde_json::from_str::<Masklets>(text).unwrap();
        let frame = r#"{"rle":{"size":[2,2],"counts":"04"},"area":4,"bbox_xywh":[0,0,2,2]}"#;
        let empty = r#"{"rle":{"size":[2,2],"counts":"4"},"area":0,"bbox_xywh":[0,0,0,0]}"#;
        let masklets = record(&format!(
            r#"{{"video_id":"a","index_space":{{"kind":"uniform","n":4}},"frame_times_s":[0.0,3.0,6.0,9.0],
            "objects":[{{"eid":"e0","frames":{{"1":{frame},"2":{empty}}}}}]}}"#
        ));
        let sights = Sights::new(&masklets, 1.0);
        let shows = |eid: &str, start_s, end_s| sights.shows(eid, &Span { start_s, end_s });
        assert_eq!(shows("e0", 2.0, 4.0), Some(true));
        assert_eq!(shows("e0", 5.0, 10.0), Some(false));
        assert_eq!(shows("e0", 4.0, 5.0), None);
        assert_eq!(shows("e1", 0.0, 10.0), None);
        let source = record(&format!(
            r#"{{"video_id":"a","index_space":{{"kind":"source"}},"frame_times_s":[0.0,3.0,6.0,9.0],
            "objects":[{{"eid":"e0","frames":{{"6":{frame}}}}}]}}"#
        ));
        assert_eq!(Sights::new(&source, 1.0).shows("e0", &Span { start_s: 5.0, end_s: 7.0 }), Some(true));
    }
}

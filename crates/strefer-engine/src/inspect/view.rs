//! What a page says about one video.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use strefer_core::Sample;
use strefer_core::records::{Boundary, Description, Descriptions};
use strefer_core::sample::{Provenance, Role};
use strefer_core::time::clock_ms;
use strefer_video::draw;

use super::pictures::Shot;
use crate::stages::Stages;

/// One video as its page shows it.
#[derive(Debug, Serialize)]
pub struct VideoView {
    video_id: String,
    duration_s: f64,
    shots: Vec<Shot>,
    /// Why there are no masklets.
    failure: Option<String>,
    paragraph: Option<String>,
    entities: Vec<EntityView>,
    parts: Vec<PartView>,
    /// What was said about single objects.
    objects: Vec<Description>,
    samples: Vec<SampleView>,
    groups: BTreeSet<String>,
    /// What each record was made by.
    made: Vec<(String, String)>,
    notes: Vec<NoteView>,
}

#[derive(Debug, Serialize)]
struct EntityView {
    eid: String,
    expression: String,
    noun: String,
    general_noun: String,
    colour: String,
    frames: usize,
    confidence: Option<f64>,
}

#[derive(Debug, Serialize)]
struct PartView {
    cid: String,
    start: String,
    end: String,
    /// Share of the video.
    percent: f64,
    boundary: &'static str,
    scene: Option<String>,
    cells: Vec<CellView>,
}

#[derive(Debug, Default, Serialize)]
struct CellView {
    text: Option<String>,
    visible: Option<bool>,
    conflict: bool,
}

#[derive(Debug, Serialize)]
struct SampleView {
    id: String,
    group: String,
    task: String,
    negative: bool,
    turns: Vec<(bool, String)>,
    regions: Vec<(usize, String)>,
    times: Vec<(usize, String)>,
    made: String,
}

#[derive(Debug, Serialize)]
struct NoteView {
    stage: String,
    kind: String,
    about: String,
    text: String,
}

impl VideoView {
    /// All that is known about a video.
    pub(super) fn new(
        stages: &Stages,
        descriptions: Option<&Descriptions>,
        samples: &[Sample],
        notes: &[Value],
        shots: Vec<Shot>,
    ) -> Self {
        let Stages { video, entities, masklets, clips, transcript } = stages;
        let entity = |(at, entity): (usize, &strefer_core::records::Entity)| {
            let place = masklets.objects.iter().position(|object| object.eid == entity.eid);
            let object = place.map(|place| &masklets.objects[place]);
            let [red, green, blue] = draw::colour(place.unwrap_or(at));
            EntityView {
                eid: entity.eid.clone(),
                expression: entity.expression.clone(),
                noun: entity.noun.clone(),
                general_noun: entity.general_noun.clone(),
                colour: format!("#{red:02x}{green:02x}{blue:02x}"),
                frames: object.map_or(0, |object| object.frames.len()),
                confidence: object.and_then(|object| object.confidence),
            }
        };
        let part = |clip: &strefer_core::records::ClipSpan| PartView {
            cid: clip.cid.clone(),
            start: clock_ms(clip.start_s),
            end: clock_ms(clip.end_s),
            percent: 100.0 * (clip.end_s - clip.start_s) / video.duration_s.max(1e-9),
            boundary: match clip.boundary {
                Boundary::Shot => "cut",
                Boundary::Semantic => "change",
                Boundary::MaxLen => "length",
                Boundary::End => "end",
            },
            scene: transcript.scene_text.get(&clip.cid).cloned(),
            cells: entities
                .items
                .iter()
                .map(|entity| {
                    let same = |item: &&strefer_core::records::TranscriptItem| {
                        item.cid == clip.cid && item.eid == entity.eid
                    };
                    transcript.items.iter().find(same).map_or_else(CellView::default, |item| CellView {
                        text: item.text.clone(),
                        visible: item.visible,
                        conflict: item.conflict,
                    })
                })
                .collect(),
        };
        let records = [
            ("entities", &entities.provenance),
            ("masklets", &masklets.provenance),
            ("parts", &clips.provenance),
            ("transcript", &transcript.provenance),
        ];
        let samples: Vec<SampleView> = samples.iter().map(SampleView::new).collect();
        Self {
            video_id: video.video_id.clone(),
            duration_s: video.duration_s,
            shots,
            failure: masklets.failure.as_ref().map(ToString::to_string),
            paragraph: entities.paragraph.clone().filter(|text| !text.is_empty()),
            entities: entities.items.iter().enumerate().map(entity).collect(),
            parts: clips.items.iter().map(part).collect(),
            objects: descriptions.map_or_else(Vec::new, |said| said.items.clone()),
            groups: samples.iter().map(|sample| sample.group.clone()).collect(),
            samples,
            made: records
                .into_iter()
                .chain(descriptions.map(|said| ("descriptions", &said.provenance)))
                .map(|(name, made)| (name.to_owned(), signature(made.as_ref())))
                .collect(),
            notes: notes.iter().map(NoteView::new).collect(),
        }
    }

    /// What is worth a look: kinds of notes, and what the records say themselves.
    pub(super) fn flags(&self) -> Vec<String> {
        let mut flags: BTreeSet<String> = self.notes.iter().map(|note| note.kind.clone()).collect();
        let conflict = self.parts.iter().flat_map(|part| &part.cells).any(|cell| cell.conflict);
        flags.extend(conflict.then(|| "conflict".to_owned()));
        flags.extend(self.failure.as_ref().map(|_| "no_masklets".to_owned()));
        flags.extend(self.samples.is_empty().then(|| "no_samples".to_owned()));
        flags.into_iter().collect()
    }
}

/// Who made a record, with the key of its stage.
fn signature(made: Option<&Provenance>) -> String {
    let Some(made) = made else { return "given".to_owned() };
    let parts =
        [Some(&made.dataset).filter(|name| !name.is_empty()), made.model.as_ref(), made.config_hash.as_ref()];
    parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(" · ")
}

impl SampleView {
    fn new(sample: &Sample) -> Self {
        let task = sample.task.as_ref();
        let eid = |region: &strefer_core::sample::Region| region.eid.clone().unwrap_or_default();
        Self {
            id: sample.id.clone(),
            group: task.map_or("conversation".to_owned(), |task| task.group.clone()),
            task: task.map_or(String::new(), |task| task.name.clone()),
            negative: task.is_some_and(|task| task.negative),
            turns: sample
                .conversations
                .iter()
                .map(|turn| (turn.role == Role::User, turn.text.trim_start_matches("<video>\n").to_owned()))
                .collect(),
            regions: sample.regions.iter().map(|region| (region.rid, eid(region))).collect(),
            times: sample.times.iter().map(|time| (time.tid, clock_ms(time.s))).collect(),
            made: signature(sample.provenance.as_ref()),
        }
    }
}

impl NoteView {
    fn new(note: &Value) -> Self {
        let word = |name: &str| note[name].as_str().unwrap_or_default().to_owned();
        Self { stage: word("stage"), kind: word("kind"), about: word("about"), text: word("text") }
    }
}

//! Stage A: a paragraph about what acts in a video.

use serde::{Deserialize, Serialize};
use serde_json::json;
use strefer_core::records::Entities;
use strefer_core::sample::Schema;
use strefer_teacher::{Part, Prompt, Question};
use strefer_video::sample::linspace_trunc;

use super::at_hand::AtHand;
use super::fault::Fault;
use super::frames;
use super::teachers::Asked;
use super::watch::Watch;
use crate::config::RecogniseConfig;

#[derive(Serialize)]
struct Facts {
    frames: usize,
    duration: String,
}

#[derive(Deserialize)]
struct Answer {
    paragraph: String,
}

/// The record of the paragraph, without entities yet. A video in which nothing acts has an empty one.
///
/// # Errors
/// No frame, no answer, no time.
pub fn recognise(
    at: &AtHand<'_>,
    cfg: &RecogniseConfig,
    prompt: &Prompt,
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<Entities, Fault> {
    let source = at.source()?;
    let clip = frames::clip(source, &linspace_trunc(source.info().n_frames(), cfg.frames), cfg.side)?;
    let facts = Facts { frames: clip.frames.len(), duration: format!("{:.1}", at.video.duration_s) };
    let question = prompt.ask(facts).map_err(|error| Fault::Records { reason: error.to_string() })?;
    let question = Question {
        schema: Some(json!({
            "type": "object",
            "properties": { "paragraph": { "type": "string" } },
            "required": ["paragraph"],
            "additionalProperties": false,
        })),
        sampling: cfg.sampling,
        ..question.showing(Part::Clip(clip))
    };
    let Answer { paragraph } = teacher.ask(&question, watch)?;
    Ok(Entities {
        schema: Schema::V1,
        video_id: at.video.video_id.clone(),
        provenance: None,
        paragraph: Some(paragraph.trim().to_owned()),
        items: Vec::new(),
    })
}

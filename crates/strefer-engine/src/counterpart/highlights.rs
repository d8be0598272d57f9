//! QVHighlights from worlds whose actions are known.

use serde_json::{Value, json};
use strefer_core::sample::{Region, RegionMode};
use strefer_core::{FrameMask, Span};

use super::regions::object;
use crate::error::Result;
use crate::facts::spread;
use crate::language::verbs::{Form, conjugate};
use crate::truth::{TruthEntity, TruthVideo};

/// Length of the clips that saliency is given for.
const CLIP_S: f64 = 2.0;

/// A clip that shows something for longer than this and for less than half of its time is neither here nor there.
const HARDLY_S: f64 = 0.4;

/// The most masks of an object that are written down.
const MASKS: usize = 8;

/// A benchmark of queries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Highlights {
    /// Lines of `highlight_val_release.jsonl`.
    pub queries: Vec<Value>,
    /// Lines of `highlight_val_release.objects.jsonl`, which the benchmark does not have: the masks of what each query names.
    pub objects: Vec<Value>,
}

/// What an entity does through the clips of a video: seconds of each clip in which it does so.
fn shares_s(spans: &[Span], n_clips: usize) -> Vec<f64> {
    let clip = |at: usize| Span { start_s: CLIP_S * at as f64, end_s: CLIP_S * (at + 1) as f64 };
    let shared = |clip: &Span| {
        spans.iter().filter_map(|span| span.intersection(clip)).map(|both| both.length_s()).sum::<f64>()
    };
    (0..n_clips).map(|at| shared(&clip(at))).collect()
}

/// Queries about what each entity does, as lines of `highlight_val_release.jsonl`: "the large red ball jumps". A clip of two
/// seconds is relevant when it shows that for half of its time or more; how much of it is its saliency. Entities that their
/// expression does not tell from others, actions that no clip shows for so long, and those that some clip shows for a part of its
/// time only, are left out. Videos last an even number
/// of seconds.
///
/// # Errors
/// Masks that do not count frames of the source.
pub fn highlights(videos: &[TruthVideo]) -> Result<Highlights> {
    let mut all = Highlights::default();
    for truth in videos {
        let n_clips = (truth.video.duration_s / CLIP_S).floor() as usize;
        let duration_s = CLIP_S as usize * n_clips;
        let vid = format!("{}_0.0_{duration_s}.0", truth.video.video_id);
        for entity in &truth.entities {
            let twins = truth.entities.iter().filter(|other| other.expression == entity.expression);
            if twins.count() > 1 {
                continue;
            }
            let mut actions: Vec<&str> = entity.actions.iter().map(|action| action.text.as_str()).collect();
            actions.sort_unstable();
            actions.dedup();
            for text in actions {
                let spans: Vec<Span> = entity
                    .actions
                    .iter()
                    .filter(|action| action.text == text)
                    .flat_map(|action| {
                        entity.visible.iter().filter_map(|visible| action.span.intersection(visible))
                    })
                    .collect();
                let shares_s = shares_s(&spans, n_clips);
                let relevant: Vec<usize> =
                    (0..n_clips).filter(|&clip| shares_s[clip] >= CLIP_S / 2.0).collect();
                let is_unclear = |&share_s: &f64| share_s > HARDLY_S && share_s < CLIP_S / 2.0;
                if relevant.is_empty() || shares_s.iter().any(is_unclear) {
                    continue;
                }
                let qid = all.queries.len();
                let level = |clip: &usize| ((4.0 * shares_s[*clip] / CLIP_S).round() as u8).min(4);
                let id = format!("query {qid}");
                all.objects.push(json!({
                    "qid": qid,
                    "query": format!("<region> is {}", conjugate(text, Form::Progressive)),
                    "annotation": [object(&id, &region(truth, entity))?],
                }));
                all.queries.push(json!({
                    "qid": qid,
                    "query": format!("the {} {text}", entity.expression),
                    "duration": duration_s,
                    "vid": vid,
                    "relevant_windows": windows(&relevant),
                    "relevant_clip_ids": relevant,
                    "saliency_scores": relevant.iter().map(|clip| [level(clip); 3]).collect::<Vec<_>>(),
                }));
            }
        }
    }
    Ok(all)
}

/// An entity with masks spread over the video.
fn region(truth: &TruthVideo, entity: &TruthEntity) -> Region {
    let seen: Vec<_> = entity.masks.iter().collect();
    let masks = spread(seen.len(), MASKS).map(|at| (*seen[at].0, FrameMask::Rle(seen[at].1.clone().into())));
    Region {
        rid: 0,
        eid: None,
        masks: masks.collect(),
        index_space: truth.index_space,
        mode: RegionMode::Multi,
        fixed_key: None,
    }
}

/// Neighbouring clips as windows of seconds.
fn windows(clips: &[usize]) -> Vec<[usize; 2]> {
    let seconds = CLIP_S as usize;
    let runs = clips.chunk_by(|a, b| a + 1 == *b);
    runs.filter_map(|run| Some([seconds * run.first()?, seconds * (run.last()? + 1)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_that_show_it_for_half_of_their_time_are_relevant() {
        let span = |start_s, end_s| Span { start_s, end_s };
        assert_eq!(shares_s(&[span(1.0, 4.5), span(7.0, 8.0)], 4), [1.0, 2.0, 0.5, 1.0]);
        assert_eq!(windows(&[0, 1, 3, 4, 6]), [[0, 4], [6, 10], [12, 14]]);
        assert!(windows(&[]).is_empty());
    }
}

//! RexSeek chooses among the boxes of a frame.

use strefer_model::rexseek::RexSeek;

use crate::masklets::eyes::FrameStore;
use crate::masklets::seam::{Answer, Area, Referee, Seen};

/// RexSeek over the frames of a store.
#[derive(Debug)]
pub struct RexSeekReferee<'a> {
    frames: &'a FrameStore,
    model: &'a RexSeek,
}

impl<'a> RexSeekReferee<'a> {
    /// Looks at the frames of `frames`.
    pub fn new(frames: &'a FrameStore, model: &'a RexSeek) -> Self {
        Self { frames, model }
    }
}

impl Referee for RexSeekReferee<'_> {
    fn name(&self) -> &str {
        "rexseek"
    }

    /// Boxes that there is no index for are never answered.
    fn refer(&mut self, position: usize, boxes: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>> {
        let image = self.frames.worked(position)?;
        let boxes: Vec<[f32; 4]> = boxes.iter().map(|area| area.map(|side| side as f32)).collect();
        let scene = self.model.scene(&image, &boxes)?;
        if scene.left_out() > 0 {
            tracing::warn!("frame {position}: {} boxes have no index and are left out", scene.left_out());
        }
        let read = |answer: strefer_model::Result<strefer_model::rexseek::Answer>| {
            let answer = answer?;
            let sure = |log: &Option<f64>| log.map_or(1.0, f64::exp);
            let confidence = answer.log_probabilities.iter().map(sure).collect();
            Ok(Answer { indices: answer.indices, confidence })
        };
        scene.ask(expressions).into_iter().map(read).collect()
    }
}

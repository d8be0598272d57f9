//! RexSeek chooses among the boxes of a frame.

use std::sync::Arc;

use strefer_engine::masklets::eyes::FrameStore;
use strefer_engine::masklets::{Answer, Area, Referee, Seen};
use strefer_engine::pipeline::masklets::RefereeFor;
use strefer_model::rexseek::RexSeek;

/// A model that is asked about the frames of a video.
pub(super) struct RexSeekReferee<'a> {
    frames: &'a FrameStore,
    model: Arc<RexSeek>,
}

impl<'a> RexSeekReferee<'a> {
    pub(super) fn new(frames: &'a FrameStore, model: Arc<RexSeek>) -> Self {
        Self { frames, model }
    }

    /// One model for the frames of one video after the other.
    pub(super) fn for_each_video(model: Arc<RexSeek>) -> Box<RefereeFor> {
        Box::new(move |frames| Box::new(RexSeekReferee::new(frames, Arc::clone(&model))))
    }
}

impl Referee for RexSeekReferee<'_> {
    fn name(&self) -> &str {
        "rexseek"
    }

    fn refer(&mut self, position: usize, boxes: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>> {
        let image = self.frames.frame(position)?;
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::{DType, Device};
    use image::RgbImage;
    use strefer_model::rexseek::RexSeekOptions;
    use strefer_video::{Limits, VideoSource};

    use super::*;

    #[test]
    fn a_frame_is_asked_about_as_the_model_itself_is() {
        let film = tempfile::tempdir().unwrap();
        let picture = RgbImage::from_fn(64, 48, |x, y| image::Rgb([(4 * x) as u8, (5 * y) as u8, 90]));
        for name in ["000.png", "001.png"] {
            picture.save(film.path().join(name)).unwrap();
        }
        let source = VideoSource::open(film.path(), &Limits::default()).unwrap();
        let (frames, _) = FrameStore::open(source, 2).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/rexseek");
        let model = RexSeek::load(folder, &Device::Cpu, DType::F32, RexSeekOptions::default()).unwrap();
        let model = Arc::new(model);
        let boxes = [[4.0, 4.0, 30.0, 40.0], [20.0, 10.0, 60.0, 44.0]];
        let expressions = ["the left one", "the dog"];
        let found = RexSeekReferee::new(&frames, Arc::clone(&model)).refer(1, &boxes, &expressions).unwrap();
        let scene = model.scene(&picture, &boxes.map(|area| area.map(|side| side as f32))).unwrap();
        let direct: Vec<_> = scene.ask(&expressions).into_iter().map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        for (found, direct) in found.iter().zip(&direct) {
            assert_eq!(found.indices, direct.indices);
            assert_eq!(found.confidence.len(), found.indices.len());
            assert!(found.confidence.iter().all(|sure| (0.0..=1.0).contains(sure)));
        }
        assert!(RexSeekReferee::new(&frames, Arc::clone(&model)).refer(9, &boxes, &expressions).is_err());
    }
}

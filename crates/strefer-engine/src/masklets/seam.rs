//! What the stage asks of the models that look at a video. Frames are positions in a sample of the video; how pixels come to
//! a model is the model's business, so that simulated ones need none.

use strefer_core::Mask;
use strefer_core::records::{MaskletsFailure, PerceptionStage};

/// Left, top, right and bottom in pixels.
pub type Area = [f64; 4];

/// What a model gives back, or why it cannot.
pub type Seen<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A box that the detector found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Where.
    pub area: Area,
    /// How well its best token fits, 0 to 1.
    pub score: f64,
    /// The words of all tokens that fit well, of whatever noun; may be empty.
    pub label: String,
    /// The noun whose tokens fit best, as a position in the nouns asked for.
    pub noun: Option<usize>,
    /// The expression that it is known to belong to, where a person drew it.
    pub expression: Option<usize>,
}

/// Nouns become boxes.
pub trait Detector {
    /// Boxes of what the nouns name on a frame.
    fn detect(&mut self, position: usize, nouns: &[String]) -> Seen<Vec<Detection>>;
}

/// The way in which frames are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To later frames.
    Forward,
    /// To earlier frames.
    Backward,
}

/// Begins to follow objects.
pub trait Tracker {
    /// A session that starts on a frame and visits each next one.
    fn begin<'a>(&'a self, start: usize, way: Way) -> Seen<Box<dyn Tracking + 'a>>;
}

/// Objects that are followed in one direction.
pub trait Tracking {
    /// Points at a new object with a box on the frame that was visited last, or on the first one. Gives its mask there.
    fn add(&mut self, object: u32, position: usize, area: Area) -> Seen<Mask>;

    /// The masks of all objects on the next frame; an empty mask where one is not to be seen. On the frame on which an
    /// object was added that is the mask given then.
    fn step(&mut self, position: usize) -> Seen<Vec<(u32, Mask)>>;

    /// Follows an object no longer.
    fn remove(&mut self, object: u32);
}

/// What the referee says to one expression.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Positions of boxes as they were answered, possibly repeated or out of range.
    pub indices: Vec<usize>,
    /// How sure each of them is, 0 to 1; 1 where a model does not say.
    pub confidence: Vec<f64>,
}

/// Expressions choose among boxes.
pub trait Referee {
    /// What records call it.
    fn name(&self) -> &str;

    /// One answer an expression.
    fn refer(&mut self, position: usize, boxes: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>>;
}

/// What an object looks like.
pub trait Looks {
    /// A description whose product with another says how alike two objects are; it has length 1. Nothing where a mask is
    /// too small to tell.
    fn look(&mut self, position: usize, mask: &Mask) -> Seen<Option<Vec<f32>>>;
}

/// Nobody who could be asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Referee for Nobody {
    fn name(&self) -> &str {
        "none"
    }

    fn refer(&mut self, _: usize, _: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>> {
        Ok(vec![Answer::default(); expressions.len()])
    }
}

impl Looks for Nobody {
    fn look(&mut self, _: usize, _: &Mask) -> Seen<Option<Vec<f32>>> {
        Ok(None)
    }
}

/// All models that the stage needs.
pub struct Perception<'a> {
    /// Nouns become boxes.
    pub detector: &'a mut dyn Detector,
    /// Boxes become masks.
    pub tracker: &'a dyn Tracker,
    /// Expressions choose among boxes.
    pub referee: &'a mut dyn Referee,
    /// Masks become descriptions.
    pub looks: &'a mut dyn Looks,
}

/// Names the model and the frame of a failure.
pub(super) fn at<T>(stage: PerceptionStage, position: usize, seen: Seen<T>) -> Result<T, MaskletsFailure> {
    seen.map_err(|error| {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            let text = source.to_string();
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            cause = source.source();
        }
        MaskletsFailure::Perception { stage, position: position as u32, reason }
    })
}

//! What can be said about an object.

use candle_core::Tensor;
use strefer_core::Mask;

/// What a point says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Outside the object.
    Outside,
    /// On the object.
    Inside,
    /// The top left corner of a box.
    TopLeft,
    /// The bottom right corner of a box.
    BottomRight,
    /// Nothing: it stands where there must be a point.
    Nothing,
    /// It makes rows equally long, and is a vector of zeros.
    Padding,
}

/// A point of the square image that the model sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PromptPoint {
    /// Column and row in pixels, (0, 0) in the middle of the first pixel.
    pub xy: [f32; 2],
    /// What it says.
    pub label: Label,
}

/// A click on an image or frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Click {
    /// Column in pixels.
    pub x: f32,
    /// Row in pixels.
    pub y: f32,
    /// Whether it is on the object, or outside.
    pub inside: bool,
}

/// Clicks, a box and earlier logits, all about one object of one image. All of them may be missing.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// Clicks in pixels of the image.
    pub clicks: Vec<Click>,
    /// A box around the object: left, top, right, bottom, in pixels of the image.
    pub area: Option<[f32; 4]>,
    /// Logits of a mask, `(h, w)`, usually those of an earlier answer.
    pub logits: Option<Tensor>,
}

impl Prompt {
    /// One click on the object.
    pub fn click(x: f32, y: f32) -> Self {
        Self { clicks: vec![Click { x, y, inside: true }], ..Self::default() }
    }

    /// A box around the object: left, top, right, bottom.
    pub fn boxed(area: [f32; 4]) -> Self {
        Self { area: Some(area), ..Self::default() }
    }

    /// The points that the model gets, scaled from an image of `size` (height, width) to a square of `side` pixels.
    /// Without clicks and box there is one that says nothing.
    pub(super) fn points(&self, size: (usize, usize), side: usize) -> Vec<PromptPoint> {
        let (down, across) = (side as f32 / size.0 as f32, side as f32 / size.1 as f32);
        let point = |x: f32, y: f32, label| PromptPoint { xy: [x * across, y * down], label };
        let label = |inside| if inside { Label::Inside } else { Label::Outside };
        let mut points: Vec<PromptPoint> =
            self.clicks.iter().map(|click| point(click.x, click.y, label(click.inside))).collect();
        if let Some([left, top, right, bottom]) = self.area {
            points.push(point(left, top, Label::TopLeft));
            points.push(point(right, bottom, Label::BottomRight));
        }
        if points.is_empty() {
            points.push(point(0.0, 0.0, Label::Nothing));
        }
        points
    }

    /// How many points a person gave, a box counting as two.
    pub(super) fn given(&self) -> usize {
        self.clicks.len() + 2 * usize::from(self.area.is_some())
    }

    /// What makes no sense about it, if anything does.
    pub(super) fn problem(&self) -> Option<String> {
        let numbers =
            self.clicks.iter().flat_map(|click| [click.x, click.y]).chain(self.area.into_iter().flatten());
        if let Some(number) = numbers.into_iter().find(|number| !number.is_finite()) {
            return Some(format!("a coordinate is {number}"));
        }
        match (self.area, &self.logits) {
            (Some([left, top, right, bottom]), _) if left > right || top > bottom => {
                Some(format!("the box {left} {top} {right} {bottom} ends before it begins"))
            }
            (_, Some(logits)) if logits.rank() != 2 => {
                Some(format!("logits of shape {:?} are no mask", logits.dims()))
            }
            _ => None,
        }
    }
}

/// What is said about an object on one frame of a video.
#[derive(Debug, Clone)]
pub enum VideoPrompt {
    /// Clicks and a box, all that is known about this frame; `logits` are not looked at.
    Points(Prompt),
    /// The object's mask, in the size of the video.
    Mask(Mask),
}

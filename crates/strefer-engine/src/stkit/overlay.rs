//! Boxes in colours, drawn into the frames: this is how a question points at an object.

use serde::{Deserialize, Serialize};

/// Thickness of an outline as a share of the frame's longer side.
const STROKE_SHARE: f64 = 0.004;

/// Thinnest outline in pixels.
const THINNEST_PX: usize = 2;

/// The colour of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Red.
    Red,
    /// Blue.
    Blue,
    /// Green.
    Green,
    /// Yellow.
    Yellow,
    /// Purple.
    Purple,
    /// Orange.
    Orange,
    /// Cyan.
    Cyan,
    /// Pink.
    Pink,
}

impl Colour {
    /// In the order in which they are given to objects.
    pub const PALETTE: [Self; 8] = [
        Self::Red,
        Self::Blue,
        Self::Green,
        Self::Yellow,
        Self::Purple,
        Self::Orange,
        Self::Cyan,
        Self::Pink,
    ];

    /// As it is called in questions and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Blue => "blue",
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Purple => "purple",
            Self::Orange => "orange",
            Self::Cyan => "cyan",
            Self::Pink => "pink",
        }
    }

    /// Red, green and blue.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [255, 0, 0],
            Self::Blue => [0, 0, 255],
            Self::Green => [0, 255, 0],
            Self::Yellow => [255, 255, 0],
            Self::Purple => [160, 32, 240],
            Self::Orange => [255, 165, 0],
            Self::Cyan => [0, 255, 255],
            Self::Pink => [255, 105, 180],
        }
    }
}

/// One object's boxes in a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Their colour.
    pub colour: Colour,
    /// Pixels (left, top, right, bottom), one entry a frame; `null` where there is nothing to draw.
    pub boxes: Vec<Option<[f64; 4]>>,
}

/// What must be drawn into the frames of a clip before its questions can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// The clip.
    pub clip_id: String,
    /// The folder that its samples read their frames from.
    pub folder: String,
    /// The frames without boxes.
    pub frames: Vec<String>,
    /// The boxes.
    pub marks: Vec<Mark>,
}

impl Overlay {
    /// Draws all boxes of one frame into it, at its own size, before it is resized for a model.
    ///
    /// # Shapes
    /// - `pixels`: `(height, width, 3)` as bytes, rows first
    ///
    /// # Panics
    /// `pixels` is not as long as `size` says.
    pub fn draw(&self, frame: usize, pixels: &mut [u8], size: (usize, usize), smallest_box: f64) {
        let (height, width) = size;
        assert_eq!(pixels.len(), height * width * 3, "pixels of a frame of {height}x{width}");
        for mark in &self.marks {
            let bbox = mark.boxes.get(frame).copied().flatten();
            if let Some(bbox) = bbox.and_then(|bbox| visible_box(bbox, size, smallest_box)) {
                draw_box(pixels, size, bbox, mark.colour.rgb());
            }
        }
    }
}

/// The part of a box inside a frame of `(height, width)`; `None` when it is smaller than `smallest` of the frame.
pub(super) fn visible_box(bbox: [f64; 4], size: (usize, usize), smallest: f64) -> Option<[f64; 4]> {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let [x0, y0, x1, y1] = bbox;
    let [x0, x1] = [x0, x1].map(|x| x.clamp(0.0, width));
    let [y0, y1] = [y0, y1].map(|y| y.clamp(0.0, height));
    let area = (x1 - x0) * (y1 - y0);
    (area > 0.0 && area >= smallest * height * width).then_some([x0, y0, x1, y1])
}

/// Thickness of an outline in pixels.
fn stroke_px((height, width): (usize, usize)) -> usize {
    ((STROKE_SHARE * height.max(width) as f64).round() as usize).max(THINNEST_PX)
}

/// An outline that lies inside the box.
fn draw_box(pixels: &mut [u8], size: (usize, usize), bbox: [f64; 4], rgb: [u8; 3]) {
    let stroke = stroke_px(size);
    let [x0, y0, x1, y1] = bbox.map(|side| side.round() as usize);
    for y in y0..y1 {
        let is_edge_row = y < y0 + stroke || y + stroke >= y1;
        for x in (x0..x1).filter(|&x| is_edge_row || x < x0 + stroke || x + stroke >= x1) {
            let at = (y * size.1 + x) * 3;
            pixels[at..at + 3].copy_from_slice(&rgb);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(boxes: Vec<Option<[f64; 4]>>, frame: usize) -> Vec<(usize, usize)> {
        let marks = vec![Mark { colour: Colour::Orange, boxes }];
        let (clip_id, folder) = ("a".to_owned(), "marked/a".to_owned());
        let overlay = Overlay { clip_id, folder, frames: Vec::new(), marks };
        let mut pixels = vec![0; 12 * 16 * 3];
        overlay.draw(frame, &mut pixels, (12, 16), 0.0005);
        let is_drawn = |at: &usize| pixels[at * 3..at * 3 + 3] == Colour::Orange.rgb();
        (0..12 * 16).filter(is_drawn).map(|at| (at / 16, at % 16)).collect()
    }

    #[test]
    fn an_outline_is_hollow() {
        let pixels = drawn(vec![Some([2.0, 3.0, 9.0, 9.0])], 0);
        let inside = |&(y, x): &(usize, usize)| (3..9).contains(&y) && (2..9).contains(&x);
        assert!(pixels.iter().all(inside));
        assert_eq!(pixels.len(), 7 * 6 - 3 * 2);
        assert!(!pixels.contains(&(5, 5)));
    }

    #[test]
    fn boxes_are_cut_at_the_border() {
        assert!(drawn(vec![Some([-5.0, -5.0, 99.0, 99.0])], 0).contains(&(11, 15)));
        assert_eq!(drawn(vec![Some([20.0, 0.0, 30.0, 5.0])], 0), []);
    }

    #[test]
    fn frames_without_a_box_stay_as_they_are() {
        assert_eq!(drawn(vec![None, Some([2.0, 3.0, 9.0, 9.0])], 0), []);
        assert_eq!(drawn(vec![None], 7), []);
    }

    #[test]
    fn tiny_boxes_are_not_seen() {
        assert_eq!(visible_box([0.0, 0.0, 1.0, 1.0], (100, 100), 0.0005), None);
        let cut = visible_box([-2.0, 90.0, 10.0, 120.0], (100, 100), 0.0005);
        assert_eq!(cut, Some([0.0, 90.0, 10.0, 100.0]));
    }

    #[test]
    fn outlines_grow_with_the_frame() {
        assert_eq!([(100, 200), (720, 1280), (1080, 1920)].map(stroke_px), [2, 5, 8]);
    }

    #[test]
    fn no_two_colours_are_alike() {
        let alike =
            |a: Colour| Colour::PALETTE.iter().filter(|b| b.rgb() == a.rgb() || b.name() == a.name()).count();
        assert!(Colour::PALETTE.into_iter().all(|colour| alike(colour) == 1));
        assert_eq!(serde_json::to_string(&Colour::Cyan).unwrap(), r#""cyan""#);
    }
}

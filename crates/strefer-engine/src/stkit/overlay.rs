//! Boxes in colours, drawn into the frames: this is how a question points at an object.

use image::RgbImage;
use serde::{Deserialize, Serialize};
use strefer_video::draw;

pub use strefer_core::marks::{Colour, visible_box};

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
    /// Height and width of the frames that boxes are for, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u32, u32)>,
    /// The boxes.
    pub marks: Vec<Mark>,
}

impl Overlay {
    /// Draws all boxes of one frame into it, at its own size, before it is resized for a model.
    pub fn draw(&self, frame: usize, image: &mut RgbImage, smallest_box: f64) {
        for mark in &self.marks {
            if let Some(bbox) = mark.boxes.get(frame).copied().flatten() {
                draw::object_box(image, bbox, mark.colour, smallest_box);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(boxes: Vec<Option<[f64; 4]>>, frame: usize) -> Vec<(usize, usize)> {
        let marks = vec![Mark { colour: Colour::Orange, boxes }];
        let (clip_id, folder) = ("a".to_owned(), "marked/a".to_owned());
        let overlay = Overlay { clip_id, folder, frames: Vec::new(), size: None, marks };
        let mut image = RgbImage::new(16, 12);
        overlay.draw(frame, &mut image, 0.0005);
        let is_drawn =
            |&(y, x): &(usize, usize)| image.get_pixel(x as u32, y as u32).0 == Colour::Orange.rgb();
        (0..12 * 16).map(|at| (at / 16, at % 16)).filter(is_drawn).collect()
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
}

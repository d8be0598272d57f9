//! Coloured boxes around objects (ST-VLM, arXiv 2503.19355): their colours, their place, and what is said about them.

use serde::{Deserialize, Serialize};

/// Thickness of an outline as a share of the frame's longer side.
const STROKE_SHARE: f64 = 0.004;

/// Thinnest outline in pixels.
const THINNEST_PX: usize = 2;

/// Boxes of a smaller share of the frame are not drawn.
pub const SMALLEST_BOX: f64 = 0.0005;

/// The colour of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

    /// What a question calls the object in the box of this colour.
    pub fn boxed_object(self) -> String {
        format!("the object in the {} box", self.name())
    }
}

/// The part of a box (left, top, right, bottom) inside a frame of `(height, width)`; `None` when it is smaller than
/// `smallest` of the frame.
pub fn visible_box(bbox: [f64; 4], size: (usize, usize), smallest: f64) -> Option<[f64; 4]> {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let [x0, y0, x1, y1] = bbox;
    let [x0, x1] = [x0, x1].map(|x| x.clamp(0.0, width));
    let [y0, y1] = [y0, y1].map(|y| y.clamp(0.0, height));
    let area = (x1 - x0) * (y1 - y0);
    (area > 0.0 && area >= smallest * height * width).then_some([x0, y0, x1, y1])
}

/// Thickness in pixels of an outline in a frame of `(height, width)`.
pub fn stroke_px((height, width): (usize, usize)) -> usize {
    ((STROKE_SHARE * height.max(width) as f64).round() as usize).max(THINNEST_PX)
}

/// What a question about boxed objects begins with: how the video is shown and which objects are marked.
pub fn preamble(duration_s: f64, times_s: &[f64], colours: &[Colour]) -> String {
    let times: Vec<String> = times_s.iter().map(|at_s| format!("{at_s:.2}s")).collect();
    let marked = match colours {
        [colour] => format!("One object is marked by a {} box.", colour.name()),
        _ => {
            let names: Vec<&str> = colours.iter().map(|colour| colour.name()).collect();
            format!("{} objects are marked by boxes of these colors: {}.", colours.len(), names.join(", "))
        }
    };
    format!(
        "The video is {duration_s:.2}s long. You see {} frames, sampled uniformly at these times: {}. {marked}",
        times.len(),
        times.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_boxes_are_not_seen() {
        assert_eq!(visible_box([0.0, 0.0, 1.0, 1.0], (100, 100), SMALLEST_BOX), None);
        let cut = visible_box([-2.0, 90.0, 10.0, 120.0], (100, 100), SMALLEST_BOX);
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

    #[test]
    fn the_preamble_tells_times_and_colours() {
        assert_eq!(
            preamble(2.0, &[0.0, 1.5], &[Colour::Red]),
            "The video is 2.00s long. You see 2 frames, sampled uniformly at these times: 0.00s, 1.50s. One object is \
             marked by a red box."
        );
        assert!(preamble(2.0, &[0.0], &Colour::PALETTE[..2]).ends_with("of these colors: red, blue."));
    }
}

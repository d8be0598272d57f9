//! What a person draws on a frame to point at an object, and the mask that is made of it.

use std::fmt;

use crate::error::{Error, Result};
use crate::mask::{Mask, PixelBox};
use crate::rle::Rle;

/// Radius of the disc around a point, as a share of the frame's shorter side: on frames up to 16:9 such a disc covers
/// the middle of a patch of a 27x27 grid wherever it lies, stretched or padded.
const POINT_SHARE: f64 = 0.05;

/// Smallest radius of a disc, in pixels.
const SMALLEST_RADIUS_PX: f64 = 2.0;

/// Width of a scribble's pen, as a share of the frame's shorter side.
const PEN_SHARE: f64 = 0.05;

/// Thinnest pen, in pixels.
const THINNEST_PEN_PX: f64 = 3.0;

/// A pixel of a frame; as a corner of a polygon its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelPoint {
    /// Column.
    pub x: usize,
    /// Row.
    pub y: usize,
}

/// A way to point at an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gesture {
    /// A box around it, cut at the borders of the frame.
    Box(PixelBox),
    /// One or several of its pixels; a disc around each.
    Points(Vec<PixelPoint>),
    /// A line over it, drawn with a thick pen, cut at the borders of the frame.
    Scribble(Vec<PixelPoint>),
    /// Its outline, filled, cut at the borders of the frame.
    Polygon(Vec<PixelPoint>),
}

impl fmt::Display for Gesture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = match self {
            Self::Box(PixelBox { x0, y0, x1, y1 }) => return write!(f, "box {x0},{y0},{x1},{y1}"),
            Self::Points(points) | Self::Scribble(points) | Self::Polygon(points) => points,
        };
        let points: Vec<String> = points.iter().map(|point| format!("{},{}", point.x, point.y)).collect();
        write!(f, "{} {}", self.name(), points.join(";"))
    }
}

/// Radius of the disc around a point, in pixels.
fn point_radius_px(height: usize, width: usize) -> f64 {
    (POINT_SHARE * height.min(width) as f64).round().max(SMALLEST_RADIUS_PX)
}

/// Width of a scribble's pen, in pixels.
fn pen_px(height: usize, width: usize) -> f64 {
    (PEN_SHARE * height.min(width) as f64).round().max(THINNEST_PEN_PX)
}

impl Gesture {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Box(_) => "box",
            Self::Points(_) => "point",
            Self::Scribble(_) => "scribble",
            Self::Polygon(_) => "polygon",
        }
    }

    /// Refuses a gesture that means nothing on any frame.
    ///
    /// # Errors
    /// A box without an inside, too few points.
    pub fn validate(&self) -> Result<()> {
        let (found, least) = match self {
            Self::Box(area) if area.x0 >= area.x1 || area.y0 >= area.y1 => {
                return Err(Error::EmptyGesture { gesture: self.to_string() });
            }
            Self::Box(_) => return Ok(()),
            Self::Points(points) => (points.len(), 1),
            Self::Scribble(points) => (points.len(), 2),
            Self::Polygon(points) => (points.len(), 3),
        };
        if found < least {
            return Err(Error::TooFewPoints { gesture: self.name(), found, least });
        }
        Ok(())
    }

    /// The mask on a frame.
    ///
    /// # Errors
    /// What [`Self::validate`] refuses, a point outside the frame, anything else that covers none of its pixels.
    pub fn to_mask(&self, height: usize, width: usize) -> Result<Mask> {
        self.validate()?;
        let outside = |gesture: String| Error::OutsideFrame { gesture, height, width };
        let mask = match self {
            Self::Box(area) => Mask::from_box(height, width, *area),
            Self::Points(points) => {
                if let Some(&point) = points.iter().find(|point| point.x >= width || point.y >= height) {
                    return Err(outside(Self::Points(vec![point]).to_string()));
                }
                // A path of one point is a disc.
                let discs: Vec<&[PixelPoint]> = points.chunks(1).collect();
                stroke(height, width, &discs, point_radius_px(height, width))
            }
            Self::Scribble(points) => stroke(height, width, &[points], pen_px(height, width) / 2.0),
            Self::Polygon(points) => {
                let numbers = points.iter().flat_map(|point| [point.x as f64, point.y as f64]).collect();
                Rle::from_polygons(height as u32, width as u32, &[numbers])?.to_mask()
            }
        };
        if !mask.is_empty() {
            return Ok(mask);
        }
        match self {
            Self::Polygon(points) if overlaps(points, height, width) => {
                Err(Error::EmptyGesture { gesture: self.to_string() })
            }
            _ => Err(outside(self.to_string())),
        }
    }
}

/// Whether the box around some points shares pixels with the frame.
fn overlaps(points: &[PixelPoint], height: usize, width: usize) -> bool {
    points.iter().any(|point| point.x < width) && points.iter().any(|point| point.y < height)
}

/// The pixels whose middle lies at most `radius` away from the middle line of a path.
fn stroke(height: usize, width: usize, paths: &[&[PixelPoint]], radius: f64) -> Mask {
    let mut mask = Mask::zeros(height, width);
    for path in paths {
        let ends = path.iter().skip(1).chain(path.last());
        for (from, to) in path.iter().zip(ends) {
            // The box around this piece; pixels outside need no look.
            let reach = radius.ceil() as usize;
            let (top, bottom) = (from.y.min(to.y), from.y.max(to.y).saturating_add(reach + 1));
            let (left, right) = (from.x.min(to.x), from.x.max(to.x).saturating_add(reach + 1));
            for y in top.saturating_sub(reach)..bottom.min(height) {
                for x in left.saturating_sub(reach)..right.min(width) {
                    if distance(PixelPoint { x, y }, *from, *to) <= radius {
                        mask.set(y, x, true);
                    }
                }
            }
        }
    }
    mask
}

/// From a point to the nearest point of a line between two others.
fn distance(point: PixelPoint, from: PixelPoint, to: PixelPoint) -> f64 {
    let place = |point: PixelPoint| (point.x as f64, point.y as f64);
    let ((x, y), (x0, y0), (x1, y1)) = (place(point), place(from), place(to));
    let (dx, dy) = (x1 - x0, y1 - y0);
    let length2 = dx * dx + dy * dy;
    let along = if length2 > 0.0 { (((x - x0) * dx + (y - y0) * dy) / length2).clamp(0.0, 1.0) } else { 0.0 };
    (x - x0 - along * dx).hypot(y - y0 - along * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(places: &[(usize, usize)]) -> Vec<PixelPoint> {
        places.iter().map(|&(x, y)| PixelPoint { x, y }).collect()
    }

    fn rows(mask: &Mask) -> Vec<usize> {
        (0..mask.height()).map(|y| (0..mask.width()).filter(|&x| mask.get(y, x)).count()).collect()
    }

    #[test]
    fn a_point_is_a_disc_and_several_are_one_object() {
        let one = Gesture::Points(points(&[(5, 4)])).to_mask(20, 20).unwrap();
        assert_eq!(one.area(), 13, "1 + 3 + 5 + 3 + 1 pixels at a radius of 2");
        assert_eq!(one.bbox(), Some(PixelBox { x0: 3, y0: 2, x1: 8, y1: 7 }));
        let two = Gesture::Points(points(&[(5, 4), (14, 4)])).to_mask(20, 20).unwrap();
        assert_eq!(two.area(), 26);
        assert!(!two.get(4, 9), "nothing is drawn between the points");
    }

    #[test]
    fn a_disc_grows_with_the_frame_and_is_cut_at_its_borders() {
        let corner = Gesture::Points(points(&[(0, 0)])).to_mask(20, 20).unwrap();
        assert_eq!(rows(&corner)[..4], [3, 2, 1, 0]);
        let far = Gesture::Points(points(&[(299, 99)])).to_mask(100, 300).unwrap();
        assert_eq!(far.bbox(), Some(PixelBox { x0: 294, y0: 94, x1: 300, y1: 100 }));
    }

    #[test]
    fn a_scribble_is_as_wide_as_its_pen() {
        let line = Gesture::Scribble(points(&[(2, 3), (6, 3)])).to_mask(20, 20).unwrap();
        assert_eq!(rows(&line)[..6], [0, 0, 7, 7, 7, 0], "a pen of 3 reaches 1.5 past both ends");
        let corner = Gesture::Scribble(points(&[(2, 3), (6, 3), (6, 9)])).to_mask(20, 20).unwrap();
        assert!(line.intersection(&corner).unwrap() == line && corner.get(9, 5) && !corner.get(9, 3));
        let leaving = Gesture::Scribble(points(&[(15, 10), (400, 10)])).to_mask(20, 20).unwrap();
        assert_eq!(leaving.bbox(), Some(PixelBox { x0: 14, y0: 9, x1: 20, y1: 12 }));
        let thick = Gesture::Scribble(points(&[(50, 50), (60, 50)])).to_mask(200, 300).unwrap();
        assert_eq!(thick.bbox(), Some(PixelBox { x0: 45, y0: 45, x1: 66, y1: 56 }));
    }

    #[test]
    fn a_polygon_is_filled_and_its_corners_are_edges_of_pixels_as_those_of_a_box() {
        let square = Gesture::Polygon(points(&[(1, 1), (5, 1), (5, 4), (1, 4)])).to_mask(6, 8).unwrap();
        let area = PixelBox { x0: 1, y0: 1, x1: 5, y1: 4 };
        assert_eq!(square, Gesture::Box(area).to_mask(6, 8).unwrap());
        assert_eq!(square.area(), 12);
        let triangle = Gesture::Polygon(points(&[(0, 0), (8, 0), (0, 8)])).to_mask(8, 8).unwrap();
        assert!(
            (28..=36).contains(&triangle.area()),
            "half of 64 and at most half of the diagonal more or less"
        );
        let around = Gesture::Polygon(points(&[(0, 0), (90, 0), (90, 90), (0, 90)])).to_mask(6, 8).unwrap();
        assert_eq!(around.area(), 48);
    }

    #[test]
    fn what_marks_nothing_is_refused_by_name() {
        let refused = |gesture: Gesture| gesture.to_mask(6, 8).unwrap_err().to_string();
        let outside = "lies outside the 8x6 frame";
        let point = Gesture::Points(points(&[(1, 1), (8, 2)]));
        assert_eq!(refused(point), format!("point 8,2 {outside}"));
        assert!(Gesture::Points(points(&[(7, 5)])).to_mask(6, 8).is_ok());
        assert!(refused(Gesture::Scribble(points(&[(30, 1), (40, 1)]))).ends_with(outside));
        assert!(refused(Gesture::Polygon(points(&[(30, 1), (40, 1), (40, 5)]))).ends_with(outside));
        let area = PixelBox { x0: 50, y0: 0, x1: 60, y1: 5 };
        assert_eq!(refused(Gesture::Box(area)), format!("box 50,0,60,5 {outside}"));
        let empty = Gesture::Box(PixelBox { x0: 3, y0: 0, x1: 3, y1: 5 });
        assert_eq!(refused(empty), "box 3,0,3,5 encloses no pixel");
        let flat = Gesture::Polygon(points(&[(1, 1), (4, 1), (6, 1)]));
        assert_eq!(refused(flat), "polygon 1,1;4,1;6,1 encloses no pixel");
        let few = [
            (Gesture::Points(Vec::new()), "a point needs at least 1 points, 0 are given"),
            (Gesture::Scribble(points(&[(1, 1)])), "a scribble needs at least 2 points, 1 are given"),
            (Gesture::Polygon(points(&[(1, 1), (2, 2)])), "a polygon needs at least 3 points, 2 are given"),
        ];
        for (gesture, reason) in few {
            assert_eq!(refused(gesture), reason);
        }
    }
}

//! What was drawn to point at an object, as SAM understands it.

use strefer_core::{Error, Gesture, PixelPoint, Result};
use strefer_vision::sam2::{Click, Prompt, VideoPrompt};

use crate::question::MarkShape;

/// Clicks that a scribble becomes at most: SAM was trained with up to eight.
const MOST_CLICKS: usize = 8;

/// Places of a scribble that are looked at for clicks.
const PLACES: usize = 64;

/// What is said about an object in a frame of `height` by `width` pixels. Points are clicks, a box is a box, a scribble becomes
/// clicks along its line; outlines and masks are masks.
///
/// # Errors
/// What marks nothing of the frame, a point outside it, a mask of another size.
pub fn prompt(shape: &MarkShape, height: usize, width: usize) -> Result<VideoPrompt> {
    match shape {
        MarkShape::Mask(mask) => match (mask.height(), mask.width()) == (height, width) {
            true => Ok(VideoPrompt::Mask(mask.clone())),
            false => Err(Error::SizeMismatch { left: (mask.height(), mask.width()), right: (height, width) }),
        },
        MarkShape::Clicks { inside, outside } => {
            let all = Gesture::Points([&inside[..], &outside[..]].concat());
            all.to_mask(height, width)?;
            let clicks = clicks(inside, true).chain(clicks(outside, false)).collect();
            Ok(VideoPrompt::Points(Prompt { clicks, ..Prompt::default() }))
        }
        MarkShape::Gesture(gesture) => {
            let mask = gesture.to_mask(height, width)?;
            Ok(match gesture {
                Gesture::Points(points) => {
                    let clicks = clicks(points, true).collect();
                    VideoPrompt::Points(Prompt { clicks, ..Prompt::default() })
                }
                Gesture::Box(area) => {
                    let (right, bottom) = (area.x1.min(width), area.y1.min(height));
                    let area = [area.x0, area.y0, right, bottom].map(|edge| edge as f32);
                    VideoPrompt::Points(Prompt::boxed(area))
                }
                Gesture::Scribble(points) => {
                    let clicks = along(points, height, width);
                    if clicks.is_empty() {
                        return Err(Error::OutsideFrame { gesture: gesture.to_string(), height, width });
                    }
                    VideoPrompt::Points(Prompt { clicks, ..Prompt::default() })
                }
                Gesture::Polygon(_) => VideoPrompt::Mask(mask),
            })
        }
    }
}

fn clicks(points: &[PixelPoint], inside: bool) -> impl Iterator<Item = Click> {
    points.iter().map(move |point| Click { x: point.x as f32, y: point.y as f32, inside })
}

/// Clicks on a line, evenly spread over what of it lies in the frame.
fn along(points: &[PixelPoint], height: usize, width: usize) -> Vec<Click> {
    let place = |point: &PixelPoint| (point.x as f64, point.y as f64);
    let pieces: Vec<_> = points.windows(2).map(|ends| (place(&ends[0]), place(&ends[1]))).collect();
    let length = |&((x0, y0), (x1, y1)): &((f64, f64), (f64, f64))| (x1 - x0).hypot(y1 - y0);
    let total: f64 = pieces.iter().map(length).sum();
    let at = |mut walked: f64| {
        for piece in &pieces {
            let own = length(piece);
            if walked <= own && own > 0.0 {
                let ((x0, y0), (x1, y1)) = *piece;
                return (x0 + (x1 - x0) * walked / own, y0 + (y1 - y0) * walked / own);
            }
            walked -= own;
        }
        points.last().map(place).unwrap_or_default()
    };
    let places = (0..PLACES).map(|nth| at(total * nth as f64 / (PLACES - 1) as f64));
    let places: Vec<(f64, f64)> = places
        .map(|(x, y)| (x.round(), y.round()))
        .filter(|(x, y)| *x < width as f64 && *y < height as f64)
        .collect();
    let count = MOST_CLICKS.min(places.len());
    let chosen = (0..count).map(|nth| places[nth * (places.len() - 1) / (count - 1).max(1)]);
    let mut clicks: Vec<Click> = Vec::new();
    for (x, y) in chosen {
        let click = Click { x: x as f32, y: y as f32, inside: true };
        if !clicks.contains(&click) {
            clicks.push(click);
        }
    }
    clicks
}

#[cfg(test)]
mod tests {
    use strefer_core::{Mask, PixelBox};

    use super::*;

    fn points(places: &[(usize, usize)]) -> Vec<PixelPoint> {
        places.iter().map(|&(x, y)| PixelPoint { x, y }).collect()
    }

    fn said(shape: MarkShape) -> Prompt {
        match prompt(&shape, 20, 30).unwrap() {
            VideoPrompt::Points(prompt) => prompt,
            VideoPrompt::Mask(mask) => panic!("a mask of {} pixels", mask.area()),
        }
    }

    #[test]
    fn points_are_clicks_and_a_box_ends_at_the_border() {
        let clicks = said(MarkShape::Clicks { inside: points(&[(3, 4)]), outside: points(&[(9, 1)]) }).clicks;
        assert_eq!(clicks, [Click { x: 3.0, y: 4.0, inside: true }, Click { x: 9.0, y: 1.0, inside: false }]);
        let area = PixelBox { x0: 2, y0: 3, x1: 90, y1: 9 };
        assert_eq!(said(MarkShape::Gesture(Gesture::Box(area))).area, Some([2.0, 3.0, 30.0, 9.0]));
    }

    #[test]
    fn a_scribble_is_clicked_at_along_what_lies_in_the_frame() {
        let line = |ends: &[(usize, usize)]| said(MarkShape::Gesture(Gesture::Scribble(points(ends)))).clicks;
        let clicks = line(&[(0, 5), (14, 5), (14, 19)]);
        assert_eq!(clicks.len(), MOST_CLICKS);
        assert_eq!((clicks[0].x, clicks[0].y), (0.0, 5.0));
        assert_eq!((clicks[7].x, clicks[7].y), (14.0, 19.0));
        assert!(clicks.iter().all(|click| click.inside && (click.x == 14.0 || click.y == 5.0)));
        assert!(line(&[(20, 5), (300, 5)]).iter().all(|click| (20.0..30.0).contains(&click.x)));
        assert_eq!(line(&[(4, 4), (4, 4)]).len(), 1);
    }

    #[test]
    fn outlines_are_masks_and_what_marks_nothing_is_refused() {
        let polygon = MarkShape::Gesture(Gesture::Polygon(points(&[(1, 1), (9, 1), (9, 9), (1, 9)])));
        assert!(matches!(prompt(&polygon, 20, 30), Ok(VideoPrompt::Mask(mask)) if mask.area() == 64));
        for wrong in [
            MarkShape::Mask(Mask::zeros(3, 3)),
            MarkShape::Gesture(Gesture::Points(points(&[(30, 2)]))),
            MarkShape::Clicks { inside: points(&[(1, 1)]), outside: points(&[(1, 20)]) },
            MarkShape::Gesture(Gesture::Scribble(points(&[(40, 2), (50, 2)]))),
        ] {
            assert!(prompt(&wrong, 20, 30).is_err(), "{wrong:?}");
        }
    }
}

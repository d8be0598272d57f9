//! Boxes of an image on the square canvas that the model sees.

use half::f16;

use crate::error::{Error, Result};

/// Boxes on a canvas of `canvas` pixels: the image was centred on a square, an odd pixel going to the right or bottom, and
/// the square scaled. With `half` numbers are rounded to 16 bits, as upstream has them: above 512 to half a pixel.
///
/// # Errors
/// A box with numbers that are not finite, or whose right or bottom lies before its left or top.
pub fn to_canvas(
    boxes: &[[f32; 4]],
    (width, height): (u32, u32),
    canvas: usize,
    half: bool,
) -> Result<Vec<[f32; 4]>> {
    let side = width.max(height);
    let (pad_x, pad_y) = (((side - width) / 2) as f32, ((side - height) / 2) as f32);
    let scale = (canvas as f64 / f64::from(side)) as f32;
    let place = |(at, &[left, top, right, bottom]): (usize, &[f32; 4])| {
        check(at, [left, top, right, bottom])?;
        // Corner and size are scaled apart, as upstream does it.
        let (x, y) = ((left + pad_x) * scale, (top + pad_y) * scale);
        let (w, h) = ((right - left) * scale, (bottom - top) * scale);
        let round = |x: f32| if half { f16::from_f32(x).to_f32() } else { x };
        Ok([x, y, x + w, y + h].map(round))
    };
    boxes.iter().enumerate().map(place).collect()
}

fn check(at: usize, area: [f32; 4]) -> Result<()> {
    let [left, top, right, bottom] = area;
    if area.iter().all(|x| x.is_finite()) && left <= right && top <= bottom {
        return Ok(());
    }
    let reason = format!("{area:?} is no box of left, top, right, bottom");
    Err(Error::Grounding { subject: format!("box {at}"), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_follow_the_image_onto_the_canvas() {
        let placed = to_canvas(&[[0.0, 0.0, 101.0, 50.0]], (101, 50), 202, false).unwrap();
        assert_eq!(placed, [[0.0, 50.0, 202.0, 150.0]]);
        let wrong = [[f32::NAN, 0.0, 1.0, 1.0], [3.0, 0.0, 2.0, 1.0], [0.0, 5.0, 2.0, 4.0]];
        for (at, area) in wrong.into_iter().enumerate() {
            let boxes = [[0.0, 0.0, 1.0, 1.0], area];
            let error = to_canvas(&boxes, (10, 10), 10, true).unwrap_err().to_string();
            assert!(error.contains("box 1"), "{at}: {error}");
        }
    }
}

//! A mask in pixels becomes a mask on the patch grid.

use strefer_core::Mask;

/// The two source positions and the second one's weight for each target position of a bilinear resize with
/// half-pixel centres and no antialiasing.
fn taps(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f32 / to as f32;
    (0..to)
        .map(|target| {
            let at = (scale * (target as f32 + 0.5) - 0.5).max(0.0);
            let first = (at as usize).min(from - 1);
            (first, (first + 1).min(from - 1), at - first as f32)
        })
        .collect()
}

/// Resizes a mask to `height` x `width` patches bilinearly, without antialiasing, and keeps every patch with a
/// positive weight. Thin or small masks may vanish between sample points, as they do in the reference.
///
/// Returns row-major 0 or 1.
pub fn grid_mask(mask: &Mask, height: usize, width: usize) -> Vec<f32> {
    if mask.height() == 0 || mask.width() == 0 {
        return vec![0.0; height * width];
    }
    let (rows, columns) = (taps(mask.height(), height), taps(mask.width(), width));
    let mut grid = Vec::with_capacity(height * width);
    for &(top, bottom, down) in &rows {
        for &(left, right, across) in &columns {
            let touched = (down < 1.0 && across < 1.0 && mask.get(top, left))
                || (down < 1.0 && across > 0.0 && mask.get(top, right))
                || (down > 0.0 && across < 1.0 && mask.get(bottom, left))
                || (down > 0.0 && across > 0.0 && mask.get(bottom, right));
            grid.push(f32::from(u8::from(touched)));
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_of_the_grids_size_stays_as_it_is() {
        let mask = Mask::from_fn(5, 7, |y, x| (y * 7 + x) % 3 == 0);
        let expected: Vec<f32> = mask.as_slice().iter().map(|&pixel| f32::from(pixel)).collect();
        assert_eq!(grid_mask(&mask, 5, 7), expected);
    }

    #[test]
    fn a_pixel_between_sample_points_vanishes() {
        let mask = Mask::from_fn(40, 40, |y, x| (y, x) == (0, 0));
        assert_eq!(grid_mask(&mask, 4, 4), vec![0.0; 16]);
    }
}

//! Bicubic resizing with antialiasing as Pillow does it on 8-bit values: weights in fixed point, along the rows first,
//! rounded to bytes, then along the columns. Libraries that take the columns first, or weights of fewer bits, differ.

use image::RgbImage;

/// Fractional bits of a weight: 8 are the pixel's, 2 keep the overshoot of the kernel.
const FRACTION_BITS: u32 = 32 - 8 - 2;
/// Reach of the kernel at its own scale.
const SUPPORT: f64 = 2.0;

/// Resizes to `width` x `height`.
pub fn resize_bicubic(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if image.width() == 0 || image.height() == 0 {
        return RgbImage::new(width, height);
    }
    let rows = resize_rows(image, width);
    resize_columns(&rows, height)
}

/// The source pixels that one target pixel is made of.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The cubic kernel with slope -1/2 at one (Catmull-Rom).
fn kernel(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        -0.5 * (((x - 5.0) * x + 8.0) * x - 4.0)
    } else {
        0.0
    }
}

/// Taps of every target position. The kernel is stretched over the source where the picture shrinks.
fn taps(source: u32, target: u32) -> Vec<Taps> {
    let scale = f64::from(source) / f64::from(target);
    let stretch = scale.max(1.0);
    let tap = |position: u32| {
        let centre = (f64::from(position) + 0.5) * scale;
        let first = (centre - SUPPORT * stretch + 0.5).max(0.0) as usize;
        let end = ((centre + SUPPORT * stretch + 0.5) as usize).min(source as usize);
        let weights: Vec<f64> =
            (first..end).map(|pixel| kernel((pixel as f64 - centre + 0.5) / stretch)).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| (weight / sum * f64::from(1u32 << FRACTION_BITS)).round() as i32;
        Taps { first, weights: weights.iter().map(fixed).collect() }
    };
    (0..target).map(tap).collect()
}

fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (FRACTION_BITS - 1);

fn resize_rows(image: &RgbImage, width: u32) -> RgbImage {
    if image.width() == width {
        return image.clone();
    }
    let taps = taps(image.width(), width);
    let mut resized = RgbImage::new(width, image.height());
    let (from, to) = (3 * image.width() as usize, 3 * width as usize);
    for (source, target) in image.as_raw().chunks_exact(from).zip(resized.chunks_exact_mut(to.max(1))) {
        for (tap, pixel) in taps.iter().zip(target.chunks_exact_mut(3)) {
            let mut sums = [HALF; 3];
            for (weight, rgb) in tap.weights.iter().zip(source[3 * tap.first..].chunks_exact(3)) {
                for (sum, &value) in sums.iter_mut().zip(rgb) {
                    *sum += weight * i32::from(value);
                }
            }
            pixel.copy_from_slice(&sums.map(to_byte));
        }
    }
    resized
}

fn resize_columns(image: &RgbImage, height: u32) -> RgbImage {
    if image.height() == height || image.width() == 0 {
        return if image.height() == height { image.clone() } else { RgbImage::new(image.width(), height) };
    }
    let row = 3 * image.width() as usize;
    let mut resized = RgbImage::new(image.width(), height);
    let mut sums = vec![0i32; row];
    for (tap, target) in taps(image.height(), height).iter().zip(resized.chunks_exact_mut(row)) {
        sums.fill(HALF);
        for (&weight, source) in tap.weights.iter().zip(image.as_raw()[tap.first * row..].chunks_exact(row)) {
            for (sum, &value) in sums.iter_mut().zip(source) {
                *sum += weight * i32::from(value);
            }
        }
        for (value, &sum) in target.iter_mut().zip(&sums) {
            *value = to_byte(sum);
        }
    }
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_picture_stays_plain() {
        let image = RgbImage::from_pixel(7, 5, image::Rgb([255, 0, 131]));
        for (width, height) in [(3, 2), (20, 11), (7, 1), (1, 30)] {
            let resized = resize_bicubic(&image, width, height);
            assert_eq!(resized.dimensions(), (width, height));
            assert!(resized.pixels().all(|pixel| pixel.0 == [255, 0, 131]));
        }
        assert_eq!(resize_bicubic(&image, 0, 4).dimensions(), (0, 4));
    }
}

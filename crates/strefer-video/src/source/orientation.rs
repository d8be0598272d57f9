//! How a decoded picture has to be turned before it is shown (the display matrix of phones' videos).

use image::{RgbImage, imageops};

/// A quarter turn and a mirror image, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orientation {
    clockwise_quarters: u8,
    mirrored: bool,
}

impl Orientation {
    pub(super) const UPRIGHT: Self = Self { clockwise_quarters: 0, mirrored: false };

    /// From the nine 32-bit numbers of a display matrix in the machine's byte order, which maps a point `(p, q)` of the
    /// picture to `(a p + c q, b p + d q)`. Angles in between go to the nearest quarter.
    pub(super) fn from_display_matrix(bytes: &[u8]) -> Self {
        let number = |index: usize| -> f64 {
            let bytes = bytes.get(4 * index..4 * index + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0.0, |bytes| f64::from(i32::from_ne_bytes(bytes)))
        };
        let (a, b, c, d) = (number(0), number(1), number(3), number(4));
        let upright = a.abs() + d.abs() >= b.abs() + c.abs();
        match (upright, a < 0.0, b < 0.0, c < 0.0, d < 0.0) {
            (true, false, _, _, false) => Self::UPRIGHT,
            (true, true, _, _, true) => Self { clockwise_quarters: 2, mirrored: false },
            (true, true, _, _, false) => Self { clockwise_quarters: 0, mirrored: true },
            (true, false, _, _, true) => Self { clockwise_quarters: 2, mirrored: true },
            (false, _, false, true, _) => Self { clockwise_quarters: 1, mirrored: false },
            (false, _, true, false, _) => Self { clockwise_quarters: 3, mirrored: false },
            (false, _, false, false, _) => Self { clockwise_quarters: 1, mirrored: true },
            (false, _, true, true, _) => Self { clockwise_quarters: 3, mirrored: true },
        }
    }

    /// Whether width and height change places.
    pub(super) fn swaps_sides(self) -> bool {
        self.clockwise_quarters % 2 == 1
    }

    /// The picture as it is meant to be seen.
    pub(super) fn apply(self, image: RgbImage) -> RgbImage {
        let turned = match self.clockwise_quarters {
            1 => imageops::rotate90(&image),
            2 => imageops::rotate180(&image),
            3 => imageops::rotate270(&image),
            _ => image,
        };
        if self.mirrored { imageops::flip_horizontal(&turned) } else { turned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the matrix sends a corner of a 3x2 picture agrees with where `apply` puts it, for all eight orientations.
    #[test]
    fn turning_agrees_with_the_matrix() {
        let image = RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let one = 1 << 16;
        for (a, b, c, d) in [
            (one, 0, 0, one),
            (-one, 0, 0, -one),
            (-one, 0, 0, one),
            (one, 0, 0, -one),
            (0, one, -one, 0),
            (0, -one, one, 0),
            (0, one, one, 0),
            (0, -one, -one, 0),
        ] {
            let matrix: Vec<u8> = [a, b, 0, c, d, 0, 0, 0, 1 << 30]
                .iter()
                .flat_map(|number: &i32| number.to_ne_bytes())
                .collect();
            let seen = Orientation::from_display_matrix(&matrix).apply(image.clone());
            for (p, q) in [(0i64, 0i64), (2, 0), (0, 1), (2, 1), (1, 0)] {
                let (sa, sb, sc, sd) = (a.signum(), b.signum(), c.signum(), d.signum());
                let turned = |u: i64, v: i64| i64::from(u as i32 * p as i32 + v as i32 * q as i32);
                let (mut x, mut y) = (turned(sa.into(), sc.into()), turned(sb.into(), sd.into()));
                if sa < 0 || sc < 0 {
                    x += i64::from(seen.width()) - 1;
                }
                if sb < 0 || sd < 0 {
                    y += i64::from(seen.height()) - 1;
                }
                assert_eq!(seen.get_pixel(x as u32, y as u32).0, [p as u8, q as u8, 0], "{a} {b} {c} {d}");
            }
        }
    }
}

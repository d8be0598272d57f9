//! From a point before a camera to the pixel that shows it, through the lenses of the datasets.

use crate::stkit::camera::Pinhole;
use crate::stkit::vector::Point;

/// A lens. Points are in the camera's frame: x right, y down, z forward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lens {
    /// None, or pictures from which its bending was taken out.
    Pinhole(Pinhole),
    /// Radial and tangential bending (Brown and Conrady).
    Brown {
        /// The camera without it.
        pinhole: Pinhole,
        /// Radial: of the second, fourth and sixth power of the distance from the axis.
        radial: [f64; 3],
        /// Tangential.
        tangential: [f64; 2],
    },
    /// A fisheye (Kannala and Brandt) with four coefficients.
    Fisheye {
        /// The camera; its focal lengths are pixels a radian on the axis.
        pinhole: Pinhole,
        /// Of the third, fifth, seventh and ninth power of the angle from the axis.
        angular: [f64; 4],
    },
}

impl Lens {
    /// The pixel (column, row) that shows a point; `None` for points that the lens does not show: those behind it, and those
    /// so far from the axis that its polynomial turns back.
    pub fn project(&self, point: Point) -> Option<[f64; 2]> {
        let [x, y, z] = point;
        match self {
            Self::Pinhole(pinhole) => (z > 0.0).then(|| pinhole.project(point)),
            Self::Brown { pinhole, radial: [k1, k2, k3], tangential: [p1, p2] } => {
                if z <= 0.0 {
                    return None;
                }
                let (x, y) = (x / z, y / z);
                let square = x * x + y * y;
                let grows = 1.0 + square * (3.0 * k1 + square * (5.0 * k2 + square * 7.0 * k3));
                let stretch = 1.0 + square * (k1 + square * (k2 + square * k3));
                let bent = [
                    x * stretch + 2.0 * p1 * x * y + p2 * (square + 2.0 * x * x),
                    y * stretch + p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y,
                    1.0,
                ];
                (grows > 0.0).then(|| pinhole.project(bent))
            }
            Self::Fisheye { pinhole, angular: [k0, k1, k2, k3] } => {
                let off_axis = x.hypot(y);
                let angle = off_axis.atan2(z);
                let square = angle * angle;
                let grows =
                    1.0 + square * (3.0 * k0 + square * (5.0 * k1 + square * (7.0 * k2 + square * 9.0 * k3)));
                if off_axis == 0.0 {
                    return (z > 0.0).then(|| pinhole.project([0.0, 0.0, 1.0]));
                }
                let radius = angle * (1.0 + square * (k0 + square * (k1 + square * (k2 + square * k3))));
                let bent = [radius * x / off_axis, radius * y / off_axis, 1.0];
                (grows > 0.0).then(|| pinhole.project(bent))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinhole() -> Pinhole {
        Pinhole::from_matrix(&[[100.0, 0.0, 50.0], [0.0, 200.0, 40.0], [0.0, 0.0, 1.0]]).unwrap()
    }

    fn near(found: Option<[f64; 2]>, expected: [f64; 2]) {
        let found = found.expect("the lens shows it");
        assert!((found[0] - expected[0]).abs() < 1e-9 && (found[1] - expected[1]).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_fisheye_measures_the_angle_from_the_axis() {
        let lens = Lens::Fisheye { pinhole: pinhole(), angular: [0.1, 0.0, 0.0, 0.0] };
        // x = 3, y = 4, z = 5: 45 degrees from the axis, so rho = a + 0.1 a³ with a = π/4 = 0.785398…, which is 0.833845….
        let angle = std::f64::consts::FRAC_PI_4;
        let rho = angle + 0.1 * angle.powi(3);
        assert!((rho - 0.833_845_6).abs() < 1e-6);
        near(lens.project([3.0, 4.0, 5.0]), [50.0 + 100.0 * rho * 0.6, 40.0 + 200.0 * rho * 0.8]);
        near(lens.project([0.0, 0.0, 2.0]), [50.0, 40.0]);
        // All four coefficients, at an angle of one radian: 1 + 0.1 + 0.02 + 0.003 + 0.0004.
        let lens = Lens::Fisheye { pinhole: pinhole(), angular: [0.1, 0.02, 0.003, 0.0004] };
        near(lens.project([0.0, 1.0_f64.sin(), 1.0_f64.cos()]), [50.0, 40.0 + 200.0 * 1.1234]);
        let turning = Lens::Fisheye { pinhole: pinhole(), angular: [-0.5, 0.0, 0.0, 0.0] };
        assert_eq!(turning.project([1.0, 0.0, 0.5]), None);
        assert_eq!(turning.project([0.0, 0.0, -1.0]), None);
    }

    #[test]
    fn radial_and_tangential_bending_by_hand() {
        let lens = Lens::Brown { pinhole: pinhole(), radial: [0.1, 0.01, 0.001], tangential: [0.02, 0.03] };
        // x' = 1, y' = 2: r² = 5, radial 1 + 0.5 + 0.25 + 0.125 = 1.875.
        // x'' = 1.875 + 2·0.02·2 + 0.03·(5 + 2) = 2.165; y'' = 3.75 + 0.02·(5 + 8) + 2·0.03·2 = 4.13.
        near(lens.project([2.0, 4.0, 2.0]), [50.0 + 216.5, 40.0 + 826.0]);
        assert_eq!(lens.project([1.0, 1.0, -1.0]), None);
        let turning = Lens::Brown { pinhole: pinhole(), radial: [-0.2, 0.0, 0.0], tangential: [0.0; 2] };
        assert!(turning.project([1.0, 0.0, 1.0]).is_some());
        assert_eq!(turning.project([2.0, 0.0, 1.0]), None, "the polynomial has turned back");
    }

    #[test]
    fn nothing_behind_a_pinhole_is_seen() {
        assert_eq!(Lens::Pinhole(pinhole()).project([1.0, 0.0, 2.0]), Some([100.0, 40.0]));
        assert_eq!(Lens::Pinhole(pinhole()).project([1.0, 0.0, 0.0]), None);
    }
}

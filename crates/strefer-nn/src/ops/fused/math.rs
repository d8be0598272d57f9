//! Functions of one number without branches or calls, so that loops over them become vector code. Accurate to a few
//! units in the last place.

/// `e^x`: 0 below -87.3, limited above 88; not a number stays not a number.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // x = n ln 2 + r with |r| <= ln 2 / 2; adding a large number leaves n in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let limited = x.clamp(-87.3, 88.0);
    let shifted = limited.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, limited));
    let mut p = 1.987_569_1e-4f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.5);
    let p = p.mul_add(r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    let value = p * power;
    let value = if x < -87.3 { 0.0 } else { value };
    if x.is_nan() { x } else { value }
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The distribution function of the standard normal, by a rational approximation of `erfc` that is accurate to
/// 1.2e-7 everywhere.
#[inline(always)]
pub(super) fn normal_cdf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / z.mul_add(0.5, 1.0);
    let mut p = 0.170_872_77f32;
    p = p.mul_add(t, -0.822_152_2);
    p = p.mul_add(t, 1.488_515_9);
    p = p.mul_add(t, -1.135_204);
    p = p.mul_add(t, 0.278_868_08);
    p = p.mul_add(t, -0.186_288_06);
    p = p.mul_add(t, 0.096_784_18);
    p = p.mul_add(t, 0.374_091_96);
    p = p.mul_add(t, 1.000_023_7);
    p = p.mul_add(t, -1.265_512_2);
    let tail = 0.5 * t * exp(z.mul_add(-z, p));
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// The density of the standard normal.
#[inline(always)]
pub(super) fn normal_density(x: f32) -> f32 {
    0.398_942_3 * exp(-0.5 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_accurate_over_the_whole_range() {
        let mut worst = 0f64;
        for step in -87_000..88_000 {
            let x = step as f32 * 1e-3;
            let wanted = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - wanted).abs() / wanted);
        }
        assert!(worst < 2e-7, "{worst:e}");
        assert_eq!((exp(f32::NEG_INFINITY), exp(-200.0), exp(0.0)), (0.0, 0.0, 1.0));
        assert!(exp(f32::NAN).is_nan() && exp(f32::INFINITY).is_finite());
    }

    #[test]
    fn the_normal_distribution_is_accurate() {
        // By the series of the error function, which converges quickly enough in double precision.
        let wanted = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for n in 1..400 {
                term *= x * x / (2 * n + 1) as f64;
                sum += term;
            }
            0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
        };
        for step in -6000..=6000 {
            let x = step as f32 * 1e-3;
            let error = (f64::from(normal_cdf(x)) - wanted(f64::from(x))).abs();
            assert!(error < 3e-7, "{x}: {error:e}");
        }
        assert!((f64::from(normal_density(1.0)) - 0.241_970_724_5).abs() < 1e-7);
    }
}

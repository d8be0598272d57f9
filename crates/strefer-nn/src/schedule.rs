//! How the learning rate moves over a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the learning rate does after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Stays where it is.
    Constant,
    /// Falls in a straight line.
    Linear,
    /// Falls along half a cosine.
    #[default]
    Cosine,
}

/// How long the learning rate climbs at first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarmUp {
    /// A number of steps.
    Steps(usize),
    /// A share of all steps, rounded up.
    Ratio(f64),
}

/// Learning rate per step: a straight climb from zero, then a shape that ends at `min_ratio` of the peak.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The peak.
    pub lr: f64,
    /// What follows the peak.
    #[serde(default)]
    pub shape: Shape,
    /// What precedes it.
    #[serde(default = "no_warm_up")]
    pub warm_up: WarmUp,
    /// Where the shape ends, as a share of the peak.
    #[serde(default)]
    pub min_ratio: f64,
}

fn no_warm_up() -> WarmUp {
    WarmUp::Steps(0)
}

impl Schedule {
    /// A constant rate.
    pub fn constant(lr: f64) -> Self {
        Self { lr, shape: Shape::Constant, warm_up: no_warm_up(), min_ratio: 0.0 }
    }

    /// Fails when a value cannot be meant.
    pub fn validate(&self) -> crate::Result<()> {
        let bad = |what: String| Err(crate::Error::Setting { what });
        if !self.lr.is_finite() || self.lr <= 0.0 {
            return bad(format!("learning rate {} is not positive", self.lr));
        }
        if !(0.0..=1.0).contains(&self.min_ratio) {
            return bad(format!("min_ratio {} is outside 0..1", self.min_ratio));
        }
        match self.warm_up {
            WarmUp::Ratio(ratio) if !(0.0..=1.0).contains(&ratio) => {
                bad(format!("warm-up ratio {ratio} is outside 0..1"))
            }
            _ => Ok(()),
        }
    }

    /// The learning rate of step `step` (the first is 0) of `total`. With a warm-up of `w` steps, step 0 has rate 0
    /// and step `w` the peak, as schedulers commonly count.
    pub fn lr_at(&self, step: usize, total: usize) -> f64 {
        let warm_up = match self.warm_up {
            WarmUp::Steps(steps) => steps,
            WarmUp::Ratio(ratio) => (ratio * total as f64).ceil() as usize,
        };
        if step < warm_up {
            return self.lr * step as f64 / warm_up as f64;
        }
        let span = total.saturating_sub(warm_up).max(1) as f64;
        let progress = ((step - warm_up) as f64 / span).min(1.0);
        let height = match self.shape {
            Shape::Constant => return self.lr,
            Shape::Linear => 1.0 - progress,
            Shape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        };
        self.lr * (self.min_ratio + (1.0 - self.min_ratio) * height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_climbs_then_falls_to_its_floor() {
        let schedule = Schedule { lr: 2.0, shape: Shape::Cosine, warm_up: WarmUp::Steps(10), min_ratio: 0.1 };
        let at = |step| schedule.lr_at(step, 110);
        assert_eq!(at(0), 0.0);
        assert!((at(5) - 1.0).abs() < 1e-12 && (at(10) - 2.0).abs() < 1e-12);
        assert!((at(60) - 1.1).abs() < 1e-12, "half way between peak and floor, got {}", at(60));
        assert!((at(110) - 0.2).abs() < 1e-12 && (at(500) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn a_linear_schedule_with_a_ratio_of_warm_up_ends_at_zero() {
        let schedule =
            Schedule { lr: 1.0, shape: Shape::Linear, warm_up: WarmUp::Ratio(0.03), min_ratio: 0.0 };
        assert!((schedule.lr_at(2, 100) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(schedule.lr_at(3, 100), 1.0);
        assert_eq!(schedule.lr_at(100, 100), 0.0);
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        assert!(Schedule::constant(1e-3).validate().is_ok());
        assert!(Schedule::constant(0.0).validate().is_err());
        assert!(Schedule { min_ratio: 2.0, ..Schedule::constant(1.0) }.validate().is_err());
        assert!(serde_json::from_str::<Schedule>(r#"{"lr": 1, "warmup": 3}"#).is_err());
        let parsed: Schedule = serde_json::from_str(r#"{"lr": 1, "warm_up": {"ratio": 0.5}}"#).unwrap();
        assert_eq!(parsed.warm_up, WarmUp::Ratio(0.5));
    }
}

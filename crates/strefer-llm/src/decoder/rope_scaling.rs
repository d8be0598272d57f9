//! Rotary frequencies for sequences longer than those of the first training: linear, YaRN (arXiv 2309.00071) and LongRoPE
//! (arXiv 2402.13753), as transformers computes them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// How the plain frequencies are changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RopeScaling {
    /// All frequencies are divided by `factor`.
    Linear {
        /// How much longer sequences get.
        factor: f64,
    },
    /// Slow frequencies are divided by `factor`, fast ones stay, those between are mixed.
    Yarn {
        /// How much longer sequences get.
        factor: f64,
        /// Positions of the first training.
        original_positions: usize,
        /// Frequencies that turn at least this often in those positions stay.
        beta_fast: f64,
        /// Frequencies that turn at most this often in them are divided.
        beta_slow: f64,
        /// Whether the bounds between them are whole numbers.
        truncate: bool,
        /// Multiplies sines and cosines.
        attention_factor: f64,
    },
    /// A factor for every frequency; a sequence longer than `original_positions` takes the long ones, from its first
    /// position on.
    Longrope {
        /// Positions of the first training.
        original_positions: usize,
        /// Divide the frequencies of short sequences.
        short_factor: Vec<f64>,
        /// Divide those of long ones.
        long_factor: Vec<f64>,
        /// Multiplies sines and cosines.
        attention_factor: f64,
    },
}

/// The frequencies of a head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeadFrequencies {
    /// Those of every sequence, or of short ones.
    pub usual: Vec<f32>,
    /// Those of sequences longer than so many positions.
    pub long: Option<(usize, Vec<f32>)>,
    /// Multiplies sines and cosines.
    pub scale: f64,
}

/// `1 / theta^(2 i / hd)`
fn plain(theta: f64, hd: usize) -> Vec<f32> {
    (0..hd / 2).map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / hd as f32)).collect()
}

fn divided(frequencies: &[f32], factors: &[f64]) -> Vec<f32> {
    frequencies.iter().zip(factors).map(|(frequency, &factor)| frequency / factor as f32).collect()
}

/// Frequencies of heads of width `hd`.
pub(super) fn frequencies(scaling: Option<&RopeScaling>, theta: f64, hd: usize) -> HeadFrequencies {
    let usual = plain(theta, hd);
    let unscaled = |usual| HeadFrequencies { usual, long: None, scale: 1.0 };
    match scaling {
        None => unscaled(usual),
        Some(RopeScaling::Linear { factor }) => unscaled(divided(&usual, &vec![*factor; hd / 2])),
        Some(RopeScaling::Yarn { factor, attention_factor, .. }) => {
            let kept = scaling.map(|scaling| scaling.kept_shares(theta, hd)).unwrap_or_default();
            let mixed = usual.iter().zip(kept);
            let usual = mixed.map(|(f, kept)| f / *factor as f32 * (1.0 - kept) + f * kept).collect();
            HeadFrequencies { usual, long: None, scale: *attention_factor }
        }
        Some(RopeScaling::Longrope { original_positions, short_factor, long_factor, attention_factor }) => {
            HeadFrequencies {
                long: Some((*original_positions, divided(&usual, long_factor))),
                usual: divided(&usual, short_factor),
                scale: *attention_factor,
            }
        }
    }
}

impl RopeScaling {
    /// Reads `rope_scaling` (or `rope_parameters`) of a published `config`; nothing where frequencies are plain.
    pub(super) fn from_hf_json(config: &Value) -> Result<Option<Self>> {
        let set = |key: &str| config.get(key).filter(|value| !value.is_null());
        let Some((key, scaling)) =
            ["rope_scaling", "rope_parameters"].into_iter().find_map(|key| Some((key, set(key)?)))
        else {
            return Ok(None);
        };
        let unfit = |what: &str| Error::Config(format!("{key}: {what}"));
        let kind = scaling.get("rope_type").or(scaling.get("type")).and_then(Value::as_str);
        let number = |name: &str| scaling.get(name).and_then(Value::as_f64);
        let positions = |json: &Value, name: &str| {
            json.get(name).and_then(Value::as_u64).map(|positions| positions as usize)
        };
        let longest = positions(config, "max_position_embeddings")
            .ok_or_else(|| Error::Config("\"max_position_embeddings\" is missing or no size".to_owned()))?;
        let factor = || number("factor").ok_or_else(|| unfit("\"factor\" is missing or no number"));
        match kind {
            None | Some("default") => Ok(None),
            Some("linear") => Ok(Some(Self::Linear { factor: factor()? })),
            Some("yarn") => {
                let factor = factor()?;
                Ok(Some(Self::Yarn {
                    factor,
                    original_positions: positions(scaling, "original_max_position_embeddings")
                        .unwrap_or(longest),
                    beta_fast: number("beta_fast").unwrap_or(32.0),
                    beta_slow: number("beta_slow").unwrap_or(1.0),
                    truncate: scaling.get("truncate").and_then(Value::as_bool).unwrap_or(true),
                    attention_factor: number("attention_factor").unwrap_or_else(|| {
                        match (number("mscale"), number("mscale_all_dim")) {
                            (Some(one), Some(all)) if one != 0.0 && all != 0.0 => {
                                yarn_scale(factor, one) / yarn_scale(factor, all)
                            }
                            _ => yarn_scale(factor, 1.0),
                        }
                    }),
                }))
            }
            Some("longrope" | "su") => {
                let original = positions(config, "original_max_position_embeddings")
                    .or(positions(scaling, "original_max_position_embeddings"));
                let factor = match (original, number("factor")) {
                    (Some(original), _) => longest as f64 / original.max(1) as f64,
                    (None, factor) => factor.unwrap_or(1.0),
                };
                let original_positions = original.unwrap_or(longest);
                let factors = |name: &str| {
                    let values = scaling.get(name).and_then(Value::as_array);
                    let values: Option<Vec<f64>> =
                        values.and_then(|all| all.iter().map(Value::as_f64).collect());
                    values.ok_or_else(|| unfit(&format!("{name:?} is missing or no list of numbers")))
                };
                let usual_scale = if factor <= 1.0 {
                    1.0
                } else {
                    (1.0 + factor.ln() / (original_positions as f64).ln()).sqrt()
                };
                Ok(Some(Self::Longrope {
                    original_positions,
                    short_factor: factors("short_factor")?,
                    long_factor: factors("long_factor")?,
                    attention_factor: number("attention_factor").unwrap_or(usual_scale),
                }))
            }
            Some(other) => Err(unfit(&format!("{other:?} is none of default, linear, yarn, longrope"))),
        }
    }

    /// Refuses factors that cannot be meant for heads of width `hd`.
    pub(super) fn validate(&self, hd: usize) -> Result<()> {
        let bad = |what: String| Err(Error::Config(format!("rope_scaling: {what}")));
        let positive = |value: f64| value.is_finite() && value > 0.0;
        match self {
            Self::Linear { factor } | Self::Yarn { factor, .. } if !positive(*factor) => {
                bad(format!("factor {factor} is not positive"))
            }
            Self::Yarn { original_positions: 0, .. } | Self::Longrope { original_positions: 0, .. } => {
                bad("there were no original positions".to_owned())
            }
            Self::Yarn { beta_fast, beta_slow, attention_factor, .. }
                if !(positive(*beta_fast) && positive(*beta_slow) && positive(*attention_factor)) =>
            {
                bad(format!(
                    "beta_fast {beta_fast}, beta_slow {beta_slow} or the attention factor is not positive"
                ))
            }
            Self::Longrope { short_factor, long_factor, .. } => {
                for (name, factors) in [("short_factor", short_factor), ("long_factor", long_factor)] {
                    if factors.len() != hd / 2 {
                        return bad(format!(
                            "{name} has {} values for {} frequencies",
                            factors.len(),
                            hd / 2
                        ));
                    }
                    if let Some(factor) = factors.iter().find(|factor| !positive(**factor)) {
                        return bad(format!("{name} holds {factor}, which is not positive"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The length beyond which the whole sequence is rotated otherwise.
    pub fn switches_after(&self) -> Option<usize> {
        match self {
            Self::Longrope { original_positions, .. } => Some(*original_positions),
            _ => None,
        }
    }

    /// How much of each plain frequency YaRN keeps.
    fn kept_shares(&self, theta: f64, hd: usize) -> Vec<f32> {
        let Self::Yarn { original_positions, beta_fast, beta_slow, truncate, .. } = self else {
            return vec![1.0; hd / 2];
        };
        // The index of the frequency that turns so often in the original positions.
        let index = |turns: f64| {
            let positions = *original_positions as f64;
            hd as f64 * (positions / (turns * std::f64::consts::TAU)).ln() / (2.0 * theta.ln())
        };
        let (mut low, mut high) = (index(*beta_fast), index(*beta_slow));
        if *truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(hd as f64 - 1.0));
        if low == high {
            high += 0.001;
        }
        (0..hd / 2).map(|i| 1.0 - (((i as f64 - low) / (high - low)) as f32).clamp(0.0, 1.0)).collect()
    }
}

/// YaRN's scale of attention.
fn yarn_scale(factor: f64, weight: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(scaling: Value) -> Result<Option<RopeScaling>> {
        RopeScaling::from_hf_json(&json!({"max_position_embeddings": 64, "rope_scaling": scaling}))
    }

    #[test]
    fn published_forms_are_read() {
        assert_eq!(read(Value::Null).unwrap(), None);
        assert_eq!(read(json!({"rope_type": "default"})).unwrap(), None);
        assert_eq!(
            read(json!({"type": "linear", "factor": 2.0})).unwrap(),
            Some(RopeScaling::Linear { factor: 2.0 })
        );
        let yarn = read(json!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}));
        let Some(RopeScaling::Yarn { original_positions: 16, attention_factor, .. }) = yarn.unwrap() else {
            panic!("not yarn")
        };
        assert!((attention_factor - (0.1 * 4f64.ln() + 1.0)).abs() < 1e-12);
        let long = json!({"max_position_embeddings": 64, "original_max_position_embeddings": 16,
            "rope_scaling": {"type": "longrope", "short_factor": [1.0, 2.0], "long_factor": [3.0, 4.0]}});
        let long = RopeScaling::from_hf_json(&long).unwrap().unwrap();
        assert_eq!(long.switches_after(), Some(16));
        assert!(long.validate(4).is_ok() && long.validate(6).is_err());
    }

    #[test]
    fn what_is_not_known_or_incomplete_is_refused() {
        for scaling in [
            json!({"type": "dynamic", "factor": 2.0}),
            json!({"type": "linear"}),
            json!({"type": "longrope", "short_factor": [1.0]}),
            json!({"type": "longrope", "short_factor": [1.0], "long_factor": ["much"]}),
        ] {
            assert!(matches!(read(scaling), Err(Error::Config(_))));
        }
        assert!(RopeScaling::Linear { factor: 0.0 }.validate(4).is_err());
    }
}

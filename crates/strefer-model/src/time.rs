//! Timestamp conversion: seconds of a segment become temporal tokens or text, and back.
//!
//! Arithmetic is f64 in the order in which the references compute it, since half-way cases depend on it
//! (Strefer: `seconds_to_timetoken`; Grounded-VideoLLM: `mix_grounded`).

use serde::{Deserialize, Serialize};
use strefer_core::sample::TimeStyle;
use strefer_core::time::clock_ms;

/// How moments reach the language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TimeConfig {
    /// As tokens `<0>`, `<1>`, … of their own.
    Tokens(TimeTokens),
    /// As text, whatever a sample asks for.
    Text,
}

/// Temporal tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeTokens {
    /// Number of tokens; the segment has one interval fewer.
    pub count: u32,
    /// What happens between two tokens.
    pub rounding: Rounding,
    /// Whether temporal tokens in answers are learnt.
    pub supervise: bool,
}

/// How a moment between two tokens is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearer token, half to even (Strefer).
    HalfEven,
    /// Down, and never past the last token (Grounded-VideoLLM).
    Floor,
}

impl TimeTokens {
    /// Strefer: 32 tokens, never supervised.
    pub const STREFER: Self = Self { count: 32, rounding: Rounding::HalfEven, supervise: false };
    /// Grounded-VideoLLM: 301 tokens, supervised.
    pub const GVL: Self = Self { count: 301, rounding: Rounding::Floor, supervise: true };

    fn intervals(&self) -> f64 {
        f64::from(self.count - 1)
    }

    /// The token of a moment as the reference computes it; Strefer's may lie outside the vocabulary.
    pub fn unclamped(&self, at_s: f64, duration_s: f64) -> i64 {
        match self.rounding {
            Rounding::HalfEven => (self.intervals() * (at_s / duration_s)).round_ties_even() as i64,
            Rounding::Floor => ((self.intervals() * at_s / duration_s) as i64).min(self.intervals() as i64),
        }
    }

    /// The token of a moment, kept inside the vocabulary.
    pub fn token(&self, at_s: f64, duration_s: f64) -> u32 {
        if duration_s <= 0.0 {
            return 0;
        }
        self.unclamped(at_s, duration_s).clamp(0, i64::from(self.count) - 1) as u32
    }

    /// The moment of a token, in seconds.
    pub fn seconds(&self, token: u32, duration_s: f64) -> f64 {
        duration_s * f64::from(token) / self.intervals()
    }

    /// What the reference prints for a token: whole seconds (Strefer) or two decimals (Grounded-VideoLLM).
    pub fn printed_seconds(&self, token: u32, duration_s: f64) -> String {
        match self.rounding {
            Rounding::HalfEven => {
                format!("{}", (duration_s * (f64::from(token) / self.intervals())).round_ties_even())
            }
            Rounding::Floor => format!("{:.2}", self.seconds(token, duration_s)),
        }
    }

    /// The text of a token.
    pub fn text(token: u32) -> String {
        format!("<{token}>")
    }

    /// The texts of all tokens, in order.
    pub fn texts(&self) -> Vec<String> {
        (0..self.count).map(Self::text).collect()
    }
}

impl TimeConfig {
    /// What the model reads for a moment of a segment of `duration_s`.
    pub fn render(&self, at_s: f64, duration_s: f64, style: TimeStyle) -> String {
        match (self, style) {
            (Self::Tokens(tokens), TimeStyle::Token) => TimeTokens::text(tokens.token(at_s, duration_s)),
            (_, TimeStyle::Clock) => clock_ms(at_s),
            (_, TimeStyle::Seconds | TimeStyle::Token) => format!("{at_s:.1}s"),
        }
    }
}

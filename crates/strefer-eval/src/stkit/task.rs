//! The seven tasks, and what an answer to each looks like.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// How far, in metres.
    TraveledDistance,
    /// How fast on average, in kilometres an hour.
    TravelingSpeed,
    /// Which way at the end, as an hour on the clock.
    MovementDirection,
    /// When towards an hour, in seconds.
    DirectionTimestamp,
    /// Which of two goes farther, or less far.
    TraveledDistanceComparison,
    /// Which of two is faster, or slower.
    TravelingSpeedComparison,
    /// Whether two go the same way.
    MovementDirectionComparison,
}

impl Task {
    /// All of them, in the order of the paper.
    pub const ALL: [Self; 7] = [
        Self::TraveledDistance,
        Self::TravelingSpeed,
        Self::MovementDirection,
        Self::DirectionTimestamp,
        Self::TraveledDistanceComparison,
        Self::TravelingSpeedComparison,
        Self::MovementDirectionComparison,
    ];

    /// As it is called in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::TraveledDistance => "traveled_distance",
            Self::TravelingSpeed => "traveling_speed",
            Self::MovementDirection => "movement_direction",
            Self::DirectionTimestamp => "direction_timestamp",
            Self::TraveledDistanceComparison => "traveled_distance_comparison",
            Self::TravelingSpeedComparison => "traveling_speed_comparison",
            Self::MovementDirectionComparison => "movement_direction_comparison",
        }
    }

    /// An answer to this task as it stands in a file; `None` when it is none.
    pub fn read(self, value: &Value) -> Option<Answer> {
        match self {
            Self::TraveledDistance | Self::TravelingSpeed => value.as_f64().map(Answer::Number),
            Self::MovementDirection => {
                let hour = value.as_u64().and_then(|hour| u8::try_from(hour).ok());
                hour.filter(|hour| (1..=12).contains(hour)).map(Answer::Clock)
            }
            Self::DirectionTimestamp => {
                let bounds: [f64; 2] = serde_json::from_value(value.clone()).ok()?;
                (bounds[0] <= bounds[1]).then_some(Answer::Interval(bounds))
            }
            _ => value.as_str().map(|word| Answer::Word(word.to_owned())),
        }
    }
}

/// An answer, without the sentence around it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Metres or kilometres an hour.
    Number(f64),
    /// An hour, 1 to 12.
    Clock(u8),
    /// Start and end in seconds.
    Interval([f64; 2]),
    /// A colour, yes or no.
    Word(String),
}

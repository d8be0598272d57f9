//! The seven tasks: what is asked, and what is true.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strefer_core::{Sample, Span};

use crate::stkit::overlay::Colour;

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StkitTask {
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

impl StkitTask {
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

    /// As it is called in records.
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
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// The way.
    Distance,
    /// The average speed.
    Speed,
}

/// A question with its answer. Numbers are rounded as they are written.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// How far or how fast one object goes.
    Measure {
        /// Which of both.
        quantity: Quantity,
        /// The object.
        object: Colour,
        /// The part of the video; all of it when absent.
        span: Option<Span>,
        /// Metres or kilometres an hour.
        value: f64,
    },
    /// Which way one object goes at the end.
    Direction {
        /// The object.
        object: Colour,
        /// The hour, 1 to 12.
        clock: u8,
    },
    /// When one object goes one way.
    Timestamp {
        /// The object.
        object: Colour,
        /// The hour, 1 to 12.
        clock: u8,
        /// When.
        span: Span,
    },
    /// Which of two objects goes farther or is faster.
    Comparison {
        /// What is compared.
        quantity: Quantity,
        /// In the order in which they are mentioned.
        objects: [Colour; 2],
        /// Whether the larger value wins.
        more: bool,
        /// Position of the winner among `objects`.
        winner: usize,
    },
    /// Whether two objects go the same way.
    SameDirection {
        /// In the order in which they are mentioned.
        objects: [Colour; 2],
        /// Whether they do.
        same: bool,
    },
}

impl Question {
    /// The task that it belongs to.
    pub fn task(&self) -> StkitTask {
        match self {
            Self::Measure { quantity: Quantity::Distance, .. } => StkitTask::TraveledDistance,
            Self::Measure { quantity: Quantity::Speed, .. } => StkitTask::TravelingSpeed,
            Self::Direction { .. } => StkitTask::MovementDirection,
            Self::Timestamp { .. } => StkitTask::DirectionTimestamp,
            Self::Comparison { quantity: Quantity::Distance, .. } => StkitTask::TraveledDistanceComparison,
            Self::Comparison { quantity: Quantity::Speed, .. } => StkitTask::TravelingSpeedComparison,
            Self::SameDirection { .. } => StkitTask::MovementDirectionComparison,
        }
    }

    /// Which answers count as alike when answers are balanced.
    pub fn bin(&self) -> usize {
        match self {
            Self::Measure { quantity: Quantity::Distance, value, .. } => match value {
                ..5.0 => 0,
                ..10.0 => 1,
                ..100.0 => 1 + (value / 10.0) as usize,
                _ => 11,
            },
            Self::Measure { quantity: Quantity::Speed, value, .. } => ((value / 5.0) as usize).min(12),
            Self::Direction { clock, .. } | Self::Timestamp { clock, .. } => usize::from(*clock),
            Self::Comparison { more, winner, .. } => 2 * winner + usize::from(*more),
            Self::SameDirection { same, .. } => usize::from(*same),
        }
    }

    /// What a scorer needs.
    pub fn facts(&self) -> StkitFacts {
        let (label, options) = match self {
            Self::Measure { value, .. } => (Label::Number(*value), Vec::new()),
            Self::Direction { clock, .. } => (Label::Clock(*clock), Vec::new()),
            Self::Timestamp { span, .. } => (Label::Interval([span.start_s, span.end_s]), Vec::new()),
            Self::Comparison { objects, winner, .. } => {
                (Label::Word(objects[*winner].name().to_owned()), objects.to_vec())
            }
            Self::SameDirection { same, .. } => {
                (Label::Word(if *same { "yes" } else { "no" }.to_owned()), Vec::new())
            }
        };
        StkitFacts { task: self.task(), label, options }
    }
}

/// A true answer, without the sentence around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Label {
    /// An hour, 1 to 12.
    Clock(u8),
    /// Metres or kilometres an hour.
    Number(f64),
    /// Start and end in seconds.
    Interval([f64; 2]),
    /// A colour, yes or no.
    Word(String),
}

/// What makes a sample one of these questions, kept in [`Sample::eval`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StkitFacts {
    /// The task.
    pub task: StkitTask,
    /// The true answer.
    pub label: Label,
    /// Colours that could be the answer, in the order in which they are mentioned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Colour>,
}

impl StkitFacts {
    /// The facts of a sample; `None` when it is no such question.
    pub fn of(sample: &Sample) -> Option<Self> {
        serde_json::from_value(sample.eval.clone()?).ok()
    }

    /// As the value of [`Sample::eval`].
    ///
    /// # Panics
    /// Never: the facts hold nothing that JSON cannot say.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("facts are plain JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(quantity: Quantity, value: f64) -> Question {
        Question::Measure { quantity, object: Colour::Red, span: None, value }
    }

    #[test]
    fn distances_and_speeds_fall_into_their_bins() {
        let distance = |value| measure(Quantity::Distance, value).bin();
        let values = [0.0, 4.9, 5.0, 9.9, 10.0, 19.9, 20.0, 99.9, 100.0, 1e6];
        assert_eq!(values.map(distance), [0, 0, 1, 1, 2, 2, 3, 10, 11, 11]);
        let speed = |value| measure(Quantity::Speed, value).bin();
        assert_eq!([0.0, 4.9, 5.0, 59.9, 60.0, 200.0].map(speed), [0, 0, 1, 11, 12, 12]);
    }

    #[test]
    fn comparisons_are_told_apart_by_place_and_polarity() {
        let bin = |more, winner| {
            let objects = [Colour::Red, Colour::Blue];
            Question::Comparison { quantity: Quantity::Speed, objects, more, winner }.bin()
        };
        let mut bins = [bin(false, 0), bin(false, 1), bin(true, 0), bin(true, 1)];
        bins.sort_unstable();
        assert_eq!(bins, [0, 1, 2, 3]);
    }

    #[test]
    fn labels_are_written_as_scorers_read_them() {
        let written = |question: &Question| question.facts().to_value()["label"].to_string();
        assert_eq!(written(&measure(Quantity::Distance, 8.0)), "8.0");
        assert_eq!(written(&Question::Direction { object: Colour::Red, clock: 8 }), "8");
        let span = Span { start_s: 1.0, end_s: 3.5 };
        assert_eq!(written(&Question::Timestamp { object: Colour::Red, clock: 3, span }), "[1.0,3.5]");
        let objects = [Colour::Blue, Colour::Pink];
        assert_eq!(written(&Question::SameDirection { objects, same: false }), r#""no""#);
        let comparison =
            Question::Comparison { quantity: Quantity::Distance, objects, more: true, winner: 1 };
        assert_eq!(written(&comparison), r#""pink""#);
        for question in [comparison, measure(Quantity::Speed, 8.0)] {
            let facts = question.facts();
            assert_eq!(serde_json::from_value::<StkitFacts>(facts.to_value()).unwrap(), facts);
        }
    }

    #[test]
    fn tasks_are_called_the_same_everywhere() {
        for task in StkitTask::ALL {
            assert_eq!(serde_json::to_value(task).unwrap(), task.name());
        }
    }
}

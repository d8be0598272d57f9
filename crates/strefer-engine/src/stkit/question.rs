//! Questions of the seven tasks: what is asked, and what is true.

use strefer_core::{Span, StkitAnswer, StkitFacts, StkitTask};

use crate::stkit::overlay::Colour;

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
            Self::Measure { value, .. } => (StkitAnswer::Number(*value), Vec::new()),
            Self::Direction { clock, .. } => (StkitAnswer::Clock(*clock), Vec::new()),
            Self::Timestamp { span, .. } => (StkitAnswer::Interval([span.start_s, span.end_s]), Vec::new()),
            Self::Comparison { objects, winner, .. } => (
                StkitAnswer::Word(objects[*winner].name().to_owned()),
                objects.map(|object| object.name().to_owned()).to_vec(),
            ),
            Self::SameDirection { same, .. } => {
                (StkitAnswer::Word(if *same { "yes" } else { "no" }.to_owned()), Vec::new())
            }
        };
        StkitFacts { task: self.task(), label, options }
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
}

//! What makes a sample one of STKit's questions about motion (arXiv 2503.19355), kept in
//! [`Sample::eval`](crate::Sample): the engine writes it, the scorer reads it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::sample::Sample;

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

    /// An answer to this task as it stands in a file; `None` when it is none.
    pub fn read(self, value: &Value) -> Option<StkitAnswer> {
        match self {
            Self::TraveledDistance | Self::TravelingSpeed => value.as_f64().map(StkitAnswer::Number),
            Self::MovementDirection => {
                let hour = value.as_u64().and_then(|hour| u8::try_from(hour).ok());
                hour.filter(|hour| (1..=12).contains(hour)).map(StkitAnswer::Clock)
            }
            Self::DirectionTimestamp => {
                let bounds: [f64; 2] = serde_json::from_value(value.clone()).ok()?;
                (bounds[0] <= bounds[1]).then_some(StkitAnswer::Interval(bounds))
            }
            _ => value.as_str().map(|word| StkitAnswer::Word(word.to_owned())),
        }
    }
}

/// An answer, without the sentence around it. Which kind a written one is, its task says ([`StkitTask::read`]).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StkitAnswer {
    /// Metres or kilometres an hour.
    Number(f64),
    /// An hour, 1 to 12.
    Clock(u8),
    /// Start and end in seconds.
    Interval([f64; 2]),
    /// A colour, yes or no.
    Word(String),
}

/// The true answer to a question, and what could be answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StkitFacts {
    /// The task.
    pub task: StkitTask,
    /// The true answer.
    pub label: StkitAnswer,
    /// Colours that could be the answer, in the order in which they are mentioned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl<'de> Deserialize<'de> for StkitFacts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            task: StkitTask,
            label: Value,
            #[serde(default)]
            options: Vec<String>,
        }
        let Written { task, label, options } = Written::deserialize(deserializer)?;
        let read = task.read(&label);
        let label =
            read.ok_or_else(|| D::Error::custom(format!("{label} is no answer to {}", task.name())))?;
        Ok(Self { task, label, options })
    }
}

impl StkitFacts {
    /// The facts of a sample; `None` when it is no such question.
    pub fn of(sample: &Sample) -> Option<Self> {
        serde_json::from_value(sample.eval.clone()?).ok()
    }

    /// As the value of [`Sample::eval`](crate::Sample).
    ///
    /// # Panics
    /// Never: the facts hold nothing that JSON cannot say.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("facts are plain JSON")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tasks_are_called_the_same_everywhere() {
        for task in StkitTask::ALL {
            assert_eq!(serde_json::to_value(task).unwrap(), task.name());
        }
    }

    #[test]
    fn the_task_says_what_kind_a_written_answer_is() {
        let read = |task: StkitTask, label: Value| {
            serde_json::from_value::<StkitFacts>(json!({"task": task, "label": label}))
        };
        let whole = read(StkitTask::TraveledDistance, json!(8)).unwrap();
        assert_eq!(whole.label, StkitAnswer::Number(8.0));
        assert_eq!(read(StkitTask::MovementDirection, json!(8)).unwrap().label, StkitAnswer::Clock(8));
        for (task, label) in [
            (StkitTask::MovementDirection, json!(13)),
            (StkitTask::DirectionTimestamp, json!([3.0, 1.0])),
            (StkitTask::TravelingSpeedComparison, json!(1)),
        ] {
            let error = read(task, label).unwrap_err().to_string();
            assert!(error.contains(task.name()), "{error}");
        }
        assert_eq!(serde_json::from_value::<StkitFacts>(whole.to_value()).unwrap(), whole);
    }
}

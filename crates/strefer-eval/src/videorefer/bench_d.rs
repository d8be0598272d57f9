//! VideoRefer-Bench-D: descriptions of masked objects, rated by a judge on four axes from 0 to 5.
//!
//! The judge answers in numbered lines, `1. Subject Correspondence: 4`, each with an explanation. What does not stand
//! like this is not understood: it is counted and left out of that axis' mean, as the benchmark's script does.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::coverage::{Coverage, Unmatched, pair};
use crate::error::Result;
use crate::records::BenchRecord;
use crate::sheet::{Line, Note, Sheet};
use crate::statistics::{Statistic, mean};

/// What is rated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Whether it is the right object.
    SubjectCorrespondence,
    /// How it looks.
    AppearanceDescription,
    /// What it does.
    TemporalDescription,
    /// Whether nothing is made up.
    HallucinationDetection,
}

impl Axis {
    /// All of them, in the order of the paper.
    pub const ALL: [Self; 4] = [
        Self::SubjectCorrespondence,
        Self::AppearanceDescription,
        Self::TemporalDescription,
        Self::HallucinationDetection,
    ];

    /// As the judge calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SubjectCorrespondence => "Subject Correspondence",
            Self::AppearanceDescription => "Appearance Description",
            Self::TemporalDescription => "Temporal Description",
            Self::HallucinationDetection => "Hallucination Detection",
        }
    }
}

/// The best rating.
pub const BEST: f64 = 5.0;

/// A judge's ratings, in the order of [`Axis::ALL`]; `None` where the reply has none, one out of range, or two that
/// contradict each other.
pub fn parse(reply: &str) -> [Option<f64>; 4] {
    Axis::ALL.map(|axis| {
        let mut ratings = reply.match_indices(axis.name()).filter_map(|(at, name)| {
            numbered(&reply[..at]).then(|| rating(&reply[at + name.len()..])).flatten()
        });
        let first = ratings.next()?;
        (ratings.all(|other| other == first) && (0.0..=BEST).contains(&first)).then_some(first)
    })
}

/// Whether a line ends with a number and a full stop, blanks after it.
fn numbered(before: &str) -> bool {
    before
        .trim_end_matches([' ', '\t'])
        .strip_suffix('.')
        .is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_digit()))
}

/// The number after a colon.
fn rating(after: &str) -> Option<f64> {
    let text = after.trim_start().strip_prefix(':')?.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].trim_end_matches('.').parse().ok()
}

/// An object to describe, of `VideoRefer-Bench-D.json`, as far as scores need it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Question {
    /// Its id.
    pub id: u64,
    /// The video's file name.
    pub video: String,
    /// The reference description.
    pub caption: String,
}

impl BenchRecord for Question {
    fn key(&self) -> String {
        self.id.to_string()
    }

    fn fault(&self) -> Option<String> {
        self.caption.trim().is_empty().then(|| "it has no reference description".to_owned())
    }
}

/// What the judge says of one description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The object.
    pub id: u64,
    /// The judge's reply; absent when it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

impl BenchRecord for Judgement {
    fn key(&self) -> String {
        self.id.to_string()
    }

    fn fault(&self) -> Option<String> {
        None
    }
}

/// Ratings on one axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AxisScores {
    /// The axis.
    pub axis: Axis,
    /// Descriptions with a rating.
    pub n: usize,
    /// Mean rating, 0 to 5; absent without ratings.
    pub mean: Option<f64>,
    /// Descriptions whose rating is not understood.
    pub unparsed: Vec<u64>,
}

/// Ratings on all axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Which descriptions are rated.
    pub coverage: Coverage,
    /// In the order of [`Axis::ALL`].
    pub axes: Vec<AxisScores>,
    /// Descriptions without a reply of the judge; they are in no mean.
    pub without_reply: Vec<u64>,
    /// Of each description, in the order of [`Axis::ALL`].
    pub ratings: Vec<[Option<f64>; 4]>,
    /// Who judged, and how it was asked, where that is known.
    pub judge: Option<Value>,
}

impl Scores {
    /// The mean of the four axes' means, 0 to 5; absent unless all have one.
    pub fn mean(&self) -> Option<f64> {
        let means: Option<Vec<f64>> = self.axes.iter().map(|axis| axis.mean).collect();
        means.map(mean)
    }

    /// By axis the mean and how many it is of, the mean of the four, and the judge.
    pub fn to_json(&self) -> Value {
        let entry =
            |axis: &AxisScores| (axis.axis.name().to_owned(), json!({"n": axis.n, "mean": axis.mean}));
        let mut all: Map<String, Value> = self.axes.iter().map(entry).collect();
        all.insert("mean".to_owned(), self.mean().into());
        all.extend(self.judge.clone().map(|judge| ("judge".to_owned(), judge)));
        all.into()
    }

    /// For people and for programs; ratings from 0 to 5.
    pub fn sheet(&self) -> Sheet {
        let column = |at: usize| self.ratings.iter().map(|ratings| ratings[at]).collect::<Vec<_>>();
        let columns = || (0..Axis::ALL.len()).map(column);
        let axis = |(axis, column): (Axis, _)| Line::of(axis.name(), "", 2, Statistic::mean(column));
        let mut lines: Vec<Line> = Axis::ALL.into_iter().zip(columns()).map(axis).collect();
        let mean = self.mean();
        let statistic = mean.map(|_| Statistic::mean_of_means(columns().collect()));
        lines.push(Line { name: "mean".to_owned(), unit: "", value: mean, decimals: 2, statistic });
        let named = |ids: &[u64]| ids.iter().map(u64::to_string).collect();
        let what = "without a reply of the judge, in no mean";
        let mut notes: Vec<Note> = Note::about(what, named(&self.without_reply)).into_iter().collect();
        for AxisScores { axis, unparsed, .. } in &self.axes {
            let what = format!("without a rating of {}, not in its mean", axis.name());
            notes.extend(Note::about(&what, named(unparsed)));
        }
        let metrics = self.to_json();
        Sheet { benchmark: "VideoRefer-Bench-D", coverage: self.coverage.clone(), lines, notes, metrics }
    }
}

/// A description and what the judge says of it.
type Pair<'a> = (&'a Question, &'a Judgement);

/// Collects the judge's ratings.
///
/// # Errors
/// When descriptions have no judgement or judgements no description, see [`Unmatched`].
pub fn score(questions: &[Question], judgements: &[Judgement], unmatched: Unmatched) -> Result<Scores> {
    let paired = pair(questions, judgements, unmatched)?;
    let ratings: Vec<[Option<f64>; 4]> = paired
        .pairs
        .iter()
        .map(|(_, judgement)| judgement.reply.as_deref().map_or([None; 4], parse))
        .collect();
    let of_axis = |(at, axis): (usize, Axis)| {
        let given: Vec<f64> = ratings.iter().filter_map(|ratings| ratings[at]).collect();
        let unread = |(pair, ratings): &(&Pair<'_>, &[Option<f64>; 4])| {
            pair.1.reply.is_some() && ratings[at].is_none()
        };
        AxisScores {
            axis,
            n: given.len(),
            mean: (!given.is_empty()).then(|| mean(given.iter().copied())),
            unparsed: paired.pairs.iter().zip(&ratings).filter(unread).map(|(pair, _)| pair.0.id).collect(),
        }
    };
    let axes = Axis::ALL.into_iter().enumerate().map(of_axis).collect();
    let silent = paired.pairs.iter().filter(|(_, judgement)| judgement.reply.is_none());
    let without_reply = silent.map(|(question, _)| question.id).collect();
    Ok(Scores { coverage: paired.coverage, axes, without_reply, ratings, judge: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &str = "1. Subject Correspondence: 5\nThe same dog.\n2. Appearance Description: 3.5. Its collar is \
                         missing.\n3.Temporal Description : 2/5\n4. Hallucination Detection: 0\n";

    #[test]
    fn ratings_are_read_where_they_stand() {
        assert_eq!(parse(REPLY), [Some(5.0), Some(3.5), Some(2.0), Some(0.0)]);
    }

    #[test]
    fn prose_and_doubt_are_no_ratings() {
        assert_eq!(parse("It is a good description, 4 of 5."), [None; 4]);
        assert_eq!(parse("Subject Correspondence: 4"), [None; 4]);
        assert_eq!(parse("1. Subject Correspondence: good"), [None; 4]);
        assert_eq!(parse("1. Subject Correspondence: 7\n2. Appearance Description: 1.2.3"), [None; 4]);
        let twice = "1. Subject Correspondence: 4\n1. Subject Correspondence: 2";
        assert_eq!(parse(twice), [None; 4]);
        assert_eq!(parse(&twice.replace('2', "4"))[0], Some(4.0));
    }
}

//! Right or wrong, how far off, and the means of it by task.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::parse::parse;
use crate::coverage::{Coverage, Unmatched, pair};
use crate::error::Result;
use crate::records::{self, BenchRecord, Reply};
use crate::statistics::mean;
use strefer_core::{StkitAnswer, StkitTask};

/// A number is right within this share of the truth.
const TOLERANCE: f64 = 0.25;

/// An interval is right from this IoU on.
const LEAST_IOU: f64 = 0.5;

/// How good one answer is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it counts as right.
    pub correct: bool,
    /// How far off: metres, kilometres an hour, hours on the clock; for an interval its IoU. Absent for words and for
    /// answers that were not understood, whose interval has an IoU of 0.
    pub error: Option<f64>,
}

/// Compares an answer with the truth; an answer of another kind is one that was not understood.
pub fn judge(truth: &StkitAnswer, said: Option<&StkitAnswer>) -> Verdict {
    match (truth, said) {
        (StkitAnswer::Number(truth), Some(StkitAnswer::Number(said))) => {
            let (low, high) = ((1.0 - TOLERANCE) * truth, (1.0 + TOLERANCE) * truth);
            Verdict { correct: low <= *said && *said <= high, error: Some((truth - said).abs()) }
        }
        (StkitAnswer::Clock(truth), Some(StkitAnswer::Clock(said))) => {
            let apart = truth.abs_diff(*said);
            Verdict { correct: apart == 0, error: Some(f64::from(apart.min(12_u8.saturating_sub(apart)))) }
        }
        (StkitAnswer::Interval(truth), said) => {
            let iou = if let Some(StkitAnswer::Interval(said)) = said { iou(truth, said) } else { 0.0 };
            Verdict { correct: iou >= LEAST_IOU, error: Some(iou) }
        }
        (StkitAnswer::Word(truth), Some(StkitAnswer::Word(said))) => {
            Verdict { correct: truth == said, error: None }
        }
        _ => Verdict { correct: false, error: None },
    }
}

fn iou(a: &[f64; 2], b: &[f64; 2]) -> f64 {
    let both = (a[1].min(b[1]) - a[0].max(b[0])).max(0.0);
    let either = (a[1] - a[0]) + (b[1] - b[0]) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// A question with its true answer and what was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The question.
    pub id: String,
    /// What it is about.
    pub task: StkitTask,
    /// The true answer.
    pub truth: StkitAnswer,
    /// What was said; absent when it was not understood.
    pub said: Option<StkitAnswer>,
}

/// What became of one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The question.
    pub id: String,
    /// What it is about.
    pub task: StkitTask,
    /// How good the answer is.
    pub verdict: Verdict,
    /// Whether it was understood.
    pub understood: bool,
}

/// The means of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskScores {
    /// The task.
    pub task: StkitTask,
    /// How many questions.
    pub n: usize,
    /// Share of right answers, 0 to 1.
    pub accuracy: f64,
    /// How many answers were not understood: they count as wrong.
    pub unparsed: usize,
    /// Mean of [`Verdict::error`]; of numbers and hours over the answers that were understood, of intervals over all.
    pub mean_error: Option<f64>,
}

/// The scores of all tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Which questions are scored.
    pub coverage: Coverage,
    /// Of the tasks that are asked, in the order of [`StkitTask::ALL`].
    pub tasks: Vec<TaskScores>,
    /// In the order of the questions.
    pub judged: Vec<Judged>,
}

impl Scores {
    /// The mean of the seven tasks' accuracies, 0 to 1; absent unless all seven are asked.
    pub fn average_accuracy(&self) -> Option<f64> {
        let all = self.tasks.len() == StkitTask::ALL.len();
        all.then(|| mean(self.tasks.iter().map(|task| task.accuracy)))
    }

    /// By task, accuracies in percent: `mae` for numbers and hours, `mean_iou` for intervals.
    pub fn to_json(&self) -> Value {
        let mut all = Map::new();
        for scores in &self.tasks {
            let mut entry = json!({
                "n": scores.n, "accuracy_pct": 100.0 * scores.accuracy, "unparsed": scores.unparsed,
            });
            if let Some(error) = scores.mean_error {
                entry[error_name(scores.task)] = error.into();
            }
            all.insert(scores.task.name().to_owned(), entry);
        }
        all.insert(
            "average_accuracy_pct".to_owned(),
            self.average_accuracy().map(|share| 100.0 * share).into(),
        );
        all.into()
    }
}

/// What the mean of a task's errors is called.
pub(super) fn error_name(task: StkitTask) -> &'static str {
    if task == StkitTask::DirectionTimestamp { "mean_iou" } else { "mae" }
}

/// The means of answers that are read already.
pub fn summarise(answers: &[Answered], coverage: Coverage) -> Scores {
    let judged = |answer: &Answered| Judged {
        id: answer.id.clone(),
        task: answer.task,
        verdict: judge(&answer.truth, answer.said.as_ref()),
        understood: answer.said.is_some(),
    };
    let judged: Vec<Judged> = answers.iter().map(judged).collect();
    let of_task = |task: StkitTask| {
        let own: Vec<&Judged> = judged.iter().filter(|it| it.task == task).collect();
        let errors: Vec<f64> = own.iter().filter_map(|it| it.verdict.error).collect();
        (!own.is_empty()).then(|| TaskScores {
            task,
            n: own.len(),
            accuracy: mean(own.iter().map(|it| f64::from(u8::from(it.verdict.correct)))),
            unparsed: own.iter().filter(|it| !it.understood).count(),
            mean_error: (!errors.is_empty()).then(|| mean(errors.iter().copied())),
        })
    };
    Scores { coverage, tasks: StkitTask::ALL.into_iter().filter_map(of_task).collect(), judged }
}

/// A question with its true answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Question {
    /// Its id.
    #[serde(deserialize_with = "records::id")]
    pub id: String,
    /// What it is about.
    pub task: StkitTask,
    /// The true answer, as [`StkitTask::read`] takes it.
    pub label: Value,
    /// The words that a comparison offers.
    #[serde(default)]
    pub options: Vec<String>,
}

impl Question {
    fn truth(&self) -> Option<StkitAnswer> {
        self.task.read(&self.label)
    }
}

impl BenchRecord for Question {
    fn key(&self) -> String {
        self.id.clone()
    }

    fn fault(&self) -> Option<String> {
        let none = self.truth().is_none();
        none.then(|| format!("label {} is no answer to {}", self.label, self.task.name()))
    }
}

/// Reads and scores what a model says.
///
/// # Errors
/// When questions have no reply or replies no question, see [`Unmatched`].
pub fn score(questions: &[Question], replies: &[Reply], unmatched: Unmatched) -> Result<Scores> {
    let paired = pair(questions, replies, unmatched)?;
    let read = |(question, reply): &(&Question, &Reply)| {
        let said = parse(question.task, &reply.text, &question.options);
        let (id, task) = (question.id.clone(), question.task);
        question.truth().map(|truth| Answered { id, task, truth, said })
    };
    let answers: Vec<_> = paired.pairs.iter().filter_map(read).collect();
    Ok(summarise(&answers, paired.coverage))
}

//! One question with its answer, before it has a place in a sample.

use strefer_core::masklet::FrameKey;
use strefer_core::sample::{AnswerFormat, TimeStyle};

use crate::instruct::task::TaskKind;

/// Something that an answer gives away or a question asks for: about an entity, or about the scene.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// Position of the entity; nothing for the scene.
    pub entity: Option<usize>,
    /// Which fact: an attribute's name, `run:3`, `order`, …
    pub name: String,
}

impl Fact {
    /// A fact about an entity.
    pub fn of(entity: usize, name: impl Into<String>) -> Self {
        Self { entity: Some(entity), name: name.into() }
    }

    /// A fact about the scene.
    pub fn scene(name: impl Into<String>) -> Self {
        Self { entity: None, name: name.into() }
    }
}

/// One question with its answer. `<region:i>` and `<time:i>` count within the draft.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The task.
    pub task: TaskKind,
    /// Whether the premise is false.
    pub negative: bool,
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// Positions of the entities that `<region:i>` points at.
    pub regions: Vec<usize>,
    /// The only frame of the uniform sample for which the answer holds; nothing where it holds in all.
    pub frame: Option<FrameKey>,
    /// The moments that `<time:i>` stands for, in seconds.
    pub times_s: Vec<f64>,
    /// How they are written.
    pub style: TimeStyle,
    /// The form of the answer.
    pub format: AnswerFormat,
    /// All answers that could be given, where they can be counted.
    pub choices: Option<Vec<String>>,
    /// What is scored: `colour`, `action`, `order`, …
    pub kind: String,
    /// What is compared: the answer in lower case without its end stop, or the part of a longer answer that counts.
    pub key: String,
    /// An entity for which the same question has another answer, and that answer.
    pub other: Option<(usize, String)>,
    /// Whether it is about an entity that no training video shows.
    pub held_out: bool,
    /// What must not have been said before it in the same conversation.
    pub asks: Vec<Fact>,
    /// What it gives away.
    pub tells: Vec<Fact>,
}

impl Draft {
    /// A draft without references; free text, scored as a whole.
    pub fn new(task: TaskKind, kind: &str, question: impl Into<String>, answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self {
            task,
            negative: false,
            question: question.into(),
            key: answer.trim_end_matches('.').to_lowercase(),
            answer,
            regions: Vec::new(),
            frame: None,
            times_s: Vec::new(),
            style: TimeStyle::default(),
            format: AnswerFormat::Free,
            choices: None,
            kind: kind.to_owned(),
            other: None,
            held_out: false,
            asks: Vec::new(),
            tells: Vec::new(),
        }
    }

    /// The words that are scored, when they are fewer than the answer.
    pub fn scored(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// The form of the answer.
    pub fn format(mut self, format: AnswerFormat) -> Self {
        self.format = format;
        self
    }

    /// What the answer gives away and the question therefore asks for.
    pub fn about(mut self, facts: Vec<Fact>) -> Self {
        self.asks.clone_from(&facts);
        self.tells = facts;
        self
    }

    /// The moments of the question.
    pub fn at(mut self, times_s: Vec<f64>, style: TimeStyle) -> Self {
        self.times_s = times_s;
        self.style = style;
        self
    }
}

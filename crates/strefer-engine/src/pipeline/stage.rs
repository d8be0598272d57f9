//! The stages, in order.

use serde::{Deserialize, Serialize};

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A paragraph about what acts in the video.
    Recognise,
    /// The paragraph becomes entities.
    Parse,
    /// Entities become masks.
    Masklets,
    /// How each object moves and looks.
    Annotate,
    /// Whether masks show what they should.
    Review,
    /// Motion and looks in one text.
    Refine,
    /// Questions about each object.
    Question,
    /// The video becomes parts.
    Clips,
    /// What every entity does in every part.
    Transcribe,
    /// Questions and answers.
    Samples,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Recognise,
        Self::Parse,
        Self::Masklets,
        Self::Annotate,
        Self::Review,
        Self::Refine,
        Self::Question,
        Self::Clips,
        Self::Transcribe,
        Self::Samples,
    ];

    /// Those that ask about objects one by one, in order.
    pub const OBJECTS: [Self; 4] = [Self::Annotate, Self::Review, Self::Refine, Self::Question];

    /// Its name in files, folders and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recognise => "recognise",
            Self::Parse => "parse",
            Self::Masklets => "masklets",
            Self::Annotate => "annotate",
            Self::Review => "review",
            Self::Refine => "refine",
            Self::Question => "question",
            Self::Clips => "clips",
            Self::Transcribe => "transcribe",
            Self::Samples => "samples",
        }
    }
}

impl From<Stage> for &'static str {
    fn from(stage: Stage) -> Self {
        stage.name()
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|stage| stage.name() == text);
        known.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

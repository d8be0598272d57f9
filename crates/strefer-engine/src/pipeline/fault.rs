//! Why a stage came to nothing on one video.

use serde::{Deserialize, Serialize};
use strefer_core::records::MaskletsFailure;
use strefer_teacher::Fault as TeacherFault;

use super::stage::Stage;
use crate::error::Error;

/// Whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// That of one stage.
    Stage,
    /// That of the video, over all stages.
    Video,
}

/// Why a stage came to nothing on one video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The video cannot be read.
    #[error("cannot be read: {reason}")]
    Unreadable {
        /// What the reader said.
        reason: String,
    },
    /// The time is over.
    #[error("not done after {seconds:.0} s, the time of one {}", match clock { Clock::Stage => "stage", Clock::Video => "video" })]
    Late {
        /// Whose.
        clock: Clock,
        /// How long it was.
        seconds: f64,
    },
    /// A teacher does not answer, or not as asked.
    #[error("teacher {teacher} ({fault}): {reason}")]
    Teacher {
        /// Its name in the configuration.
        teacher: String,
        /// The kind of its fault.
        fault: String,
        /// The fault in words.
        reason: String,
    },
    /// A record is not made here, and not given for this video.
    #[error("no {record} record is given, and the configuration has no stage that makes it")]
    NotGiven {
        /// Its type.
        record: String,
    },
    /// A model in this process failed.
    #[error("{model}: {reason}")]
    Model {
        /// Which.
        model: String,
        /// What it said.
        reason: String,
    },
    /// Masklets cannot be made for a reason that a later try may not meet.
    #[error("masklets: {failure}")]
    Masklets {
        /// The reason.
        failure: MaskletsFailure,
    },
    /// Records that contradict each other.
    #[error("{reason}")]
    Records {
        /// How.
        reason: String,
    },
    /// A file of the run cannot be read or written.
    #[error("{reason}")]
    Disk {
        /// Which, and why.
        reason: String,
        /// Whether there is no room: nothing more can be written, and nothing should be asked.
        full: bool,
    },
    /// The stage panicked: a mistake of the program.
    #[error("the program failed: {reason}")]
    Panicked {
        /// What it said.
        reason: String,
    },
    /// A teacher takes no questions of ours at all: a key, an address or a model's name is wrong. The video is as it was.
    #[error("teacher {teacher}: {reason}")]
    Shut {
        /// Its name in the configuration.
        teacher: String,
        /// What it says.
        reason: String,
    },
    /// Nothing more may be spent. The video is as it was.
    #[error("teacher {teacher}: {reason}")]
    Budget {
        /// Its name in the configuration.
        teacher: String,
        /// What is used up.
        reason: String,
    },
    /// The run was asked to stop. The video is as it was.
    #[error("stopped")]
    Stopped,
    /// The stage that is run alone lacks what an earlier one makes.
    #[error("waits for {stage}")]
    Waits {
        /// The earlier stage.
        stage: Stage,
    },
}

impl Fault {
    /// A teacher's fault.
    pub fn of_teacher(teacher: &str, fault: &TeacherFault) -> Self {
        match fault {
            TeacherFault::Budget(reason) => {
                Self::Budget { teacher: teacher.to_owned(), reason: format!("the budget is spent: {reason}") }
            }
            TeacherFault::Refused { status: 401..=404, .. } | TeacherFault::NotLoaded { .. } => {
                Self::Shut { teacher: teacher.to_owned(), reason: fault.to_string() }
            }
            // What was answered cannot be kept: asking on would pay for answers that are lost.
            TeacherFault::Store(error) => Self::Disk { reason: error.to_string(), full: true },
            other => Self::Teacher {
                teacher: teacher.to_owned(),
                fault: other.kind().to_owned(),
                reason: other.to_string(),
            },
        }
    }

    /// A file that cannot be read or written.
    pub fn of_disk(error: &Error) -> Self {
        let kind = match error {
            Error::Io { source, .. } => Some(source.kind()),
            Error::Core(strefer_core::Error::Io { source, .. }) => Some(source.kind()),
            _ => None,
        };
        let full = matches!(
            kind,
            Some(
                std::io::ErrorKind::StorageFull
                    | std::io::ErrorKind::QuotaExceeded
                    | std::io::ErrorKind::FileTooLarge
            )
        );
        Self::Disk { reason: error.to_string(), full }
    }

    /// Whether a teacher's server is away; another video would find it so, too.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Teacher { fault, .. } if fault == "unavailable")
    }

    /// Whether it says something about the run and nothing about the video, which is left for the next run.
    pub fn ends_the_run(&self) -> bool {
        matches!(
            self,
            Self::Shut { .. } | Self::Budget { .. } | Self::Stopped | Self::Disk { full: true, .. }
        )
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Records { reason: error.to_string() }
    }
}

/// A video that a stage came to nothing on, as a line of `failures.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The video.
    pub video_id: String,
    /// The stage; none where the video could not even be opened.
    pub stage: Option<Stage>,
    /// Why.
    pub fault: Fault,
    /// How often it was tried.
    pub tries: u32,
    /// Whether it is tried no more.
    pub parked: bool,
}

//! Who answers: a model in this process, a server, or a file of what somebody else's model said.
//!
//! An [`Answerer`] first [prepares](Answerer::prepare) a question, on any of many threads: that is where videos are decoded.
//! Then it [answers](Answerer::answer) prepared questions, one a lane, each lane a thread.

mod likelihood;
mod ours;
mod predictions;
mod server;

use serde_json::Value;

use crate::bench::{Offer, Put};
use crate::error::Result;

pub use ours::{Ours, OursOptions};
pub use predictions::Predictions;
pub use server::{Server, ServerOptions};

/// A question on its way to a model.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The item's id.
    pub id: String,
    /// What is shown and asked.
    pub put: Put,
    /// The most tokens of an answer.
    pub max_new_tokens: usize,
    /// The answers it offers.
    pub offer: Option<Offer>,
}

/// What was said, and what it was said to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What the model read, as far as it is words.
    pub prompt: String,
    /// The answer.
    pub text: String,
    /// The frames that were shown, in their order.
    pub frame_indices: Vec<usize>,
}

/// Answers questions.
pub trait Answerer: Sync {
    /// A question with everything decoded.
    type Prepared: Send;

    /// Reads what a question shows. Many threads may prepare at once.
    ///
    /// # Errors
    /// A question that cannot be put: it alone has no answer then.
    fn prepare(&self, ask: Ask) -> Result<Self::Prepared>;

    /// Answers a question. As many threads as there are lanes do so at once.
    ///
    /// # Errors
    /// A question that it has no answer to.
    fn answer(&self, prepared: Self::Prepared) -> Result<Said>;

    /// How many threads may answer at once.
    fn lanes(&self) -> usize {
        1
    }

    /// Who it is and how it answers: what a run must say to be made again.
    fn facts(&self) -> Value;
}

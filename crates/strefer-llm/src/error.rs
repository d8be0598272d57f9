//! What can go wrong around a language model.

use std::path::PathBuf;

/// A failure that names the file, template or value at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A tokenizer file is damaged, or a text cannot be tokenised.
    #[error("tokenizer {origin}: {reason}")]
    Tokenizer {
        /// The file, or what was done.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// A model configuration asks for something that is not there.
    #[error("decoder config: {0}")]
    Config(String),
    /// A chat template cannot be parsed or refuses the conversation.
    #[error("chat template {name:?}: {reason}")]
    Template {
        /// Which template.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A GGUF file cannot be written or read.
    #[error("GGUF: {0}")]
    Gguf(String),
    /// A sampling setting cannot be meant.
    #[error("generation config: {0}")]
    Generation(String),
    /// A mistake of the program in a step that several answers share.
    #[error("another answer of the same step ended in a panic")]
    Panicked,
    /// An answer cannot be held to the form asked for.
    #[error("structured output: {0}")]
    Guide(String),
    /// The model's output is not a number.
    #[error("the logits of new token {step} are not finite")]
    NonFiniteLogits {
        /// How many tokens had been generated.
        step: usize,
    },
    /// The sequence is longer than the model's positions.
    #[error("{wanted} tokens do not fit the model's {limit} positions")]
    TooLong {
        /// Tokens asked for.
        wanted: usize,
        /// Positions there are.
        limit: usize,
    },
    /// Weights could not be loaded.
    #[error(transparent)]
    Weights(#[from] strefer_nn::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

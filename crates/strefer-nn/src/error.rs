//! What can go wrong with files of weights and with optimiser state. Tensor code returns candle's own errors.

use std::path::PathBuf;

use candle_core::DType;

use crate::weights::Mismatch;

/// A failure that names the file, tensor or value at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder holds no weights in a known form.
    #[error("{path}: no model*.safetensors, model.safetensors.index.json, pytorch_model*.bin or .pt here")]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not what its name says.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that the model needs is not in the weights.
    #[error("{origin}: tensor {name:?} is missing")]
    MissingTensor {
        /// Where the weights come from.
        origin: String,
        /// The tensor.
        name: String,
    },
    /// Several tensors that the model needs are not in the weights.
    #[error("{origin}: {} tensors are missing, the first are {:?}", names.len(), &names[..names.len().min(5)])]
    MissingTensors {
        /// Where the weights come from.
        origin: String,
        /// All of them.
        names: Vec<String>,
    },
    /// The weights hold tensors that the model does not know.
    #[error("{origin}: {} tensors are unexpected, the first are {:?}", names.len(), &names[..names.len().min(5)])]
    UnexpectedTensors {
        /// Where the weights come from.
        origin: String,
        /// All of them.
        names: Vec<String>,
    },
    /// Weights and model do not fit each other; the report names every tensor.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// An index names a file that is not in its folder.
    #[error("{index}: it names {file:?}, which is not in its folder")]
    IndexedFile {
        /// The index.
        index: PathBuf,
        /// The file that it names.
        file: String,
    },
    /// A tensor has another shape than the model's.
    #[error("{origin}: tensor {name:?} has shape {found:?}, the model needs {wanted:?}")]
    Shape {
        /// Where the weights come from.
        origin: String,
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// Its shape in the model.
        wanted: Vec<usize>,
    },
    /// A tensor holds another type of numbers than what reads it.
    #[error("{origin}: tensor {name:?} is {found:?}, {wanted:?} is needed")]
    Type {
        /// Where the tensor comes from.
        origin: String,
        /// The tensor.
        name: String,
        /// What it holds.
        found: DType,
        /// What is needed.
        wanted: DType,
    },
    /// Two tensors got the same name.
    #[error("{origin}: two tensors are named {name:?}")]
    DuplicateTensor {
        /// Where the weights come from.
        origin: String,
        /// The name.
        name: String,
    },
    /// A setting parses but cannot be meant.
    #[error("{what}")]
    Setting {
        /// The setting and what is wrong with it.
        what: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Results of this crate's file-handling functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] at `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// The same failure as a candle error, for use inside tensor code; it keeps the message.
    pub(crate) fn into_candle(self) -> candle_core::Error {
        match self {
            Self::Tensor(error) => error,
            other => candle_core::Error::wrap(other),
        }
    }
}

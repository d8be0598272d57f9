//! What keeps a sample from becoming model input, or a folder from becoming a model.

use std::path::PathBuf;

use crate::family::Family;

/// Result of everything in this crate that touches files and samples.
pub type Result<T> = std::result::Result<T, Error>;

/// A sample, a medium or a checkpoint that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The video cannot be read.
    #[error(transparent)]
    Video(#[from] strefer_video::Error),
    /// The sample contradicts itself.
    #[error(transparent)]
    Record(#[from] strefer_core::Error),
    /// Text cannot be tokenised, or the template does not render.
    #[error(transparent)]
    Text(#[from] strefer_llm::Error),
    /// Weights cannot be read or do not fit.
    #[error(transparent)]
    Weights(#[from] strefer_nn::Error),
    /// A model that looks at pixels cannot be had, or refuses what it is shown.
    #[error(transparent)]
    Vision(#[from] strefer_vision::Error),
    /// A computation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A checkpoint cannot be written in a published form, since it came from none.
    #[error("{path}: it came from no published checkpoint, so there is no published form to write it in")]
    NoOrigin {
        /// Its folder.
        path: PathBuf,
    },
    /// Weights of two models cannot be averaged.
    #[error("{path}: its configuration or tokenizer is not that of {of}, so their weights have no mean")]
    OtherModel {
        /// Its folder.
        path: PathBuf,
        /// The folder of the model that it was to be averaged with.
        of: PathBuf,
    },
    /// A file of recorded activations that is none.
    #[error("{origin}: {reason}")]
    Recording {
        /// The file.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A sample asks for what this model cannot do.
    #[error("sample {id}: {reason}")]
    Unsupported {
        /// The sample.
        id: String,
        /// What it asks for.
        reason: String,
    },
    /// An image that cannot be shown in tiles.
    #[error("{path}: {reason}")]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An image, a box or an expression that nothing can be found in, among or by.
    #[error("{subject}: {reason}")]
    Grounding {
        /// Which one.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A mark that shows nothing of its frame.
    #[error("question {id}, mark {mark}: {source}")]
    Mark {
        /// The question.
        id: String,
        /// The mark's index.
        mark: usize,
        /// What is wrong with it.
        source: strefer_core::Error,
    },
    /// A mask of another size than its frame.
    #[error(
        "sample {id}, region {region}: the mask is {mask_height}x{mask_width} (height x width), the frames of \
         {video} are {height}x{width}"
    )]
    MaskSize {
        /// The sample.
        id: String,
        /// The region's index.
        region: usize,
        /// Height of the mask.
        mask_height: usize,
        /// Width of the mask.
        mask_width: usize,
        /// The video.
        video: PathBuf,
        /// Height of its frames.
        height: u32,
        /// Width of its frames.
        width: u32,
    },
    /// A mask for a frame that the video does not have.
    #[error("sample {id}, region {region}: frame {key} does not exist, {video} has {n_frames} frames")]
    MaskFrame {
        /// The sample.
        id: String,
        /// The region's index.
        region: usize,
        /// The key of the mask.
        key: u32,
        /// The video.
        video: PathBuf,
        /// Frames that are there.
        n_frames: usize,
    },
    /// A file of a checkpoint folder cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The tokenizer does not have a token that the model needs, or has it elsewhere.
    #[error("{path}: {reason}")]
    Token {
        /// The tokenizer.
        path: PathBuf,
        /// Which token, and what is wrong.
        reason: String,
    },
    /// The tokenizer has tokens for which the embedding has no row.
    #[error("{path}: token {token:?} has the id {id}, the embedding has {rows} rows")]
    Vocabulary {
        /// The tokenizer.
        path: PathBuf,
        /// The first token without a row.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A folder whose weights are not those that its `config.json` tells of.
    #[error("{path}: config.json is one of {expected}, the tensors are named as in {found}")]
    OtherFamily {
        /// The folder.
        path: PathBuf,
        /// What `config.json` says.
        expected: Family,
        /// What the tensors' names say.
        found: Family,
    },
    /// A `config.json` that is neither one of ours nor one of a family that we know, or asks for what we cannot do.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

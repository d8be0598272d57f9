//! What a sample is for the model.

use candle_core::{DType, Device, Tensor};

use crate::config::VideoLlmConfig;
use crate::region::RegionRows;
use crate::tiles::Tiling;

/// The label of positions that are not learnt.
pub const IGNORE: i64 = -100;

/// One position of the prompt before splicing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptToken {
    /// A token of the vocabulary.
    Text(u32),
    /// All tokens of the video.
    Video,
    /// All tokens of a region.
    Region(usize),
}

/// One sample, ready for the model.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The sample's id.
    pub id: String,
    /// `(f, 3, h, w)`: every frame that is shown or carries masks, once.
    pub frames: Tensor,
    /// The rows of `frames` that the video connector sees, in order. Short videos repeat frames.
    pub shown: Vec<u32>,
    /// Where one image is shown in tiles: how it was cut. The rows shown are then the whole in small and its tiles.
    pub tiling: Option<Tiling>,
    /// Regions; rows count in `frames`.
    pub regions: Vec<RegionRows>,
    /// The prompt.
    pub tokens: Vec<PromptToken>,
    /// One label a position of `tokens`: the token to be learnt at that position, or [`IGNORE`].
    pub labels: Vec<i64>,
    /// Which turn each position of `tokens` belongs to, where turns do not see each other: 0 for what stands before them
    /// all, then 1, 2, …. Empty for a conversation.
    pub turns: Vec<u32>,
    /// Source frames behind the rows of `frames`.
    pub frame_indices: Vec<usize>,
    /// Length of what is shown, in seconds.
    pub duration_s: f64,
}

impl Inputs {
    /// A row of one token that shows nothing and of which nothing is learnt, for going through a model without a sample.
    pub fn of_one_token(cfg: &VideoLlmConfig) -> candle_core::Result<Self> {
        let size = cfg.image_size();
        Ok(Self {
            id: String::new(),
            frames: Tensor::zeros((0, 3, size, size), DType::F32, &Device::Cpu)?,
            shown: Vec::new(),
            tiling: None,
            regions: Vec::new(),
            tokens: vec![PromptToken::Text(0)],
            labels: vec![IGNORE],
            turns: Vec::new(),
            frame_indices: Vec::new(),
            duration_s: 0.0,
        })
    }

    /// Source frames that the video connector sees.
    pub fn shown_frames(&self) -> Vec<usize> {
        self.shown.iter().map(|&row| self.frame_indices[row as usize]).collect()
    }

    /// Tokens that stand for what is shown to the model of `cfg`.
    pub fn video_tokens(&self, cfg: &VideoLlmConfig) -> usize {
        let side = cfg.grid_side();
        match self.tiling {
            Some(tiling) => tiling.token_count(side),
            None => cfg.connector.token_count(self.shown.len(), side),
        }
    }

    /// Positions in the language model of `cfg`, visual tokens included.
    pub fn positions(&self, cfg: &VideoLlmConfig) -> usize {
        let most = cfg.region.map_or(0, |region| region.max_tokens);
        let of = |token: &PromptToken| match *token {
            PromptToken::Text(_) => 1,
            PromptToken::Video => self.video_tokens(cfg),
            PromptToken::Region(region) => {
                self.regions.get(region).map_or(0, |rows| rows.rows.len().min(most))
            }
        };
        self.tokens.iter().map(of).sum()
    }

    /// Whether both go through the connector together: videos of equally many frames do.
    pub(crate) fn is_shown_like(&self, other: &Self) -> bool {
        self.tiling.is_none() && other.tiling.is_none() && self.shown.len() == other.shown.len()
    }

    /// Number of positions that are learnt.
    pub fn supervised(&self) -> usize {
        self.labels.iter().filter(|&&label| label != IGNORE).count()
    }
}

//! What outlives a frame: objects and what is remembered of them.

use candle_core::{DType, Tensor};
use strefer_core::Mask;

use super::bank::{Bank, BankEntry};
use super::image::binary;
use crate::error::Result;
use crate::layers::{Filter, resize};

/// Logits where another object is stronger are at most this.
const BEHIND: f32 = -10.0;

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// What passes need that go on, or start at a frame with a prompt. This stays small on videos of any length.
    #[default]
    Near,
    /// Everything, for corrections and passes that start anywhere; about two megabytes for an object and frame.
    All,
}

/// Which of two readings of the rules is followed where they differ: mask prompts and corrections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Follow {
    /// The original code: a mask's pointer is that of the single-mask token, its memory that of its low-resolution logits;
    /// a second prompt on a frame sees the first one's logits.
    #[default]
    Original,
    /// transformers: a mask's pointer is that of the best of three masks, its memory that of the full mask; a second prompt
    /// on a frame starts afresh.
    Transformers,
}

/// Choices for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// Memories are kept in bf16, as both references do; else in f32.
    pub half_memory: bool,
    /// Holes of up to this many cells of the low-resolution mask are closed; 0 leaves all. The original closes 8 where it
    /// was built with its own kernels.
    pub fill_holes: usize,
    /// How much is remembered.
    pub keep: Keep,
    /// Which reading of the rules is followed.
    pub follow: Follow,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { half_memory: true, fill_holes: 8, keep: Keep::Near, follow: Follow::Original }
    }
}

/// One object of a session.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) id: u64,
    pub(super) bank: Bank,
}

/// The objects that are followed through one video.
#[derive(Debug, Clone)]
pub struct Session {
    /// Height and width of the video, in whose pixels prompts count.
    pub(super) size: (usize, usize),
    pub(super) frames: Option<usize>,
    pub(super) options: SessionOptions,
    pub(super) objects: Vec<Object>,
}

impl Session {
    /// A session without objects. `frames` is the length of the video, if it is known.
    pub fn new(size: (usize, usize), frames: Option<usize>, options: SessionOptions) -> Self {
        Self { size, frames, options, objects: Vec::new() }
    }

    /// Ids of the objects in the order in which they came.
    pub fn object_ids(&self) -> Vec<u64> {
        self.objects.iter().map(|object| object.id).collect()
    }

    /// Forgets an object. Gives whether there was one of this id.
    pub fn remove(&mut self, object_id: u64) -> bool {
        let before = self.objects.len();
        self.objects.retain(|object| object.id != object_id);
        self.objects.len() < before
    }

    /// What is remembered of an object on a frame.
    pub fn entry(&self, object_id: u64, frame_idx: usize) -> Option<&BankEntry> {
        self.objects.iter().find(|object| object.id == object_id)?.bank.entry(frame_idx)
    }

    /// How many frames are remembered, over all objects.
    pub fn remembered(&self) -> usize {
        let frames = |object: &Object| object.bank.conditioning.len() + object.bank.tracked.len();
        self.objects.iter().map(frames).sum()
    }

    /// The earliest frame with a prompt for any object.
    pub(super) fn first_prompt(&self) -> Option<usize> {
        self.objects.iter().filter_map(|object| object.bank.conditioning.keys().next()).min().copied()
    }

    /// Frames near which passes may begin or go on: this one, and those with a prompt for any object.
    pub(super) fn anchors(&self, frame_idx: usize) -> Vec<usize> {
        let prompts = self.objects.iter().flat_map(|object| object.bank.conditioning.keys().copied());
        let mut anchors: Vec<usize> = prompts.chain([frame_idx]).collect();
        anchors.sort_unstable();
        anchors.dedup();
        anchors
    }

    /// Whether a frame needs no looking at: all objects have a prompt there.
    pub(super) fn settled(&self, frame_idx: usize) -> bool {
        self.objects.iter().all(|object| object.bank.conditioning.contains_key(&frame_idx))
    }
}

/// The mask of one object on one frame.
#[derive(Debug, Clone)]
pub struct ObjectMask {
    /// The object.
    pub object_id: u64,
    /// Low-resolution logits, `(1, h, w)`
    pub logits: Tensor,
    /// Above zero where the object is to be seen.
    pub object_score: f32,
}

impl ObjectMask {
    /// The mask in the size of the video.
    pub fn mask(&self, height: usize, width: usize) -> Result<Mask> {
        Ok(binary(&self.logits, height, width)?)
    }
}

/// The masks of all objects on one frame.
#[derive(Debug, Clone)]
pub struct FrameMasks {
    /// The frame.
    pub frame_idx: usize,
    /// One mask for each object, in the session's order.
    pub objects: Vec<ObjectMask>,
}

impl FrameMasks {
    /// The masks in the size of the video, so that every pixel belongs to one object at most, the one with the highest logit
    /// there.
    pub fn apart(&self, height: usize, width: usize) -> Result<Vec<Mask>> {
        let large = |object: &ObjectMask| -> Result<Vec<f32>> {
            let logits = resize(&object.logits.unsqueeze(0)?, (height, width), Filter::Linear)?;
            Ok(logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
        };
        let mut all = self.objects.iter().map(large).collect::<Result<Vec<_>>>()?;
        for pixel in 0..height * width {
            let strongest =
                |best: usize, at: usize| if all[at][pixel] > all[best][pixel] { at } else { best };
            let strongest = (0..all.len()).fold(0, strongest);
            for logits in all.iter_mut().enumerate().filter(|(at, _)| *at != strongest).map(|(_, xs)| xs) {
                logits[pixel] = logits[pixel].min(BEHIND);
            }
        }
        let mask = |logits: Vec<f32>| Mask::from_fn(height, width, |y, x| logits[y * width + x] > 0.0);
        Ok(all.into_iter().map(mask).collect())
    }
}

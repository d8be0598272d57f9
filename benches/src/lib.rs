//! Work that is measured, on the shapes of `cases.json`, which the reference scripts in PyTorch read too.
//!
//! | case | work |
//! |---|---|
//! | `siglip-4-layers` | four layers of SigLIP so400m at full width over two frames of 384 px |
//! | `siglip-8-frames` | all of SigLIP so400m over eight frames |
//! | `stc-16-frames`, `stc-32-frames` | VideoRefer-7B's spatial-temporal convolution over as many frames |
//! | `perceiver-16-frames`, `perceiver-32-frames` | BLIP-3-Strefer's Perceiver and Grouped Token Turing Machine |
//! | `train-512` | forward, backward and AdamW of a decoder of width 512 over 2×512 tokens |
//! | `train-100m`, `train-500m` | the same for 100 M parameters and for the shape of Qwen2-0.5B, layers run again in the backward |
//! | `train-tiny` | the same for the shapes of `strefer-tiny`: 64 frames, 8×320 tokens |
//! | `qwen2-prefill-512` | 512 tokens through the shape of Qwen2-0.5B, logits of the last |
//! | `qwen2-one-token` | one token more after them |
//! | `qwen2-one-token-bf16` | the same with everything in bf16 |
//! | `memory-read` | a sum of 2 GiB, which says how fast memory is read |
//! | `card-*` | what a card is for, in `card.json`: training steps, towers, connectors, prompts, tokens, attention |
//! | `video-32-frames` | 32 uniform frames of a 30 s 720p file, resized to 384 px |
//!
//! Weights are drawn, not loaded. `scripts/bench` runs every case beside its reference and writes the ratios to
//! `docs/results/`; `cargo bench -p strefer-benches` measures our side alone.

mod cases;
mod measure;

pub use cases::{Case, Prepared, cases};
pub use measure::{Measurement, measure};

//! What a frame looks at: memories of other frames and object pointers.

use candle_core::{Module, Tensor};

use super::bank::{Age, Bank, Direction, Reach};
use super::memory_attention::Memory;
use super::{ImageFeatures, Sam2Video};
use crate::error::{Error, Result};

impl Sam2Video {
    /// How far a frame of a video of so many frames looks.
    pub(super) fn reach(&self, frames: Option<usize>) -> Reach {
        let cfg = self.image.config();
        let pointers = cfg.max_object_pointers_in_encoder;
        Reach {
            memories: cfg.num_maskmem,
            pointers: frames.map_or(pointers, |frames| frames.min(pointers)),
            conditioning: usize::try_from(cfg.max_cond_frame_num).ok(),
            frames,
        }
    }

    /// The top map of a frame after it looked at what is remembered of an object: `(1, h, w, d)`.
    pub(super) fn remember(
        &self,
        bank: &Bank,
        frame_idx: usize,
        features: &ImageFeatures,
        direction: Direction,
        frames: Option<usize>,
    ) -> Result<Tensor> {
        let (_, h, w, d) = features.top.dims4()?;
        let memory = self.memory(bank, frame_idx, direction, frames)?;
        let xs = self.condition(&features.top.reshape((1, h * w, d))?, &self.top_positions, &memory)?;
        Ok(xs.reshape((1, h, w, d))?)
    }

    /// A top map, whose cells have `positions`, after it looked at memory, all `(1, cells, d)`.
    pub fn condition(&self, top: &Tensor, positions: &Tensor, memory: &Memory) -> Result<Tensor> {
        Ok(self.memory_attention.forward(top, positions, memory)?)
    }

    /// The memory of top maps without memory and scaled masks: `(b, h, w, d)` and `(b, 1, s, s)` → `(b, cells, m)`.
    pub fn memorise(&self, top: &Tensor, mask: &Tensor) -> Result<Tensor> {
        Ok(self.memory_encoder.forward(top, mask)?)
    }

    /// Positions of the cells of the top map, `(1, cells, d)`, and of a memory, `(1, cells, m)`.
    pub fn positions(&self) -> (&Tensor, &Tensor) {
        (&self.top_positions, &self.memory_positions)
    }

    /// What frame `frame_idx` looks at: memories of frames, then object pointers cut in pieces as wide as a memory.
    fn memory(
        &self,
        bank: &Bank,
        frame_idx: usize,
        direction: Direction,
        frames: Option<usize>,
    ) -> Result<Memory> {
        let reach = self.reach(frames);
        let dtype = self.memory_positions.dtype();
        let (mut tokens, mut positions) = (Vec::new(), Vec::new());
        for (age, memory) in bank.memories(frame_idx, direction, reach) {
            let row = match age {
                Age::Conditioning => reach.memories - 1,
                Age::Frames(distance) => distance - 1,
            };
            let when = self.memory_temporal_positional_encoding.get(row)?; // (1, 1, m)
            tokens.push(memory.to_dtype(dtype)?);
            positions.push(self.memory_positions.broadcast_add(&when)?);
        }
        if tokens.is_empty() {
            return Err(Error::NothingToTrack);
        }
        let m = self.memory_positions.dim(2)?;
        let (ages, pointers): (Vec<usize>, Vec<Tensor>) =
            bank.pointers(frame_idx, direction, reach).into_iter().map(|(age, xs)| (age, xs.clone())).unzip();
        let mut count = 0;
        if !pointers.is_empty() {
            let pieces = pointers[0].dim(1)? / m;
            count = pointers.len() * pieces;
            tokens.push(Tensor::cat(&pointers, 0)?.reshape((1, count, m))?);
            let when = self.ages(&ages, reach.pointers)?; // (p, m)
            let when = when.unsqueeze(1)?.broadcast_as((pointers.len(), pieces, m))?;
            positions.push(when.reshape((1, count, m))?);
        }
        Ok(Memory {
            tokens: Tensor::cat(&tokens, 1)?,
            positions: Tensor::cat(&positions, 1)?,
            pointers: count,
        })
    }

    /// Ages of object pointers as vectors: sines, then cosines, projected to the width of a memory.
    fn ages(&self, ages: &[usize], most: usize) -> Result<Tensor> {
        let half = self.no_object_pointer.dim(1)? / 2;
        let oldest = (most.max(2) - 1) as f32;
        let waves: Vec<f32> = (0..half).map(|at| 10000f32.powf((at / 2 * 2) as f32 / half as f32)).collect();
        let mut values = Vec::with_capacity(ages.len() * 2 * half);
        for age in ages {
            let angles = waves.iter().map(|wave| *age as f32 / oldest / wave);
            values.extend(angles.clone().map(f32::sin));
            values.extend(angles.map(f32::cos));
        }
        let values = Tensor::from_vec(values, (ages.len(), 2 * half), self.no_object_pointer.device())?;
        let values = values.to_dtype(self.no_object_pointer.dtype())?;
        Ok(self.temporal_positional_encoding_projection_layer.forward(&values)?)
    }
}

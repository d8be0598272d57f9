//! Which patches of which frames are averaged.

use candle_core::{Result, bail};

/// Masks on the patch grids of frames; several may lie in one frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pooled {
    /// Frame of each mask.
    pub rows: Vec<u32>,
    /// The masks one after the other, `(k, patches)`, row-major.
    pub masks: Vec<f32>,
    /// Patches of a frame.
    pub patches: usize,
}

impl Pooled {
    /// No masks yet, over frames of `patches` patches.
    pub fn over(patches: usize) -> Self {
        Self { patches, ..Self::default() }
    }

    /// Adds a mask on the patches of frame `row`.
    pub fn push(&mut self, row: u32, mask: &[f32]) {
        self.rows.push(row);
        self.masks.extend_from_slice(mask);
    }

    /// Refuses masks of another size than the frames', and frames that are not there.
    pub(crate) fn check(&self, frames: usize, patches: usize) -> Result<()> {
        if self.patches != patches || self.masks.len() != self.rows.len() * patches {
            let (k, values) = (self.rows.len(), self.masks.len());
            bail!("{k} masks of {} patches with {values} values cannot pool {patches} patches", self.patches);
        }
        match self.rows.iter().find(|row| **row as usize >= frames) {
            Some(row) => bail!("a mask lies in frame {row} of {frames}"),
            None => Ok(()),
        }
    }

    /// The masks of each of so many frames: those of frame `f` are `order[starts[f]..starts[f + 1]]`, as `(starts, order)`.
    pub fn of_frames(&self, frames: usize) -> (Vec<u32>, Vec<u32>) {
        let mut starts = vec![0; frames + 1];
        for row in &self.rows {
            starts[*row as usize + 1] += 1;
        }
        for frame in 0..frames {
            starts[frame + 1] += starts[frame];
        }
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        order.sort_by_key(|nth| self.rows[*nth as usize]);
        (starts, order)
    }

    /// The masks, each divided by its sum and 1e-8, one after the other.
    pub fn shares(&self) -> Vec<f32> {
        let of_mask = |mask: &[f32]| {
            let sum = mask.iter().sum::<f32>() + 1e-8;
            mask.iter().map(|value| value / sum).collect::<Vec<_>>()
        };
        self.masks.chunks(self.patches.max(1)).flat_map(of_mask).collect()
    }
}

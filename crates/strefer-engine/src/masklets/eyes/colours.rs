//! Looks by colour, without a network.

use strefer_core::Mask;

use super::FrameStore;
use crate::masklets::seam::{Looks, Seen};

/// Values of each channel that are told apart.
const LEVELS: usize = 4;

/// Fewer pixels tell nothing.
const FEWEST: usize = 24;

/// Shares of colours inside a mask: the product of two looks is their Bhattacharyya coefficient.
#[derive(Debug)]
pub struct ColourLooks<'a> {
    frames: &'a FrameStore,
}

impl<'a> ColourLooks<'a> {
    /// Looks at the frames of `frames`.
    pub fn new(frames: &'a FrameStore) -> Self {
        Self { frames }
    }
}

impl Looks for ColourLooks<'_> {
    fn look(&mut self, position: usize, mask: &Mask) -> Seen<Option<Vec<f32>>> {
        let image = self.frames.frame(position)?;
        let mut counts = vec![0usize; LEVELS.pow(3)];
        let inside = image.pixels().zip(mask.as_slice()).filter(|(_, inside)| **inside != 0);
        for (pixel, _) in inside {
            let level = |value: u8| usize::from(value) * LEVELS / 256;
            let [red, green, blue] = pixel.0.map(level);
            counts[(red * LEVELS + green) * LEVELS + blue] += 1;
        }
        let total: usize = counts.iter().sum();
        let share = |count: usize| (count as f32 / total as f32).sqrt();
        Ok((total >= FEWEST).then(|| counts.into_iter().map(share).collect()))
    }
}

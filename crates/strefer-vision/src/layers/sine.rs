//! Positions as waves of falling frequency.

use std::f32::consts::TAU;

use candle_core::{Device, Result, Tensor};

/// Sines and cosines by turns, `width` of them for a position, of waves that become longer.
#[derive(Debug, Clone)]
pub(crate) struct Waves {
    lengths: Vec<f32>,
}

impl Waves {
    /// Lengths `temperature^(2⌊i/2⌋/width)`.
    pub(crate) fn new(width: usize, temperature: f32) -> Self {
        let length = |at: usize| temperature.powf((at / 2 * 2) as f32 / width as f32);
        Self { lengths: (0..width).map(length).collect() }
    }

    /// Appends the values for one position.
    pub(crate) fn encode(&self, position: f32, into: &mut Vec<f32>) {
        let angles = self.lengths.iter().map(|length| position / length).enumerate();
        into.extend(angles.map(|(at, angle)| if at % 2 == 0 { angle.sin() } else { angle.cos() }));
    }

    /// The values for several positions, one after the other.
    pub(crate) fn of(&self, positions: impl IntoIterator<Item = f32>) -> Vec<f32> {
        let mut values = Vec::new();
        positions.into_iter().for_each(|position| self.encode(position, &mut values));
        values
    }
}

/// The encoding of every cell of a map: half the channels for its row, half for its column, rows and columns counted
/// from 1 and scaled to one turn.
///
/// # Shapes
/// - returns: `(h*w, c)`
pub(crate) fn sine_grid(h: usize, w: usize, c: usize, temperature: f32, dev: &Device) -> Result<Tensor> {
    let half = c / 2;
    let waves = Waves::new(half, temperature);
    let line = |n: usize| waves.of((0..n).map(|at| (at + 1) as f32 / (n as f32 + 1e-6) * TAU));
    let (rows, columns) = (line(h), line(w));
    let mut values = Vec::with_capacity(h * w * 2 * half);
    for row in rows.chunks_exact(half) {
        for column in columns.chunks_exact(half) {
            values.extend_from_slice(row);
            values.extend_from_slice(column);
        }
    }
    Tensor::from_vec(values, (h * w, 2 * half), dev)
}

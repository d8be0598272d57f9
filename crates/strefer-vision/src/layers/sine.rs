//! Positions as waves of falling frequency.

use std::f32::consts::TAU;

use candle_core::{Device, Result, Tensor};

/// Appends `width` values for one position: sine and cosine by turns of `position / temperature^(2⌊i/2⌋/width)`.
fn interleaved_sine(position: f32, width: usize, temperature: f32, into: &mut Vec<f32>) {
    for at in 0..width {
        let wave = temperature.powf((at / 2 * 2) as f32 / width as f32);
        let angle = position / wave;
        into.push(if at % 2 == 0 { angle.sin() } else { angle.cos() });
    }
}

/// The encoding of every cell of a map: half the channels for its row, half for its column, rows and columns counted
/// from 1 and scaled to one turn.
///
/// # Shapes
/// - returns: `(h*w, c)`
pub(crate) fn sine_grid(h: usize, w: usize, c: usize, temperature: f32, dev: &Device) -> Result<Tensor> {
    let line = |n: usize| -> Vec<Vec<f32>> {
        let turn = |at: usize| (at + 1) as f32 / (n as f32 + 1e-6) * TAU;
        let encode = |at: usize| {
            let mut values = Vec::with_capacity(c / 2);
            interleaved_sine(turn(at), c / 2, temperature, &mut values);
            values
        };
        (0..n).map(encode).collect()
    };
    let (rows, columns) = (line(h), line(w));
    let mut values = Vec::with_capacity(h * w * c);
    for row in &rows {
        for column in &columns {
            values.extend_from_slice(row);
            values.extend_from_slice(column);
        }
    }
    Tensor::from_vec(values, (h * w, c / 2 * 2), dev)
}

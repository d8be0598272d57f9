//! Moments of the optimiser: as f32, or in eight bits a number (arXiv 2110.02861).
//!
//! Eight bits name one of 256 values between -1 and 1 (or 0 and 1) that lie the denser the closer they are to 0; a block of
//! numbers is stored as fractions of its largest.

use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Shape, Tensor};

/// Numbers that share a scale.
const BLOCK: usize = 256;

/// Numbers that are updated together; a multiple of [`BLOCK`].
pub(super) const CHUNK: usize = 1 << 14;

/// Tensors with fewer numbers stay in f32: norms and biases, which weigh nothing and mean much.
const FEW: usize = 4096;

/// How moments are kept.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MomentType {
    /// In 32 bits.
    #[default]
    F32,
    /// In 8 bits, blocks of 256 numbers to a scale, of parameters with at least 4096.
    #[serde(rename = "8bit")]
    EightBit,
}

impl MomentType {
    /// Whether it is the usual one.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of one moment of a parameter with so many numbers.
    pub fn bytes(self, count: usize) -> usize {
        match self {
            Self::EightBit if count >= FEW => count + 4 * count.div_ceil(BLOCK),
            _ => 4 * count,
        }
    }
}

/// One moment of a parameter, on the host.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Moment {
    Wide(Vec<f32>),
    Packed {
        /// Names of values.
        codes: Vec<u8>,
        /// The largest number of each block.
        scales: Vec<f32>,
        signed: bool,
    },
}

/// One moment of a parameter, as tensors where the parameter is.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Wide(Tensor),
    Packed {
        /// Names of values.
        codes: Tensor,
        /// The largest number of each block.
        scales: Tensor,
    },
}

impl Kept {
    /// Zeros. `signed`: whether numbers below 0 can come.
    pub(super) fn zeros(shape: &Shape, kind: MomentType, signed: bool, device: &Device) -> Result<Self> {
        // Of their own: on a card moments change where they lie.
        match kind {
            MomentType::EightBit if shape.elem_count() >= FEW => {
                let zero = code(values(signed), 0.0);
                let codes = Tensor::full(zero, shape.clone(), &Device::Cpu)?.force_contiguous()?;
                let scales = Tensor::zeros(shape.elem_count().div_ceil(BLOCK), DType::F32, device)?;
                Ok(Self::Packed { codes: codes.to_device(device)?, scales })
            }
            _ => Tensor::zeros(shape, DType::F32, device).map(Self::Wide),
        }
    }

    /// The numbers, or their names.
    pub(crate) fn values(&self) -> &Tensor {
        match self {
            Self::Wide(values) | Self::Packed { codes: values, .. } => values,
        }
    }

    /// What the numbers are multiplied with, in eight bits.
    pub(super) fn scales(&self) -> Option<&Tensor> {
        match self {
            Self::Wide(_) => None,
            Self::Packed { scales, .. } => Some(scales),
        }
    }

    /// All there is of it.
    #[cfg(feature = "cuda")]
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [self.values()].into_iter().chain(self.scales())
    }

    /// Whether it is in eight bits.
    #[cfg(feature = "cuda")]
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self, Self::Packed { .. })
    }
}

/// The values that codes of [`MomentType::EightBit`] name, ascending: the 256 of first moments, then the 256 of second ones.
pub fn code_values() -> Vec<f32> {
    [true, false].into_iter().flat_map(|signed| *values(signed)).collect()
}

/// A part of a moment.
pub(super) enum Chunk<'a> {
    Wide(&'a mut [f32]),
    Packed { codes: &'a mut [u8], scales: &'a mut [f32], signed: bool },
}

impl Moment {
    /// Zeros. `signed`: whether numbers below 0 can come.
    pub(super) fn zeros(count: usize, kind: MomentType, signed: bool) -> Self {
        match kind {
            MomentType::EightBit if count >= FEW => {
                let codes = vec![code(values(signed), 0.0); count];
                Self::Packed { codes, scales: vec![0.0; count.div_ceil(BLOCK)], signed }
            }
            _ => Self::Wide(vec![0.0; count]),
        }
    }

    pub(super) fn chunks(&mut self) -> Vec<Chunk<'_>> {
        match self {
            Self::Wide(values) => values.chunks_mut(CHUNK).map(Chunk::Wide).collect(),
            Self::Packed { codes, scales, signed } => codes
                .chunks_mut(CHUNK)
                .zip(scales.chunks_mut(CHUNK / BLOCK))
                .map(|(codes, scales)| Chunk::Packed { codes, scales, signed: *signed })
                .collect(),
        }
    }
}

impl Chunk<'_> {
    /// Does `work` on the numbers and keeps what becomes of them.
    pub(super) fn update(self, work: impl FnOnce(&mut [f32])) {
        match self {
            Self::Wide(numbers) => work(numbers),
            Self::Packed { codes, scales, signed } => {
                let values = values(signed);
                let mut numbers = Vec::with_capacity(codes.len());
                for (codes, scale) in codes.chunks(BLOCK).zip(scales.iter()) {
                    numbers.extend(codes.iter().map(|code| values[usize::from(*code)] * scale));
                }
                work(&mut numbers);
                for ((codes, scale), numbers) in
                    codes.chunks_mut(BLOCK).zip(scales).zip(numbers.chunks(BLOCK))
                {
                    *scale = numbers.iter().fold(0.0, |most: f32, number| most.max(number.abs()));
                    let fraction = if *scale > 0.0 { 1.0 / *scale } else { 0.0 };
                    for (own, number) in codes.iter_mut().zip(numbers) {
                        *own = code(values, number * fraction);
                    }
                }
            }
        }
    }
}

/// The values that codes name, ascending: for each power of ten down to 10⁻⁶ the middles of evenly spaced pieces of a tenth
/// to one, twice as many for every power, besides 0 and 1.
fn values(signed: bool) -> &'static [f32; 256] {
    static SIGNED: OnceLock<[f32; 256]> = OnceLock::new();
    static UNSIGNED: OnceLock<[f32; 256]> = OnceLock::new();
    let cell = if signed { &SIGNED } else { &UNSIGNED };
    cell.get_or_init(|| {
        let mut all = vec![0.0, 1.0];
        for power in 0..7 {
            let pieces = 1u32 << (power + i32::from(!signed)) as u32;
            let width = 0.9 / f64::from(pieces);
            for piece in 0..pieces {
                let middle = 0.1 + width * (f64::from(piece) + 0.5);
                let value = (10f64.powi(power - 6) * middle) as f32;
                all.push(value);
                all.extend(signed.then_some(-value));
            }
        }
        all.sort_by(f32::total_cmp);
        let mut values = [0.0; 256];
        values.copy_from_slice(&all);
        values
    })
}

/// The name of the value next to `number`.
fn code(values: &[f32; 256], number: f32) -> u8 {
    let above = values.partition_point(|value| *value < number).min(255);
    let below = above.saturating_sub(1);
    let nearest = if number - values[below] < values[above] - number { below } else { above };
    nearest as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_256_values_from_the_smallest_to_one() {
        for signed in [true, false] {
            let values = values(signed);
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(values[255], 1.0);
            assert!(values.contains(&0.0));
            assert_eq!(values[0] < -0.99, signed);
            for (at, value) in values.iter().enumerate() {
                assert_eq!(usize::from(code(values, *value)), at);
            }
        }
        assert!((values(false)[254] - (1.0 - 0.9 / 256.0)).abs() < 1e-6);
    }

    #[test]
    fn numbers_come_back_nearly_as_they_were_and_then_exactly() {
        let count = 3 * CHUNK + 77;
        let number =
            |at: usize| ((at * 37 % 1000) as f32 / 500.0 - 1.0) * 10f32.powi((at / BLOCK % 5) as i32 - 4);
        let mut moment = Moment::zeros(count, MomentType::EightBit, true);
        let mut at = 0;
        for chunk in moment.chunks() {
            chunk.update(|numbers| {
                assert!(numbers.iter().all(|number| *number == 0.0));
                for own in numbers {
                    *own = number(at);
                    at += 1;
                }
            });
        }
        assert_eq!(at, count);
        let mut worst: f32 = 0.0;
        at = 0;
        for chunk in moment.chunks() {
            chunk.update(|numbers| {
                for own in numbers.iter() {
                    let scale = 10f32.powi((at / BLOCK % 5) as i32 - 4);
                    worst = worst.max((own - number(at)).abs() / scale);
                    at += 1;
                }
            });
        }
        assert!(worst < 0.01, "{worst}");
        assert!(matches!(Moment::zeros(100, MomentType::EightBit, true), Moment::Wide(_)));
    }
}

//! Which type each tensor gets.

use candle_core::quantized::GgmlDType;

use super::names::layer_of;

/// How the weights of a file are quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantisation {
    /// 8 bits, a scale for every 32 values.
    Q8_0,
    /// 4 bits in blocks of 256 values, 6 for the head and for half of the values and MLP outputs: llama.cpp's usual mixture.
    Q4KM,
}

impl Quantisation {
    /// What llama.cpp calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "q8_0",
            Self::Q4KM => "q4_k_m",
        }
    }

    /// Its number in `general.file_type`.
    pub(super) fn file_type(self) -> u32 {
        match self {
            Self::Q8_0 => 7,
            Self::Q4KM => 15,
        }
    }

    /// The type of a tensor, by its GGUF name. `layers` is their number; a `tied` head is the embedding's matrix.
    pub(super) fn dtype(self, name: &str, shape: &[usize], layers: usize, tied: bool) -> GgmlDType {
        let [_, row] = *shape else { return GgmlDType::F32 };
        let wanted = match self {
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4KM => mixed(name, layers, tied),
        };
        let fits = |dtype: GgmlDType| row.is_multiple_of(dtype.block_size());
        let narrower = match wanted {
            GgmlDType::Q4K => GgmlDType::Q5_0,
            GgmlDType::Q5K => GgmlDType::Q5_1,
            _ => GgmlDType::Q8_0,
        };
        [wanted, narrower].into_iter().find(|&dtype| fits(dtype)).unwrap_or(GgmlDType::F16)
    }
}

fn mixed(name: &str, layers: usize, tied: bool) -> GgmlDType {
    let more_bits = layer_of(name).is_some_and(|layer| {
        let eighth = layers / 8;
        layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
    });
    if name == "output.weight" || (tied && name == "token_embd.weight") {
        GgmlDType::Q6K
    } else if name.ends_with("attn_qkv.weight") {
        GgmlDType::Q5K
    } else if more_bits && (name.ends_with("attn_v.weight") || name.ends_with("ffn_down.weight")) {
        GgmlDType::Q6K
    } else {
        GgmlDType::Q4K
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixture_spends_bits_where_they_count() {
        let dtype = |name: &str| Quantisation::Q4KM.dtype(name, &[512, 512], 16, false);
        assert_eq!(dtype("output.weight"), GgmlDType::Q6K);
        assert_eq!(dtype("token_embd.weight"), GgmlDType::Q4K);
        let down = |layer: usize| dtype(&format!("blk.{layer}.ffn_down.weight"));
        let six: Vec<usize> = (0..16).filter(|&layer| down(layer) == GgmlDType::Q6K).collect();
        assert_eq!(six, [0, 1, 4, 7, 10, 13, 14, 15]);
        assert_eq!(dtype("blk.0.attn_q.weight"), GgmlDType::Q4K);
        assert_eq!(dtype("blk.0.attn_qkv.weight"), GgmlDType::Q5K);
        let tied = Quantisation::Q4KM.dtype("token_embd.weight", &[512, 512], 16, true);
        assert_eq!(tied, GgmlDType::Q6K);
    }

    #[test]
    fn rows_that_fill_no_block_and_vectors_get_wider_types() {
        let dtype = |shape: &[usize]| Quantisation::Q4KM.dtype("blk.0.attn_q.weight", shape, 4, true);
        assert_eq!(dtype(&[128, 128]), GgmlDType::Q5_0);
        assert_eq!(dtype(&[128, 40]), GgmlDType::F16);
        assert_eq!(dtype(&[128]), GgmlDType::F32);
        assert_eq!(Quantisation::Q8_0.dtype("output.weight", &[9, 64], 4, true), GgmlDType::Q8_0);
    }
}

//! Images cut into patches, each mapped to a vector.

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::ops;

/// A linear map of patches, which learns.
#[derive(Debug, Clone)]
pub(crate) struct PatchEmbedding {
    /// `(d, c, patch, patch)`
    weight: Tensor,
    bias: Option<Tensor>,
    patch: usize,
}

impl PatchEmbedding {
    pub(crate) fn new(channels: usize, d: usize, patch: usize, bias: bool, vb: VarBuilder) -> Result<Self> {
        let bound = 1.0 / ((channels * patch * patch) as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let weight = vb.get_with_hints((d, channels, patch, patch), "weight", init)?;
        let bias = if bias { Some(vb.get_with_hints(d, "bias", Init::Const(0.))?) } else { None };
        Ok(Self { weight, bias, patch })
    }

    /// The patches of images and how many rows and columns of them there are. Pixels that do not fill a patch are left out.
    ///
    /// # Shapes
    /// - `pixels`: `(b, c, h, w)` → `(b, n, d)`
    pub(crate) fn forward(&self, pixels: &Tensor) -> Result<(Tensor, (usize, usize))> {
        let (b, c, h, w) = pixels.dims4()?;
        let patch = self.patch;
        let (rows, columns) = (h / patch, w / patch);
        if rows == 0 || columns == 0 {
            bail!("an image of {h}x{w} holds no patch of {patch}");
        }
        let pixels =
            self.beside_weights(pixels)?.narrow(2, 0, rows * patch)?.narrow(3, 0, columns * patch)?;
        let patches = pixels
            .reshape((b, c, rows, patch, columns, patch))?
            .permute((0, 2, 4, 1, 3, 5))?
            .reshape((b, rows * columns, c * patch * patch))?;
        // A convolution whose stride is its size is a product with the flattened patch.
        let xs = ops::linear(&patches, &self.weight.flatten_from(1)?, self.bias.as_ref())?; // (b, n, d)
        Ok((xs, (rows, columns)))
    }

    /// Pixels are made on the CPU in f32. Cards and gradients want values of one type, as do products in f16; else the CPU keeps
    /// f32 beside narrow weights.
    fn beside_weights(&self, pixels: &Tensor) -> Result<Tensor> {
        let device = self.weight.device();
        if device.is_cpu() && !self.weight.track_op() && self.weight.dtype() != DType::F16 {
            Ok(pixels.clone())
        } else {
            pixels.to_device(device)?.to_dtype(self.weight.dtype())
        }
    }
}

//! Patches and positions become the first state.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::{Embedding, ops};

use super::SiglipConfig;
use crate::layers::{Filter, dense_weights};

/// Cuts images into patches, maps each to a vector and adds its position.
#[derive(Debug, Clone)]
pub(super) struct VisionEmbeddings {
    /// `(d, c, patch, patch)`
    weight: Tensor,
    bias: Tensor,
    position_embedding: Embedding,
    patch: usize,
    grid: usize,
}

impl VisionEmbeddings {
    pub(super) fn new(cfg: &SiglipConfig, vb: VarBuilder) -> Result<Self> {
        let (d, c, patch) = (cfg.hidden_size, cfg.num_channels, cfg.patch_size);
        let vb_patch = vb.pp("patch_embedding");
        let bound = 1.0 / ((c * patch * patch) as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let weight = vb_patch.get_with_hints((d, c, patch, patch), "weight", init)?;
        let bias = vb_patch.get_with_hints(d, "bias", Init::Const(0.))?;
        let grid = cfg.grid();
        let position_embedding = Embedding::new(grid * grid, d, vb.pp("position_embedding"))?;
        Ok(Self { weight, bias, position_embedding, patch, grid })
    }

    /// `pixels`: `(b, c, h, w)` → `(b, n, d)`. Pixels that do not fill a patch are left out.
    pub(super) fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = pixels.dims4()?;
        let patch = self.patch;
        let (rows, columns) = (h / patch, w / patch);
        if rows == 0 || columns == 0 {
            bail!("siglip: an image of {h}x{w} holds no patch of {patch}");
        }
        let pixels =
            self.beside_weights(pixels)?.narrow(2, 0, rows * patch)?.narrow(3, 0, columns * patch)?;
        let patches = pixels
            .reshape((b, c, rows, patch, columns, patch))?
            .permute((0, 2, 4, 1, 3, 5))?
            .reshape((b, rows * columns, c * patch * patch))?;
        // A convolution whose stride is its size is a product with the flattened patch.
        let xs = ops::linear(&patches, &self.weight.flatten_from(1)?, Some(&self.bias))?; // (b, n, d)
        xs.broadcast_add(&self.positions(rows, columns)?)
    }

    /// Pixels are made on the CPU in f32. Cards and gradients want values of one type; else the CPU keeps f32 beside narrow
    /// weights.
    fn beside_weights(&self, pixels: &Tensor) -> Result<Tensor> {
        let device = self.weight.device();
        if device.is_cpu() && !self.weight.track_op() {
            Ok(pixels.clone())
        } else {
            pixels.to_device(device)?.to_dtype(self.weight.dtype())
        }
    }

    /// `(n, d)`: the table, or the table resized to another grid.
    fn positions(&self, rows: usize, columns: usize) -> Result<Tensor> {
        let table = self.position_embedding.weight();
        if (rows, columns) == (self.grid, self.grid) {
            return Ok(table.clone());
        }
        let weights = |to: usize| dense_weights(self.grid, to, Filter::Cubic);
        let (down, across) = (weights(rows), weights(columns));
        let mut weights = Vec::with_capacity(rows * columns * self.grid * self.grid);
        for row in &down {
            for column in &across {
                weights.extend(row.iter().flat_map(|y| column.iter().map(move |x| y * x)));
            }
        }
        let shape = (rows * columns, self.grid * self.grid);
        let weights = Tensor::from_vec(weights, shape, table.device())?.to_dtype(table.dtype())?;
        weights.matmul(table)
    }
}

//! Patches and positions become the first state.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::Embedding;

use super::SiglipConfig;
use crate::layers::{Filter, PatchEmbedding, dense_weights};

/// Cuts images into patches, maps each to a vector and adds its position.
#[derive(Debug, Clone)]
pub(super) struct VisionEmbeddings {
    patch_embedding: PatchEmbedding,
    position_embedding: Embedding,
    grid: usize,
}

impl VisionEmbeddings {
    pub(super) fn new(cfg: &SiglipConfig, vb: VarBuilder) -> Result<Self> {
        let (d, c, patch) = (cfg.hidden_size, cfg.num_channels, cfg.patch_size);
        let grid = cfg.grid();
        Ok(Self {
            patch_embedding: PatchEmbedding::new(c, d, patch, true, vb.pp("patch_embedding"))?,
            position_embedding: Embedding::new(grid * grid, d, vb.pp("position_embedding"))?,
            grid,
        })
    }

    /// `pixels`: `(b, c, h, w)` → `(b, n, d)`. Pixels that do not fill a patch are left out.
    pub(super) fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let (xs, (rows, columns)) = self.patch_embedding.forward(pixels)?;
        // On a processor values are f32 where weights are narrower.
        xs.broadcast_add(&self.positions(rows, columns)?.to_dtype(xs.dtype())?)
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

//! Maps of several layers become one map: made of different sizes, then fused from the coarsest on (DPT, arXiv 2103.13413).

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::Linear;

use super::config::DepthAnythingConfig;
use crate::layers::{Conv2d, Filter, UpConv, pointwise, resize};

/// A map with its channels last in another size, corners on corners.
pub(super) fn resized(xs: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    let planes = xs.permute((0, 3, 1, 2))?.contiguous()?;
    resize(&planes, size, Filter::Corners)?.permute((0, 2, 3, 1))?.contiguous()
}

/// How one map comes to its size.
#[derive(Debug, Clone)]
enum Size {
    Larger(UpConv),
    Same,
    Half(Conv2d),
}

#[derive(Debug, Clone)]
struct Reassemble {
    projection: Linear,
    size: Size,
}

impl Reassemble {
    fn new(input: usize, output: usize, factor: f64, vb: VarBuilder) -> Result<Self> {
        let own = vb.pp("resize");
        let size = match factor {
            factor if factor > 1.0 => Size::Larger(UpConv::by(factor as usize, output, output, own)?),
            factor if factor < 1.0 => Size::Half(Conv2d::new((output, output), (3, 2, 1), own)?),
            _ => Size::Same,
        };
        Ok(Self { projection: pointwise(input, output, vb.pp("projection"))?, size })
    }
}

impl Module for Reassemble {
    /// `(b, h, w, d)` → `(b, f*h, f*w, c)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let xs = xs.apply(&self.projection)?;
        match &self.size {
            Size::Larger(up) => xs.apply(up),
            Size::Same => Ok(xs),
            Size::Half(down) => xs.apply(down),
        }
    }
}

/// Two convolutions, each behind a ReLU, added to what came in.
#[derive(Debug, Clone)]
struct Residual {
    convolution1: Conv2d,
    convolution2: Conv2d,
}

impl Residual {
    fn new(d: usize, vb: VarBuilder) -> Result<Self> {
        let conv = |name: &str| Conv2d::new((d, d), (3, 1, 1), vb.pp(name));
        Ok(Self { convolution1: conv("convolution1")?, convolution2: conv("convolution2")? })
    }
}

impl Module for Residual {
    /// `(b, h, w, d)` → `(b, h, w, d)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        xs + xs.relu()?.apply(&self.convolution1)?.relu()?.apply(&self.convolution2)?
    }
}

#[derive(Debug, Clone)]
struct Fusion {
    projection: Linear,
    /// Of the finer map; the coarsest has none beside it, but weights for one.
    residual_layer1: Residual,
    residual_layer2: Residual,
}

impl Fusion {
    fn new(d: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            projection: pointwise(d, d, vb.pp("projection"))?,
            residual_layer1: Residual::new(d, vb.pp("residual_layer1"))?,
            residual_layer2: Residual::new(d, vb.pp("residual_layer2"))?,
        })
    }
}

/// The neck.
#[derive(Debug, Clone)]
pub(super) struct Neck {
    reassemble: Vec<Reassemble>,
    convs: Vec<Conv2d>,
    fusion: Vec<Fusion>,
}

impl Neck {
    pub fn new(cfg: &DepthAnythingConfig, vb: VarBuilder) -> Result<Self> {
        let (input, d) = (cfg.backbone_config.hidden_size, cfg.fusion_hidden_size);
        let widths = &cfg.neck_hidden_sizes;
        let stage = vb.pp("reassemble_stage.layers");
        let reassemble =
            |at: usize| Reassemble::new(input, widths[at], cfg.reassemble_factors[at], stage.pp(at));
        let conv = |at: usize| Conv2d::without_bias((widths[at], d), (3, 1, 1), vb.pp("convs").pp(at));
        let fusion = |at: usize| Fusion::new(d, vb.pp("fusion_stage.layers").pp(at));
        Ok(Self {
            reassemble: (0..widths.len()).map(reassemble).collect::<Result<_>>()?,
            convs: (0..widths.len()).map(conv).collect::<Result<_>>()?,
            fusion: (0..widths.len()).map(fusion).collect::<Result<_>>()?,
        })
    }

    /// # Shapes
    /// - `maps`: each `(b, h, w, d)`, the shallowest first
    /// - returns: `(b, 2*f*h, 2*f*w, fusion)`, where `f` is the first factor
    pub fn forward(&self, maps: &[Tensor]) -> Result<Tensor> {
        let maps = maps.iter().zip(&self.reassemble).zip(&self.convs);
        let maps = maps.map(|((map, reassemble), conv)| map.apply(reassemble)?.apply(conv));
        let maps: Vec<Tensor> = maps.collect::<Result<_>>()?;
        let mut fused: Option<Tensor> = None;
        for (nth, (map, layer)) in maps.iter().rev().zip(&self.fusion).enumerate() {
            let joined = match fused {
                Some(fused) => (fused + map.apply(&layer.residual_layer1)?)?,
                None => map.clone(),
            };
            let joined = joined.apply(&layer.residual_layer2)?;
            let (_, h, w, _) = joined.dims4()?;
            // As large as the next finer map, at last twice as large.
            let size = match maps.len().checked_sub(nth + 2) {
                Some(finer) => (maps[finer].dim(1)?, maps[finer].dim(2)?),
                None => (2 * h, 2 * w),
            };
            fused = Some(resized(&joined, size)?.apply(&layer.projection)?);
        }
        fused.ok_or_else(|| candle_core::Error::Msg("depth anything: a neck without maps".to_owned()))
    }
}

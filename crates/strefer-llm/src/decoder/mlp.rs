//! The gated MLP in either layout.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::{Linear, Pass, ops};

use super::attention::projection;
use super::{DecoderConfig, Layout};

#[derive(Debug, Clone)]
enum Gate {
    Split { gate_proj: Linear, up_proj: Linear },
    Fused { gate_up_proj: Linear },
}

/// `down(silu(gate(x)) * up(x))`.
#[derive(Debug, Clone)]
pub(super) struct Mlp {
    gate: Gate,
    down_proj: Linear,
}

impl Mlp {
    pub(super) fn new(cfg: &DecoderConfig, vb: VarBuilder) -> Result<Self> {
        let (d, inner) = (cfg.hidden_size, cfg.intermediate_size);
        let gate = match cfg.layout {
            Layout::Split => Gate::Split {
                gate_proj: projection(cfg, d, inner, false, "gate_proj", &vb)?,
                up_proj: projection(cfg, d, inner, false, "up_proj", &vb)?,
            },
            Layout::Fused => {
                Gate::Fused { gate_up_proj: projection(cfg, d, 2 * inner, false, "gate_up_proj", &vb)? }
            }
        };
        Ok(Self { gate, down_proj: projection(cfg, inner, d, false, "down_proj", &vb)? })
    }

    /// Makes gate and up one product, where they can be.
    pub(super) fn join(&mut self) -> Result<()> {
        if let Gate::Split { gate_proj, up_proj } = &self.gate
            && let Some(gate_up_proj) = Linear::joined(&[gate_proj, up_proj])?
        {
            self.gate = Gate::Fused { gate_up_proj };
        }
        Ok(())
    }

    /// Its projections by name.
    pub(super) fn projections_mut(&mut self) -> Vec<(&'static str, &mut Linear)> {
        let mut all = match &mut self.gate {
            Gate::Split { gate_proj, up_proj } => vec![("gate_proj", gate_proj), ("up_proj", up_proj)],
            Gate::Fused { gate_up_proj } => vec![("gate_up_proj", gate_up_proj)],
        };
        all.push(("down_proj", &mut self.down_proj));
        all
    }

    /// `(b, s, d)` → `(b, s, d)`
    pub(super) fn forward(&self, xs: &Tensor, pass: Pass) -> Result<Tensor> {
        let inner = match &self.gate {
            Gate::Split { gate_proj, up_proj } => ops::swiglu(&xs.apply(gate_proj)?, &xs.apply(up_proj)?)?,
            Gate::Fused { gate_up_proj } => ops::swiglu_joined(&xs.apply(gate_up_proj)?)?,
        };
        self.down_proj.forward_last(&inner, pass)
    }
}

//! Differentiable building blocks on candle: operations that keep their gradients, layers that can carry LoRA,
//! parameters with seeded initialisation, AdamW with schedules and clipping, weights on disk.
//!
//! ```
//! use candle_core::{DType, Device, Module, Tensor};
//! use strefer_nn::{ParamStore, linear};
//!
//! let store = ParamStore::new(1, &Device::Cpu, DType::F32).trainable(|name| name.starts_with("head"));
//! let head = linear(4, 2, store.var_builder().pp("head"))?;
//! let ys = head.forward(&Tensor::ones((3, 4), DType::F32, &Device::Cpu)?)?;
//! let grads = ys.sum_all()?.backward()?;
//! assert!(store.vars().values().all(|var| grads.get(var).is_some()));
//! # Ok::<(), candle_core::Error>(())
//! ```

mod card;
mod carrier;
#[cfg(feature = "cudnn")]
pub mod cudnn;
mod dropout;
mod embedding;
mod error;
mod held;
pub mod kernels;
mod known;
mod linear;
mod norm;
pub mod ops;
pub mod optim;
mod params;
mod recompute;
mod replay;
mod schedule;
mod side_by_side;
mod storage;
mod tape;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod weights;

pub use card::{CardMemory, card_if_available, card_memory, moved, open_card};
pub use carrier::Carrier;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use error::{Error, Result};
pub use held::most_held;
pub use linear::{Linear, LoraConfig, linear, linear_init, linear_no_bias};
pub use norm::{LayerNorm, RmsNorm};
pub use params::ParamStore;
pub use recompute::{LayerWatch, Pass, Recompute};
pub use replay::Replay;
pub use schedule::{Schedule, Shape, WarmUp};
pub use side_by_side::side_by_side;
pub use storage::{host_copy, let_go, refill};
pub use tape::Tape;
pub use weights::{Declared, Mismatch, Misshapen, Weights, save_safetensors};

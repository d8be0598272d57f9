//! Tests of the crate through its public functions.

mod attention;
mod cached;
#[cfg(feature = "cuda")]
mod card;
mod cross_entropy;
mod cudnn;
mod fused;
mod layers;
mod ops;
mod optim;
mod params;
mod recompute;
mod replay;
mod shortcuts;
mod weights;

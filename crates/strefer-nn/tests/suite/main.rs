//! Tests of the crate through its public functions.

mod attention;
mod cross_entropy;
mod fused;
mod layers;
mod ops;
mod optim;
mod params;
mod recompute;
mod weights;

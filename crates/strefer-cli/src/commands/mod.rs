//! One file a job.

pub mod assemble;
pub mod convert;
pub mod doctor;
pub mod engine;
pub mod eval;
pub mod export;
mod follow;
pub mod import;
pub mod infer;
mod infer_file;
pub mod init;
mod overlay;
mod plan;
pub mod report;
pub mod schema;
pub mod score;
mod show;
pub mod synth;
pub mod train;
pub mod verify;
pub mod world;

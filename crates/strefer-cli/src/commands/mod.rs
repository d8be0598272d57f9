//! One file a job.

pub mod assemble;
pub mod convert;
pub mod doctor;
pub mod engine;
mod engine_masklets;
mod engine_rehearse;
pub mod eval;
pub mod export;
mod follow;
pub mod import;
pub mod infer;
mod infer_file;
pub mod init;
mod judged;
mod masklets_overlay;
mod overlay;
pub mod pack;
mod plan;
mod referee;
pub mod report;
pub mod schema;
pub mod score;
mod show;
pub mod synth;
pub mod train;
pub mod verify;
pub mod world;

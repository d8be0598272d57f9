//! Samples and their media, wherever they lie.
//!
//! A [`SampleSet`] reads one sample at a time, in any order, from
//!
//! | files | |
//! |---|---|
//! | `.jsonl`, `.jsonl.zst` | one record a line |
//! | `.parquet` (feature `parquet`) | one record a row, as JSON in the column `sample` |
//! | `.tar` | WebDataset shards: a `.json` with the record beside its media |
//!
//! They are named by a file, a folder, a pattern (`train-{000..127}.tar`), or an address (`s3://bucket/train/`, feature
//! `cloud`). What must be a file to be read lies on a [`Shelf`] for as long as it is held: a folder of local copies that
//! does not grow beyond its room. [`pack`] writes sets into folders and to addresses, [`publish`] puts files there.

mod address;
mod error;
mod lines;
mod location;
pub mod mix;
pub mod pack;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg_attr(not(feature = "cloud"), path = "no_remote.rs")]
mod remote;
mod samples;
mod shards;
mod shelf;
#[cfg(feature = "parquet")]
mod table;
mod target;

pub use error::{Error, Result};
pub use location::is_address;
pub use samples::SampleSet;
pub use shelf::{Held, Shelf};
#[cfg(feature = "parquet")]
pub use table::read_table;
pub use target::publish;

//! The samples of a source one after the other, read by several threads, whatever their format.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use strefer_core::import::{self, Fields, SampleFormat};
use strefer_core::validate::MediaFacts;
use strefer_core::{Error as CoreError, Sample};

use super::config::MixSource;
use crate::error::{Error, Result};
use crate::samples::SampleSet;
use crate::shelf::Shelf;

/// Records that are held at a time.
const CHUNK: usize = 512;

/// An opened source.
pub(super) enum Source {
    Own(SampleSet),
    Foreign(SampleFormat),
}

/// A record that has not become a sample yet.
enum Raw<'a> {
    Own(&'a SampleSet, usize),
    Foreign(SampleFormat, usize, std::result::Result<Fields, CoreError>),
}

impl Raw<'_> {
    fn read(self) -> (usize, Result<Sample>) {
        match self {
            Self::Own(set, index) => {
                let checked = set.get(index).and_then(|sample| {
                    sample.validate(MediaFacts::default())?;
                    Ok(sample)
                });
                (index, checked)
            }
            Self::Foreign(format, position, fields) => {
                let sample = fields.and_then(|fields| format.import(fields, position));
                (position, sample.map_err(Error::Core))
            }
        }
    }
}

impl Source {
    pub(super) fn open(source: &MixSource, shelf: &Arc<Shelf>) -> Result<Self> {
        Ok(match source.format {
            Some(format) => Self::Foreign(format),
            None => {
                let set = SampleSet::open(&source.path, source.media_root.as_deref(), None, shelf)?;
                if set.has_shards() {
                    // Only the shard knows its media, and what they were called before.
                    let reason = format!(
                        "source {:?}: shards hold media beside their samples, and a mixture holds records: name the samples that were packed",
                        source.name
                    );
                    return Err(Error::Mix { reason });
                }
                Self::Own(set)
            }
        })
    }

    /// How many records there are, where that is known before they are read.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Self::Own(set) => Some(set.len()),
            Self::Foreign(_) => None,
        }
    }

    /// Does `work` with every record that `wants` has by position, on all threads, and gives `take` what comes of it, in order.
    ///
    /// # Errors
    /// The source cannot be read, `take` failed, or `stop` was set.
    pub(super) fn each<T: Send>(
        &self,
        source: &MixSource,
        stop: &AtomicBool,
        wants: impl Fn(usize) -> bool,
        work: impl Fn(usize, Result<Sample>) -> T + Sync,
        mut take: impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let mut chunk: Vec<Raw<'_>> = Vec::with_capacity(CHUNK);
        let mut flush = |chunk: &mut Vec<Raw<'_>>| {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let done: Vec<(usize, T)> = std::mem::take(chunk)
                .into_par_iter()
                .map(|raw| {
                    let (position, sample) = raw.read();
                    (position, work(position, sample))
                })
                .collect();
            done.into_iter().try_for_each(|(position, made)| take(position, made))
        };
        let mut push = |raw| {
            chunk.push(raw);
            if chunk.len() < CHUNK { Ok(()) } else { flush(&mut chunk) }
        };
        match self {
            Self::Own(set) => {
                (0..set.len())
                    .filter(|index| wants(*index))
                    .try_for_each(|index| push(Raw::Own(set, index)))?;
            }
            Self::Foreign(format) => {
                // The reader's own error type cannot carry ours.
                let mut failed = ControlFlow::Continue(());
                let read = import::read(&source.path, |position, fields| {
                    if !wants(position) {
                        return Ok(());
                    }
                    push(Raw::Foreign(*format, position, fields)).map_err(|error| {
                        failed = ControlFlow::Break(error);
                        CoreError::Import { id: format!("#{position}"), reason: "stopped".to_owned() }
                    })
                });
                if let ControlFlow::Break(error) = failed {
                    return Err(error);
                }
                read?;
            }
        }
        flush(&mut chunk)
    }
}

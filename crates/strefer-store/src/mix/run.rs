//! Both passes over all sources, into a folder that appears when everything is in it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use strefer_core::jsonl::Writer;
use strefer_core::mixture::{MixtureConfig, SourceConfig};

use super::config::MixConfig;
use super::report::MixReport;
use super::source::Source;
use super::survey::{Known, Survey};
use super::write::write;
use crate::error::{Error, Result, io};
use crate::location::is_address;
use crate::shelf::Shelf;
use crate::target::Target;

/// Bytes of local copies of what lies elsewhere.
const SHELF: u64 = 20 << 30;

/// Seconds that one file from elsewhere may take.
const DEADLINE: Duration = Duration::from_secs(600);

/// What the caller brings.
#[derive(Default)]
pub struct Aids<'a> {
    /// Videos that nothing may be learnt from, by [`video_key`](super::video_key).
    pub unwanted: HashSet<String>,
    /// How many tokens a text is.
    pub count_tokens: Option<&'a (dyn Fn(&str) -> usize + Sync)>,
}

/// The two passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Every record is looked at.
    Look,
    /// What was chosen is written.
    Write,
}

/// How far a pass over a source is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The pass.
    pub pass: Pass,
    /// The source.
    pub source: &'a str,
    /// Records that are done.
    pub done: usize,
    /// Records of the source, where that is known.
    pub of: Option<usize>,
}

/// Makes the mixture in `out`, which must not exist: `train/NAME/` and `val/NAME/` with samples, `mixture.toml` for training,
/// `mixture.json` with the numbers, `dropped.jsonl`. The same sources and configuration give the same files.
///
/// # Errors
/// A source that cannot be read or has too many bad records; `out` exists or cannot be written; the job was stopped. Nothing is
/// left then.
pub fn mix(
    cfg: &MixConfig,
    out: &Path,
    aids: &Aids<'_>,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(Progress<'_>),
) -> Result<MixReport> {
    cfg.validate()?;
    if is_address(out) {
        let reason = format!("it is made in a folder, not at {}: pack it from there", out.display());
        return Err(Error::Mix { reason });
    }
    let shelf = Shelf::new(SHELF, DEADLINE)?;
    let folder = Target::new(out, &shelf)?;
    let sources: Vec<Source> =
        cfg.sources.iter().map(|named| Source::open(named, &shelf)).collect::<Result<_>>()?;
    let mut dropped = Writer::create(folder.path().join("dropped.jsonl"))?;
    let mut known = Known::default();
    let mut surveys = Vec::with_capacity(sources.len());
    for (named, source) in cfg.sources.iter().zip(&sources) {
        let mut survey = Survey::make(cfg, named, source, aids, &mut known, &mut dropped, stop, observer)?;
        survey.cap(cfg, named);
        surveys.push(survey);
    }
    drop(known);
    dropped.finish()?;
    let mut report = MixReport::default();
    for ((named, source), survey) in cfg.sources.iter().zip(&sources).zip(&surveys) {
        let made = write(cfg, (named, source, survey), folder.path(), aids, stop, observer)?;
        report.train += made.train;
        report.val += made.val;
        report.epoch += (made.train as f64 * named.weight).round() as usize;
        for (kind, count) in &made.refers {
            *report.refers.entry(*kind).or_default() += count;
        }
        report.sources.push(made);
    }
    let text = serde_json::to_vec_pretty(&report)
        .map_err(|error| Error::Mix { reason: format!("the report: {error}") })?;
    let path = folder.path().join("mixture.json");
    std::fs::write(&path, text).map_err(io(&path))?;
    let path = folder.path().join("mixture.toml");
    std::fs::write(&path, for_training(cfg, out, &report)?).map_err(io(&path))?;
    folder.finish()?;
    Ok(report)
}

/// The mixture as training names it.
fn for_training(cfg: &MixConfig, out: &Path, report: &MixReport) -> Result<String> {
    let whole = |path: &Path| {
        if is_address(path) { Ok(path.to_owned()) } else { std::path::absolute(path).map_err(io(path)) }
    };
    let mut sources = Vec::new();
    for (named, made) in cfg.sources.iter().zip(&report.sources) {
        if made.train == 0 {
            continue;
        }
        let beside = || {
            let is_folder = named.path.is_dir() || named.path.to_string_lossy().ends_with('/');
            if is_folder {
                named.path.clone()
            } else {
                named.path.parent().unwrap_or(Path::new("")).to_owned()
            }
        };
        let media_root = named.media_root.clone().unwrap_or_else(beside);
        sources.push(SourceConfig {
            name: named.name.clone(),
            path: whole(&out.join("train").join(&named.name))?,
            media_root: Some(whole(if media_root.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &media_root
            })?),
            weight: named.weight,
            cap: None,
            turns: Default::default(),
            augment: Default::default(),
            phase: named.phase,
        });
    }
    toml::to_string(&MixtureConfig { sources })
        .map_err(|error| Error::Mix { reason: format!("the mixture for training: {error}") })
}

//! The second pass: what was chosen is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use strefer_core::jsonl::Writer;
use strefer_core::placeholder::{Piece, pieces};
use strefer_core::records::LineRecord;
use strefer_core::sample::{Mix, Split};
use strefer_core::{Rng, Sample};

use super::config::{MixConfig, MixSource, Refers};
use super::references::{Way, point_at};
use super::report::{SourceReport, Tokens};
use super::run::{Aids, Pass, Progress};
use super::source::Source;
use super::survey::{Fate, Survey};
use crate::error::{Error, Result, io};

/// Samples of a source whose tokens are counted.
const COUNTED: usize = 2000;

/// A sample as it is written.
struct Made {
    line: Vec<u8>,
    way: Option<Way>,
    tokens: Option<usize>,
}

/// Writes one source below `folder` and says what it holds.
///
/// # Errors
/// The source changed between the passes, a file cannot be written, or the job was stopped.
pub(super) fn write(
    cfg: &MixConfig,
    (named, source, survey): (&MixSource, &Source, &Survey),
    folder: &Path,
    aids: &Aids<'_>,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(Progress<'_>),
) -> Result<SourceReport> {
    let fate = |position: usize| survey.seen.get(position).map(|seen| seen.fate);
    let counted = aids.count_tokens.and_then(|count| Some((count, survey.rank_of_lowest(COUNTED)?)));
    let rng = Rng::new(cfg.seed, "mix references").named(&named.name);
    let work = |position: usize, sample: Result<Sample>| -> Result<Made> {
        let mut sample = sample?;
        let seen = survey.seen[position];
        let way = point_at(&mut sample, &named.references, &mut rng.at(seen.rank));
        let tokens = counted
            .filter(|(_, last)| seen.fate == Fate::Train && seen.rank <= *last)
            .map(|(count, _)| tokens_of(&sample, count));
        sample.split = Some(if seen.fate == Fate::Val { Split::Val } else { Split::Train });
        let weight = sample.mix.take().map_or(1.0, |mix| mix.weight);
        sample.mix = Some(Mix { source: named.name.clone(), weight });
        let id = sample.id.clone();
        let line = serde_json::to_vec(&sample.into_record()).map_err(|error| Error::Mix {
            reason: format!("source {:?}, sample {id}: {error}", named.name),
        })?;
        Ok(Made { line, way, tokens })
    };
    let mut train = Files::new(folder.join("train").join(&named.name), cfg.per_file);
    let mut val = Files::new(folder.join("val").join(&named.name), cfg.per_file);
    let mut report = survey.report(named);
    let (mut counts, mut written) = (Vec::new(), 0);
    let of = report.train + report.val;
    let wants = |position: usize| matches!(fate(position), Some(Fate::Train | Fate::Val));
    source.each(named, stop, wants, work, |position, made: Result<Made>| {
        let made = made?;
        let files = if fate(position) == Some(Fate::Val) { &mut val } else { &mut train };
        files.write(&made.line)?;
        counts.extend(made.tokens);
        if let Some(way) = made.way {
            *report.references.entry(way.name().to_owned()).or_default() += 1;
        }
        written += 1;
        observer(Progress { pass: Pass::Write, source: &named.name, done: written, of: Some(of) });
        Ok(())
    })?;
    if written != of {
        return Err(Error::Mix {
            reason: format!(
                "source {:?} changed while it was read: {written} of {of} samples are left",
                named.name
            ),
        });
    }
    train.finish()?;
    val.finish()?;
    report.tokens = Tokens::of(&counts, report.train);
    Ok(report)
}

/// Tokens of the turns, placeholders as one each.
fn tokens_of(sample: &Sample, count: &(dyn Fn(&str) -> usize + Sync)) -> usize {
    let of = |piece: &Piece<'_>| match piece {
        Piece::Text(text) | Piece::Unknown(text) => count(text),
        Piece::Visual => 0,
        Piece::Region(_) | Piece::Time(_) => 1,
    };
    sample.conversations.iter().flat_map(|turn| pieces(&turn.text)).map(|piece| of(&piece)).sum()
}

impl Survey {
    /// Everything but what the second pass finds out.
    fn report(&self, source: &MixSource) -> SourceReport {
        let count = |fate| self.seen.iter().filter(|seen| seen.fate == fate).count();
        let taken = || self.seen.iter().filter(|seen| seen.fate == Fate::Train);
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        let mut refers: BTreeMap<Refers, usize> = BTreeMap::new();
        for seen in taken() {
            let group = &self.groups[usize::from(seen.group)];
            if !group.is_empty() {
                *groups.entry(group.clone()).or_default() += 1;
            }
            *refers.entry(seen.refers).or_default() += 1;
        }
        let train = count(Fate::Train);
        SourceReport {
            name: source.name.clone(),
            records: self.seen.len(),
            bad: count(Fate::Bad),
            unwanted: count(Fate::Unwanted),
            unwanted_videos: self.unwanted_videos,
            duplicates: count(Fate::Duplicate),
            over_cap: count(Fate::OverCap),
            train,
            missing: source.cap.map(|cap| cap.saturating_sub(train)),
            missing_groups: missing(&source.groups, &groups),
            missing_refers: missing(&source.refers, &refers),
            val: count(Fate::Val),
            groups,
            refers,
            references: BTreeMap::new(),
            tokens: None,
        }
    }
}

/// What caps lack.
fn missing<K: Ord + Clone>(caps: &BTreeMap<K, usize>, found: &BTreeMap<K, usize>) -> BTreeMap<K, usize> {
    let lacks =
        caps.iter().map(|(key, cap)| (key.clone(), cap.saturating_sub(found.get(key).copied().unwrap_or(0))));
    lacks.filter(|(_, lacks)| *lacks > 0).collect()
}

/// Files of a folder, each of so many lines; a folder that gets no line is not made.
struct Files {
    folder: PathBuf,
    per_file: usize,
    lines: usize,
    open: Option<Writer>,
}

impl Files {
    fn new(folder: PathBuf, per_file: usize) -> Self {
        Self { folder, per_file, lines: 0, open: None }
    }

    fn write(&mut self, line: &[u8]) -> Result<()> {
        if self.lines.is_multiple_of(self.per_file) {
            self.finish()?;
            std::fs::create_dir_all(&self.folder).map_err(io(&self.folder))?;
            let name = format!("{:05}.jsonl.zst", self.lines / self.per_file);
            self.open = Some(Writer::create(self.folder.join(name))?);
        }
        self.lines += 1;
        match &mut self.open {
            Some(open) => Ok(open.write_line(line)?),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.open.take().map_or(Ok(()), |open| Ok(open.finish()?))
    }
}

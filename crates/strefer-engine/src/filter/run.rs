//! All samples of a file through the checks, into a folder that a later call goes on with.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use strefer_core::jsonl::Writer;
use strefer_core::records::LineRecord;
use strefer_core::sample::{Region, RegionMode};
use strefer_core::{Error as CoreError, FrameMask, Sample};

use super::evidence::Evidence;
use super::likelihood::Likelihood;
use super::pairs::{only, pairs};
use super::scores::{Limits, Scores, whole_lines};
use super::{records, scores, words};
use crate::error::{Error, Result};
use crate::facts::{EntityFacts, Facts, spread};
use crate::language::said;

/// What samples are checked by.
pub struct FilterSettings<'a> {
    /// Records; the first are the samples' own, which say which objects a video has.
    pub evidence: &'a [Evidence],
    /// A model.
    pub likelihood: Option<Likelihood<'a>>,
    /// What is refused.
    pub limits: Limits,
    /// The most other objects that an answer is tried on.
    pub others: usize,
    /// What scores depend on besides; a folder of other scores is refused.
    pub identity: String,
}

/// What became of the samples.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Filtered {
    /// Samples that were read.
    pub samples: usize,
    /// Samples of which something is left.
    pub kept: usize,
    /// Lines that are no samples.
    pub unreadable: usize,
    /// Questions that were read.
    pub questions: usize,
    /// Questions that are left.
    pub kept_questions: usize,
    /// Questions that each check refused first.
    pub refused: BTreeMap<&'static str, usize>,
}

/// A line of `refused.jsonl`.
#[derive(Debug, Serialize)]
struct Refused<'a> {
    id: &'a str,
    pair: usize,
    check: &'static str,
    reason: String,
    question: &'a str,
    answer: &'a str,
}

/// What a folder's scores depend on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Identity {
    identity: String,
}

/// Checks all samples. `folder` gets `scores.jsonl`, a line a question, which a later call goes on with; `samples.jsonl`, what is left;
/// `refused.jsonl`, what is not and why. `each` is told of every sample.
///
/// # Errors
/// The folder holds other scores or cannot be written; a sample cannot be read; the job was stopped.
pub fn run(
    samples: impl Iterator<Item = strefer_core::Result<Sample>>,
    settings: &FilterSettings<'_>,
    folder: &Path,
    stop: &AtomicBool,
    mut each: impl FnMut(),
) -> Result<Filtered> {
    let mut known = Known::open(folder, &settings.identity, settings.likelihood.is_some())?;
    let (mut left, mut refused) =
        (Writer::create(folder.join("samples.jsonl"))?, Writer::create(folder.join("refused.jsonl"))?);
    let mut filtered = Filtered::default();
    let mut known_contents: HashSet<[u8; 16]> = HashSet::new();
    for sample in samples {
        let sample = match sample {
            Ok(sample) => sample,
            // One line that is no sample costs no other anything.
            Err(error @ (CoreError::Json { .. } | CoreError::RecordType { .. })) => {
                filtered.unreadable += 1;
                let reason = error.to_string();
                refused.write(&Refused {
                    id: "",
                    pair: 0,
                    check: "unreadable",
                    reason,
                    question: "",
                    answer: "",
                })?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let pairs = pairs(&sample);
        let mut keep = Vec::with_capacity(pairs.len());
        for (at, pair) in pairs.iter().enumerate() {
            let scores = match known.take(&sample.id, at) {
                Some(scores) => {
                    known_contents.insert(content(pair));
                    scores
                }
                None => known.add(score(pair, at, settings, !known_contents.insert(content(pair))))?,
            };
            match settings.limits.refusal(&scores) {
                None => keep.push(at),
                Some((check, reason)) => {
                    *filtered.refused.entry(check).or_default() += 1;
                    let text = |back: usize| {
                        pair.conversations.iter().rev().nth(back).map_or("", |turn| turn.text.as_str())
                    };
                    let (question, answer) = (text(1), text(0));
                    refused.write(&Refused { id: &sample.id, pair: at, check, reason, question, answer })?;
                }
            }
        }
        filtered.samples += 1;
        filtered.questions += pairs.len();
        filtered.kept_questions += keep.len();
        if !keep.is_empty() {
            filtered.kept += 1;
            let whole = keep.len() == pairs.len();
            left.write(&if whole { sample } else { only(&sample, &keep) }.into_record())?;
        }
        each();
    }
    left.finish()?;
    refused.finish()?;
    Ok(filtered)
}

/// What every check says.
fn score(pair: &Sample, at: usize, settings: &FilterSettings<'_>, repeated: bool) -> Scores {
    let own = settings.evidence.first().and_then(|first| first.about(&pair.video_id));
    let mut scores = Scores {
        id: pair.id.clone(),
        pair: at,
        words: words::fault(pair, own),
        masks: unseen(pair),
        repeated,
        ..Scores::default()
    };
    for evidence in settings.evidence {
        let fault = evidence.about(&pair.video_id).and_then(|facts| records::fault(pair, facts));
        scores.records.extend(fault.map(|fault| format!("{}: {fault}", evidence.folder.display())));
    }
    if let Some(likelihood) = settings.likelihood {
        match ask(pair, likelihood, own, settings.others) {
            Ok((likely, cycle)) if likely.is_finite() && cycle.is_none_or(f64::is_finite) => {
                (scores.likely, scores.cycle) = (Some(likely), cycle);
            }
            Ok((likely, cycle)) => {
                scores.failed = Some(format!("its score is no number: {likely}, {cycle:?}"))
            }
            Err(error) => scores.failed = Some(error.to_string()),
        }
    }
    scores
}

/// A region that no mask shows.
fn unseen(pair: &Sample) -> Option<String> {
    let size = pair.media.first().and_then(|media| media.size);
    let is_seen = |mask: &FrameMask| mask.to_mask(size).ok().flatten().is_some_and(|mask| !mask.is_empty());
    let region = pair.regions.iter().find(|region| !region.masks.values().any(is_seen))?;
    Some(format!("region {}: no mask shows anything", region.rid))
}

/// A digest of what is asked and answered about what; case, spaces and punctuation do not count.
fn content(pair: &Sample) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(text.as_bytes());
        hasher.update(&[0]);
    };
    add(&pair.video_id);
    for turn in &pair.conversations {
        add(&said(&turn.text).join(" "));
    }
    // The same masks are the same object; which entity they are said to be is another matter.
    for region in &pair.regions {
        add(&serde_json::to_string(&region.masks).unwrap_or_default());
    }
    for time in &pair.times {
        add(&time.s.to_string());
    }
    let [half @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *hasher.finalize().as_bytes();
    half
}

/// Mean log-probability of the answer, and what it has ahead of the same answer for other objects.
fn ask(
    pair: &Sample,
    likelihood: Likelihood<'_>,
    facts: Option<&Facts>,
    most: usize,
) -> std::result::Result<(f64, Option<f64>), Box<dyn std::error::Error + Send + Sync>> {
    let (sum, tokens) = likelihood.log_probability(pair)?;
    let likely = sum / tokens.max(1) as f64;
    let (Some(region), Some(facts)) = (pair.regions.first(), facts) else { return Ok((likely, None)) };
    let named = |entity: &&EntityFacts| {
        pair.regions.iter().any(|region| region.eid.as_ref() == Some(&entity.entity.eid))
    };
    let mut best: Option<f64> = None;
    let others =
        facts.entities.iter().filter(|entity| !named(entity)).filter_map(|it| as_region(it, facts, region));
    for other in others.take(most) {
        let mut swapped = pair.clone();
        swapped.regions[0] = other;
        let (other, _) = likelihood.log_probability(&swapped)?;
        best = Some(best.map_or(other, |best| best.max(other)));
    }
    Ok((likely, best.map(|best| sum - best)))
}

/// Another entity in the place of a region, with as many masks; `None` where nothing shows it.
pub(super) fn as_region(entity: &EntityFacts, facts: &Facts, like: &Region) -> Option<Region> {
    let seen = &entity.sightings;
    let masks: Vec<_> = if like.mode == RegionMode::SingleFixed {
        let largest = seen.iter().max_by_key(|seen| seen.frame.area)?;
        vec![(largest.key, FrameMask::Rle(largest.frame.rle.clone()))]
    } else {
        spread(seen.len(), like.masks.len())
            .map(|at| &seen[at])
            .map(|seen| (seen.key, FrameMask::Rle(seen.frame.rle.clone())))
            .collect()
    };
    let fixed_key = masks.first().map(|(key, _)| *key).filter(|_| like.mode == RegionMode::SingleFixed);
    (!masks.is_empty()).then(|| Region {
        rid: like.rid,
        eid: Some(entity.entity.eid.clone()),
        masks: masks.into_iter().collect(),
        index_space: facts.index_space,
        mode: like.mode,
        fixed_key,
    })
}

/// Scores of an earlier call, and the file that new ones are added to.
struct Known {
    scores: HashMap<(String, usize), Scores>,
    file: File,
    path: std::path::PathBuf,
}

impl Known {
    fn open(folder: &Path, identity: &str, asks: bool) -> Result<Self> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path: path.clone(), source }
        };
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let (about, path) = (folder.join("filter.json"), folder.join("scores.jsonl"));
        let identity = Identity { identity: identity.to_owned() };
        match std::fs::read(&about) {
            Ok(text) => {
                let found: Identity = serde_json::from_slice(&text)
                    .map_err(|source| Error::Json { path: about.clone(), source })?;
                if found != identity {
                    let reason = "it holds scores of other samples, records or another model".to_owned();
                    return Err(Error::OutputFolder { dir: folder.to_owned(), reason });
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = serde_json::to_vec(&identity)
                    .map_err(|source| Error::Json { path: about.clone(), source })?;
                std::fs::write(&about, text).map_err(io(&about))?;
            }
            Err(error) => return Err(io(&about)(error)),
        }
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = "another process writes its scores".to_owned();
                return Err(Error::OutputFolder { dir: folder.to_owned(), reason });
            }
            Err(TryLockError::Error(source)) => return Err(io(&path)(source)),
        }
        let mut known = Self { scores: HashMap::new(), file, path };
        known.read(asks)?;
        Ok(known)
    }

    /// Scores that stand. What a kill cut off at the end is asked again, and so is what a model that is there now could not be asked: its new
    /// line comes behind the old one.
    fn read(&mut self, asks: bool) -> Result<()> {
        let io = |source| Error::Io { path: self.path.clone(), source };
        let text = std::fs::read(&self.path).map_err(io)?;
        self.file.set_len(whole_lines(&text).len() as u64).map_err(io)?;
        let stands = scores::read(&self.path)?.into_iter().filter(|one| !(asks && one.failed.is_some()));
        self.scores = stands.map(|one| ((one.id.clone(), one.pair), one)).collect();
        Ok(())
    }

    fn take(&mut self, id: &str, pair: usize) -> Option<Scores> {
        self.scores.remove(&(id.to_owned(), pair))
    }

    fn add(&mut self, scores: Scores) -> Result<Scores> {
        let path = self.path.clone();
        let mut line =
            serde_json::to_vec(&scores).map_err(|source| Error::Json { path: path.clone(), source })?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|source| Error::Io { path, source })?;
        Ok(scores)
    }
}

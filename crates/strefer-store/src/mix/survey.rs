//! The first pass: what every record is, in a few bytes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;

use strefer_core::jsonl::Writer;
use strefer_core::{Rng, Sample};

use super::config::{Duplicates, MixConfig, MixSource, Refers};
use super::keys::{content, video_key, video_of};
use super::report::Dropped;
use super::run::{Aids, Pass, Progress};
use super::source::Source;
use crate::error::{Error, Result};

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Bad,
    Unwanted,
    Duplicate,
    OverCap,
    Train,
    Val,
}

/// A record between the passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// A number drawn by what it says: the lowest are taken first.
    pub(super) rank: u64,
    /// Position of its group in [`Survey::groups`].
    pub(super) group: u16,
    pub(super) fate: Fate,
    pub(super) refers: Refers,
}

/// What the first pass found in one source.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) seen: Vec<Seen>,
    pub(super) groups: Vec<String>,
    pub(super) unwanted_videos: usize,
}

/// What is known of one sample before others count.
struct Look {
    id: String,
    content: u128,
    group: Option<String>,
    refers: Refers,
    is_val: bool,
    /// The video, where nothing may be learnt from it.
    unwanted: Option<String>,
}

/// What all sources have shown so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    contents: HashSet<u128>,
}

impl Survey {
    /// Looks at every record of a source; what is dropped for good is written to `dropped`.
    ///
    /// # Errors
    /// The source cannot be read, too many of its records are wrong, or the job was stopped.
    #[expect(clippy::too_many_arguments, reason = "a pass needs all of them, and is called once")]
    pub(super) fn make(
        cfg: &MixConfig,
        named: &MixSource,
        source: &Source,
        aids: &Aids<'_>,
        known: &mut Known,
        dropped: &mut Writer,
        stop: &AtomicBool,
        observer: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        let rng = Rng::new(cfg.seed, "mix");
        let work = |_, sample: Result<Sample>| sample.map(|sample| look(cfg, &sample, aids, &rng));
        let ranks = rng.named("rank").named(&named.name);
        let mut survey = Self::default();
        let mut groups: HashMap<String, u16> = HashMap::new();
        let mut videos: HashSet<String> = HashSet::new();
        let (mut bad, mut first_bad) = (0usize, None);
        source.each(
            named,
            stop,
            |_| true,
            work,
            |position, looked| {
                observer(Progress {
                    pass: Pass::Look,
                    source: &named.name,
                    done: position + 1,
                    of: source.len(),
                });
                let mut drop = |id: Option<&str>, kind: &str, reason: String| {
                    let line = Dropped {
                        source: named.name.clone(),
                        position,
                        id: id.map(str::to_owned),
                        kind: kind.to_owned(),
                        reason,
                    };
                    dropped.write(&line).map_err(Error::Core)
                };
                let look = match looked {
                    Ok(look) => look,
                    Err(error @ (Error::Core(_) | Error::Row { .. } | Error::Member { .. })) => {
                        bad += 1;
                        drop(None, "bad", error.to_string())?;
                        first_bad.get_or_insert_with(|| error.to_string());
                        survey.seen.push(Seen {
                            rank: 0,
                            group: 0,
                            fate: Fate::Bad,
                            refers: Refers::Neither,
                        });
                        return Ok(());
                    }
                    Err(other) => return Err(other),
                };
                let fate = if let Some(video) = look.unwanted {
                    drop(Some(&look.id), "unwanted", format!("its video is {video}"))?;
                    videos.insert(video);
                    Fate::Unwanted
                } else if cfg.duplicates != Duplicates::Keep && !known.contents.insert(look.content) {
                    drop(Some(&look.id), "duplicate", "an earlier sample says the same".to_owned())?;
                    Fate::Duplicate
                } else if look.is_val {
                    Fate::Val
                } else {
                    Fate::Train
                };
                let name = look.group.unwrap_or_default();
                let group = match groups.get(&name) {
                    Some(group) => *group,
                    None => {
                        let group = u16::try_from(groups.len()).map_err(|_| Error::Mix {
                            reason: format!("source {:?}: more than 65,536 groups of tasks", named.name),
                        })?;
                        survey.groups.push(name.clone());
                        *groups.entry(name).or_insert(group)
                    }
                };
                let rank = ranks.at(look.content as u64).next_u64();
                survey.seen.push(Seen { rank, group, fate, refers: look.refers });
                Ok(())
            },
        )?;
        survey.unwanted_videos = videos.len();
        let records = survey.seen.len();
        match first_bad {
            Some(first) if bad as f64 > cfg.max_bad * records as f64 => {
                Err(Error::TooManyBad { name: named.name.clone(), bad, records, first })
            }
            _ => Ok(survey),
        }
    }
}

fn look(cfg: &MixConfig, sample: &Sample, aids: &Aids<'_>, rng: &Rng) -> Look {
    let video = video_of(sample);
    let is_val = cfg.val.is_some_and(|val| rng.named("val").named(video).uniform() < val.share);
    Look {
        id: sample.id.clone(),
        content: content(sample, cfg.duplicates),
        group: sample.task.as_ref().map(|task| task.group.clone()),
        refers: Refers::of(sample),
        is_val,
        unwanted: [video, video_key(&sample.video_id)]
            .into_iter()
            .find(|key| aids.unwanted.contains(*key))
            .map(str::to_owned),
    }
}

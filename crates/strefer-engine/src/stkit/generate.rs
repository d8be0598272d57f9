//! Clips become samples, balanced over their answers, and the boxes that must be drawn for them.

use std::collections::{BTreeMap, BTreeSet};

use strefer_core::marks;
use strefer_core::sample::{AnswerFormat, Media, MediaKind, Mix, Provenance, Role, Task};
use strefer_core::validate::MediaFacts;
use strefer_core::{Rng, Sample, StkitTask};

use crate::error::{Error, Result};
use crate::instruct::config_hash;
use crate::stkit::ask::questions;
use crate::stkit::balance::{balanced, quotas};
use crate::stkit::clip::Clip;
use crate::stkit::config::StkitConfig;
use crate::stkit::counts::{Counts, Kind, count};
use crate::stkit::overlay::{Colour, Overlay};
use crate::stkit::question::Question;
use crate::stkit::subject::subjects;
use crate::stkit::words;

/// The group of all these tasks in samples.
const GROUP: &str = "stkit";

/// What is written about some clips.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Generated {
    /// One question each, clip by clip.
    pub samples: Vec<Sample>,
    /// What must be drawn into the frames, one for every clip that is asked about.
    pub overlays: Vec<Overlay>,
    /// What each sample counts as.
    pub kinds: Vec<Kind>,
    /// All questions that could have been asked.
    pub offered: Counts,
}

/// Clips of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Portion {
    /// The source's name, in samples.
    pub name: String,
    /// Whether it is asked which way objects move.
    pub directions: bool,
    /// How much of each task's questions is about it, beside the shares of the others. Questions of all sources are balanced together
    /// where no source has a share.
    pub share: Option<f64>,
    /// The clips.
    pub clips: Vec<Clip>,
}

/// All samples about some clips; the same for the same clips and configuration.
///
/// # Errors
/// A configuration that cannot be meant; a clip or object that contradicts itself, by its name; clips that share a
/// name.
pub fn generate(clips: Vec<Clip>, cfg: &StkitConfig) -> Result<Generated> {
    let (name, directions) = (cfg.dataset.clone(), cfg.directions);
    compose(vec![Portion { name, directions, share: None, clips }], cfg)
}

/// All samples about the clips of several sources.
///
/// # Errors
/// As [`generate`].
pub fn compose(portions: Vec<Portion>, cfg: &StkitConfig) -> Result<Generated> {
    cfg.validate()?;
    let hash = config_hash(cfg)?;
    let rng = Rng::new(cfg.seed, GROUP);
    let names: Vec<String> = portions.iter().map(|portion| portion.name.clone()).collect();
    let shares: Vec<Option<f64>> = portions.iter().map(|portion| portion.share).collect();
    let mut asked: Vec<Asked> = Vec::new();
    let mut candidates: BTreeMap<StkitTask, Vec<Candidate>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (portion, Portion { directions, clips, .. }) in portions.into_iter().enumerate() {
        let cfg = StkitConfig { directions, ..cfg.clone() };
        for clip in cut(clips, &cfg, &mut seen)? {
            let rng = rng.named(&clip.clip_id);
            let subjects = subjects(&clip, &cfg, &mut rng.named("subjects"))?;
            let found = questions(&clip, &subjects, &cfg, &mut rng.named("questions"))
                .map_err(|fault| Error::Clip { clip_id: clip.clip_id.clone(), fault })?;
            for question in found {
                let candidate = Candidate { portion, clip: asked.len(), question };
                candidates.entry(candidate.question.task()).or_default().push(candidate);
            }
            let colours: Vec<Colour> = subjects.iter().map(|subject| subject.colour()).collect();
            let overlay = Overlay {
                folder: format!("{}/{}", cfg.marked_dir, clip.clip_id),
                clip_id: clip.clip_id.clone(),
                frames: clip.frames.clone(),
                size: clip.size,
                marks: subjects.into_iter().map(|subject| subject.mark).collect(),
            };
            asked.push(Asked { portion, clip, overlay, colours, questions: Vec::new() });
        }
    }
    let mut generated = Generated::default();
    for (task, found) in candidates {
        let kinds: Vec<Kind> =
            found.iter().map(|found| Kind::of(&found.question, &names[found.portion])).collect();
        generated.offered.extend(count(&kinds));
        let wanted = cfg.per_task.unwrap_or(found.len());
        let rng = rng.named("balance").named(task.name());
        for Candidate { clip, question, .. } in chosen(found, &shares, wanted, &rng) {
            asked[clip].questions.push(question);
        }
    }
    for asked in asked.into_iter().filter(|asked| !asked.questions.is_empty()) {
        let source = &names[asked.portion];
        generated.kinds.extend(asked.questions.iter().map(|question| Kind::of(question, source)));
        generated.samples.extend(asked.samples(cfg, source, &hash, &rng)?);
        generated.overlays.push(asked.overlay);
    }
    Ok(generated)
}

/// A question that could be asked.
struct Candidate {
    portion: usize,
    clip: usize,
    question: Question,
}

/// Draws questions of one task, balanced over their answers: over all sources at once, or in each as many as are its share.
fn chosen(found: Vec<Candidate>, shares: &[Option<f64>], wanted: usize, rng: &Rng) -> Vec<Candidate> {
    let bin = |candidate: &Candidate| candidate.question.bin();
    let Some(shares) = shares.iter().copied().collect::<Option<Vec<f64>>>() else {
        return balanced(found, bin, wanted, &mut rng.clone());
    };
    let mut pools: Vec<Vec<Candidate>> = shares.iter().map(|_| Vec::new()).collect();
    for candidate in found {
        pools[candidate.portion].push(candidate);
    }
    let counts: Vec<usize> = pools.iter().map(Vec::len).collect();
    let quotas = quotas(&shares, &counts, wanted);
    let drawn = pools
        .into_iter()
        .zip(quotas)
        .enumerate()
        .flat_map(|(portion, (pool, quota))| balanced(pool, bin, quota, &mut rng.at(portion as u64)));
    drawn.collect()
}

/// Clips that are short enough, each under a name of its own.
fn cut(clips: Vec<Clip>, cfg: &StkitConfig, names: &mut BTreeSet<String>) -> Result<Vec<Clip>> {
    let mut parts = Vec::new();
    for clip in clips {
        clip.validate()?;
        for part in clip.cut(cfg.frames_per_clip, cfg.fewest_frames) {
            if !names.insert(part.clip_id.clone()) {
                return Err(Error::ClipTwice { clip_id: part.clip_id });
            }
            parts.push(part);
        }
    }
    Ok(parts)
}

/// A clip with the questions that were drawn for it.
struct Asked {
    portion: usize,
    clip: Clip,
    overlay: Overlay,
    colours: Vec<Colour>,
    questions: Vec<Question>,
}

impl Asked {
    fn samples(&self, cfg: &StkitConfig, source: &str, hash: &str, rng: &Rng) -> Result<Vec<Sample>> {
        let preamble = marks::preamble(self.clip.duration_s(), &self.clip.times_s, &self.colours);
        let is_alone = self.colours.len() == 1;
        let mut numbers: BTreeMap<StkitTask, usize> = BTreeMap::new();
        let mut samples = Vec::new();
        for question in &self.questions {
            let nth = numbers.entry(question.task()).and_modify(|nth| *nth += 1).or_insert(0);
            let id = format!("{}-{}-{nth:02}", self.clip.clip_id, question.task().name());
            let mut sample = self.empty(id, cfg, source, hash);
            let mut rng = rng.named("words").named(&sample.id);
            let text = words::question(question, is_alone, &mut rng);
            sample.say(Role::User, format!("<video>\n{preamble}\n{text}"));
            sample.say(Role::Assistant, words::answer(question, is_alone));
            describe(&mut sample, question);
            sample.validate(MediaFacts { duration_s: Some(self.clip.duration_s()), frame_size: None })?;
            samples.push(sample);
        }
        Ok(samples)
    }

    fn empty(&self, id: String, cfg: &StkitConfig, source: &str, hash: &str) -> Sample {
        let uri = self.overlay.folder.clone();
        let media = Media { kind: MediaKind::Frames, uri, segment: None, size: self.clip.size };
        let mut sample = Sample::new(id, self.clip.clip_id.clone(), vec![media]);
        sample.provenance = Some(Provenance {
            dataset: source.to_owned(),
            stage: Some(GROUP.to_owned()),
            config_hash: Some(hash.to_owned()),
            ..Provenance::default()
        });
        sample.mix = Some(Mix { source: source.to_owned(), weight: 1.0 });
        sample.split = Some(cfg.split);
        sample
    }
}

fn describe(sample: &mut Sample, question: &Question) {
    let name = question.task().name().to_owned();
    sample.task = Some(Task { group: GROUP.to_owned(), name, negative: false });
    sample.answer_format = Some(match question {
        Question::Comparison { .. } => AnswerFormat::Expression,
        Question::SameDirection { .. } => AnswerFormat::Yesno,
        _ => AnswerFormat::Free,
    });
    sample.eval = Some(question.facts().to_value());
}

//! The clips of all recordings are asked about, their frames are marked, and the files of the run are written.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use strefer_core::Record;
use strefer_core::jsonl::{Writer, write_all};

use super::collect::{Event, Kept, StkitRun, Summary, failure};
use super::pictures::draw;
use super::report::{Report, SourceReport};
use super::source::Source;
use crate::error::{Error, Result};
use crate::pipeline::store::Note;
use crate::pipeline::{Failure, Fault};
use crate::stkit::counts::count;
use crate::stkit::generate::{Generated, Portion, compose};
use crate::stkit::overlay::Overlay;
use crate::stkit::pseudo::REFUSED;

impl StkitRun<'_> {
    /// Writes `clips.jsonl`, marked frames, `failures.jsonl`, `counts.json` and, last, `samples.jsonl`. One process does it at a time;
    /// what it makes is the same whoever does it.
    ///
    /// # Errors
    /// Files that cannot be written, clips that contradict each other.
    pub fn join(&self, summary: Summary) -> Result<Summary> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        let lock = self.folder.path(".join");
        let turn =
            OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(io(&lock))?;
        turn.lock().map_err(io(&lock))?;
        let samples_path = self.folder.path("samples.jsonl");
        if samples_path.exists() {
            // Where it is, all files are.
            std::fs::remove_file(&samples_path).map_err(io(&samples_path))?;
        }
        let (mut report, mut failures) = (Report::default(), Vec::new());
        let portions = self.gather(&mut report, &mut failures)?;
        let mut generated = compose(portions, &self.cfg.stkit)?;
        let unmarked = match self.mark(&generated.overlays)? {
            Marking::Done(unmarked) => unmarked,
            Marking::Left(left) => return Ok(Summary { left, ..summary }),
        };
        leave_out(&mut generated, &unmarked);
        report.unmarked = unmarked.len();
        failures.extend(unmarked);
        report.clips = generated.overlays.len();
        report.samples = generated.samples.len();
        report.questions = count(&generated.kinds);
        report.offered = generated.offered;
        let failures_path = self.folder.path("failures.jsonl");
        match failures.is_empty() {
            true => drop(std::fs::remove_file(&failures_path)),
            false => write_all(&failures_path, &failures)?,
        }
        let counts_path = self.folder.path("counts.json");
        let mut writer = Writer::create(&counts_path)?;
        writer.write(&report)?;
        writer.finish()?;
        let mut writer = Writer::create(&samples_path)?;
        for sample in generated.samples {
            writer.write(&Record::Sample(Box::new(sample)))?;
        }
        writer.finish()?;
        let failed = failures.len();
        Ok(Summary { clips: report.clips, samples: report.samples, failed, left: 0, ..summary })
    }

    /// All clips as they are kept, with frames where they lie, written down and handed on.
    fn gather(&self, report: &mut Report, failures: &mut Vec<Failure>) -> Result<Vec<Portion>> {
        let mut writer = Writer::create(self.folder.path("clips.jsonl"))?;
        let mut portions = Vec::with_capacity(self.sources.len());
        for source in self.sources {
            let (cfg, truth) = (source.cfg(), source.truth()?);
            let mut own = SourceReport { recordings: source.len(), ..SourceReport::default() };
            let mut clips = Vec::new();
            for place in 0..source.len() {
                let output = match self.kept(source, place) {
                    Kept::Made(output) => output,
                    Kept::Failed(failure) => {
                        own.failed += 1;
                        failures.push(failure);
                        continue;
                    }
                };
                own.add(&output);
                failures.extend(output.notes.iter().filter_map(|note| refused(source, place, note)));
                for mut clip in output.records {
                    if let Some(truth) = truth.get(&clip.clip_id) {
                        own.compare(&clip, truth)?;
                    }
                    let root = source.root(place);
                    for frame in &mut clip.frames {
                        *frame = root.join(&*frame).to_string_lossy().into_owned();
                    }
                    writer.write(&clip)?;
                    clips.push(clip);
                }
            }
            report.sources.insert(cfg.name.clone(), own);
            let directions = cfg.directions && self.cfg.stkit.directions;
            portions.push(Portion { name: cfg.name.clone(), directions, share: cfg.share, clips });
        }
        writer.finish()?;
        Ok(portions)
    }

    /// Draws boxes, several clips at a time.
    fn mark(&self, overlays: &[Overlay]) -> Result<Marking> {
        (self.observer)(&Event::Marking(overlays.len()));
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let failures = Mutex::new(Vec::new());
        let one = |overlay: &Overlay| -> Result<bool> {
            let drawn =
                draw(overlay, self.folder.dir(), &self.cfg.pictures, self.cfg.stkit.smallest_box, &|| {
                    self.is_stopped()
                });
            let failure = match drawn {
                Ok(is_done) => return Ok(is_done),
                Err(error) => {
                    let failure = failure(&overlay.clip_id, &error);
                    if failure.fault.ends_the_run() {
                        return Err(error);
                    }
                    failure
                }
            };
            (self.observer)(&Event::Failed(&failure));
            failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
            Ok(true)
        };
        let work = || -> Result<()> {
            while let Some(overlay) = overlays.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.is_stopped() || !one(overlay)? {
                    break;
                }
                done.fetch_add(1, Ordering::Relaxed);
                (self.observer)(&Event::Marked(&overlay.clip_id));
            }
            Ok(())
        };
        let ended: Vec<Result<()>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.cfg.work.workers).map(|_| scope.spawn(work)).collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        ended.into_iter().collect::<Result<()>>()?;
        let left = overlays.len() - done.into_inner();
        Ok(match left {
            0 => {
                let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
                // Threads find them in any order.
                failures.sort_by(|a: &Failure, b: &Failure| a.video_id.cmp(&b.video_id));
                Marking::Done(failures)
            }
            left => Marking::Left(left),
        })
    }
}

/// What came of drawing.
enum Marking {
    /// All is drawn but these.
    Done(Vec<Failure>),
    /// So many clips are left: the run is to stop.
    Left(usize),
}

/// A recording that was looked at and not believed.
fn refused(source: &Source, place: usize, note: &Note) -> Option<Failure> {
    (note.kind == REFUSED).then(|| Failure {
        video_id: source.name(place),
        stage: None,
        fault: Fault::Records { reason: format!("refused: {}", note.text) },
        tries: 1,
        parked: true,
    })
}

/// Leaves clips out whose frames could not be marked.
fn leave_out(generated: &mut Generated, unmarked: &[Failure]) {
    let unmarked: BTreeSet<&str> = unmarked.iter().map(|failure| failure.video_id.as_str()).collect();
    let is_kept: Vec<bool> =
        generated.samples.iter().map(|sample| !unmarked.contains(sample.video_id.as_str())).collect();
    let mut kept = is_kept.iter();
    generated.kinds.retain(|_| kept.next().copied().unwrap_or(false));
    generated.samples.retain(|sample| !unmarked.contains(sample.video_id.as_str()));
    generated.overlays.retain(|overlay| !unmarked.contains(overlay.clip_id.as_str()));
}

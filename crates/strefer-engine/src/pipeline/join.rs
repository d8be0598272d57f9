//! What was made of all videos, joined into files of records in the order of the list.

use std::fs::OpenOptions;
use std::path::PathBuf;

use serde::Serialize;
use strefer_core::Record;
use strefer_core::jsonl::{Writer, write_all};
use strefer_core::records::LineRecord;

use super::chain::{Chain, Failed, Finished};
use super::failures::Failures;
use super::fault::Failure;
use super::input::Input;
use super::keys::Keys;
use super::run::{Run, Summary};
use super::stage::Stage;
use super::store::Note;
use crate::error::{Error, Result};
use crate::stages::STAGE_FILES;

/// Videos that are read at once.
const AT_ONCE: usize = 64;

const SAMPLES: &str = "samples";

/// Where a run asks about objects one by one.
const DESCRIPTIONS: &str = "descriptions";

/// A line of `notes.jsonl`.
#[derive(Serialize)]
struct NoteLine<'a> {
    video_id: &'a str,
    stage: Stage,
    #[serde(flatten)]
    note: &'a Note,
}

impl Run<'_> {
    /// Writes `videos`, `entities`, `masklets`, `clips`, `transcript` and `samples` of the videos that are finished
    /// (`descriptions` as well, where samples are about single objects), with `notes` of what stages left out and `failures` of the others. Several processes may do it; the result is the same.
    /// `samples` takes its name last: where it is, all files are.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn join(&self, inputs: &[Input], summary: Summary) -> Result<Summary> {
        let lock = self.folder.path(".join");
        let io = |path: &PathBuf| {
            let path = path.clone();
            move |source| Error::Io { path, source }
        };
        let turn =
            OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(io(&lock))?;
        turn.lock().map_err(io(&lock))?;
        let ending = if self.cfg.compress { "jsonl.zst" } else { "jsonl" };
        let described = self.cfg.objects.is_some().then_some(DESCRIPTIONS);
        let names: Vec<&str> = STAGE_FILES.into_iter().chain(described).chain([SAMPLES]).collect();
        let last = names.len() - 1;
        let paths: Vec<PathBuf> =
            names.iter().map(|name| self.folder.path(&format!("{name}.{ending}"))).collect();
        let mut writers = paths.iter().map(Writer::create).collect::<strefer_core::Result<Vec<Writer>>>()?;
        let notes_path = self.folder.path("notes.jsonl");
        let mut notes = Writer::create(&notes_path)?;
        let (mut n_notes, mut failures) = (0, Vec::<Failure>::new());
        let mut summary = Summary { videos: 0, samples: 0, turns: 0, ..summary };
        for inputs in inputs.chunks(AT_ONCE) {
            for (input, read) in inputs.iter().zip(self.read(inputs)) {
                let finished = match read {
                    Ok(Some(finished)) => finished,
                    Ok(None) => {
                        failures.extend(self.failure(input));
                        continue;
                    }
                    Err(failure) => {
                        failures.push(failure);
                        continue;
                    }
                };
                for (stage, note) in &finished.notes {
                    notes.write(&NoteLine { video_id: &input.video_id, stage: *stage, note })?;
                    n_notes += 1;
                }
                summary.videos += 1;
                summary.samples += finished.samples.len();
                summary.turns +=
                    finished.samples.iter().map(|sample| sample.conversations.len() / 2).sum::<usize>();
                let described = finished.descriptions.map(LineRecord::into_record);
                let records = finished.stages.into_records().into_iter().chain(described);
                for (writer, record) in writers.iter_mut().zip(records) {
                    writer.write(&record)?;
                }
                for sample in finished.samples {
                    writers[last].write(&Record::Sample(Box::new(sample)))?;
                }
            }
        }
        let joined = &paths[last];
        let aside = joined.with_extension("old");
        if joined.is_file() {
            std::fs::rename(joined, &aside).map_err(io(joined))?;
        }
        for writer in writers {
            writer.finish()?;
        }
        keep(&self.folder.path("failures.jsonl"), &failures)?;
        if n_notes > 0 {
            notes.finish()?;
        } else {
            drop(notes);
            let _ = std::fs::remove_file(&notes_path);
        }
        let _ = std::fs::remove_file(&aside);
        Ok(summary)
    }

    fn failure(&self, input: &Input) -> Option<Failure> {
        Failures::new(self.folder.path("failed"), self.folder.hash(), self.only).read(&input.video_id)
    }

    /// What is finished of some videos, in their order.
    fn read(&self, inputs: &[Input]) -> Vec<std::result::Result<Option<Finished>, Failure>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let each = inputs.len().div_ceil(threads).max(1);
        let one = |input: &Input| {
            // A failure on record stands for whatever else might be said.
            self.finished(input).map_err(|(stage, fault)| {
                let unrecorded =
                    || Failure { video_id: input.video_id.clone(), stage, fault, tries: 0, parked: false };
                self.failure(input).unwrap_or_else(unrecorded)
            })
        };
        std::thread::scope(|scope| {
            let portion = |inputs: &'_ [Input]| inputs.iter().map(one).collect::<Vec<_>>();
            let threads: Vec<_> =
                inputs.chunks(each).map(|inputs| scope.spawn(move || portion(inputs))).collect();
            let joined = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.flatten().collect()
        })
    }

    fn finished(
        &self,
        input: &Input,
    ) -> std::result::Result<Option<Finished>, (Option<Stage>, super::fault::Fault)> {
        let store = self.store();
        let chain = Chain { cfg: self.cfg, crew: self.crew, store: &store, only: None };
        // What is made already is read whatever was asked to stop.
        let never = std::sync::atomic::AtomicBool::new(false);
        let watch = super::watch::Watch::start(&never, self.cfg.work.video_s, self.cfg.work.stage_s);
        let at = self.desk().take(input, &watch).map_err(|fault| (None, fault))?;
        let keys = Keys::new(&at, self.cfg, self.crew).map_err(|fault| (None, fault))?;
        let failed = |(stage, fault): Failed| (Some(stage), fault);
        chain.finished(&at, &keys).map_err(failed)
    }
}

/// Writes lines, or takes the file away where there are none.
fn keep<T: Serialize>(path: &PathBuf, lines: &[T]) -> Result<()> {
    if lines.is_empty() {
        let _ = std::fs::remove_file(path);
        return Ok(());
    }
    Ok(write_all(path, lines)?)
}

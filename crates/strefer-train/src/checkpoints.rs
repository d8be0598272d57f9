//! The checkpoints of a run: folders that appear whole, with digests of their files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, io};
use crate::state::TRAINER;

const PREFIX: &str = "step-";
const TEMPORARY: &str = ".saving-";
const DAMAGED: &str = "damaged-";
const DIGESTS: &str = "digests";

/// The checkpoints below a run's folder.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    dir: PathBuf,
    /// The link to the best one.
    best: PathBuf,
    keep: usize,
}

impl Checkpoints {
    pub(crate) fn new(run: &Path, keep: usize) -> Self {
        Self { dir: run.join("checkpoints"), best: run.join("best"), keep }
    }

    /// The folder of the checkpoint after so many steps.
    pub(crate) fn path(&self, step: usize) -> PathBuf {
        self.dir.join(format!("{PREFIX}{step:08}"))
    }

    /// The folder that it is written into.
    pub(crate) fn temporary(&self, step: usize) -> PathBuf {
        self.dir.join(format!("{TEMPORARY}{PREFIX}{step:08}"))
    }

    /// Steps before the newest checkpoint that is as it was written; `damaged` hears of newer ones that are not, which
    /// get other names. What a killed run left half written is removed.
    ///
    /// # Errors
    /// There are checkpoints, and all are damaged.
    pub(crate) fn latest(&self, mut damaged: impl FnMut(&Error)) -> Result<Option<usize>> {
        if !self.dir.exists() {
            return Ok(None);
        }
        for path in entries(&self.dir)? {
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY)) {
                fs::remove_dir_all(&path).map_err(io(&path))?;
            }
        }
        let mut faults = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match check(&self.path(step)) {
                Ok(()) => {
                    for (step, error) in faults {
                        damaged(&error);
                        self.set_aside(step)?;
                    }
                    return Ok(Some(step));
                }
                Err(error) => faults.push((step, error)),
            }
        }
        faults.pop().map_or(Ok(None), |(_, error)| Err(error))
    }

    /// Makes room for a checkpoint in the place of a damaged one.
    fn set_aside(&self, step: usize) -> Result<()> {
        let aside = self.dir.join(format!("{DAMAGED}{PREFIX}{step:08}"));
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(io(&aside))?;
        }
        fs::rename(self.path(step), &aside).map_err(io(&aside))
    }

    /// Makes an empty folder to write the checkpoint after so many steps into.
    pub(crate) fn begin(&self, step: usize) -> Result<()> {
        let dir = self.temporary(step);
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(io(&dir))?;
        }
        let trainer = dir.join(TRAINER);
        fs::create_dir_all(&trainer).map_err(io(&trainer))
    }

    /// Gives back the room of a checkpoint that could not be written.
    pub(crate) fn abandon(&self, step: usize) {
        // The disk may be full: whatever went wrong before is the error to report.
        let _ = fs::remove_dir_all(self.temporary(step));
    }

    /// Gives a checkpoint that all ranks have written its name, then removes the oldest ones; that after `best` steps
    /// stays.
    pub(crate) fn publish(&self, step: usize, best: Option<usize>) -> Result<()> {
        let (temporary, target) = (self.temporary(step), self.path(step));
        sync(&temporary)?;
        fs::rename(&temporary, &target).map_err(io(&target))?;
        sync(&self.dir)?;
        if best == Some(step) {
            self.link_best(&target)?;
        }
        self.rotate(best)
    }

    /// `best` beside the checkpoints leads to the best one.
    fn link_best(&self, target: &Path) -> Result<()> {
        let name = target.file_name().unwrap_or_default();
        let relative = Path::new(self.dir.file_name().unwrap_or_default()).join(name);
        let temporary = self.best.with_extension("new");
        let _ = fs::remove_file(&temporary); // Left by a kill, if it is there.
        std::os::unix::fs::symlink(relative, &temporary).map_err(io(&temporary))?;
        fs::rename(&temporary, &self.best).map_err(io(&self.best))
    }

    /// Steps of all checkpoints, the oldest first.
    fn steps(&self) -> Result<Vec<usize>> {
        let step = |path: PathBuf| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            name.strip_prefix(PREFIX)?.parse::<usize>().ok()
        };
        let mut steps: Vec<usize> = entries(&self.dir)?.into_iter().filter_map(step).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn rotate(&self, best: Option<usize>) -> Result<()> {
        let mut steps = self.steps()?;
        let kept = steps.split_off(steps.len().saturating_sub(self.keep));
        for step in steps.into_iter().filter(|step| Some(*step) != best && !kept.contains(step)) {
            let path = self.path(step);
            // Renamed first: a kill in the middle of removing must not leave a folder that looks whole.
            let doomed = self.dir.join(format!("{TEMPORARY}old-{step}"));
            fs::rename(&path, &doomed).map_err(io(&path))?;
            fs::remove_dir_all(&doomed).map_err(io(&doomed))?;
        }
        Ok(())
    }
}

/// What lies in a folder.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(io(dir))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(io(dir))).collect()
}

fn sync(dir: &Path) -> Result<()> {
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))
}

/// BLAKE3 of a file.
fn digest(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let file = fs::File::open(path).map_err(io(path))?;
    hasher.update_reader(file).map_err(io(path))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Puts the digests of `files` beside them, under the name of who wrote them.
pub(crate) fn write_digests(checkpoint: &Path, who: &str, files: &[PathBuf]) -> Result<()> {
    let mut digests = BTreeMap::new();
    for path in files {
        let name = path.strip_prefix(checkpoint).unwrap_or(path).to_string_lossy().into_owned();
        digests.insert(name, digest(path)?);
        fs::File::open(path).and_then(|file| file.sync_all()).map_err(io(path))?;
    }
    let path = checkpoint.join(TRAINER).join(format!("{DIGESTS}-{who}.json"));
    let text = serde_json::to_string_pretty(&digests).map_err(|error| io(&path)(error.into()))?;
    fs::write(&path, text).map_err(io(&path))?;
    fs::File::open(&path).and_then(|file| file.sync_all()).map_err(io(&path))
}

/// Whether all files are as they were written. A checkpoint without digests is older than they are, and is believed.
fn check(checkpoint: &Path) -> Result<()> {
    let damaged = |file: String| Error::DamagedCheckpoint { path: checkpoint.to_owned(), file };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for path in entries(&checkpoint.join(TRAINER))? {
        if !name(&path).starts_with(DIGESTS) {
            continue;
        }
        let text = fs::read(&path).map_err(io(&path))?;
        let digests: BTreeMap<String, String> =
            serde_json::from_slice(&text).map_err(|_| damaged(format!("{TRAINER}/{}", name(&path))))?;
        for (file, written) in digests {
            if digest(&checkpoint.join(&file)).ok() != Some(written) {
                return Err(damaged(file));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(checkpoints: &Checkpoints, step: usize, best: Option<usize>) {
        checkpoints.begin(step).unwrap();
        let dir = checkpoints.temporary(step);
        let files = [dir.join("model.safetensors"), dir.join(TRAINER).join("progress.json")];
        for file in &files {
            fs::write(file, step.to_string()).unwrap();
        }
        write_digests(&dir, "test", &files).unwrap();
        checkpoints.publish(step, best).unwrap();
    }

    #[test]
    fn the_newest_and_the_best_stay() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(run.path(), 2);
        for (step, best) in [(1, Some(1)), (2, Some(2)), (3, Some(2)), (4, Some(2)), (5, Some(2))] {
            checkpoint(&checkpoints, step, best);
        }
        assert_eq!(checkpoints.steps().unwrap(), [2, 4, 5]);
        assert_eq!(fs::read(run.path().join("best/model.safetensors")).unwrap(), b"2");
        checkpoint(&checkpoints, 6, Some(6));
        assert_eq!(checkpoints.steps().unwrap(), [5, 6]);
        assert_eq!(fs::read(run.path().join("best/model.safetensors")).unwrap(), b"6");
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over_and_named() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(run.path(), 9);
        for step in 1..=3 {
            checkpoint(&checkpoints, step, None);
        }
        checkpoints.begin(4).unwrap();
        fs::write(checkpoints.path(3).join("model.safetensors"), "4").unwrap();
        fs::remove_file(checkpoints.path(2).join(TRAINER).join("progress.json")).unwrap();
        let mut told = Vec::new();
        let found = checkpoints.latest(|error| told.push(error.to_string())).unwrap();
        assert_eq!(found, Some(1));
        assert!(told[0].contains("step-00000003") && told[0].contains("model.safetensors"), "{told:?}");
        assert!(told[1].contains("step-00000002") && told[1].contains("progress.json"), "{told:?}");
        assert!(!checkpoints.temporary(4).exists() && !checkpoints.path(3).exists());
        fs::write(checkpoints.path(1).join("model.safetensors"), "").unwrap();
        assert!(matches!(checkpoints.latest(|_| {}), Err(Error::DamagedCheckpoint { .. })));
    }
}

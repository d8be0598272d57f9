//! [SPICE](https://arxiv.org/abs/1607.08822), asked of its own program.
//!
//! The numbers need a parser of sentences with its models, which come with `spice-1.0.jar`. The program reads a file of
//! captions and writes one of scores.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;

use super::score::Caption;

/// Why there is no SPICE.
#[derive(Debug, thiserror::Error)]
pub enum SpiceError {
    /// A file for the program, or of it, cannot be written or read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program does not start.
    #[error("{program}: {source}")]
    Program {
        /// What was started.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program stops without scores.
    #[error("{program}: {reason}")]
    Failed {
        /// What was started.
        program: String,
        /// What it said last, or what is wrong with what it wrote.
        reason: String,
    },
}

/// SPICE of captions, 0 to 1, in their order; none where the program found no number.
#[derive(Debug, Clone, PartialEq)]
pub struct SpiceScores {
    /// Of each caption; that of all is their mean.
    pub items: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct Scored {
    image_id: usize,
    scores: HashMap<String, Part>,
}

#[derive(Deserialize)]
struct Part {
    f: Option<f64>,
}

/// Asks `java -jar JAR` about tokenised captions.
///
/// # Errors
/// When Java is not there, or the program stops without a score for every caption.
pub fn spice(jar: &Path, captions: &[Caption]) -> Result<SpiceScores, SpiceError> {
    let mut command = Command::new("java");
    command.args(["-Xmx8G", "-jar"]).arg(jar);
    spice_of(command, captions)
}

/// Asks any program that takes the same arguments: the file of captions, `-out` and the file of scores.
///
/// # Errors
/// As [`spice`].
pub fn spice_of(mut command: Command, captions: &[Caption]) -> Result<SpiceScores, SpiceError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| SpiceError::Failed { program: program.clone(), reason };
    let folder =
        tempfile::tempdir().map_err(|source| SpiceError::Io { path: std::env::temp_dir(), source })?;
    let (asked, scored) = (folder.path().join("captions.json"), folder.path().join("scores.json"));
    let line = |(at, caption): (usize, &Caption)| json!({ "image_id": at, "test": caption.prediction, "refs": caption.references });
    let all: serde_json::Value = captions.iter().enumerate().map(line).collect();
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| SpiceError::Io { path, source }
    };
    std::fs::write(&asked, all.to_string()).map_err(io(&asked))?;
    // Where it keeps its parses; of another run's it would take those of other captions.
    let cache = folder.path().join("cache");
    std::fs::create_dir(&cache).map_err(io(&cache))?;
    command.arg(&asked).arg("-cache").arg(&cache).arg("-out").arg(&scored).arg("-silent");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| SpiceError::Program { program: program.clone(), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        return Err(failed(format!("{}: {last}", output.status)));
    }
    let text = std::fs::read(&scored).map_err(io(&scored))?;
    let found: Vec<Scored> =
        serde_json::from_slice(&text).map_err(|error| failed(format!("its scores: {error}")))?;
    let mut by_caption: HashMap<usize, Option<f64>> = HashMap::new();
    for one in found {
        let whole =
            one.scores.get("All").ok_or_else(|| failed("its scores have no part \"All\"".to_owned()))?;
        by_caption.insert(one.image_id, whole.f);
    }
    let items = (0..captions.len())
        .map(|at| by_caption.remove(&at).ok_or_else(|| failed(format!("no score for caption {at}"))))
        .collect::<Result<_, _>>()?;
    Ok(SpiceScores { items })
}

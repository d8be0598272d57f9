//! What all benchmarks that are scored without a model take, and what they give back.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use strefer_eval::{Bootstrap, Coverage, Error, Sheet, Summary, Unmatched};

/// Predictions, annotations, and how they are scored.
#[derive(Debug, Args)]
pub struct ScoreRunArgs {
    /// What the model says
    predictions: PathBuf,
    /// What is true: the benchmark's own file
    #[arg(long, value_name = "FILE")]
    annotations: PathBuf,
    /// Predictions of another run over the same questions, to compare with
    #[arg(long, value_name = "PREDICTIONS")]
    compare: Option<PathBuf>,
    /// Leave out questions without a prediction; otherwise they are an error
    #[arg(long)]
    allow_missing: bool,
    /// Leave out predictions without a question; otherwise they are an error
    #[arg(long)]
    allow_extra: bool,
    /// Print JSON, with the benchmark's own names and rounding under `metrics`
    #[arg(long)]
    json: bool,
    /// Write that JSON into a file, too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How many times all questions are drawn again for the intervals
    #[arg(long, default_value_t = Bootstrap::default().resamples)]
    resamples: usize,
    /// The same seed gives the same intervals
    #[arg(long, default_value_t = Bootstrap::default().seed)]
    seed: u64,
}

impl ScoreRunArgs {
    /// Reads annotations and predictions, scores them with `sheet`, and prints.
    ///
    /// # Errors
    /// What `read` and `sheet` refuse, a comparison of runs over other questions, or a file that cannot be written.
    pub fn score<A>(
        &self,
        read: impl Fn(&Path) -> strefer_eval::Result<A>,
        sheet: impl Fn(&A, &Path, Unmatched) -> Result<Sheet>,
    ) -> Result<()> {
        let annotations = read(&self.annotations)?;
        let unmatched = Unmatched { allow_missing: self.allow_missing, allow_extra: self.allow_extra };
        let of = |predictions: &Path| {
            sheet(&annotations, predictions, unmatched).map_err(|error| self.advised(predictions, error))
        };
        let own = of(&self.predictions)?;
        let other = self.compare.as_deref().map(of).transpose()?;
        let bootstrap = Bootstrap { resamples: self.resamples, seed: self.seed };
        let summary = Summary::new(&own, other.as_ref(), bootstrap)?;
        let json = serde_json::to_string_pretty(&summary.to_json())?;
        if let Some(path) = &self.out {
            std::fs::write(path, format!("{json}\n"))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        println!("{}", if self.json { json } else { summary.to_table().trim_end().to_owned() });
        Ok(())
    }

    /// With the file that it is about and what can be done.
    fn advised(&self, predictions: &Path, error: anyhow::Error) -> anyhow::Error {
        let (file, truth) = (predictions.display(), self.annotations.display());
        match error.downcast_ref::<Error>() {
            Some(Error::Unmatched { coverage }) => anyhow!("{file}: {error}; {}", advice(coverage, &truth)),
            Some(Error::OtherVideo { .. }) => anyhow!("{file}: {error}; does it belong to {truth}?"),
            _ => error,
        }
    }
}

fn advice(coverage: &Coverage, annotations: &impl std::fmt::Display) -> String {
    if coverage.matched == 0 {
        return format!("nothing is left to score: do they belong to {annotations}?");
    }
    let flags = [("--allow-missing", &coverage.missing), ("--allow-extra", &coverage.extra)];
    let flags = flags.into_iter().filter(|(_, ids)| !ids.is_empty()).map(|(flag, _)| flag);
    format!("to score what matches, add {}", flags.collect::<Vec<_>>().join(" "))
}

//! `strefer score videorefer-d`: descriptions that another model rates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use strefer_core::settings;
use strefer_eval::judge::{Judge, JudgeConfig};
use strefer_eval::records::{read_array, read_lines};
use strefer_eval::videorefer::bench_d::{self, Judgement, Question};
use strefer_eval::videorefer::judge::{Description, with_ids};
use strefer_eval::{Sheet, Unmatched};
use strefer_teacher::{Prompt, Sampling, Teacher};

use crate::args::ScoreRunArgs;
use crate::progress::bar;
use crate::teachers;

#[derive(Debug, Args)]
pub(super) struct VideoreferDArgs {
    #[command(flatten)]
    run: ScoreRunArgs,
    /// Who judges (configs/eval/videorefer-d-judge.toml); the predictions are then descriptions, lines {id, answer} or
    /// {video, caption, pred}. Without it they are a judge's replies
    #[arg(long, value_name = "FILE")]
    judge: Option<PathBuf>,
    /// Where the judge's replies are kept, so that none is asked for twice [default: PREDICTIONS.judged]
    #[arg(long, value_name = "DIR", requires = "judge")]
    judged: Option<PathBuf>,
    /// Ask nobody: take the replies that were kept
    #[arg(long, requires = "judge")]
    replay: bool,
}

impl VideoreferDArgs {
    pub(super) fn score(&self) -> Result<()> {
        self.run.score(read_array, |questions: &Vec<Question>, path, unmatched| match &self.judge {
            None => Ok(bench_d::score(questions, &read_lines(path)?, unmatched)?.sheet()),
            Some(judge) => self.rate(judge, questions, path, unmatched),
        })
    }

    fn rate(
        &self,
        config: &Path,
        questions: &[Question],
        path: &Path,
        unmatched: Unmatched,
    ) -> Result<Sheet> {
        let kept = self.judged.clone().unwrap_or_else(|| teachers::beside(path, "judged"));
        let desk = JudgeDesk::open(config, &kept, self.replay)?;
        let descriptions = with_ids(read_lines::<Description>(path)?, questions);
        let judge = desk.judge();
        let bar = bar(descriptions.len(), "judged");
        let rated = judge.rate(questions, &descriptions, unmatched, &|| bar.inc(1));
        bar.finish_and_clear();
        let (judgements, silent) = rated?;
        for (kind, faults) in &silent {
            let (id, reason) = &faults[0];
            tracing::warn!("{} without a reply ({kind}), the first, {id}: {reason}", faults.len());
        }
        write_replies(&kept, &judgements)?;
        let mut scores = bench_d::score(questions, &judgements, unmatched)?;
        scores.judge = Some(judge.to_json());
        Ok(scores.sheet())
    }
}

/// A judge ready to be asked.
pub(super) struct JudgeDesk {
    teacher: Arc<dyn Teacher>,
    prompt: Prompt,
    sampling: Sampling,
    threads: usize,
}

impl JudgeDesk {
    /// Reads a judge's file. Its replies are kept in `kept`; with `replay` nobody is asked.
    pub(super) fn open(config: &Path, kept: &Path, replay: bool) -> Result<Self> {
        let folder = config.parent().unwrap_or(Path::new(""));
        let JudgeConfig { prompt, sampling, budget, endpoints, model } = settings::load(config, &[])?;
        let prompt = Prompt::open(&folder.join(prompt))?;
        let in_flight: usize = endpoints.iter().map(|endpoint| endpoint.in_flight).sum();
        let opened = match (&model, endpoints.is_empty()) {
            (Some(_), false) => Err(anyhow!("it names both endpoints and a model: one of them judges")),
            (Some(model), true) => teachers::own(model, budget, kept, replay),
            (None, _) => teachers::open(endpoints, budget, kept, replay),
        };
        let teacher = opened.with_context(|| format!("opening {}", config.display()))?;
        let threads = in_flight.max(1);
        Ok(Self { teacher, prompt, sampling, threads })
    }

    /// A judge that needs nobody: rules over what the synthetic world can be said to show.
    pub(super) fn of_the_world() -> Self {
        Self {
            teacher: Arc::new(super::world_judge::teacher()),
            prompt: Prompt::new("world", super::world_judge::RULES),
            sampling: Sampling::default(),
            threads: 1,
        }
    }

    /// As scores take it.
    pub(super) fn judge(&self) -> Judge<'_> {
        Judge {
            teacher: &*self.teacher,
            prompt: &self.prompt,
            sampling: self.sampling,
            threads: self.threads,
        }
    }
}

/// The replies beside the answers that they were taken from, as `strefer score videorefer-d` reads them.
fn write_replies(folder: &Path, judgements: &[Judgement]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot write {}", folder.display()))?;
    Ok(strefer_core::jsonl::write_all(folder.join("replies.jsonl"), judgements)?)
}

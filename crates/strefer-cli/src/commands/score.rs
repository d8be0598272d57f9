//! `strefer score`: what a model said, scored without the model.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use strefer_eval::choice::{QuestionFile, Reading};
use strefer_eval::masklets::{self, VideoMasklets, davis};
use strefer_eval::records::{read_array, read_lines};
use strefer_eval::videorefer::bench_q;
use strefer_eval::{Sheet, Unmatched, captioning, choice, qvhighlights, stkit};

use crate::args::{ScoreRunArgs, named};

/// Score predictions on a benchmark, without a model
#[derive(Debug, Args)]
pub struct ScoreArgs {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Moment retrieval and highlight detection, both files as QVHighlights has them
    Qvhighlights(ScoreRunArgs),
    /// STKit-Bench: lines {id, task, label, options} and {id, text}
    Stkit(ScoreRunArgs),
    /// BLEU, METEOR, ROUGE-L and CIDEr: COCO caption files, or lines {id, references} and {id, prediction}
    Captions(CaptionsArgs),
    /// VideoRefer-Bench-Q, both files as the benchmark has them
    VideoreferQ(ScoreRunArgs),
    /// VideoRefer-Bench-D: VideoRefer-Bench-D.json, and descriptions for a judge or lines {id, reply} of one
    VideoreferD(super::judged::VideoreferDArgs),
    /// Masks through videos: records of masklets, or folders in the layout of DAVIS
    Masklets(MaskletsArgs),
    /// Questions with given answers: MVBench, Video-MME and others; predictions are lines {id, text}
    Choices(ChoicesArgs),
}

#[derive(Debug, Args)]
struct CaptionsArgs {
    #[command(flatten)]
    run: ScoreRunArgs,
    /// meteor-1.5.jar with its tables beside it; needs Java
    #[arg(long, value_name = "JAR")]
    meteor: Option<PathBuf>,
    /// spice-1.0.jar with its libraries beside it; needs Java and 8 GB of memory
    #[arg(long, value_name = "JAR")]
    spice: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct MaskletsArgs {
    #[command(flatten)]
    run: ScoreRunArgs,
    /// Count the first and the last frame of folders, too
    #[arg(long)]
    all_frames: bool,
}

/// What is true about masks.
enum TrueMasks {
    Records(Vec<VideoMasklets>),
    Folder(PathBuf),
}

#[derive(Debug, Args)]
struct ChoicesArgs {
    #[command(flatten)]
    run: ScoreRunArgs,
    /// What the annotations are: lines {id, options, answer, groups}, mv-bench, video-mme, perception-test, mlvu, next-qa or temp-compass
    #[arg(long, default_value = "lines", value_parser = named::<QuestionFile>)]
    format: QuestionFile,
    /// Whose rules find the choice in a text; the format's own when absent (of lines: letter)
    #[arg(long, value_parser = named::<Reading>)]
    reading: Option<Reading>,
}

/// Runs it.
pub fn run(args: &ScoreArgs) -> Result<()> {
    match &args.benchmark {
        Benchmark::Qvhighlights(run) => run.score(read_lines, |annotations: &Vec<_>, path, unmatched| {
            Ok(qvhighlights::score(annotations, &read_lines(path)?, unmatched)?.sheet())
        }),
        Benchmark::Stkit(run) => run.score(read_lines, |questions: &Vec<_>, path, unmatched| {
            Ok(stkit::score(questions, &read_lines(path)?, unmatched)?.sheet())
        }),
        Benchmark::VideoreferQ(run) => run.score(read_array, |questions: &Vec<_>, path, unmatched| {
            let predictions: Vec<bench_q::Prediction> = read_lines(path)?;
            Ok(bench_q::sheet(&bench_q::matched(questions, &predictions, unmatched)?))
        }),
        Benchmark::VideoreferD(args) => args.score(),
        Benchmark::Masklets(args) => args.run.score(
            |path| match path.is_dir() {
                true => Ok(TrueMasks::Folder(path.to_owned())),
                false => Ok(TrueMasks::Records(read_lines(path)?)),
            },
            |truth, path, unmatched| {
                Ok(match truth {
                    TrueMasks::Records(truth) => {
                        masklets::score(truth, &read_lines(path)?, unmatched)?.sheet()
                    }
                    TrueMasks::Folder(dir) => davis::score(dir, path, args.all_frames, unmatched)?.sheet(),
                })
            },
        ),
        Benchmark::Captions(args) => {
            args.run.score(captioning::read_references, |captions, path, unmatched| {
                captions_sheet(args, captions, path, unmatched)
            })
        }
        Benchmark::Choices(args) => args.run.score(
            |path| args.format.read(path),
            |questions, path, unmatched| {
                let reading = args.reading.unwrap_or(args.format.reading());
                let scores = choice::score(questions, &read_lines(path)?, reading, unmatched)?;
                Ok(scores.sheet(questions))
            },
        ),
    }
}

fn captions_sheet(
    args: &CaptionsArgs,
    captions: &[captioning::CaptionRecord],
    predictions: &Path,
    unmatched: Unmatched,
) -> Result<Sheet> {
    let said = captioning::read_predictions(predictions)?;
    let tokenized = captioning::tokenize_records(captions, &said, unmatched)?;
    let found = |jar: &Path| {
        std::fs::metadata(jar).map(|_| ()).with_context(|| format!("cannot read {}", jar.display()))
    };
    [&args.meteor, &args.spice].into_iter().flatten().try_for_each(|jar| found(jar))?;
    let meteor = args.meteor.as_deref().map(|jar| {
        let scores = captioning::Meteor::java(jar)?.score(&tokenized.captions);
        scores.with_context(|| format!("no METEOR from {}", jar.display()))
    });
    let spice = args.spice.as_deref().map(|jar| {
        let scores = captioning::spice(jar, &tokenized.captions);
        scores.with_context(|| format!("no SPICE from {}", jar.display()))
    });
    let external = captioning::External { meteor: meteor.transpose()?, spice: spice.transpose()? };
    Ok(captioning::sheet(&tokenized, &external))
}

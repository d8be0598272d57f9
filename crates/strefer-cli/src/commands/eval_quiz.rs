//! `strefer eval SAMPLES`: questions with known answers, and whether the model looked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use strefer_core::jsonl::{read_records, write_all};
use strefer_core::{Rng, Sample};
use strefer_eval::quiz::{Answer, Look, QuizTable, answer_all};
use strefer_model::{FrameCache, ProcessorOptions};

use super::eval::EvalArgs;
use crate::progress::bar;

/// Writes answers-*.jsonl, table.json and table.md.
pub(super) fn run(args: &EvalArgs) -> Result<()> {
    let samples_file = Path::new(&args.what);
    // Before the folder is made: a download that breaks is started again with the same words.
    let model = args.model.folder()?;
    std::fs::create_dir(&args.out)
        .with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let all: strefer_core::Result<Vec<Sample>> = read_records(samples_file)?.collect();
    let all = all?;
    let chosen = Rng::new(0, "limit").spread(all.len(), args.limit.unwrap_or(all.len()));
    let samples: Vec<Sample> = chosen.into_iter().map(|index| all[index].clone()).collect();
    let own_folder = || samples_file.parent().map(PathBuf::from).unwrap_or_default();
    let media_root = args.media_root.clone().unwrap_or_else(own_folder);
    let options = ProcessorOptions {
        media_root,
        cache: Arc::new(FrameCache::new(256 << 20)),
        draw: args.draw,
        ..ProcessorOptions::default()
    };
    let loaded = args.model.load_from(&model, options)?;
    let mut looks: Vec<Vec<Answer>> = Vec::new();
    for (look, name) in [(Look::Real, "real"), (Look::Blind, "blind"), (Look::OtherMask, "other mask")] {
        let bar = bar(samples.len(), name);
        let answers = answer_all(&loaded.model, &loaded.processor, &samples, look, &mut |done| {
            bar.set_position(done as u64)
        })?;
        bar.finish_and_clear();
        let file = format!("answers-{}.jsonl", name.replace(' ', "-"));
        write_all(args.out.join(file), &answers)?;
        looks.push(answers);
    }
    let table = QuizTable::new(&looks[0], &looks[1], &looks[2]);
    let markdown = table.to_markdown();
    std::fs::write(args.out.join("table.md"), &markdown).context("cannot write table.md")?;
    std::fs::write(args.out.join("table.json"), serde_json::to_string_pretty(&table)?)
        .context("cannot write table.json")?;
    println!("{markdown}");
    Ok(())
}

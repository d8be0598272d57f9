//! `strefer report`: curves, tables and answers with pictures, as one HTML file.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use strefer_core::jsonl::{Reader, read_records};
use strefer_core::placeholder::{Piece, render};
use strefer_core::{QuizFacts, Sample};
use strefer_eval::quiz::{Answer, QuizTable};
use strefer_eval::report::{Example, Report, Section};
use strefer_train::History;
use strefer_video::{Limits, VideoSource, draw};

/// Make an HTML page of a training run and its evaluations
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder of the training run
    #[arg(long)]
    run: PathBuf,
    /// Evaluations to show, in order: NAME=FOLDER of `strefer eval`
    #[arg(long = "eval", value_name = "NAME=FOLDER", value_parser = crate::args::key_value, required = true)]
    evals: Vec<(String, String)>,
    /// The samples that were asked
    #[arg(long)]
    samples: PathBuf,
    /// What media paths are relative to; the samples' folder when absent
    #[arg(long)]
    media_root: Option<PathBuf>,
    /// Questions with pictures
    #[arg(long, default_value_t = 12)]
    examples: usize,
    /// The page to write
    #[arg(long)]
    out: PathBuf,
}

/// Accuracy of every kind of question in each evaluation, beside what needs no looking, for the terminal.
fn summary(tables: &[(&str, QuizTable)]) -> String {
    let Some((_, last)) = tables.last() else { return String::new() };
    let mut text = format!("{:<20}", "correct, %");
    for (name, _) in tables {
        text.push_str(&format!("{name:>10}"));
    }
    text.push_str("   without looking\n");
    for row in &last.rows {
        text.push_str(&format!("{:<20}", row.kind));
        for (_, table) in tables {
            let same = table.rows.iter().find(|other| other.kind == row.kind);
            let value = same.map_or_else(|| "-".to_owned(), |row| format!("{:.1}", 100.0 * row.real.value()));
            text.push_str(&format!("{value:>10}"));
        }
        let without = row.blind.value().max(row.constant.value());
        text.push_str(&format!("{:>18.1}\n", 100.0 * without));
    }
    text
}

/// Runs it.
pub fn run(args: &ReportArgs) -> Result<()> {
    let mut sections = vec![
        Section::Text(
            "Every number is from the run named here, on clips that training never showed.".to_owned(),
        ),
        Section::Heading("Training".to_owned()),
    ];
    let mut tables: Vec<(&str, QuizTable)> = Vec::new();
    sections.extend(History::read(&args.run.join("log.jsonl"))?.charts().into_iter().map(Section::Chart));
    for (name, folder) in &args.evals {
        let path = Path::new(folder).join("table.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let table: QuizTable =
            serde_json::from_str(&text).with_context(|| format!("{} is no table", path.display()))?;
        sections.push(Section::Heading(name.clone()));
        sections.push(Section::Table(table.clone()));
        tables.push((name, table));
    }
    sections.push(Section::Heading("Answers".to_owned()));
    sections.push(Section::Examples(examples(args)?));
    print!("{}", summary(&tables));
    Report { title: "strefer: this object, at this moment".to_owned(), sections }.write(&args.out)?;
    println!("{}", args.out.display());
    Ok(())
}

/// A few questions of every kind, with what each evaluation's model answered.
fn examples(args: &ReportArgs) -> Result<Vec<Example>> {
    let mut said: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for (name, folder) in &args.evals {
        let answers: strefer_core::Result<Vec<Answer>> =
            Reader::open(Path::new(folder).join("answers-real.jsonl"))?.collect();
        said.push((name.clone(), answers?.into_iter().map(|answer| (answer.id, answer.said)).collect()));
    }
    let own_folder = || args.samples.parent().map(PathBuf::from).unwrap_or_default();
    let root = args.media_root.clone().unwrap_or_else(own_folder);
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    let mut examples = Vec::new();
    for sample in read_records::<Sample>(&args.samples)? {
        let sample = sample?;
        let Some(facts) = QuizFacts::of(&sample) else { continue };
        let asked = said.iter().all(|(_, answers)| answers.contains_key(&sample.id));
        let count = shown.entry(facts.kind.clone()).or_default();
        if !asked || *count >= args.examples.div_ceil(5) || examples.len() >= args.examples {
            continue;
        }
        *count += 1;
        let answers =
            said.iter().map(|(name, answers)| (name.clone(), answers[&sample.id].clone())).collect();
        examples.push(Example {
            png: picture(&sample, &root)?,
            question: question_text(&sample),
            answers,
            truth: facts.answer,
        });
    }
    Ok(examples)
}

fn question_text(sample: &Sample) -> String {
    let text = sample.conversations.first().map(|turn| turn.text.as_str()).unwrap_or_default();
    let rendered = render(text, |piece| match piece {
        Piece::Visual => String::new(),
        Piece::Region(_) => "[the outlined object]".to_owned(),
        Piece::Time(index) => {
            sample.times.get(*index).map(|time| format!("{:.1} s", time.s)).unwrap_or_default()
        }
        Piece::Text(text) | Piece::Unknown(text) => (*text).to_owned(),
    });
    rendered.trim().to_owned()
}

/// The first marked frame with its mask, or the first frame.
fn picture(sample: &Sample, root: &Path) -> Result<Vec<u8>> {
    let media = sample.media.first().context("the sample shows nothing")?;
    let source = VideoSource::open(root.join(&media.uri), &Limits::default())?;
    let n_frames = source.info().n_frames();
    let mark = sample.regions.first().and_then(|region| {
        let (key, mask) = region.masks.first()?;
        Some((region.index_space.source_frame(*key, n_frames)?, mask))
    });
    let index = mark.map_or(0, |(index, _)| index);
    let frames = source.frames_at_indices(&[index])?;
    let mut image = frames.into_iter().next().context("the video has no frame")?.image;
    if let Some((_, mask)) = mark
        && let Some(mask) = mask.to_mask(Some((image.height(), image.width())))?
    {
        draw::mask(&mut image, &mask, draw::colour(0), 0.2);
    }
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png)?;
    Ok(png.into_inner())
}

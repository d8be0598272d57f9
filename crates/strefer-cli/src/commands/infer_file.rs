//! A whole file of questions: answers are appended one by one, so a second call goes on where the first stopped.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strefer_core::jsonl::Reader;
use strefer_core::{Gesture, PixelBox, PixelPoint, Rle};
use strefer_llm::GenerationConfig;
use strefer_model::question::{Mark, MarkShape, Question, read_mask, read_masks};
use strefer_model::{Inputs, Loaded};

use super::follow::Follower;
use super::infer::prepare;
use crate::explain;
use crate::interrupt::stop_flag;
use crate::progress::bar;

/// One line of the input.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionLine {
    id: String,
    video: PathBuf,
    question: String,
    #[serde(default)]
    marks: Vec<MarkLine>,
    /// One moment, or the start and end of a span, in seconds.
    #[serde(default)]
    times_s: Vec<f64>,
}

/// A marked object: `masks` (a folder) alone, or `at_s` and exactly one of `mask` (a file), `rle`, `box`, `point`, `scribble`
/// and `polygon`. Beside a `point`, pixels that are not the object's may be `outside`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkLine {
    #[serde(default)]
    at_s: Option<f64>,
    #[serde(default)]
    masks: Option<PathBuf>,
    #[serde(default)]
    mask: Option<PathBuf>,
    #[serde(default)]
    rle: Option<Rle>,
    #[serde(default, rename = "box")]
    area: Option<[usize; 4]>,
    #[serde(default)]
    point: Option<Vec<[usize; 2]>>,
    #[serde(default)]
    outside: Option<Vec<[usize; 2]>>,
    #[serde(default)]
    scribble: Option<Vec<[usize; 2]>>,
    #[serde(default)]
    polygon: Option<Vec<[usize; 2]>>,
}

/// One line of the output.
#[derive(Debug, Serialize, Deserialize)]
struct AnswerLine {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What a segmenter followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Value>,
}

/// Answers what has no answer yet, so many questions side by side. Paths in the input are relative to its folder.
pub fn run(
    loaded: &Loaded,
    generation: &GenerationConfig,
    at_a_time: NonZeroUsize,
    mut follower: Option<Follower>,
    input: &Path,
    output: &Path,
) -> Result<()> {
    let questions: strefer_core::Result<Vec<QuestionLine>> = Reader::open(input)?.collect();
    let questions = questions?;
    let mut ids = BTreeSet::new();
    if let Some(twice) = questions.iter().find(|line| !ids.insert(line.id.clone())) {
        bail!("{}: two questions have the id {:?}", input.display(), twice.id);
    }
    let done = finished(output)?;
    let mut out = OpenOptions::new()
        .create(true)
        .append(true)
        .open(output)
        .with_context(|| format!("cannot write {}", output.display()))?;
    let stop = stop_flag()?;
    let folder = input.parent().unwrap_or(Path::new(""));
    let bar = bar(questions.len(), "questions");
    let mut failed = 0;
    let open: Vec<&QuestionLine> = questions.iter().filter(|line| !done.contains(&line.id)).collect();
    bar.inc((questions.len() - open.len()) as u64);
    for lines in open.chunks(at_a_time.get()) {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            bail!("stopped; the same command goes on");
        }
        let mut bytes = Vec::new();
        for (line, said) in lines.iter().zip(answers(loaded, generation, &mut follower, lines, folder)) {
            let id = line.id.clone();
            let answer = match said {
                Ok((text, objects)) => AnswerLine { id, answer: Some(text), error: None, objects },
                Err(error) => {
                    failed += 1;
                    AnswerLine { id, answer: None, error: Some(explain(&error)), objects: Vec::new() }
                }
            };
            serde_json::to_writer(&mut bytes, &answer)?;
            bytes.push(b'\n');
        }
        out.write_all(&bytes).with_context(|| format!("cannot write {}", output.display()))?;
        bar.inc(lines.len() as u64);
    }
    bar.finish_and_clear();
    if failed > 0 {
        bail!("{failed} of {} questions could not be answered; see {}", questions.len(), output.display());
    }
    Ok(())
}

/// An answer to each of some questions, with the objects that were followed for it, or what is wrong with it.
fn answers(
    loaded: &Loaded,
    generation: &GenerationConfig,
    follower: &mut Option<Follower>,
    lines: &[&QuestionLine],
    folder: &Path,
) -> Vec<Result<(String, Vec<Value>)>> {
    let mut good = Vec::with_capacity(lines.len());
    let mut prepare_one = |line: &QuestionLine| {
        let mut question = line.to_question(folder)?;
        let objects = match follower {
            Some(follower) => {
                follower.follow(loaded, &mut question, |words| tracing::info!("{}: {words}", line.id))?
            }
            None => Vec::new(),
        };
        good.push(prepare(loaded, &question)?.1);
        Ok(objects)
    };
    let prepared: Vec<Result<Vec<Value>>> = lines.iter().map(|line| prepare_one(line)).collect();
    let mut said = side_by_side(loaded, generation, &good).into_iter();
    let mut answers = Vec::with_capacity(lines.len());
    for objects in prepared {
        answers.push(objects.and_then(|objects| {
            let said = said.next().unwrap_or_else(|| bail!("there is no answer"));
            Ok((said?, objects))
        }));
    }
    answers
}

/// Answers to all of `inputs`, in order.
fn side_by_side(loaded: &Loaded, generation: &GenerationConfig, inputs: &[Inputs]) -> Vec<Result<String>> {
    if inputs.is_empty() {
        return Vec::new();
    }
    match loaded.model.generate_texts(inputs, loaded.processor.tokenizer(), generation) {
        Ok(said) => said.into_iter().map(|said| Ok(said?.text.trim().to_owned())).collect(),
        Err(error) => inputs.iter().map(|_| Err(anyhow!("{error}"))).collect(),
    }
}

/// Ids that have an answer. A last line that was cut off, and lines with errors, are removed: they are asked again.
fn finished(output: &Path) -> Result<BTreeSet<String>> {
    let mut done = BTreeSet::new();
    if !output.exists() {
        return Ok(done);
    }
    let context = || format!("cannot read {}", output.display());
    let mut kept = String::new();
    for line in BufReader::new(File::open(output).with_context(context)?).lines() {
        let line = line.with_context(context)?;
        if let Ok(AnswerLine { id, answer: Some(_), .. }) = serde_json::from_str(&line) {
            done.insert(id);
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    let temporary = output.with_extension("tmp");
    std::fs::write(&temporary, kept)
        .and_then(|()| std::fs::rename(&temporary, output))
        .with_context(|| format!("cannot write {}", output.display()))?;
    Ok(done)
}

impl QuestionLine {
    fn to_question(&self, folder: &Path) -> Result<Question> {
        let mut marks = Vec::new();
        for (index, mark) in self.marks.iter().enumerate() {
            marks.push(mark.to_mark(folder).with_context(|| format!("mark {index}"))?);
        }
        Ok(Question {
            id: self.id.clone(),
            video: folder.join(&self.video),
            text: self.question.clone(),
            marks,
            times_s: self.times_s.clone(),
        })
    }
}

impl MarkLine {
    fn to_mark(&self, folder: &Path) -> Result<Mark> {
        let points = |list: &Vec<[usize; 2]>| -> Vec<PixelPoint> {
            list.iter().map(|&[x, y]| PixelPoint { x, y }).collect()
        };
        let area = self.area.map(|[x0, y0, x1, y1]| Gesture::Box(PixelBox { x0, y0, x1, y1 }));
        let gestures = [
            area,
            self.point.as_ref().filter(|_| self.outside.is_none()).map(points).map(Gesture::Points),
            self.scribble.as_ref().map(points).map(Gesture::Scribble),
            self.polygon.as_ref().map(points).map(Gesture::Polygon),
        ];
        let mut shapes: Vec<MarkShape> = gestures.into_iter().flatten().map(MarkShape::Gesture).collect();
        if let Some(outside) = &self.outside {
            let inside = self.point.as_ref().context("outside belongs to a point")?;
            shapes.push(MarkShape::Clicks { inside: points(inside), outside: points(outside) });
        }
        shapes.extend(self.rle.as_ref().map(|rle| MarkShape::Mask(rle.to_mask())));
        if let Some(file) = &self.mask {
            shapes.push(MarkShape::Mask(read_mask(&folder.join(file))?));
        }
        match (<[MarkShape; 1]>::try_from(shapes), &self.masks, self.at_s) {
            (Ok([shape]), None, Some(at_s)) => Ok(Mark::Once { shape, at_s }),
            (Ok(_), None, None) => bail!("at_s is missing: the second at which the object looks like that"),
            (Err(shapes), Some(masks), None) if shapes.is_empty() => {
                Ok(Mark::Frames(read_masks(&folder.join(masks))?))
            }
            _ => {
                bail!("expected masks alone, or at_s and one of mask, rle, box, point, scribble and polygon")
            }
        }
    }
}

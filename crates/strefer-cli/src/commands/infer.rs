//! `strefer infer` and `strefer-infer`: questions about masked objects at moments of a video.

use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use strefer_core::Sample;
use strefer_llm::GenerationConfig;
use strefer_model::question::{Mark, Question};
use strefer_model::{FrameCache, Inputs, Loaded, ProcessorOptions, Purpose, VisualPrompt};
use strefer_video::{Limits, VideoSource};

use crate::args::{MarkArgs, ModelArgs};

use super::follow::Follower;
use super::infer_file;
use super::overlay;

/// Ask about masked objects at moments of a video
#[derive(Debug, Args)]
pub struct InferArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Video file, or folder of frames
    #[arg(long, required_unless_present = "input")]
    video: Option<PathBuf>,
    /// The question; `<region>` stands for the marked objects in order, `<time>` for the times
    #[arg(long, required_unless_present = "input")]
    question: Option<String>,
    #[command(flatten)]
    marks: MarkArgs,
    /// A folder of SAM 2.1: objects that are marked in one frame are found there and followed through all frames that the model is
    /// shown
    #[arg(long, value_name = "DIR")]
    segmenter: Option<PathBuf>,
    /// The moment asked about, in seconds
    #[arg(long, conflicts_with = "between")]
    at: Option<f64>,
    /// The span asked about, in seconds
    #[arg(long, value_name = "START,END", value_parser = span)]
    between: Option<[f64; 2]>,
    /// Print one JSON object instead of streaming the answer
    #[arg(long)]
    json: bool,
    /// Point in the pixels: som outlines and numbers the objects, numberit numbers the frames, both does both, boxes puts
    /// coloured boxes around the objects; the question then calls them so
    #[arg(long, value_name = "WHAT", default_value_t = VisualPrompt::None)]
    draw: VisualPrompt,
    /// Draw what was asked about into a video (.mp4) or a picture (.png)
    #[arg(long)]
    overlay: Option<PathBuf>,
    /// A JSON Lines file of questions; answers go to --output, and a second call goes on where the first stopped
    #[arg(long, requires = "output", conflicts_with_all = ["video", "question", "mask", "masks", "box", "point", "scribble", "polygon", "at", "between", "overlay"])]
    input: Option<PathBuf>,
    /// Where the answers of --input go, one JSON object a line
    #[arg(long)]
    output: Option<PathBuf>,
    /// Questions of --input that are answered side by side: the weights are read once for all of them, each needs room of
    /// its own for what it has seen
    #[arg(long, requires = "input", default_value_t = NonZeroUsize::new(4).expect("four is not zero"))]
    batch: NonZeroUsize,
    #[command(flatten)]
    generation: GenerationArgs,
}

/// How answers are written. What is not given is as the checkpoint's `generation_config.json` wants it.
#[derive(Debug, Args)]
struct GenerationArgs {
    /// The most tokens of an answer [default: the checkpoint's, or 256]
    #[arg(long)]
    max_new_tokens: Option<usize>,
    /// 0 takes the best token each time [default: the checkpoint's, or 0]
    #[arg(long)]
    temperature: Option<f64>,
    /// Draw from the best K tokens only; 0 for all [default: the checkpoint's, or 0]
    #[arg(long)]
    top_k: Option<usize>,
    /// Draw from the smallest set with this share of the probability [default: the checkpoint's, or 1]
    #[arg(long)]
    top_p: Option<f64>,
    /// Makes tokens that were written already less likely [default: the checkpoint's, or 1]
    #[arg(long)]
    repetition_penalty: Option<f64>,
    /// End the answer before this text
    #[arg(long)]
    stop: Vec<String>,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl GenerationArgs {
    fn over(&self, checkpoints: &GenerationConfig) -> GenerationConfig {
        GenerationConfig {
            max_new_tokens: self.max_new_tokens.unwrap_or(checkpoints.max_new_tokens),
            temperature: self.temperature.unwrap_or(checkpoints.temperature),
            top_k: self.top_k.unwrap_or(checkpoints.top_k),
            top_p: self.top_p.unwrap_or(checkpoints.top_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(checkpoints.repetition_penalty),
            stop: self.stop.clone(),
            eos_ids: checkpoints.eos_ids.clone(),
            seed: self.seed,
        }
    }
}

/// `START,END`
fn span(text: &str) -> Result<[f64; 2], String> {
    let seconds = |text: &str| text.trim().parse::<f64>().ok();
    match text.split_once(',').map(|(start, end)| (seconds(start), seconds(end))) {
        Some((Some(start), Some(end))) if start < end => Ok([start, end]),
        Some((Some(_), Some(_))) => Err("the end does not lie after the start".to_owned()),
        _ => Err("expected two times in seconds, START,END".to_owned()),
    }
}

/// Runs it.
pub fn run(args: &InferArgs) -> Result<()> {
    let loaded = args.model.load(ProcessorOptions {
        cache: Arc::new(FrameCache::new(256 << 20)),
        draw: args.draw,
        ..ProcessorOptions::default()
    })?;
    let generation = args.generation.over(&loaded.generation);
    generation.validate()?;
    let open = |dir: &PathBuf| Follower::open(dir, &args.model.first_device()?);
    if let (Some(input), Some(output)) = (&args.input, &args.output) {
        let follower = args.segmenter.as_ref().map(open).transpose()?;
        return infer_file::run(&loaded, &generation, args.batch, follower, input, output);
    }
    let mut question = args.question()?;
    if args.overlay.as_ref().is_some_and(|path| path.exists()) {
        bail!("{} exists", args.overlay.as_deref().unwrap_or(&question.video).display());
    }
    let followed = match &args.segmenter {
        Some(_) if !question.marks.iter().any(|mark| matches!(mark, Mark::Once { .. })) => {
            bail!("--segmenter follows objects that are marked in one frame, and none is")
        }
        Some(dir) => open(dir)?.follow(&loaded, &mut question, |words| eprintln!("{words}"))?,
        None => Vec::new(),
    };
    let begun = Instant::now();
    let print = !args.json;
    let answer = answer(&loaded, &question, &generation, |piece| {
        if print {
            let mut out = std::io::stdout();
            // A closed pipe ends the answer, not the program.
            if write!(out, "{piece}").and_then(|()| out.flush()).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    if args.json {
        let mut line = json!({
            "question": answer.question, "answer": answer.text, "tokens": answer.tokens,
            "frame_indices": answer.frame_indices, "seconds": begun.elapsed().as_secs_f64(),
        });
        if args.segmenter.is_some() {
            line["objects"] = followed.into();
        }
        println!("{line}");
    } else {
        println!();
    }
    if let Some(path) = &args.overlay {
        overlay::write(&question, &answer.text, path)?;
    }
    Ok(())
}

/// An answer and what it rests on.
pub struct Answered {
    /// The question as the model got it, with placeholders.
    pub question: String,
    /// The answer.
    pub text: String,
    /// Number of tokens of the answer.
    pub tokens: usize,
    /// The frames that were shown.
    pub frame_indices: Vec<usize>,
}

/// The question as a sample, and what the model is to see of it.
pub fn prepare(loaded: &Loaded, question: &Question) -> Result<(Sample, Inputs)> {
    let source = VideoSource::open(&question.video, &Limits::default())?;
    let sample = question.to_sample(source.info())?;
    let inputs = loaded.processor.process(&sample, &Purpose::Infer)?;
    Ok((sample, inputs))
}

/// Puts one question to the model.
pub fn answer(
    loaded: &Loaded,
    question: &Question,
    generation: &GenerationConfig,
    on_text: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Answered> {
    let (sample, inputs) = prepare(loaded, question)?;
    let generated = loaded.model.generate_text(&inputs, loaded.processor.tokenizer(), generation, on_text)?;
    Ok(Answered {
        question: sample.conversations.last().map(|turn| turn.text.clone()).unwrap_or_default(),
        text: generated.text.trim().to_owned(),
        tokens: generated.tokens.len(),
        frame_indices: inputs.shown_frames(),
    })
}

impl InferArgs {
    fn question(&self) -> Result<Question> {
        let (Some(video), Some(text)) = (&self.video, &self.question) else {
            bail!("--video and --question go together");
        };
        let marks = self.marks.read()?;
        let times_s = self.at.into_iter().chain(self.between.into_iter().flatten()).collect();
        Ok(Question { id: "question".to_owned(), video: video.clone(), text: text.clone(), marks, times_s })
    }
}

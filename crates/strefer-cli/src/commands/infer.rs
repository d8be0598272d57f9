//! `strefer infer` and `strefer-infer`: questions about masked objects at moments of a video.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use strefer_llm::GenerationConfig;
use strefer_model::question::{Mark, MarkShape, Question, read_mask};
use strefer_model::{FrameCache, Loaded, ProcessorOptions, Purpose};
use strefer_video::{Limits, VideoSource};

use crate::args::ModelArgs;

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
    /// An object's mask (PNG, or JSON with COCO run lengths) and the second it belongs to: FILE@TIME
    #[arg(long = "mask", value_name = "FILE@TIME")]
    masks: Vec<String>,
    /// A box around an object, in pixels, and the second it belongs to: X0,Y0,X1,Y1@TIME
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1@TIME")]
    boxes: Vec<String>,
    /// The moment asked about, in seconds
    #[arg(long, conflicts_with = "between")]
    at: Option<f64>,
    /// The span asked about, in seconds: START,END
    #[arg(long, value_delimiter = ',', num_args = 2)]
    between: Vec<f64>,
    /// Print one JSON object instead of streaming the answer
    #[arg(long)]
    json: bool,
    /// Draw what was asked about into a video (.mp4) or a picture (.png)
    #[arg(long)]
    overlay: Option<PathBuf>,
    /// A JSON Lines file of questions; answers go to --output, and a second call goes on where the first stopped
    #[arg(long, requires = "output", conflicts_with_all = ["video", "question", "masks", "boxes", "at", "between", "overlay"])]
    input: Option<PathBuf>,
    /// Where the answers of --input go, one JSON object a line
    #[arg(long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    generation: GenerationArgs,
}

/// How answers are written.
#[derive(Debug, Args)]
struct GenerationArgs {
    /// The most tokens of an answer
    #[arg(long, default_value_t = 256)]
    max_new_tokens: usize,
    /// 0 takes the best token each time
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Draw from the best K tokens only; 0 for all
    #[arg(long, default_value_t = 0)]
    top_k: usize,
    /// Draw from the smallest set with this share of the probability
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Makes tokens that were written already less likely
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f64,
    /// End the answer before this text
    #[arg(long)]
    stop: Vec<String>,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl GenerationArgs {
    fn config(&self, eos_ids: Vec<u32>) -> GenerationConfig {
        GenerationConfig {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            stop: self.stop.clone(),
            eos_ids,
            seed: self.seed,
        }
    }
}

/// Runs it.
pub fn run(args: &InferArgs) -> Result<()> {
    let loaded = args.model.load(ProcessorOptions {
        cache: Arc::new(FrameCache::new(256 << 20)),
        ..ProcessorOptions::default()
    })?;
    let generation = args.generation.config(loaded.processor.config().tokens.eos.clone());
    generation.validate()?;
    if let (Some(input), Some(output)) = (&args.input, &args.output) {
        return infer_file::run(&loaded, &generation, input, output);
    }
    let question = args.question()?;
    if args.overlay.as_ref().is_some_and(|path| path.exists()) {
        bail!("{} exists", args.overlay.as_deref().unwrap_or(&question.video).display());
    }
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
        let line = json!({
            "question": answer.question, "answer": answer.text, "tokens": answer.tokens,
            "frame_indices": answer.frame_indices, "seconds": begun.elapsed().as_secs_f64(),
        });
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

/// Puts one question to the model.
pub fn answer(
    loaded: &Loaded,
    question: &Question,
    generation: &GenerationConfig,
    on_text: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Answered> {
    let source = VideoSource::open(&question.video, &Limits::default())?;
    let sample = question.to_sample(source.info())?;
    let inputs = loaded.processor.process(&sample, &Purpose::Infer)?;
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
        let mut marks = Vec::new();
        for argument in &self.masks {
            let (file, at_s) = split_time(argument).with_context(|| format!("--mask {argument}"))?;
            marks.push(Mark { shape: MarkShape::Mask(read_mask(file.as_ref())?), at_s });
        }
        for argument in &self.boxes {
            marks.push(parse_box(argument).with_context(|| format!("--box {argument}"))?);
        }
        let times_s = match self.at {
            Some(at_s) => vec![at_s],
            None => self.between.clone(),
        };
        if times_s.windows(2).any(|pair| pair[0] >= pair[1]) {
            bail!("--between: the end does not lie after the start");
        }
        Ok(Question { id: "question".to_owned(), video: video.clone(), text: text.clone(), marks, times_s })
    }
}

/// `WHAT@SECONDS`.
fn split_time(argument: &str) -> Result<(&str, f64)> {
    let (what, time) = argument.rsplit_once('@').context("expected @ and a time in seconds at the end")?;
    let at_s: f64 = time.parse().with_context(|| format!("{time:?} is not a time in seconds"))?;
    if !at_s.is_finite() || at_s < 0.0 {
        bail!("{time:?} is not a time in seconds");
    }
    Ok((what, at_s))
}

fn parse_box(argument: &str) -> Result<Mark> {
    let (numbers, at_s) = split_time(argument)?;
    let edges: Result<Vec<usize>, _> = numbers.split(',').map(|edge| edge.trim().parse::<usize>()).collect();
    let edges = edges.context("expected four whole numbers")?;
    let [x0, y0, x1, y1] = edges[..] else { bail!("expected four whole numbers") };
    if x0 >= x1 || y0 >= y1 {
        bail!("the box is empty");
    }
    Ok(Mark { shape: MarkShape::Box(strefer_core::PixelBox { x0, y0, x1, y1 }), at_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_or_refused_with_a_reason() {
        assert_eq!(split_time("a@b/mask.png@1.5").unwrap(), ("a@b/mask.png", 1.5));
        assert_eq!(parse_box("1,2,30,40@0").unwrap().at_s, 0.0);
        for wrong in ["1,2,3@0", "1,2,3,4", "4,2,3,9@1", "a,b,c,d@1", "1,2,3,4@-1", "1,2,3,4@inf"] {
            assert!(parse_box(wrong).is_err(), "{wrong}");
        }
    }
}

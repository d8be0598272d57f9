//! A model behind an OpenAI-compatible server: frames as images, objects drawn into them, plain words.

use std::io::Cursor;
use std::sync::Arc;

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use serde_json::{Value, json};
use strefer_model::{ProcessorOptions, Showing, VisualPrompt, show};
use strefer_teacher::{Clip, Part, Question, Sampling, Teacher};

use super::{Answerer, Ask, Said};
use crate::error::{Error, Result};

/// Tokens that an answer may always have: one that a server has to cut short is none.
const ROOM: usize = 256;

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Frames that are shown.
    pub frames: usize,
    /// Where videos lie, and how they are decoded. What is drawn where a view draws nothing else is drawn for questions
    /// about objects; the others have no use for marks.
    pub reading: ProcessorOptions,
    /// Frames are shrunk until no side is longer, in pixels.
    pub longest_side: u32,
    /// Questions under way at once.
    pub in_flight: usize,
}

/// A model behind a server.
pub struct Server {
    teacher: Arc<dyn Teacher>,
    options: ServerOptions,
}

impl Server {
    /// Asks `teacher`, which may keep its answers.
    pub fn new(teacher: Arc<dyn Teacher>, options: ServerOptions) -> Self {
        Self { teacher, options }
    }

    fn jpeg(&self, picture: &RgbImage) -> std::result::Result<Arc<[u8]>, image::ImageError> {
        let longest = picture.width().max(picture.height());
        let mut bytes = Cursor::new(Vec::new());
        let encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
        if longest > self.options.longest_side {
            let shrunk = |side: u32| (side * self.options.longest_side / longest).max(1);
            let (width, height) = (shrunk(picture.width()), shrunk(picture.height()));
            image::imageops::resize(picture, width, height, FilterType::CatmullRom)
                .write_with_encoder(encoder)?;
        } else {
            picture.write_with_encoder(encoder)?;
        }
        Ok(bytes.into_inner().into())
    }
}

impl Answerer for Server {
    /// The item, its question, and the frames that it shows.
    type Prepared = (String, Question, Vec<usize>);

    fn prepare(&self, ask: Ask) -> Result<Self::Prepared> {
        let mut reading = self.options.reading.clone();
        reading.blind = ask.put.look.blind;
        reading.order = ask.put.look.order;
        let usual = if ask.put.sample.regions.is_empty() { VisualPrompt::None } else { VisualPrompt::Som };
        let chosen = if reading.draw.is_none() { usual } else { reading.draw };
        reading.draw = ask.put.look.draw.unwrap_or(chosen);
        let failed = |source| Error::Question { id: ask.id.clone(), source: Box::new(source) };
        let Showing { frames, frame_indices, n_frames, fps, text } =
            show(&ask.put.sample, self.options.frames, &reading).map_err(failed)?;
        let frames = frames.iter().map(|picture| self.jpeg(picture)).collect::<std::result::Result<_, _>>();
        let frames =
            frames.map_err(|error| Error::NoAnswer { id: ask.id.clone(), reason: error.to_string() })?;
        let clip = Clip { frames, indices: frame_indices.clone(), total: n_frames, fps };
        let mut question = Question::new("benchmark", text).showing(Part::Clip(clip));
        question.sampling = Sampling {
            max_tokens: ask.max_new_tokens.max(ROOM) as u32,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
        };
        Ok((ask.id, question, frame_indices))
    }

    fn answer(&self, (id, question, frame_indices): Self::Prepared) -> Result<Said> {
        let answer = self.teacher.ask(&question);
        let answer = answer.map_err(|fault| Error::NoAnswer { id, reason: fault.to_string() })?;
        Ok(Said { prompt: question.words(), text: answer.text.trim().to_owned(), frame_indices })
    }

    fn lanes(&self) -> usize {
        self.options.in_flight
    }

    fn facts(&self) -> Value {
        json!({
            "kind": "server",
            "model": self.teacher.model(),
            "frames": self.options.frames,
            "longest_side": self.options.longest_side,
            "draw": self.options.reading.draw,
            "decoding": "temperature 0",
        })
    }
}

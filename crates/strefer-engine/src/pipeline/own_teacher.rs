//! Our own Video LLM as a teacher, in this process.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{DType, Device};
use strefer_core::Sample;
use strefer_core::placeholder;
use strefer_core::sample::{Media, MediaKind, Role};
use strefer_llm::{Batcher, GenerationConfig, Guides};
use strefer_model::{Checkpoint, Loaded, ProcessorOptions, Purpose};
use strefer_teacher::{Answer, Fault, Form, Part, Question, Teacher, Usage};
use tempfile::TempDir;

use super::digest;
use super::late_model::ModelLoader;
use crate::error::{Error, Result};

/// Answers that are under way at the same time, if so many threads ask.
const AT_ONCE: usize = 16;

/// A Video LLM of a folder that answers what servers are asked: words about words, about an image, or about frames of a video. An
/// answer with a schema is held to it token by token. Loaded for the first question. What several threads ask is answered together
/// (continuous batching), which changes an answer by no more than rounding.
pub struct OwnTeacher {
    name: String,
    load: Box<ModelLoader>,
    ready: Mutex<Option<Arc<Ready>>>,
}

/// The loaded model.
struct Ready {
    loaded: Loaded,
    batcher: Batcher,
    /// Held while frames go through the vision tower: what they need there is needed once, however many ask.
    seeing: Mutex<()>,
    guides: OnceLock<Guides>,
}

impl Ready {
    fn guides(&self) -> strefer_llm::Result<&Guides> {
        if let Some(guides) = self.guides.get() {
            return Ok(guides);
        }
        let guides = Guides::new(self.loaded.processor.tokenizer(), &self.loaded.generation.eos_ids)?;
        Ok(self.guides.get_or_init(|| guides))
    }
}

impl fmt::Debug for OwnTeacher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnTeacher({})", self.name)
    }
}

impl OwnTeacher {
    /// The model of a folder, of any family that can be loaded, for `device`: in `bf16` on a card, in `f32` on a CPU. It is called
    /// after the folder and the content of its files, so that the answers of other weights are not taken for its own.
    ///
    /// # Errors
    /// A folder that holds no such model, a file that cannot be read.
    pub fn open(folder: &Path, device: Device) -> Result<Self> {
        Self::check(folder)?;
        let called = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let called = called.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("{called} {}", &digest::of_path(folder)?[..16]);
        let folder = folder.to_owned();
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        let load = move || {
            let loaded = Checkpoint::open(&folder)
                .and_then(|checkpoint| checkpoint.load(&device, dtype, ProcessorOptions::default()));
            loaded.map_err(|error| error.to_string())
        };
        Ok(Self { name, load: Box::new(load), ready: Mutex::new(None) })
    }

    /// Whether a folder holds a model that can be loaded, as far as its configuration tells.
    ///
    /// # Errors
    /// It does not.
    pub fn check(folder: &Path) -> Result<()> {
        let wrong = |error: strefer_model::Error| Error::BadFile {
            path: folder.to_owned(),
            reason: format!("is no model: {error}"),
        };
        Checkpoint::open(folder).map(drop).map_err(wrong)
    }

    fn failed(&self, reason: impl fmt::Display) -> Fault {
        Fault::Own { model: self.name.clone(), reason: reason.to_string() }
    }

    fn ready(&self) -> std::result::Result<Arc<Ready>, Fault> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = &*ready {
            return Ok(Arc::clone(ready));
        }
        let loaded = (self.load)().map_err(|reason| Fault::NotLoaded { model: self.name.clone(), reason })?;
        let batcher = Batcher::new(loaded.model.language_model().clone(), AT_ONCE);
        let new = Arc::new(Ready { loaded, batcher, seeing: Mutex::new(()), guides: OnceLock::new() });
        Ok(Arc::clone(ready.insert(new)))
    }

    fn answer(&self, ready: &Ready, question: &Question) -> std::result::Result<Answer, Fault> {
        let Loaded { model, processor, generation } = &ready.loaded;
        let form = Form::of(question)?;
        let sampling = question.sampling;
        let cfg = GenerationConfig {
            max_new_tokens: sampling.max_tokens as usize,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            seed: sampling.seed,
            ..generation.clone()
        };
        let shown = Shown::write(question).map_err(|reason| self.failed(reason))?;
        let inputs = processor.process(&shown.sample, &Purpose::Infer).map_err(|error| self.failed(error))?;
        let spliced = {
            // A thread of a pool must not wait: what others wait for might be its to do.
            let waits = rayon::current_thread_index().is_none();
            let _turn = waits.then(|| ready.seeing.lock().unwrap_or_else(PoisonError::into_inner));
            model.splice(&[inputs]).map_err(|error| self.failed(error))?
        };
        let guide = question.schema.as_ref().map(|schema| ready.guides()?.json(schema)).transpose();
        let ids = guide.and_then(|guide| ready.batcher.generate(&spliced.embeds, &cfg, guide));
        let ids = ids.map_err(|error| self.failed(error))?;
        let usage = Usage {
            prompt_tokens: spliced.places.iter().map(|place| place.len as u64).sum(),
            completion_tokens: ids.len() as u64,
        };
        let text = processor.decode(&ids).map_err(|error| self.failed(error))?;
        let is_ended = ids.last().is_some_and(|id| cfg.eos_ids.contains(id));
        let is_cut = ids.len() >= cfg.max_new_tokens && !is_ended;
        match form.read(&self.name, &text, usage) {
            // JSON may be whole with the last token that it could have.
            Ok(answer) if !is_cut || answer.value.is_some() => Ok(answer),
            Err(fault) if !is_cut => Err(fault),
            _ => Err(Fault::Unfinished { model: self.name.clone(), max_tokens: sampling.max_tokens, usage }),
        }
    }
}

impl Teacher for OwnTeacher {
    fn model(&self) -> &str {
        &self.name
    }

    fn ask(&self, question: &Question) -> std::result::Result<Answer, Fault> {
        self.answer(&*self.ready()?, question)
    }
}

/// A question as a sample, and what it shows on disk.
struct Shown {
    sample: Sample,
    _files: Option<TempDir>,
}

impl Shown {
    fn write(question: &Question) -> std::result::Result<Self, String> {
        let mut files = None;
        let (mut media, mut said) = (Vec::new(), Vec::new());
        for part in &question.parts {
            let (frames, kind) = match part {
                Part::Text(text) => {
                    said.push(placeholder::literal(text));
                    continue;
                }
                Part::Image(image) => (std::slice::from_ref(image), MediaKind::Image),
                Part::Clip(clip) => (clip.frames.as_slice(), MediaKind::Frames),
            };
            if files.is_some() {
                return Err("it is shown one image or video a question, not several".to_owned());
            }
            let folder = TempDir::with_prefix("strefer-shown-").map_err(|error| error.to_string())?;
            let mut path = folder.path().to_owned();
            for (at, frame) in frames.iter().enumerate() {
                let ending = if frame.starts_with(b"\x89PNG") { "png" } else { "jpg" };
                let file = folder.path().join(format!("{at:06}.{ending}"));
                std::fs::write(&file, frame).map_err(|error| format!("{}: {error}", file.display()))?;
                if kind == MediaKind::Image {
                    path = file;
                }
            }
            // No moment of the question is a token of the model, so that it does not matter how fast the frames run.
            let uri = path.to_string_lossy().into_owned();
            media.push(Media { kind, uri, segment: None, size: None });
            files = Some(folder);
            said.push("<video>".to_owned());
        }
        let mut sample = Sample::new(question.prompt.name.clone(), "", media);
        if let Some(system) = &question.system {
            sample.say(Role::System, placeholder::literal(system));
        }
        sample.say(Role::User, said.join("\n"));
        Ok(Self { sample, _files: files })
    }
}

//! The words that teachers are asked with: files, of which some come with the program.

use std::path::{Path, PathBuf};

use strefer_teacher::Prompt;

use crate::config::EngineConfig;
use crate::error::{Error, Result};

/// The prompts of a run.
#[derive(Debug, Clone)]
pub struct Prompts {
    /// For the paragraph.
    pub recognise: Prompt,
    /// For expressions and nouns.
    pub parse: Prompt,
    /// For broad nouns.
    pub general_noun: Prompt,
    /// For how an object moves.
    pub motion: Prompt,
    /// For how an object looks.
    pub appearance: Prompt,
    /// For what is outlined.
    pub outlined: Prompt,
    /// For whether that is what it should be.
    pub compare: Prompt,
    /// For motion and looks in one text.
    pub refine: Prompt,
    /// For questions about an object.
    pub question: Prompt,
    /// For what entities do in a part.
    pub transcribe: Prompt,
    /// For questions in other words.
    pub rephrase: Prompt,
}

macro_rules! own {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../../configs/engine/prompts/", $name, ".txt")))
    };
}

impl Default for Prompts {
    /// Those that come with the program.
    fn default() -> Self {
        let own = |(name, text): (&str, &str)| Prompt::new(name, text);
        Self {
            recognise: own(own!("recognise")),
            parse: own(own!("parse")),
            general_noun: own(own!("general-noun")),
            motion: own(own!("object-motion")),
            appearance: own(own!("object-appearance")),
            outlined: own(own!("object-outlined")),
            compare: own(own!("object-compare")),
            refine: own(own!("object-refine")),
            question: own(own!("object-question")),
            transcribe: own(own!("transcribe")),
            rephrase: own(own!("rephrase")),
        }
    }
}

impl Prompts {
    /// Those that a configuration names, relative to its folder, and for the others those that come with the program.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(cfg: &EngineConfig, folder: &Path) -> Result<Self> {
        let mut prompts = Self::default();
        let parse = cfg.parse.as_ref();
        let (annotate, review) = (cfg.annotate.as_ref(), cfg.review.as_ref());
        let named: [(Option<&PathBuf>, &mut Prompt); 11] = [
            (cfg.recognise.as_ref().and_then(|own| own.prompt.as_ref()), &mut prompts.recognise),
            (parse.and_then(|own| own.prompt.as_ref()), &mut prompts.parse),
            (parse.and_then(|own| own.noun_prompt.as_ref()), &mut prompts.general_noun),
            (annotate.and_then(|own| own.motion_prompt.as_ref()), &mut prompts.motion),
            (annotate.and_then(|own| own.appearance_prompt.as_ref()), &mut prompts.appearance),
            (review.and_then(|own| own.eyes_prompt.as_ref()), &mut prompts.outlined),
            (review.and_then(|own| own.prompt.as_ref()), &mut prompts.compare),
            (cfg.refine.as_ref().and_then(|own| own.prompt.as_ref()), &mut prompts.refine),
            (cfg.question.as_ref().and_then(|own| own.prompt.as_ref()), &mut prompts.question),
            (cfg.transcribe.as_ref().and_then(|own| own.prompt.as_ref()), &mut prompts.transcribe),
            (cfg.rephrase.as_ref().and_then(|own| own.prompt.as_ref()), &mut prompts.rephrase),
        ];
        for (path, prompt) in named {
            let Some(path) = path else { continue };
            let path = folder.join(path);
            let text = std::fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
            *prompt = Prompt::new(prompt.id().name.clone(), text);
        }
        Ok(prompts)
    }
}

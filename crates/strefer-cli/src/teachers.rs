//! Models behind servers, as files of the user's name them, and one in this process.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use strefer_core::Sample;
use strefer_core::sample::Role;
use strefer_llm::GenerationConfig;
use strefer_model::{Checkpoint, Loaded, ProcessorOptions, Purpose};
use strefer_teacher::{
    Answer, Budget, Endpoint, EndpointConfig, Endpoints, Fault, Question, Recorded, Replay, Rules, Teacher,
    Usage,
};

/// The model behind `endpoints`. Its answers are kept in the folder `kept`, so that none is asked for twice; `replay` takes
/// those alone.
pub(crate) fn open(
    endpoints: Vec<EndpointConfig>,
    budget: Budget,
    kept: &Path,
    replay: bool,
) -> Result<Arc<dyn Teacher>> {
    let first = endpoints.first().context("no endpoint is named")?;
    if replay {
        return Ok(Arc::new(Replay::new(kept, &first.model)));
    }
    let endpoints = endpoints.into_iter().map(Endpoint::new).collect::<strefer_teacher::Result<_>>()?;
    Ok(Arc::new(Recorded::open(kept, Endpoints::new(endpoints)?, budget)?))
}

/// A Video LLM of a folder that answers in words about words, on the first card where the program is built for one. Its answers
/// are kept as those of servers are.
pub(crate) fn own(folder: &Path, budget: Budget, kept: &Path, replay: bool) -> Result<Arc<dyn Teacher>> {
    let name = folder.display().to_string();
    if replay {
        return Ok(Arc::new(Replay::new(kept, &name)));
    }
    let device = Device::cuda_if_available(0)?;
    let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
    let loaded = Checkpoint::open(folder)?.load(&device, dtype, ProcessorOptions::default())?;
    let model = name.clone();
    let rules = Rules::new(name, move |question| answer(&loaded, &model, question));
    Ok(Arc::new(Recorded::open(kept, rules, budget)?))
}

fn answer(loaded: &Loaded, model: &str, question: &Question) -> Result<Answer, Fault> {
    let failed =
        |error: strefer_model::Error| Fault::Own { model: model.to_owned(), reason: error.to_string() };
    let mut sample = Sample::new("question", "", Vec::new());
    if let Some(system) = &question.system {
        sample.say(Role::System, system.clone());
    }
    sample.say(Role::User, question.words());
    let inputs = loaded.processor.process(&sample, &Purpose::Infer).map_err(failed)?;
    let sampling = question.sampling;
    let cfg = GenerationConfig {
        max_new_tokens: sampling.max_tokens as usize,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        seed: sampling.seed,
        ..loaded.generation.clone()
    };
    let ids = loaded.model.generate(&inputs, &cfg, |_| ControlFlow::Continue(()));
    let ids = ids.map_err(|error| failed(error.into()))?;
    let usage = Usage { completion_tokens: ids.len() as u64, ..Usage::default() };
    if ids.len() >= cfg.max_new_tokens {
        return Err(Fault::Unfinished { model: model.to_owned(), max_tokens: sampling.max_tokens, usage });
    }
    Ok(Answer { usage, ..Answer::of(loaded.processor.decode(&ids).map_err(failed)?) })
}

/// Where answers about `path` are kept: a folder beside it with its whole name and a dotted word behind.
pub(crate) fn beside(path: &Path, word: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_keep_folders_of_their_own() {
        assert_eq!(beside(Path::new("runs/q.v1"), "asked"), Path::new("runs/q.v1.asked"));
        assert_eq!(beside(Path::new("runs/q.v2/"), "asked"), Path::new("runs/q.v2.asked"));
    }
}

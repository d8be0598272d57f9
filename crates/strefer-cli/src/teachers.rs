//! Models behind servers, as files of the user's name them, and one in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use strefer_engine::pipeline::OwnTeacher;
use strefer_nn::card_if_available;
use strefer_teacher::{Budget, Endpoint, EndpointConfig, Endpoints, Recorded, Replay, Teacher};

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

/// A Video LLM of a folder, on the first card where the program is built for one. Its answers are kept as those of servers are.
pub(crate) fn own(folder: &Path, budget: Budget, kept: &Path, replay: bool) -> Result<Arc<dyn Teacher>> {
    let teacher = OwnTeacher::open(folder, card_if_available(0)?)?;
    if replay {
        return Ok(Arc::new(Replay::new(kept, teacher.model())));
    }
    Ok(Arc::new(Recorded::open(kept, teacher, budget)?))
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

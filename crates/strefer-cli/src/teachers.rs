//! Models behind servers, as files of the user's name them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
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

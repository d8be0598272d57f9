//! Who chooses where several boxes could be meant, told from what lies at a path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device};
use serde::Deserialize;
use serde_json::Value;
use strefer_core::sample::Media;
use strefer_core::settings;
use strefer_engine::masklets::eyes::FrameStore;
use strefer_engine::masklets::referees::{
    MarksReferee, RegionOptions, RegionReferee, RexSeekReferee, SimilarityOptions, SimilarityReferee,
};
use strefer_engine::masklets::{Referee, Timeline};
use strefer_engine::pipeline::masklets::Referees;
use strefer_model::rexseek::{RexSeek, RexSeekOptions};
use strefer_model::{Checkpoint, FrameCache, Loaded, ProcessorOptions};
use strefer_teacher::{Budget, EndpointConfig, Prompt, Sampling, Teacher};
use strefer_vision::siglip::Siglip;

use crate::teachers;

/// Bytes of decoded frames that our own model keeps.
const KEPT_FRAMES: usize = 256 << 20;

/// A file of the user's that names a model behind servers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarksConfig {
    /// Its instructions, relative to this file.
    prompt: PathBuf,
    #[serde(default)]
    sampling: Sampling,
    #[serde(default)]
    budget: Budget,
    endpoints: Vec<EndpointConfig>,
}

/// A referee whose weights or servers were found.
#[derive(Debug)]
pub(super) enum OpenedReferee {
    RexSeek(Box<RexSeek>),
    Region(Box<Loaded>),
    Similarity(Box<Siglip>),
    Marks { teacher: Arc<dyn Teacher>, prompt: Prompt, sampling: Sampling },
}

impl OpenedReferee {
    /// Opens what lies at `path`: a `.toml` file names servers, a folder holds RexSeek, SigLIP or a Video LLM. Answers of
    /// servers are kept in `kept`.
    pub(super) fn open(path: &Path, device: &Device, dtype: DType, kept: &Path) -> Result<Self> {
        if path.extension().is_some_and(|extension| extension == "toml") {
            let MarksConfig { prompt, sampling, budget, endpoints } = settings::load(path, &[])?;
            let prompt = Prompt::open(&path.parent().unwrap_or(Path::new("")).join(prompt))?;
            let teacher = teachers::open(endpoints, budget, kept, false)
                .with_context(|| format!("opening {}", path.display()))?;
            return Ok(Self::Marks { teacher, prompt, sampling });
        }
        let file = path.join("config.json");
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let json: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        let kind = json.get("model_type").and_then(Value::as_str).unwrap_or_default();
        Ok(match kind {
            "siglip" => Self::Similarity(Box::new(Siglip::open(path, device, dtype)?)),
            _ if kind.contains("rexseek") => {
                Self::RexSeek(Box::new(RexSeek::load(path, device, dtype, RexSeekOptions::default())?))
            }
            _ => Self::Region(Box::new(open_region_model(path, device, dtype)?)),
        })
    }
}

/// A Video LLM that can be asked about regions.
pub(super) fn open_region_model(path: &Path, device: &Device, dtype: DType) -> Result<Loaded> {
    let cache = Arc::new(FrameCache::new(KEPT_FRAMES));
    let options = ProcessorOptions { cache, ..ProcessorOptions::default() };
    let loaded = Checkpoint::open(path)?.load(device, dtype, options)?;
    if loaded.processor.config().region.is_none() {
        bail!("{}: a model without a region connector cannot be asked about regions", path.display());
    }
    Ok(loaded)
}

impl Referees for OpenedReferee {
    fn over<'a>(
        &'a self,
        frames: &'a FrameStore,
        media: Media,
        timeline: &Timeline,
    ) -> Box<dyn Referee + 'a> {
        match self {
            Self::RexSeek(model) => Box::new(RexSeekReferee::new(frames, model)),
            Self::Similarity(model) => {
                Box::new(SimilarityReferee::new(frames, model, SimilarityOptions::default()))
            }
            Self::Marks { teacher, prompt, sampling } => {
                Box::new(MarksReferee::new(frames, teacher.as_ref(), prompt, *sampling))
            }
            Self::Region(loaded) => Box::new(RegionReferee::new(
                &loaded.model,
                &loaded.processor,
                media,
                timeline,
                frames.size(),
                RegionOptions::default(),
            )),
        }
    }
}

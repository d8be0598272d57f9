//! Our own region model says what masked pixels show, in this process.

use std::ops::ControlFlow;

use strefer_core::sample::{Region, RegionMode, Role};
use strefer_core::{FrameKey, FrameMask, IndexSpace, Sample};
use strefer_model::{Loaded, Purpose};

use super::pointers::Pointer;
use crate::pipeline::at_hand::AtHand;
use crate::pipeline::fault::Fault;
use crate::pipeline::late_model::{LateModel, ModelLoader};
use crate::pipeline::masklets::media;

/// Tokens of an answer.
const TOKENS: usize = 64;

/// Says what masks show. Several threads may ask at once.
pub trait Describer: Send + Sync {
    /// What it is, with all that changes its answers.
    fn name(&self) -> &str;

    /// An answer about the object that these masks show; `<region:0>` in the question is it.
    ///
    /// # Errors
    /// A video that cannot be read, a model that fails.
    fn describe(&self, at: &AtHand<'_>, shown: &[&Pointer], question: &str) -> Result<String, Fault>;
}

/// A Video LLM with a region connector, loaded when it is first needed. It is asked about one object at a time.
pub struct RegionModel {
    name: String,
    model: LateModel,
}

impl RegionModel {
    /// `digest` tells its weights from others.
    pub fn new(digest: &str, load: Box<ModelLoader>) -> Self {
        Self { name: format!("region-model/1 {digest}"), model: LateModel::new(load) }
    }
}

impl Describer for RegionModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self, at: &AtHand<'_>, shown: &[&Pointer], question: &str) -> Result<String, Fault> {
        let failed = |reason: String| Fault::Model { model: "reviewer".to_owned(), reason };
        let sample = sample(at, shown, question)?;
        self.model.with(|loaded| answer(loaded, &sample)).and_then(|answer| answer).map_err(failed)
    }
}

fn answer(Loaded { model, processor, generation }: &Loaded, sample: &Sample) -> Result<String, String> {
    let inputs = processor.process(sample, &Purpose::Infer).map_err(|error| error.to_string())?;
    let mut cfg = generation.clone();
    // The best token each time: a run gives the same as another.
    (cfg.max_new_tokens, cfg.temperature) = (TOKENS, 0.0);
    let go_on = |_| ControlFlow::Continue(());
    let ids = model.generate(&inputs, &cfg, go_on).map_err(|error| error.to_string())?;
    processor.decode(&ids).map_err(|error| error.to_string())
}

fn sample(at: &AtHand<'_>, shown: &[&Pointer], question: &str) -> Result<Sample, Fault> {
    let media = media(at)?;
    let key = |pointer: &Pointer| FrameKey(pointer.frame as u32);
    let single = (shown.len() == 1).then(|| key(shown[0]));
    let mut sample = Sample::new("review", media.uri.clone(), vec![media]);
    sample.regions.push(Region {
        rid: 0,
        eid: None,
        masks: shown.iter().map(|one| (key(one), FrameMask::Rle(one.rle.clone()))).collect(),
        index_space: IndexSpace::Source,
        mode: if single.is_some() { RegionMode::SingleFixed } else { RegionMode::Multi },
        fixed_key: single,
    });
    sample.say(Role::User, format!("<video>\n{question}"));
    Ok(sample)
}

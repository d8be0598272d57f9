//! How probable a Video LLM finds what is answered.

use candle_core::DType;
use strefer_core::{Rng, Sample};
use strefer_model::{Processor, Purpose, VideoLlm};

/// A Video LLM that is asked about answers, not for them. With a cache of features in the model and of frames in the processor,
/// every further question about a video costs a pass of the language model only.
#[derive(Debug, Clone, Copy)]
pub struct Likelihood<'a> {
    model: &'a VideoLlm,
    processor: &'a Processor,
}

impl<'a> Likelihood<'a> {
    /// Asks this model.
    pub fn new(model: &'a VideoLlm, processor: &'a Processor) -> Self {
        Self { model, processor }
    }

    /// Summed logarithms of the probabilities of the tokens of all answers, and their number.
    ///
    /// # Errors
    /// The video or a mask cannot be read, or the model fails.
    pub fn log_probability(
        &self,
        sample: &Sample,
    ) -> Result<(f64, usize), Box<dyn std::error::Error + Send + Sync>> {
        let inputs = self.processor.process(sample, &Purpose::Train(Rng::new(0, "likelihood")))?;
        let (loss, tokens) = self.model.loss(std::slice::from_ref(&inputs))?;
        Ok((-f64::from(loss.to_dtype(DType::F32)?.to_scalar::<f32>()?), tokens))
    }
}

//! Choosing among offered answers by how likely a model finds each of them.

use strefer_core::sample::{LossTurns, Role};
use strefer_core::{Rng, Sample};
use strefer_model::{Inputs, Processor, Purpose, VideoLlm};

use crate::bench::Offer;
use crate::error::Result;

/// An offered answer behind its question.
pub struct Candidate {
    /// The question with this answer, the answer's tokens labelled.
    pub inputs: Inputs,
    /// How a model says that it chooses it.
    pub reply: String,
}

/// The question alone with each of the answers it offers.
pub(super) fn candidates(
    processor: &Processor,
    sample: &Sample,
    offer: &Offer,
) -> strefer_model::Result<Vec<Candidate>> {
    let with = |(text, reply): (&String, &String)| {
        let mut sample = sample.clone();
        sample.conversations.clear();
        sample.say(Role::User, offer.question.clone());
        sample.say(Role::Assistant, text.clone());
        sample.loss.turns = LossTurns::Assistant;
        // Nothing is drawn: masks are chosen by their mode, and nothing is augmented.
        let inputs = processor.process(&sample, &Purpose::Train(Rng::new(0, "candidates")))?;
        Ok(Candidate { inputs, reply: reply.clone() })
    };
    offer.texts.iter().zip(&offer.replies).map(with).collect()
}

/// The reply of the answer with the greatest probability, its end included; the first of several.
pub(super) fn likeliest(model: &VideoLlm, candidates: &[Candidate]) -> Result<String> {
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let (loss, _) =
            model.loss(std::slice::from_ref(&candidate.inputs)).map_err(strefer_model::Error::from)?;
        let loss = loss.to_dtype(candle_core::DType::F32).and_then(|loss| loss.to_scalar::<f32>());
        let loss = f64::from(loss.map_err(strefer_model::Error::from)?);
        if best.is_none_or(|(least, _)| loss < least) {
            best = Some((loss, &candidate.reply));
        }
    }
    Ok(best.map(|(_, reply)| reply.to_owned()).unwrap_or_default())
}

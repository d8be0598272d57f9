//! All numbers of a set of captions.

use serde::{Deserialize, Serialize};

use super::bleu::Counts;
use super::cider::Frequencies;
use super::ngrams::Ngrams;
use super::record::{CaptionRecord, PredictionRecord};
use super::rouge::rouge_l;
use super::tokenize::tokenize;
use crate::coverage::{Coverage, Unmatched, pair};
use crate::error::Result;
use crate::statistics::mean;

/// A tokenised caption beside its tokenised references.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// What the model says.
    pub prediction: String,
    /// What it should say.
    pub references: Vec<String>,
}

/// The numbers of one caption, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CaptionScores {
    /// BLEU-1 to BLEU-4, 0 to 1; of all captions from summed counts.
    pub bleu: [f64; 4],
    /// ROUGE-L, 0 to 1; of all captions the mean.
    pub rouge_l: f64,
    /// CIDEr, 0 to 10; of all captions the mean.
    pub cider: f64,
}

/// The numbers of a set of captions.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Of all captions.
    pub corpus: CaptionScores,
    /// Of each, in their order.
    pub items: Vec<CaptionScores>,
    /// What BLEU of all captions sums.
    pub(super) counts: Vec<Counts>,
}

/// Scores tokenised captions. CIDEr weighs words by the references of the whole set: it is 0 for a single caption.
pub fn score(captions: &[Caption]) -> Scores {
    let predictions: Vec<Ngrams<'_>> =
        captions.iter().map(|caption| Ngrams::of(&caption.prediction)).collect();
    let references: Vec<Vec<Ngrams<'_>>> =
        captions.iter().map(|caption| caption.references.iter().map(|it| Ngrams::of(it)).collect()).collect();
    let frequencies = Frequencies::of(&references);
    let both = || predictions.iter().zip(&references);
    let counts: Vec<Counts> = both().map(|(said, references)| Counts::of(said, references)).collect();
    let items: Vec<CaptionScores> = both()
        .zip(captions.iter().zip(&counts))
        .map(|((said, references), (caption, counts))| CaptionScores {
            bleu: counts.scores(),
            rouge_l: rouge_l(&caption.prediction, &caption.references),
            cider: frequencies.score(said, references),
        })
        .collect();
    let corpus = CaptionScores {
        bleu: counts.iter().copied().sum::<Counts>().scores(),
        rouge_l: mean(items.iter().map(|item| item.rouge_l)),
        cider: mean(items.iter().map(|item| item.cider)),
    };
    Scores { corpus, items, counts }
}

/// What people and a model say, tokenised.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenized {
    /// Ids of the captions.
    pub ids: Vec<String>,
    /// The captions.
    pub captions: Vec<Caption>,
    /// Which captions have a prediction.
    pub coverage: Coverage,
}

/// Puts predictions beside the captions that they answer, and tokenises both.
///
/// # Errors
/// When captions have no prediction or predictions no caption, see [`Unmatched`].
pub fn tokenize_records(
    captions: &[CaptionRecord],
    predictions: &[PredictionRecord],
    unmatched: Unmatched,
) -> Result<Tokenized> {
    let paired = pair(captions, predictions, unmatched)?;
    let said: Vec<&str> = paired.pairs.iter().map(|(_, said)| said.prediction.as_str()).collect();
    let references: Vec<&String> = paired.pairs.iter().flat_map(|(caption, _)| &caption.references).collect();
    let mut references = tokenize(&references).into_iter();
    let caption = |((record, _), prediction): (&(&CaptionRecord, _), String)| Caption {
        prediction,
        references: references.by_ref().take(record.references.len()).collect(),
    };
    Ok(Tokenized {
        ids: paired.pairs.iter().map(|(record, _)| record.id.clone()).collect(),
        captions: paired.pairs.iter().zip(tokenize(&said)).map(caption).collect(),
        coverage: paired.coverage,
    })
}

//! Captions beside references: BLEU, ROUGE-L, CIDEr, METEOR and SPICE as the COCO caption toolkit
//! (github.com/tylin/coco-caption, `pycocoevalcap`) counts them.
//!
//! [`tokenize`] splits captions as its tokenizer does, [`score`] makes all numbers of tokenised captions. METEOR
//! and SPICE need tables and models of tens of megabytes and are asked of their own programs, see [`Meteor`] and [`spice`].
//!
//! ```
//! use strefer_eval::captioning::{Caption, score, tokenize};
//!
//! let texts = tokenize(&["A man walks.", "A man's dog barks!"]);
//! assert_eq!(texts, ["a man walks", "a man 's dog barks"]);
//! let caption = |text: &str| Caption { prediction: text.to_owned(), references: vec![text.to_owned()] };
//! let scores = score(&[caption(&texts[0]), caption(&texts[1])]);
//! assert!(scores.corpus.rouge_l == 1.0 && scores.corpus.cider > 7.0);
//! ```

mod abbreviations;
mod bleu;
mod cider;
mod files;
mod meteor;
mod ngrams;
mod record;
mod rouge;
mod score;
mod sheet;
mod spice;
mod token;
mod tokenize;

pub use files::{read_predictions, read_references};
pub use meteor::{Meteor, MeteorError, MeteorScores};
pub use record::{CaptionRecord, PredictionRecord};
pub use score::{Caption, CaptionScores, Scores, Tokenized, score, tokenize_records};
pub use sheet::{External, sheet};
pub use spice::{SpiceError, SpiceScores, spice, spice_of};
pub use tokenize::tokenize;

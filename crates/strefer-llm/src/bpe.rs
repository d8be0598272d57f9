//! Trains a small byte-level tokenizer.

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::normalizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, PreTokenizerWrapper, TokenizerBuilder};

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Where words end: contractions, words with one leading sign or space, single digits, runs of signs, line ends,
/// other space.
const WORDS: &str = r"(?i:'(?:[sdmt]|re|ve|ll))|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A byte-level BPE tokenizer of at most `vocab_size` tokens learned from `texts`. The special tokens get the first
/// ids, in order. Any text can be encoded, and the same texts give the same tokenizer.
pub fn train_bpe<I>(texts: I, vocab_size: usize, specials: &[&str]) -> Result<Tokenizer>
where
    I: IntoIterator<Item = String>,
    I::IntoIter: Send,
{
    let error = |reason: tokenizers::Error| Error::Tokenizer {
        origin: "training".into(),
        reason: reason.to_string(),
    };
    if vocab_size < 256 + specials.len() {
        return Err(Error::Tokenizer {
            origin: "training".into(),
            reason: format!(
                "{vocab_size} tokens do not hold 256 bytes and {} special tokens",
                specials.len()
            ),
        });
    }
    let split = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Isolated, false)
        .map_err(error)?;
    let bytes = ByteLevel::new(false, false, false);
    let pieces: Vec<PreTokenizerWrapper> = vec![split.into(), bytes.into()];
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(Sequence::new(pieces)))
        .with_post_processor(Some(bytes))
        .with_decoder(Some(bytes))
        .build()
        .map_err(error)?;
    let special = |token: &&str| AddedToken::from(*token, true).normalized(false);
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(specials.iter().map(special).collect())
        .build();
    tokenizer.train(&mut trainer, texts.into_iter()).map_err(error)?;
    // Through its file form, whose type is the general one.
    let json = tokenizer.to_string(false).map_err(error)?;
    Ok(Tokenizer::from_inner(tokenizers::Tokenizer::from_bytes(json).map_err(error)?))
}

//! Text to ids and back.

use std::path::Path;

use tokenizers::{AddedToken, DecoderWrapper};

use crate::chat::Segment;
use crate::error::{Error, Result};

/// First byte of a token's text, and the one after its last.
pub type Offsets = (usize, usize);

/// A tokenizer. Encoding adds no tokens of its own accord: what the text says is what comes out.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

fn error(origin: impl std::fmt::Display) -> impl FnOnce(tokenizers::Error) -> Error {
    move |reason| Error::Tokenizer { origin: origin.to_string(), reason: reason.to_string() }
}

impl Tokenizer {
    /// Reads `tokenizer.json`, given itself or its folder.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
        let bytes = std::fs::read(&file).map_err(|source| Error::Io { path: file.clone(), source })?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(error(file.display()))?;
        Ok(Self::from_inner(inner))
    }

    pub(crate) fn from_inner(mut inner: tokenizers::Tokenizer) -> Self {
        inner.with_padding(None);
        // Taking truncation away cannot fail; only a stride that is too long can.
        let _ = inner.with_truncation(None);
        Self { inner }
    }

    /// Writes `tokenizer.json` (through a temporary file).
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        let file = file.as_ref();
        let io = |source| Error::Io { path: file.to_path_buf(), source };
        let text = self.inner.to_string(true).map_err(error(file.display()))?;
        let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::write(&temporary, text + "\n").and_then(|()| std::fs::rename(&temporary, file)).map_err(io)
    }

    /// The content of `tokenizer.json`.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        let text = self.inner.to_string(false).map_err(error("as JSON"))?;
        serde_json::from_str(&text)
            .map_err(|reason| Error::Tokenizer { origin: "as JSON".to_owned(), reason: reason.to_string() })
    }

    /// Ids of `text`.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(error("encode"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids of `text`, and the bytes of it that each stands for.
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<Offsets>)> {
        let encoding = self.inner.encode(text, false).map_err(error("encode"))?;
        Ok((encoding.get_ids().to_vec(), encoding.get_offsets().to_vec()))
    }

    /// Ids of a conversation, and for each whether it belongs to an assistant turn. The text is encoded as a whole.
    pub fn encode_segments(&self, segments: &[Segment]) -> Result<(Vec<u32>, Vec<bool>)> {
        let text: String = segments.iter().map(|segment| segment.text.as_str()).collect();
        let (ids, offsets) = self.encode_with_offsets(&text)?;
        let mut spans = Vec::new();
        let mut start = 0;
        for segment in segments {
            let end = start + segment.text.len();
            if segment.assistant {
                spans.push(start..end);
            }
            start = end;
        }
        let belongs = |&(start, end): &Offsets| {
            // The last byte decides: a token of a space and a word may begin before the turn does.
            end > start && spans.iter().any(|span| span.contains(&(end - 1)))
        };
        let flags = offsets.iter().map(belongs).collect();
        Ok((ids, flags))
    }

    /// Text of `ids`, special tokens left out if asked for.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner.decode(ids, skip_special).map_err(error("decode"))
    }

    /// Adds tokens that are never split, and returns the ids of all of them, known ones included.
    pub fn add_special_tokens(&mut self, tokens: &[&str]) -> Result<Vec<u32>> {
        let added: Vec<AddedToken> =
            tokens.iter().map(|token| AddedToken::from(*token, true).normalized(false)).collect();
        self.inner.add_special_tokens(added).map_err(error("add special tokens"))?;
        let id = |token: &&str| {
            self.token_id(token).ok_or_else(|| Error::Tokenizer {
                origin: "add special tokens".into(),
                reason: format!("{token:?} was not taken"),
            })
        };
        tokens.iter().map(id).collect()
    }

    /// The id of one token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of one id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        let vocab = self.inner.get_vocab(true);
        vocab.values().max().map_or(0, |&id| id as usize + 1)
    }

    /// The bytes of every token by id; none for added tokens and for ids without one.
    ///
    /// # Errors
    /// A tokenizer that is not byte-level BPE.
    pub fn token_bytes(&self) -> Result<Vec<Option<Vec<u8>>>> {
        let is_byte_level = match self.inner.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => true,
            Some(DecoderWrapper::Sequence(all)) => {
                all.get_decoders().iter().any(|one| matches!(one, DecoderWrapper::ByteLevel(_)))
            }
            _ => false,
        };
        if !is_byte_level {
            return Err(Error::Tokenizer {
                origin: "bytes of tokens".to_owned(),
                reason: "it is not byte-level".to_owned(),
            });
        }
        let mut bytes = vec![None; self.vocab_size()];
        for (token, id) in self.inner.get_vocab(false) {
            bytes[id as usize] = token.chars().map(byte_of).collect();
        }
        for id in self.inner.get_added_tokens_decoder().into_keys() {
            bytes[id as usize] = None;
        }
        Ok(bytes)
    }

    /// A decoder for ids that come one by one.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder { tokenizer: self, pending: Vec::new(), settled: 0 }
    }
}

/// The byte that a character of a byte-level vocabulary stands for: those that can be printed stand for themselves, the others,
/// in order, are counted from U+0100 on.
fn byte_of(character: char) -> Option<u8> {
    let is_printed = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(character) {
        code @ 0..0x100 => Some(code as u8).filter(is_printed),
        code => (0..=0xff).filter(|byte| !is_printed(byte)).nth((code - 0x100) as usize),
    }
}

/// Turns ids into text as they come, holding back characters that are not complete.
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// Ids still needed: those whose text is out but may shape the next one's, then those held back.
    pending: Vec<u32>,
    settled: usize,
}

impl StreamDecoder<'_> {
    /// The text that `id` completes, possibly none. Special tokens have none.
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        self.pending.push(id);
        self.take(false)
    }

    /// What was held back, broken characters and all.
    pub fn finish(mut self) -> Result<Option<String>> {
        self.take(true)
    }

    fn take(&mut self, all: bool) -> Result<Option<String>> {
        let before = self.tokenizer.decode(&self.pending[..self.settled], true)?;
        let now = self.tokenizer.decode(&self.pending, true)?;
        if now.ends_with('\u{FFFD}') && !all {
            return Ok(None);
        }
        let new = now.get(before.len()..).unwrap_or_default().to_string();
        self.pending.drain(..self.settled);
        self.settled = self.pending.len();
        Ok((!new.is_empty()).then_some(new))
    }
}

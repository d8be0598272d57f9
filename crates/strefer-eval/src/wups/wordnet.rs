//! WordNet's files: `index.*`, `data.*` and `*.exc` of nouns, verbs, adjectives and adverbs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Endings of files by part of speech, in the order in which meanings are looked for.
const PARTS: [&str; 4] = ["noun", "verb", "adj", "adv"];

/// The position of nouns in [`PARTS`].
pub(super) const NOUN: usize = 0;

/// A meaning: the part of speech and the place in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Synset {
    pub(super) part: usize,
    offset: usize,
}

/// What is read of a meaning.
#[derive(Debug, Default)]
struct Entry {
    /// Its first word, in lower case.
    word: String,
    /// Meanings that are wider.
    wider: Vec<Synset>,
}

/// Words of one part of speech.
#[derive(Debug, Default)]
struct Part {
    /// Meanings of a word, the most frequent one first.
    meanings: HashMap<String, Vec<Synset>>,
    /// Irregular forms and what they are forms of.
    exceptions: HashMap<String, Vec<String>>,
}

/// WordNet.
#[derive(Debug)]
pub struct WordNet {
    parts: [Part; 4],
    entries: HashMap<Synset, Entry>,
}

impl WordNet {
    /// Reads its folder `dict`.
    ///
    /// # Errors
    /// All files that are missing, or a line that is none of WordNet's.
    pub fn open(dir: &Path) -> Result<Self> {
        let files = PARTS.iter().flat_map(|part| {
            [format!("index.{part}"), format!("data.{part}"), format!("{part}.exc")]
                .map(|name| dir.join(name))
        });
        let missing: Vec<PathBuf> = files.filter(|path| !path.exists()).collect();
        if !missing.is_empty() {
            return Err(Error::MissingFiles { benchmark: "WordNet".to_owned(), files: missing });
        }
        let mut entries = HashMap::new();
        let mut read = |part: usize| -> Result<Part> {
            let name = PARTS[part];
            let meanings = lines(&dir.join(format!("index.{name}")), |line, _| index_line(line, part))?;
            entries.extend(lines(&dir.join(format!("data.{name}")), |line, at| data_line(line, at, part))?);
            let exceptions = lines(&dir.join(format!("{name}.exc")), |line, _| exception(line))?;
            Ok(Part {
                meanings: meanings.into_iter().collect(),
                exceptions: exceptions.into_iter().collect(),
            })
        };
        let parts = [read(0)?, read(1)?, read(2)?, read(3)?];
        let dangling = parts.iter().flat_map(|part| &part.meanings).find_map(|(word, meanings)| {
            meanings.iter().find(|meaning| !entries.contains_key(meaning)).map(|meaning| (word, meaning))
        });
        if let Some((word, meaning)) = dangling {
            let path = dir.join(format!("data.{}", PARTS[meaning.part]));
            let reason = format!("no line is at {}, where the index has the word", meaning.offset);
            return Err(Error::Record { path, record: word.clone(), reason });
        }
        Ok(Self { parts, entries })
    }

    /// The first meaning of a word in any form: that of a noun, else of a verb, an adjective, an adverb.
    pub fn first(&self, word: &str) -> Option<Synset> {
        let word = word.to_lowercase();
        let of_part = |part: usize| {
            let forms = self.forms(&word, part);
            forms.iter().find_map(|form| self.parts[part].meanings[form.as_str()].first().copied())
        };
        (0..PARTS.len()).find_map(of_part)
    }

    /// Forms of a word that are in the index of a part of speech, itself first.
    pub(super) fn forms(&self, word: &str, part: usize) -> Vec<String> {
        let Part { meanings, exceptions } = &self.parts[part];
        let more = exceptions.get(word).cloned().unwrap_or_else(|| super::lemma::regular(word, part));
        let mut forms: Vec<String> = Vec::new();
        for form in std::iter::once(word.to_owned()).chain(more) {
            if meanings.contains_key(&form) && !forms.contains(&form) {
                forms.push(form);
            }
        }
        forms
    }

    /// Wider meanings, in the order of the file.
    pub(super) fn wider(&self, meaning: Synset) -> &[Synset] {
        self.entries.get(&meaning).map_or(&[], |entry| entry.wider.as_slice())
    }

    /// What a meaning is sorted by: its first word, and which of that word's meanings it is.
    pub(super) fn name(&self, meaning: Synset) -> (&str, usize) {
        let word = self.entries.get(&meaning).map_or("", |entry| entry.word.as_str());
        let senses = self.parts[meaning.part].meanings.get(word);
        (word, senses.and_then(|senses| senses.iter().position(|it| *it == meaning)).unwrap_or(usize::MAX))
    }
}

/// All records of a file; a line's place counts bytes. Lines that begin with a blank are the licence.
fn lines<T>(path: &Path, read: impl Fn(&str, usize) -> Option<T>) -> Result<Vec<T>> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let (mut records, mut at) = (Vec::new(), 0);
    for (number, bytes) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line = String::from_utf8_lossy(bytes);
        if !line.starts_with(' ') && !line.trim().is_empty() {
            records.push(read(line.trim_end(), at).ok_or_else(|| Error::Record {
                path: path.to_owned(),
                record: format!("line {}", number + 1),
                reason: format!("no line of WordNet: {:?}", line.chars().take(60).collect::<String>()),
            })?);
        }
        at += bytes.len();
    }
    Ok(records)
}

/// `WORD POS MEANINGS POINTERS [SYMBOL…] SENSES TAGGED OFFSET…`
fn index_line(line: &str, part: usize) -> Option<(String, Vec<Synset>)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (word, n_meanings) = (*fields.first()?, fields.get(2)?.parse::<usize>().ok()?);
    let n_pointers = fields.get(3)?.parse::<usize>().ok()?;
    let offsets = fields.get(6 + n_pointers..).filter(|offsets| offsets.len() == n_meanings)?;
    let meaning = |offset: &&str| Some(Synset { part, offset: offset.parse().ok()? });
    Some((word.to_owned(), offsets.iter().map(meaning).collect::<Option<_>>()?))
}

/// `OFFSET FILE TYPE WORDS(hex) [WORD ID]… POINTERS [SYMBOL OFFSET POS FROM/TO]… | GLOSS`
fn data_line(line: &str, at: usize, part: usize) -> Option<(Synset, Entry)> {
    let facts = line.split(" | ").next()?;
    let fields: Vec<&str> = facts.split_whitespace().collect();
    let offset = fields.first()?.parse::<usize>().ok().filter(|offset| *offset == at)?;
    let n_words = usize::from_str_radix(fields.get(3)?, 16).ok()?;
    let word = fields.get(4)?.to_lowercase();
    let pointers = 4 + 2 * n_words;
    let n_pointers = fields.get(pointers)?.parse::<usize>().ok()?;
    let pointers = fields.get(pointers + 1..pointers + 1 + 4 * n_pointers)?;
    let is_wider = |pointer: &&[&str]| matches!(pointer[0], "@" | "@i");
    let wider = pointers.chunks_exact(4).filter(is_wider).map(|pointer| {
        let part = ["n", "v", "a", "r"].iter().position(|letter| *letter == pointer[2])?;
        Some(Synset { part, offset: pointer[1].parse().ok()? })
    });
    Some((Synset { part, offset }, Entry { word, wider: wider.collect::<Option<_>>()? }))
}

/// `FORM WORD…`
fn exception(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = line.split_whitespace().map(str::to_owned);
    Some((words.next()?, words.collect()))
}

//! Captions that are given with videos: what an analyzer reads in the place of a paragraph of its own.
//!
//! JSON Lines with `video` and `caption`, a table (`.csv`) with columns of these names, or Panda-70M's table, whose columns
//! `videoID`, `timestamp` and `caption` hold a list of clips a line. Its clips are called `ID_START_END`, as VideoRefer's
//! records name their files.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use strefer_core::jsonl::Reader;
use strefer_core::records::Entities;
use strefer_core::sample::Schema;

use super::input::{ENDINGS, Given, Input, Known};
use crate::error::{Error, Result};

/// Captions by the name of their video, without its ending.
#[derive(Debug, Default)]
pub struct Captions {
    by_video: HashMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Line {
    video: String,
    caption: String,
}

impl Captions {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, a line of another form, two captions of one video.
    pub fn open(path: &Path) -> Result<Self> {
        let mut captions = Self::default();
        if path.extension().is_some_and(|ending| ending == "csv") {
            captions.read_table(path)?;
        } else {
            let mut lines = Reader::<Line>::open(path)?;
            while let Some(line) = lines.next().transpose()? {
                captions.add(path, lines.line(), &line.video, line.caption)?;
            }
        }
        match captions.by_video.is_empty() {
            true => Err(Error::BadFile { path: path.to_owned(), reason: "holds no caption".to_owned() }),
            false => Ok(captions),
        }
    }

    fn add(&mut self, path: &Path, line: usize, video: &str, caption: String) -> Result<()> {
        let bad = |reason: String| {
            Err(Error::BadFile { path: path.to_owned(), reason: format!("line {line}: {reason}") })
        };
        if video.trim().is_empty() || caption.trim().is_empty() {
            return bad("its video or its caption is empty".to_owned());
        }
        match self.by_video.insert(without_ending(video).to_owned(), caption.trim().to_owned()) {
            None => Ok(()),
            Some(_) => bad(format!("a second caption of {video:?}")),
        }
    }

    fn read_table(&mut self, path: &Path) -> Result<()> {
        let bad = |line: u64, reason: String| Error::BadFile {
            path: path.to_owned(),
            reason: format!("line {line}: {reason}"),
        };
        let failed = |error: csv::Error| {
            let line = error.position().map_or(0, csv::Position::line);
            bad(line, error.to_string())
        };
        let mut table = csv::Reader::from_path(path).map_err(failed)?;
        let head = table.headers().map_err(failed)?.clone();
        let column = |name: &str| head.iter().position(|known| known.trim() == name);
        let columns = (column("video"), column("videoID"), column("timestamp"), column("caption"));
        for row in table.records() {
            let row = row.map_err(failed)?;
            let line = row.position().map_or(0, csv::Position::line);
            let field = |at: usize| row.get(at).unwrap_or_default();
            match columns {
                (Some(video), _, _, Some(caption)) => {
                    self.add(path, line as usize, field(video), field(caption).to_owned())?;
                }
                (None, Some(id), Some(times), Some(caption)) => {
                    let lists = python_lists(field(times)).zip(python_lists(field(caption)));
                    let (times, captions) =
                        lists.ok_or_else(|| bad(line, "timestamp or caption is no list".to_owned()))?;
                    if times.len() != 2 * captions.len() {
                        let reason = format!("{} times, {} captions", times.len(), captions.len());
                        return Err(bad(line, reason));
                    }
                    for (span, caption) in times.chunks_exact(2).zip(captions) {
                        let video = format!("{}_{}_{}", field(id), span[0], span[1]);
                        self.add(path, line as usize, &video, caption)?;
                    }
                }
                _ => {
                    let reason = "columns are video and caption, or videoID, timestamp and caption";
                    return Err(bad(1, reason.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Gives each video its caption, and takes away those that have none; gives the number of these.
    pub fn give(self, inputs: &mut Vec<Input>) -> usize {
        let before = inputs.len();
        let captions = self.by_video;
        inputs.retain_mut(|input| {
            let file = input.video_id.rsplit('/').next().unwrap_or_default();
            let caption = captions.get(&input.video_id).or_else(|| captions.get(file));
            let Some(caption) = caption else { return false };
            let known = Captioned { caption: caption.clone(), inner: input.known.take() };
            input.known = Some(Arc::new(known));
            true
        });
        before - inputs.len()
    }
}

/// What else is known about a video, with its caption in the place of its entities.
struct Captioned {
    caption: String,
    inner: Option<Arc<dyn Known>>,
}

impl Known for Captioned {
    fn given(&self) -> Result<Given> {
        let given = self.inner.as_ref().map_or(Ok(Given::default()), |inner| inner.given())?;
        let entities = Entities {
            schema: Schema::V1,
            // The name is the input's, whatever stands here.
            video_id: String::new(),
            provenance: None,
            paragraph: Some(self.caption.clone()),
            items: Vec::new(),
        };
        Ok(Given { entities: Some(entities), ..given })
    }
}

/// A name of a video file without its ending; a folder has none.
fn without_ending(video: &str) -> &str {
    let video = video.trim();
    match video.rsplit_once('.') {
        Some((stem, ending)) if ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) => stem,
        _ => video,
    }
}

/// The texts of a list as Python writes it, those of lists inside it in order: `[['a', "b's"], ['c']]`.
fn python_lists(text: &str) -> Option<Vec<String>> {
    let mut letters = text.trim().strip_prefix('[')?.strip_suffix(']')?.chars();
    let mut texts = Vec::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let mut found = String::new();
                loop {
                    match letters.next()? {
                        '\\' => match letters.next()? {
                            'n' | 't' | 'r' => found.push(' '),
                            escaped => found.push(escaped),
                        },
                        end if end == letter => break,
                        other => found.push(other),
                    }
                }
                texts.push(found);
            }
            '[' | ']' | ',' => {}
            blank if blank.is_whitespace() => {}
            _ => return None,
        }
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str, text: &str) -> Result<Captions> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Captions::open(&path)
    }

    #[test]
    fn captions_come_as_lines_as_a_table_and_as_panda_has_them() {
        let lines =
            open("a.jsonl", "{\"video\":\"in/a.mp4\",\"caption\":\" A dog runs. \",\"score\":1}\n").unwrap();
        assert_eq!(lines.by_video["in/a"], "A dog runs.");
        let table = open("a.csv", "caption,video\n\"A dog, a cat.\",b.webm\nA bird.,film.1\n").unwrap();
        assert_eq!(
            (table.by_video["b"].as_str(), table.by_video["film.1"].as_str()),
            ("A dog, a cat.", "A bird.")
        );
        let panda = open(
            "p.csv",
            "videoID,url,timestamp,caption,matching_score\n\
             abc,u,\"[['0:00:05.000', '0:00:11.500'], ['0:01:00.000', '0:01:02.000']]\",\
             \"['A heron stands.', \"\"The heron's gone\\n.\"\"]\",\"[0.4, 0.5]\"\n",
        )
        .unwrap();
        assert_eq!(panda.by_video["abc_0:00:05.000_0:00:11.500"], "A heron stands.");
        assert_eq!(panda.by_video["abc_0:01:00.000_0:01:02.000"], "The heron's gone .");
    }

    #[test]
    fn what_is_wrong_with_captions_is_named_with_its_line() {
        let wrong = |name: &str, text: &str, words: &str| {
            let said = open(name, text).unwrap_err().to_string();
            assert!(said.contains(words) && said.contains(name), "{said}");
        };
        wrong("a.jsonl", "", "no caption");
        wrong("a.jsonl", "{\"video\":\"a\"}\n", "line 1");
        wrong("a.jsonl", "{\"video\":\"a\",\"caption\":\"\"}\n", "line 1");
        let twice = "{\"video\":\"a\",\"caption\":\"x\"}\n{\"video\":\"a.mp4\",\"caption\":\"y\"}\n";
        wrong("a.jsonl", twice, "line 2: a second caption");
        wrong("a.csv", "name,text\na,b\n", "columns are");
        wrong("a.csv", "video,caption\na\n", "line 2");
        let head = "videoID,timestamp,caption\n";
        wrong("p.csv", &format!("{head}a,\"[['0','1']]\",\"['x','y']\"\n"), "2 times, 2 captions");
        wrong("p.csv", &format!("{head}a,none,\"['x']\"\n"), "is no list");
    }
}

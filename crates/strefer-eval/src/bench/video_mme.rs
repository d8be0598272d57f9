//! Video-MME, with subtitles where they are wanted: `videomme/videomme.json` (its table as one JSON array of rows) or
//! `videomme/videomme/test-00000-of-00001.parquet` as it is downloaded, `videomme/videos/<videoID>.mp4` (or `data/`, as the
//! archives are packed), `videomme/subtitles/<videoID>.srt` (or `subtitle/`).

use std::path::Path;

use serde_json::json;
use strefer_core::time::parse_clock;
use strefer_video::{Limits, VideoSource, sample};

use super::benchmark::Benchmark;
use super::catalogue::BenchOptions;
use super::item::{LateTurn, video};
use super::layout::Layout;
use super::prompt::Words;
use super::tables::Table;
use crate::choice::{Asked, QuestionFile};
use crate::error::{Error, Result};

/// What is said where a video has no subtitles.
const NONE: &str = "(there are none)";

pub(super) fn open(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("videomme", root, "videomme");
    let rows = layout.first_file([
        "videomme.json",
        "test-00000-of-00001.parquet",
        "videomme/test-00000-of-00001.parquet",
    ])?;
    let media = |asked: &Asked| {
        let name = &asked.video;
        Ok(video(layout.first_uri(["videos", "data"].map(|folder| format!("{folder}/{name}.mp4")))))
    };
    let table = Table {
        title: "Video-MME",
        file: QuestionFile::VideoMme,
        words: Words::choice(),
        letters: <[String]>::to_vec,
        media: &media,
    };
    let mut all = table.read(&rows, options)?;
    if let Some(n_frames) = options.subtitles {
        all.words = options.prompt.clone().map_or_else(Words::choice_subtitles, Words::of);
        all.about.facts["prompt"] = all.words.to_json();
        all.about.facts["subtitles_of_frames"] = json!(n_frames);
        let folder = layout.first_file(["subtitles", "subtitle"])?;
        for (item, question) in all.about.items.iter_mut().zip(&all.questions) {
            let video = root.join(&item.sample.media[0].uri);
            let name = video.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let file = folder.join(format!("{name}.srt"));
            let bare = item.offer.as_ref().map_or("", |offer| offer.question.trim_start_matches("<video>\n"));
            let (bare, options, words) = (bare.to_owned(), question.options.clone(), all.words.clone());
            item.late = Some(LateTurn::new(move || {
                let subtitles = of_frames(&file, &video, n_frames)?;
                words.turn(json!({ "question": bare, "options": options, "subtitles": subtitles }))
            }));
        }
    }
    Ok(Box::new(all))
}

/// One entry of a file of subtitles.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    start_s: f64,
    end_s: f64,
    text: String,
}

/// The subtitles that are on the screen in some frames of a video, spread evenly, each once.
fn of_frames(file: &Path, video: &Path, n_frames: usize) -> Result<String> {
    if !file.exists() {
        return Ok(NONE.to_owned());
    }
    let text = std::fs::read_to_string(file).map_err(|source| Error::Io { path: file.to_owned(), source })?;
    let entries = entries(&text).map_err(|(number, reason)| Error::Record {
        path: file.to_owned(),
        record: format!("subtitle {number}"),
        reason,
    })?;
    let source = VideoSource::open(video, &Limits::default()).map_err(strefer_model::Error::from)?;
    let frames = sample::linspace_trunc(source.info().n_frames(), n_frames);
    Ok(shown(&entries, &frames, source.info().fps))
}

/// Entries that some of `frames` show, in order.
fn shown(entries: &[Entry], frames: &[usize], fps: f64) -> String {
    let is_shown = |entry: &&Entry| {
        let (first, end) = ((entry.start_s * fps) as usize, (entry.end_s * fps) as usize);
        frames.iter().any(|frame| (first..end).contains(frame))
    };
    let lines: Vec<&str> = entries.iter().filter(is_shown).map(|entry| entry.text.as_str()).collect();
    if lines.is_empty() { NONE.to_owned() } else { lines.join("\n") }
}

/// All entries of a SubRip file; of one that cannot be read its number and why.
fn entries(text: &str) -> std::result::Result<Vec<Entry>, (usize, String)> {
    let plain = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut found = Vec::new();
    for (at, block) in plain.split("\n\n").filter(|block| !block.trim().is_empty()).enumerate() {
        let refuse = |reason: &str| (at + 1, format!("{reason}: {block:?}"));
        let mut lines = block.trim().lines().skip_while(|line| !line.contains("-->"));
        let times = lines.next().ok_or_else(|| refuse("no line with its times"))?;
        let (start, end) = times.split_once("-->").ok_or_else(|| refuse("no two times"))?;
        let seconds = |text: &str| {
            parse_clock(&text.trim().replace(',', ".")).map_err(|_| refuse("a time that is none"))
        };
        let (start_s, end_s) = (seconds(start)?, seconds(end)?);
        let words: Vec<&str> = lines.map(unwrapped).filter(|line| !line.is_empty()).collect();
        found.push(Entry { start_s, end_s, text: words.join(" ") });
    }
    Ok(found)
}

/// What stands inside `<font …>`, or the line.
fn unwrapped(line: &str) -> &str {
    let inner = line.find("<font").and_then(|at| {
        let rest = &line[at..];
        let rest = &rest[rest.find('>')? + 1..];
        Some(&rest[..rest.find("</font>")?])
    });
    inner.unwrap_or(line).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtitles_are_those_of_the_frames_that_are_shown() {
        let text = "\u{feff}1\r\n00:00:00,000 --> 00:00:01,500\r\n<font color=\"white\">Hello</font>\r\n\r\n2\r\n\
                    00:00:01,500 --> 00:00:02,000\r\nthere,\r\nyou\r\n\r\n3\r\n00:00:08,000 --> 00:00:09,000\r\nBye\r\n";
        let entries = entries(text).unwrap();
        assert_eq!(entries[1], Entry { start_s: 1.5, end_s: 2.0, text: "there, you".to_owned() });
        assert_eq!(shown(&entries, &[0, 2, 3, 15, 16], 2.0), "Hello\nthere, you\nBye");
        // An entry ends before its last frame.
        assert_eq!(shown(&entries, &[4, 18], 2.0), NONE);
        assert_eq!(shown(&entries, &[1, 2], 2.0), "Hello");
        let (number, reason) = super::entries("1\nnever --> 00:00:01,000\nx").unwrap_err();
        assert!(number == 1 && reason.contains("never"), "{reason}");
    }
}

//! Which videos a run is about, and what is known about them already.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use strefer_core::Record;
use strefer_core::records::{Clips, Entities, LineRecord, Masklets, Transcript, Video};
use strefer_store::Shelf;
use strefer_video::is_image;

use crate::error::{Error, Result};
use crate::stages::{STAGE_FILES, Stages};
use crate::truth::TruthVideo;

/// Endings of video files.
pub(super) const ENDINGS: [&str; 9] = ["mp4", "mkv", "webm", "mov", "avi", "m4v", "mpg", "mpeg", "ts"];

/// Folders inside folders are gone into so deep.
const DEEPEST: usize = 16;

/// A video of a run.
#[derive(Clone)]
pub struct Input {
    /// Its name in all records.
    pub video_id: String,
    /// As records write where it is.
    pub uri: String,
    /// Where it is: a file, a folder of frames, or an address.
    pub path: PathBuf,
    /// What brings it here, where it lies at an address.
    pub shelf: Option<Arc<Shelf>>,
    /// What is known about it.
    pub known: Option<Arc<dyn Known>>,
}

/// What is known about a video before any stage.
pub trait Known: Send + Sync {
    /// All of it.
    ///
    /// # Errors
    /// Records that cannot be read.
    fn given(&self) -> Result<Given>;
}

/// Records that are there already.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Its measures.
    pub video: Option<Video>,
    /// All that is true of it, of a synthetic one.
    pub truth: Option<TruthVideo>,
    /// What acts in it.
    pub entities: Option<Entities>,
    /// Where it is.
    pub masklets: Option<Masklets>,
    /// Its parts.
    pub clips: Option<Clips>,
    /// What every entity does in every part.
    pub transcript: Option<Transcript>,
}

impl From<Stages> for Given {
    fn from(stages: Stages) -> Self {
        Self {
            video: Some(stages.video),
            truth: None,
            entities: Some(stages.entities),
            masklets: Some(stages.masklets),
            clips: Some(stages.clips),
            transcript: Some(stages.transcript),
        }
    }
}

impl Known for TruthVideo {
    fn given(&self) -> Result<Given> {
        Ok(Given { truth: Some(self.clone()), ..self.stages().into() })
    }
}

/// The videos that a path names: a file, all in a folder and in those inside it (a folder of pictures is one video), a
/// pattern with `*`, or a list of paths (`.txt`, one a line). In the order of their names, a list in its own.
///
/// # Errors
/// Nothing there, and two videos of one name: a video is called like its path from the folder on, without its ending.
pub fn videos(path: &Path) -> Result<Vec<Input>> {
    let named = path.to_string_lossy();
    let (root, found) = if path.extension().is_some_and(|ending| ending == "txt") {
        let text = std::fs::read_to_string(path).map_err(io(path))?;
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        let found = listed(&text).map(|line| root.join(line)).collect();
        (root, found)
    } else if path.is_dir() && !is_film(path) {
        let mut found = Vec::new();
        walk(path, DEEPEST, &mut found)?;
        (path.to_owned(), found)
    } else if !path.exists() && named.contains('*') {
        let root = Path::new(named.split('*').next().unwrap_or_default());
        let root = if named[..named.find('*').unwrap_or(0)].ends_with('/') { root } else { parent(root) };
        let mut found = Vec::new();
        walk(root, DEEPEST, &mut found)?;
        found.retain(|path| matches(&named, &path.to_string_lossy()));
        (root.to_owned(), found)
    } else {
        (parent(path).to_owned(), vec![path.to_owned()])
    };
    if found.is_empty() {
        let reason = "no video is there".to_owned();
        return Err(Error::BadFile { path: path.to_owned(), reason });
    }
    let inputs = found.into_iter().map(|path| {
        let uri = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
        let ending = if path.is_dir() { None } else { path.extension() };
        let cut = ending.map_or(0, |ending| ending.len() + 1);
        Input { video_id: uri[..uri.len() - cut].to_owned(), uri, path, shelf: None, known: None }
    });
    unique(inputs.collect())
}

/// The lines of a list that name something.
pub(super) fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The videos, if all have different names.
///
/// # Errors
/// The first name that comes twice.
pub fn unique(inputs: Vec<Input>) -> Result<Vec<Input>> {
    let mut names = BTreeSet::new();
    for input in &inputs {
        if !names.insert(&input.video_id) {
            return Err(Error::NameTwice { video_id: input.video_id.clone(), name: input.uri.clone() });
        }
    }
    Ok(inputs)
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// A folder that holds pictures is one video.
fn is_film(path: &Path) -> bool {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    path.is_dir() && entries.map(|entry| entry.path()).any(|file| is_image(&file))
}

fn walk(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let here = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(here).map_err(io(here))? {
        paths.push(dir.join(entry.map_err(io(here))?.file_name()));
    }
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        if hidden {
            continue;
        } else if path.is_dir() && !is_film(&path) {
            if depth > 0 {
                walk(&path, depth - 1, found)?;
            }
        } else if path.is_dir() || ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a path fits a pattern, in which `*` is anything without a slash and `**` anything.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.find('*') {
        None => pattern == path,
        Some(at) => {
            let Some(rest) = path.strip_prefix(&pattern[..at]) else { return false };
            let deep = pattern[at..].starts_with("**");
            let after = pattern[at..].trim_start_matches('*');
            let ends = rest.char_indices().map(|(end, _)| end).chain([rest.len()]);
            ends.take_while(|&end| deep || !rest[..end].contains('/')).any(|end| matches(after, &rest[end..]))
        }
    }
}

/// Records in a folder, by video: any of `videos`, `entities`, `masklets`, `clips` and `transcript` as JSON Lines. Only
/// where each line lies is kept in memory.
#[derive(Debug)]
pub struct GivenFolder {
    files: [Option<LineFile>; 5],
}

#[derive(Debug)]
struct LineFile {
    path: PathBuf,
    /// Offset and length of each video's line.
    lines: HashMap<String, (u64, usize)>,
}

#[derive(Deserialize)]
struct Named {
    video_id: String,
}

impl GivenFolder {
    /// Looks through the files that are there.
    ///
    /// # Errors
    /// A folder without any of them, lines that are no records, two about one video.
    pub fn open(dir: &Path) -> Result<Arc<Self>> {
        let mut files = [const { None }; 5];
        for (file, name) in files.iter_mut().zip(STAGE_FILES) {
            let path = dir.join(format!("{name}.jsonl"));
            if path.is_file() {
                *file = Some(LineFile::open(path)?);
            }
        }
        if files.iter().all(Option::is_none) {
            let reason = "holds none of videos, entities, masklets, clips and transcript (.jsonl)".to_owned();
            return Err(Error::BadFile { path: dir.to_owned(), reason });
        }
        Ok(Arc::new(Self { files }))
    }

    /// What is known about one video.
    pub fn about(self: &Arc<Self>, video_id: &str) -> Arc<dyn Known> {
        Arc::new(OneOfFolder { folder: Arc::clone(self), video_id: video_id.to_owned() })
    }
}

impl LineFile {
    fn open(path: PathBuf) -> Result<Self> {
        let mut input = BufReader::new(File::open(&path).map_err(io(&path))?);
        let (mut lines, mut offset, mut line) = (HashMap::new(), 0u64, Vec::new());
        for number in 1.. {
            line.clear();
            let read = input.read_until(b'\n', &mut line).map_err(io(&path))?;
            if read == 0 {
                break;
            }
            let bad = |reason: String| Error::BadFile { path: path.clone(), reason };
            if !line.trim_ascii().is_empty() {
                let named: Named = serde_json::from_slice(&line)
                    .map_err(|error| bad(format!("line {number} is no record of a video: {error}")))?;
                if let Some(id) = lines.contains_key(&named.video_id).then_some(&named.video_id) {
                    return Err(bad(format!("line {number} is the second about {id:?}")));
                }
                lines.insert(named.video_id, (offset, read));
            }
            offset += read as u64;
        }
        Ok(Self { path, lines })
    }

    fn read<T: LineRecord>(&self, video_id: &str) -> Result<Option<T>> {
        let Some(&(offset, length)) = self.lines.get(video_id) else { return Ok(None) };
        let mut file = File::open(&self.path).map_err(io(&self.path))?;
        let mut line = vec![0; length];
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(&mut line))
            .map_err(io(&self.path))?;
        let record: Record = serde_json::from_slice(&line)
            .map_err(|source| Error::Json { path: self.path.clone(), source })?;
        T::from_record(record).map(Some).map_err(|found| Error::BadFile {
            path: self.path.clone(),
            reason: format!("the line about {video_id:?} is a {found} record"),
        })
    }
}

struct OneOfFolder {
    folder: Arc<GivenFolder>,
    video_id: String,
}

impl Known for OneOfFolder {
    fn given(&self) -> Result<Given> {
        fn read<T: LineRecord>(file: &Option<LineFile>, video_id: &str) -> Result<Option<T>> {
            file.as_ref().map_or(Ok(None), |file| file.read(video_id))
        }
        let [videos, entities, masklets, clips, transcript] = &self.folder.files;
        let id = self.video_id.as_str();
        Ok(Given {
            video: read(videos, id)?,
            truth: None,
            entities: read(entities, id)?,
            masklets: read(masklets, id)?,
            clips: read(clips, id)?,
            transcript: read(transcript, id)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use strefer_core::jsonl;

    use super::*;

    #[test]
    fn patterns_stop_at_slashes_unless_doubled() {
        assert!(matches("a/*.mp4", "a/b.mp4") && !matches("a/*.mp4", "a/b/c.mp4"));
        assert!(matches("a/**/c.mp4", "a/x/b/c.mp4") && matches("a/*/c*", "a/b/c.mp4"));
        assert!(!matches("a/*.mp4", "a/b.mkv") && matches("a/b.mp4", "a/b.mp4"));
    }

    #[test]
    fn files_folders_patterns_and_lists_name_videos() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in
            ["in/b.mp4", "in/a.MKV", "in/deep/c.webm", "in/notes.txt", "in/.hidden.mp4", "in/film/0.png"]
        {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), "x").unwrap();
        }
        let ids = |path: PathBuf| {
            let found = videos(&path).unwrap();
            found.into_iter().map(|input| input.video_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(at("in")), ["a", "b", "deep/c", "film"]);
        assert_eq!(ids(at("in/b.mp4")), ["b"]);
        assert_eq!(ids(at("in/film")), ["film"]);
        assert_eq!(ids(at("in/*.mp4")), ["b"]);
        assert_eq!(ids(at("in/**.webm")), ["deep/c"]);
        std::fs::write(at("list.txt"), "# two\nin/b.mp4\n\nin/deep/c.webm\n").unwrap();
        assert_eq!(ids(at("list.txt")), ["in/b", "in/deep/c"]);
        std::fs::write(at("list.txt"), "b.mp4\nb.mkv\n").unwrap();
        assert!(videos(&at("list.txt")).err().unwrap().to_string().contains("listed twice"));
        assert!(videos(&at("in/*.avi")).err().unwrap().to_string().contains("no video is there"));
        // A name that nothing lies at is a video all the same: its failure is recorded.
        assert_eq!(ids(at("away.mp4")), ["away"]);
    }

    #[test]
    fn a_folder_of_records_gives_each_video_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let clips = |id: &str| {
            Record::Clips(Clips {
                schema: Default::default(),
                video_id: id.to_owned(),
                provenance: None,
                items: vec![],
            })
        };
        assert!(GivenFolder::open(dir.path()).unwrap_err().to_string().contains("holds none"));
        jsonl::write_all(dir.path().join("clips.jsonl"), [&clips("a"), &clips("b")]).unwrap();
        let folder = GivenFolder::open(dir.path()).unwrap();
        let given = folder.about("b").given().unwrap();
        assert_eq!((given.clips.unwrap().video_id.as_str(), given.entities), ("b", None));
        assert_eq!(folder.about("c").given().unwrap(), Given::default());
        jsonl::write_all(dir.path().join("clips.jsonl"), [&clips("a"), &clips("a")]).unwrap();
        let error = GivenFolder::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("clips.jsonl") && error.contains("line 2"), "{error}");
        jsonl::write_all(dir.path().join("entities.jsonl"), [&clips("a")]).unwrap();
        std::fs::remove_file(dir.path().join("clips.jsonl")).unwrap();
        let error = GivenFolder::open(dir.path()).unwrap().about("a").given().unwrap_err().to_string();
        assert!(error.contains("is a clips record"), "{error}");
    }
}

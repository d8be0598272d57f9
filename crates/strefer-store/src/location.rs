//! Which files a name stands for.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, io};

/// Files of one pattern at most.
const MOST: u64 = 1_000_000;

/// Kinds of files that hold samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lines,
    Parquet,
    Shard,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Option<Self> {
        let ends = |ending: &str| name.ends_with(ending);
        match () {
            () if ends(".jsonl") || ends(".jsonl.zst") => Some(Self::Lines),
            () if ends(".parquet") => Some(Self::Parquet),
            () if ends(".tar") => Some(Self::Shard),
            () => None,
        }
    }
}

/// Whether a path is an address (`s3://…`, `https://…`).
pub fn is_address(path: &Path) -> bool {
    let is_scheme = |scheme: &str| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric());
    path.to_str().and_then(|text| text.split_once("://")).is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// A path below a folder or address; an absolute one, or one that is an address itself, stays as it is.
pub(crate) fn below(root: &Path, name: &str) -> PathBuf {
    if is_address(Path::new(name)) {
        return PathBuf::from(name);
    }
    if is_address(root) && !name.starts_with('/') {
        return PathBuf::from(format!("{}/{name}", root.to_string_lossy().trim_end_matches('/')));
    }
    root.join(name)
}

/// The files that a pattern stands for: each range `{a..b}` in it counts up, with the digits of its first number.
pub(crate) fn expanded(pattern: &Path) -> Result<Vec<PathBuf>> {
    let bad = || Error::BadPattern { path: pattern.to_owned() };
    let text = pattern.to_string_lossy();
    let Some((before, rest)) = text.split_once('{') else { return Ok(vec![pattern.to_owned()]) };
    let (range, after) = rest.split_once('}').ok_or_else(bad)?;
    let (first, last) = range.split_once("..").ok_or_else(bad)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
    let (from, to) = (number(first)?, number(last)?);
    let behind = expanded(Path::new(after)).map_err(|_| bad())?;
    if to < from || (to - from + 1).saturating_mul(behind.len() as u64) > MOST {
        return Err(bad());
    }
    let name = |number: u64, behind: &PathBuf| {
        PathBuf::from(format!("{before}{number:0width$}{}", behind.to_string_lossy(), width = first.len()))
    };
    Ok((from..=to).flat_map(|number| behind.iter().map(move |behind| name(number, behind))).collect())
}

/// The files of samples in a folder, by name.
pub(crate) fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') && Kind::of(&name).is_some() && path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_up_with_their_zeros() {
        let names = |pattern: &str| -> Vec<String> {
            let files = expanded(Path::new(pattern)).unwrap().into_iter();
            files.map(|path| path.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names("a-{08..11}.tar"), ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]);
        assert_eq!(names("{0..1}/{5..6}.tar"), ["0/5.tar", "0/6.tar", "1/5.tar", "1/6.tar"]);
        assert_eq!(names("plain.jsonl"), ["plain.jsonl"]);
        for bad in ["{1..", "{a..b}", "{3..1}", "{1}", "{0..9}{2..1}", "{0..9999999}"] {
            assert!(
                matches!(expanded(Path::new(bad)), Err(Error::BadPattern { path }) if path == Path::new(bad))
            );
        }
    }

    #[test]
    fn addresses_are_no_paths() {
        assert!(is_address(Path::new("s3://bucket/a.jsonl")) && !is_address(Path::new("a/b://c")));
        assert_eq!(below(Path::new("s3://b/x/"), "v/1.mp4"), Path::new("s3://b/x/v/1.mp4"));
        assert_eq!(below(Path::new("s3://b"), "/v/1.mp4"), Path::new("/v/1.mp4"));
        assert_eq!(below(Path::new("data"), "v/1.mp4"), Path::new("data/v/1.mp4"));
        assert_eq!(below(Path::new("data"), "http://h/1.mp4"), Path::new("http://h/1.mp4"));
    }
}

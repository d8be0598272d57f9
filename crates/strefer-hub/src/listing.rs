//! What a revision holds, as the hub says.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::{is_commit, is_hex};

/// A file of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Its path in the model's folder, with slashes.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its name among the cache's blobs: the SHA-256 of a large file, git's digest of a small one.
    pub blob: String,
    /// Of a large file: what its bytes must hash to, in hexadecimal.
    pub sha256: Option<String>,
}

/// The files of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The commit that the revision stands for.
    pub commit: String,
    /// Its files by their names.
    pub files: BTreeMap<String, RemoteFile>,
}

#[derive(Deserialize)]
struct Model {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Listing {
    /// Reads the hub's answer.
    ///
    /// # Errors
    /// Another form, a file whose size or digest is missing, or a commit or digest that is none: they become names of
    /// files.
    pub fn parse(text: &str) -> Result<Self, String> {
        let model: Model = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if !is_commit(&model.sha) {
            return Err(format!("{:?} is no commit", model.sha));
        }
        let described = |sibling: Sibling| {
            let name = sibling.rfilename.clone();
            match sibling.describe() {
                Some(file) if is_hex(&file.blob) => Ok((name, file)),
                _ => Err(format!("{name} comes without its size or digest")),
            }
        };
        let files: Result<_, _> = model.siblings.into_iter().map(described).collect();
        Ok(Self { commit: model.sha, files: files? })
    }
}

impl Sibling {
    fn describe(self) -> Option<RemoteFile> {
        Some(match self.lfs {
            Some(Lfs { sha256, size }) => {
                RemoteFile { name: self.rfilename, size, blob: sha256.clone(), sha256: Some(sha256) }
            }
            None => RemoteFile { name: self.rfilename, size: self.size?, blob: self.blob_id?, sha256: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn large_files_are_known_by_their_sha256_and_small_ones_by_gits_digest() {
        let text = format!(
            r#"{{"id": "a/b", "sha": "{COMMIT}", "siblings": [
                {{"rfilename": "config.json", "blobId": "ab12", "size": 7}},
                {{"rfilename": "model.safetensors", "blobId": "cd34", "size": 135,
                  "lfs": {{"sha256": "ef56", "size": 900, "pointerSize": 135}}}}]}}"#
        );
        let listing = Listing::parse(&text).unwrap();
        assert_eq!(listing.commit, COMMIT);
        assert_eq!(listing.files.len(), 2);
        let small = &listing.files["config.json"];
        assert_eq!((small.size, small.blob.as_str(), &small.sha256), (7, "ab12", &None));
        let large = &listing.files["model.safetensors"];
        assert_eq!((large.size, large.blob.as_str()), (900, "ef56"));
        assert_eq!(large.sha256.as_deref(), Some("ef56"));
    }

    #[test]
    fn what_would_lead_out_of_the_cache_or_says_too_little_is_refused() {
        let with = |file: &str| format!(r#"{{"sha": "{COMMIT}", "siblings": [{file}]}}"#);
        let elsewhere = with(r#"{"rfilename": "x", "blobId": "../../x", "size": 1}"#);
        let bare = with(r#"{"rfilename": "x"}"#);
        for text in ["<html>", r#"{"sha": "../x", "siblings": []}"#, &elsewhere, &bare] {
            assert!(Listing::parse(text).is_err(), "{text}");
        }
    }
}

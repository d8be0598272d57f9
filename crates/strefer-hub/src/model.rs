//! Which model: its owner, its name, and the revision.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The revision where none is named.
const DEFAULT_REVISION: &str = "main";

/// A model of the hub at a revision: `OWNER/NAME` or `OWNER/NAME@REVISION`. Both parts are safe in paths and addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    owner: String,
    name: String,
    revision: String,
}

impl HubModel {
    /// Who publishes it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its name among its owner's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A branch, a tag or a commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Whether the revision is a whole commit, which never changes.
    pub fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }
}

impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        if self.revision == DEFAULT_REVISION { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

impl FromStr for HubModel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |reason| Error::Name { text: text.to_owned(), reason };
        let (id, revision) = text.split_once('@').unwrap_or((text, DEFAULT_REVISION));
        let (owner, name) = id.split_once('/').ok_or_else(|| bad("the owner is missing"))?;
        if !is_name(owner) || !is_name(name) {
            return Err(bad("owner and name are of letters, digits, '-', '_' and '.'"));
        }
        if !revision.split('/').all(is_revision_part) {
            return Err(bad("the revision is no branch, tag or commit"));
        }
        Ok(Self { owner: owner.to_owned(), name: name.to_owned(), revision: revision.to_owned() })
    }
}

/// What the hub allows. `--` separates owner and name in the cache.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let inside = !text.starts_with(['-', '.']) && !text.ends_with(['-', '.']);
    !text.is_empty() && text.bytes().all(allowed) && inside && !text.contains("--") && !text.contains("..")
}

/// A part of a branch's name between slashes: it becomes a file's name, so it must not lead elsewhere.
fn is_revision_part(part: &str) -> bool {
    let allowed = |char: char| !char.is_control() && !char.is_whitespace() && !r#"\:*?"<>|"#.contains(char);
    !part.is_empty() && part != "." && part != ".." && part.chars().all(allowed)
}

/// Whether a text is a whole commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hex(text)
}

/// Whether a text is of lower-case hexadecimal digits.
pub(crate) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_again() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, revision, pinned) in [
            ("DAMO-NLP-SG/VideoRefer-7B".to_owned(), "main", false),
            ("a/b_c.d@refs/pr/1".to_owned(), "refs/pr/1", false),
            (format!("a/b@{commit}"), commit, true),
        ] {
            let model: HubModel = text.parse().unwrap();
            assert_eq!((model.revision(), model.is_pinned()), (revision, pinned));
            assert_eq!(model.to_string(), text);
        }
        assert_eq!("a/b@main".parse::<HubModel>().unwrap().to_string(), "a/b");
    }

    #[test]
    fn what_would_lead_elsewhere_names_no_model() {
        for text in [
            "", "b", "/b", "a/", "a/b/c", "../b", "a/..", "a--b/c", "a/b c", "a/b@", "a/b@../x", "a/b@/etc",
            "a/b@x//y",
        ] {
            assert!(text.parse::<HubModel>().is_err(), "{text}");
        }
    }
}

//! Videos of a run that lie in object stores and on web servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strefer_store::{Shelf, is_address};

use super::input::{ENDINGS, Input, listed, unique};
use crate::error::{Error, Result};

/// The videos that an address names: a file, all below one that ends with `/`, or a list (`.txt`) of addresses, also relative to
/// its own. They are brought by way of `shelf`, each for as long as it is worked on.
///
/// # Errors
/// As for [`videos`](super::input::videos); a store or server that does not answer, or lists nothing.
pub fn videos_at(address: &str, shelf: &Arc<Shelf>) -> Result<Vec<Input>> {
    let above = |address: &str| address[..address.rfind('/').map_or(0, |at| at + 1)].to_owned();
    let (root, found): (String, Vec<String>) = if address.ends_with(".txt") {
        let list = shelf.fetch(address)?;
        let text = std::fs::read_to_string(list.path())
            .map_err(|source| Error::Io { path: PathBuf::from(address), source })?;
        (above(address), listed(&text).map(str::to_owned).collect())
    } else if address.ends_with('/') {
        let is_video = |name: &str| {
            let ending = Path::new(name).extension().map(|ending| ending.to_ascii_lowercase());
            ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
        };
        let below = shelf.list_below(address)?.into_iter().map(|found| found[address.len()..].to_owned());
        (address.to_owned(), below.filter(|name| is_video(name)).collect())
    } else {
        let root = above(address);
        let name = address[root.len()..].to_owned();
        (root, vec![name])
    };
    if found.is_empty() {
        let reason = "no video is there".to_owned();
        return Err(Error::BadFile { path: PathBuf::from(address), reason });
    }
    unique(found.into_iter().map(|uri| at_address(&root, uri, shelf)).collect())
}

/// A video by its name below an address, or by an address of its own.
fn at_address(root: &str, uri: String, shelf: &Arc<Shelf>) -> Input {
    let path = if is_address(Path::new(&uri)) { uri.clone() } else { format!("{root}{uri}") };
    let named = uri.split_once("://").map_or(uri.as_str(), |(_, named)| named);
    let cut = Path::new(named).extension().map_or(0, |ending| ending.len() + 1);
    let video_id = named[..named.len() - cut].to_owned();
    Input { video_id, uri, path: PathBuf::from(path), shelf: Some(Arc::clone(shelf)), known: None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_are_those_below_the_address_or_whole_ones() {
        let shelf = Shelf::new(0, Duration::from_secs(1)).unwrap();
        let input = |uri: &str| at_address("s3://b/videos/", uri.to_owned(), &shelf);
        let below = input("park/a.b.mp4");
        assert_eq!((below.video_id.as_str(), below.uri.as_str()), ("park/a.b", "park/a.b.mp4"));
        assert_eq!(below.path, Path::new("s3://b/videos/park/a.b.mp4"));
        let elsewhere = input("https://host/x/c.webm");
        assert_eq!(
            (elsewhere.video_id.as_str(), elsewhere.uri.as_str()),
            ("host/x/c", "https://host/x/c.webm")
        );
        assert_eq!(elsewhere.path, Path::new("https://host/x/c.webm"));
        let alone = videos_at("https://host/x/c.webm", &shelf).unwrap();
        assert_eq!((alone.len(), alone[0].video_id.as_str()), (1, "c"));
    }
}

//! Samples and media in an object store. `scripts/test-store` runs this beside a stand-in for S3.
#![cfg(feature = "cloud")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use strefer_core::Sample;
use strefer_store::{Error, SampleSet, Shelf, pack, publish};

fn variable(name: &str) -> PathBuf {
    PathBuf::from(
        std::env::var_os(name).unwrap_or_else(|| panic!("{name} says where: see scripts/test-store")),
    )
}

fn open(path: &Path) -> strefer_store::Result<SampleSet> {
    SampleSet::open(path, None, None, &Shelf::new(1 << 30, Duration::from_secs(5))?)
}

fn bytes(set: &SampleSet, index: usize) -> (Sample, Vec<Vec<u8>>) {
    let mut sample = set.get(index).unwrap();
    let own = sample.clone();
    let _copies = set.bring(index, &mut sample).unwrap();
    let read = |uri: &String| std::fs::read(set.media_root().join(uri)).unwrap();
    (own, sample.media.iter().map(|medium| read(&medium.uri)).collect())
}

#[test]
#[ignore = "needs a store: scripts/test-store"]
fn what_lies_in_a_store_is_what_was_put_there() {
    let (local, address) = (variable("STREFER_LOCAL"), variable("STREFER_ADDRESS"));
    for name in ["samples.jsonl", "samples.jsonl.zst", "shards", "rows"] {
        let here = open(&local.join(name)).unwrap();
        let slash = if name.contains('.') { "" } else { "/" };
        let there = open(&PathBuf::from(format!("{}/{name}{slash}", address.display()))).unwrap();
        assert!(there.len() > 10);
        assert_eq!(here.len(), there.len(), "{name}");
        for index in 0..here.len() {
            match name {
                // Their media stay beside the samples.
                "rows" => assert_eq!(here.get(index).unwrap(), there.get(index).unwrap()),
                _ => assert_eq!(bytes(&here, index), bytes(&there, index), "{name}, {index}"),
            }
        }
    }
}

/// Below the address, of nobody else.
fn fresh(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/{name}-{}", variable("STREFER_ADDRESS").display(), std::process::id()))
}

#[test]
#[ignore = "needs a store: scripts/test-store"]
fn what_is_packed_to_an_address_is_read_from_there() {
    let here = open(&variable("STREFER_LOCAL").join("samples.jsonl")).unwrap();
    let (shards, lines) = (fresh("packed/shards"), fresh("packed/lines"));
    let packed = pack::shards(&here, &shards, 200_000, || {}).unwrap();
    assert!(packed.files > 1 && packed.samples == here.len());
    assert_eq!(pack::lines(&here, &lines, 10, || {}).unwrap().samples, here.len());
    let folder = |address: &Path| PathBuf::from(format!("{}/", address.display()));
    let there = open(&folder(&shards)).unwrap();
    for index in 0..here.len() {
        let ((own, media), (other, others_media)) = (bytes(&here, index), bytes(&there, index));
        assert_eq!((own.id, media), (other.id, others_media), "{index}");
        assert_eq!(here.get(index).unwrap(), open(&folder(&lines)).unwrap().get(index).unwrap());
    }
    let again = pack::shards(&here, &shards, 200_000, || {}).unwrap_err();
    assert!(matches!(again, Error::Exists { path } if path == shards));
}

#[test]
#[ignore = "needs a store: scripts/test-store"]
fn what_was_broken_off_is_not_read_and_is_written_anew() {
    let here = open(&variable("STREFER_LOCAL").join("samples.jsonl")).unwrap();
    let (address, dir) = (fresh("broken"), tempfile::tempdir().unwrap());
    let folder = PathBuf::from(format!("{}/", address.display()));
    // As a writer leaves it that is killed: what came first, and the mark.
    let shelf = Shelf::new(0, Duration::from_secs(5)).unwrap();
    for name in [".incomplete", "000000.tar", "000999.tar"] {
        let file = dir.path().join(name);
        std::fs::write(&file, "old").unwrap();
        shelf.put(&file, &format!("{}{name}", folder.display())).unwrap();
    }
    assert!(matches!(open(&folder), Err(Error::Incomplete { .. })));
    pack::shards(&here, &address, 1 << 30, || {}).unwrap();
    assert_eq!(open(&folder).unwrap().len(), here.len());
    assert_eq!(shelf.list_below(&folder.to_string_lossy()).unwrap().len(), 1, "nothing of the old is left");

    // What somebody else left unfinished is not ours to take away.
    let strange = fresh("strange");
    for name in [".incomplete", "samples.jsonl"] {
        let file = dir.path().join(name);
        std::fs::write(&file, "theirs").unwrap();
        shelf.put(&file, &format!("{}/{name}", strange.display())).unwrap();
    }
    assert!(matches!(pack::shards(&here, &strange, 1 << 30, || {}), Err(Error::Exists { .. })));
    assert_eq!(shelf.list_below(&format!("{}/", strange.display())).unwrap().len(), 2);
}

#[test]
#[ignore = "needs a store: scripts/test-store"]
fn files_of_any_size_are_put_whole_and_replaced() {
    let (address, dir) = (fresh("published"), tempfile::tempdir().unwrap());
    let shelf = Shelf::new(0, Duration::from_secs(60)).unwrap();
    let file = dir.path().join("large.jsonl");
    let at = format!("{}/large.jsonl", address.display());
    let mut versions = Vec::new();
    // Two and a half portions, and less than one.
    for (fill, size) in [(b'a', 40 << 20), (b'b', 1000)] {
        let content: Vec<u8> = (0..size).map(|place| fill + (place % 7) as u8).collect();
        std::fs::write(&file, &content).unwrap();
        publish(std::slice::from_ref(&file), &address, &shelf).unwrap();
        assert_eq!(std::fs::read(shelf.fetch(&at).unwrap().path()).unwrap(), content);
        versions.push(shelf.version_of(&at).unwrap());
    }
    assert_ne!(versions[0], versions[1]);
    assert_eq!(shelf.list_below(&format!("{}/", address.display())).unwrap(), [at]);
}

#[test]
#[ignore = "needs a store: scripts/test-store"]
fn a_web_server_takes_files_too() {
    let server = variable("STREFER_SERVER");
    let here = open(&variable("STREFER_LOCAL").join("samples.jsonl")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("samples.jsonl");
    std::fs::copy(variable("STREFER_LOCAL").join("samples.jsonl"), &file).unwrap();
    let shelf = Shelf::new(0, Duration::from_secs(5)).unwrap();
    publish(&[file], &server.join("new"), &shelf).unwrap();
    let there = open(&server.join("new/samples.jsonl")).unwrap();
    assert_eq!((there.len(), there.get(3).unwrap()), (here.len(), here.get(3).unwrap()));
    let missing = shelf.fetch(&format!("{}/new/.incomplete", server.display())).unwrap_err();
    assert!(missing.to_string().contains(".incomplete"), "the mark is gone: {missing}");
}

#[test]
#[ignore = "needs a store: scripts/test-store"]
fn what_does_not_answer_is_named_in_time() {
    let address = variable("STREFER_ADDRESS");
    let begun = Instant::now();
    for missing in ["none.jsonl", "nothing/"] {
        let path = PathBuf::from(format!("{}/{missing}", address.display()));
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
    }
    // Nobody listens there.
    let error = open(Path::new("http://127.0.0.1:9/samples.jsonl")).unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:9"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

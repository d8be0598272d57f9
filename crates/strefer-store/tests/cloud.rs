//! Samples and media in an object store. `scripts/test-store` runs this beside a stand-in for S3.
#![cfg(feature = "cloud")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use strefer_core::Sample;
use strefer_store::{SampleSet, Shelf};

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

//! The same samples from every kind of file, and what is wrong said by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strefer_core::Sample;
use strefer_core::jsonl::write_all;
use strefer_core::records::LineRecord;
use strefer_core::sample::{Media, MediaKind, Role, Turn};
use strefer_store::{Error, SampleSet, Shelf, pack};

fn sample(number: usize) -> Sample {
    // Three samples a video.
    let uri = format!("videos/{}.mp4", number / 3);
    let media = vec![Media { kind: MediaKind::Video, uri, segment: None, size: None }];
    let mut sample = Sample::new(format!("sample {number}"), format!("video {}", number / 3), media);
    let turn = |role, text: String| Turn { role, text };
    sample.conversations =
        vec![turn(Role::User, format!("What is {number}?")), turn(Role::Assistant, "é".repeat(number % 50))];
    sample
}

/// A folder with samples and their media.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(count: usize) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(desk.path("videos")).unwrap();
        for video in 0..count.div_ceil(3) {
            std::fs::write(desk.path(&format!("videos/{video}.mp4")), vec![video as u8; 1000]).unwrap();
        }
        let records: Vec<_> = (0..count).map(|number| sample(number).into_record()).collect();
        write_all(desk.path("samples.jsonl"), &records).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, name: &str) -> strefer_store::Result<SampleSet> {
        SampleSet::open(&self.path(name), Some(self.0.path()), None, &shelf())
    }
}

fn shelf() -> Arc<Shelf> {
    Shelf::new(1 << 20, Duration::from_secs(5)).unwrap()
}

fn all(set: &SampleSet) -> Vec<Sample> {
    // From behind, so that nothing depends on the order.
    let mut samples: Vec<Sample> = (0..set.len()).rev().map(|index| set.get(index).unwrap()).collect();
    samples.reverse();
    samples
}

#[test]
fn lines_are_the_same_plain_packed_and_in_several_files() {
    let desk = Desk::new(10);
    let expected: Vec<Sample> = (0..10).map(sample).collect();
    assert_eq!(all(&desk.open("samples.jsonl").unwrap()), expected);
    std::fs::create_dir(desk.path("parts")).unwrap();
    for (part, samples) in expected.chunks(4).enumerate() {
        let records: Vec<_> = samples.iter().cloned().map(LineRecord::into_record).collect();
        write_all(desk.path(&format!("parts/{part:02}.jsonl.zst")), &records).unwrap();
    }
    assert_eq!(all(&desk.open("parts").unwrap()), expected);
    assert_eq!(all(&desk.open("parts/{00..02}.jsonl.zst").unwrap()), expected);
    let some = SampleSet::open(&desk.path("parts"), None, Some(5), &shelf()).unwrap();
    assert_eq!(all(&some), expected[..5]);
    assert_eq!(some.media_root(), desk.path("parts"));
}

#[test]
fn shards_hold_samples_beside_their_media() {
    let desk = Desk::new(10);
    let mut calls = 0;
    let packed =
        pack::shards(&desk.open("samples.jsonl").unwrap(), &desk.path("shards"), 1500, || calls += 1);
    assert_eq!((packed.unwrap().samples, calls), (10, 10));
    std::fs::remove_dir_all(desk.path("videos")).unwrap();
    let set = desk.open("shards").unwrap();
    assert_eq!(set.len(), 10);
    let mut seen = Vec::new();
    for number in (0..10).rev() {
        let mut found = set.get(number).unwrap();
        let copies = set.bring(number, &mut found).unwrap();
        let bytes = std::fs::read(&found.media[0].uri).unwrap();
        assert_eq!(bytes, vec![(number / 3) as u8; 1000]);
        assert_eq!(Path::new(&found.media[0].uri), copies[0].path());
        seen.push(found.media[0].uri.clone());
        found.media[0].uri = format!("videos/{}.mp4", number / 3);
        assert_eq!(found, sample(number));
    }
    seen.dedup();
    // A video that several samples of a shard show is in it once.
    assert!(seen.len() < 10, "{} copies", seen.len());

    // Shards of shards are the same, and a folder that is there is not written over.
    pack::shards(&set, &desk.path("again"), 1 << 20, || ()).unwrap();
    let again = desk.open("again/000000.tar").unwrap();
    let mut first = again.get(0).unwrap();
    let _copies = again.bring(0, &mut first).unwrap();
    assert_eq!(std::fs::read(&first.media[0].uri).unwrap(), [0; 1000]);
    let error = pack::shards(&set, &desk.path("again"), 1 << 20, || ()).unwrap_err();
    assert!(matches!(&error, Error::Exists { path } if *path == desk.path("again")), "{error}");
}

#[test]
fn records_alone_are_packed_as_lines() {
    let desk = Desk::new(10);
    let packed = pack::lines(&desk.open("samples.jsonl").unwrap(), &desk.path("lines"), 4, || ());
    assert_eq!(packed.unwrap().files, 3);
    assert_eq!(
        all(&desk.open("lines/{000000..000002}.jsonl.zst").unwrap()),
        all(&desk.open("lines").unwrap())
    );
    assert_eq!(all(&desk.open("lines").unwrap()), (0..10).map(sample).collect::<Vec<_>>());
}

#[cfg(not(feature = "cloud"))]
#[test]
fn a_program_without_stores_says_so() {
    let desk = Desk::new(3);
    let set = desk.open("samples.jsonl").unwrap();
    let error = pack::lines(&set, Path::new("s3://bucket/set"), 4, || ()).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { feature: "cloud", .. }), "{error}");
}

#[cfg(feature = "parquet")]
#[test]
fn rows_of_parquet_are_found_in_any_order_by_several_threads() {
    let desk = Desk::new(2300);
    let set = desk.open("samples.jsonl").unwrap();
    let packed = pack::parquet(&set, &desk.path("rows"), 1200, || ()).unwrap();
    assert_eq!((packed.samples, packed.files), (2300, 2));
    let set = desk.open("rows").unwrap();
    assert_eq!(set.len(), 2300);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let set = &set;
            scope.spawn(move || {
                for step in 0..200 {
                    let index = (step * 797 + thread * 31) % 2300;
                    assert_eq!(set.get(index).unwrap(), sample(index));
                }
            });
        }
    });
    let few = SampleSet::open(&desk.path("rows/{000000..000001}.parquet"), None, Some(7), &shelf()).unwrap();
    assert_eq!(few.len(), 7);
    std::fs::write(desk.path("odd.parquet"), "PAR1 no PAR1").unwrap();
    let error = desk.open("odd.parquet").unwrap_err().to_string();
    assert!(error.contains("odd.parquet"), "{error}");
}

#[test]
fn what_is_wrong_is_said_by_name() {
    let desk = Desk::new(3);
    let say = |name: &str| desk.open(name).unwrap_err().to_string();
    assert!(say("none.jsonl").contains("none.jsonl"));
    assert!(say("{2..1}.tar").contains("{2..1}.tar"));
    assert!(say("videos").contains("no file of samples"));
    assert!(say("videos/0.mp4").contains(".parquet"));
    let error = SampleSet::open(Path::new("s3://nowhere-at-all/x.jsonl"), None, None, &shelf()).unwrap_err();
    assert!(error.to_string().contains("s3://nowhere-at-all/x.jsonl"), "{error}");

    std::fs::write(desk.path("odd.tar"), [7; 2048]).unwrap();
    assert!(say("odd.tar").contains("odd.tar"));
    pack::shards(&desk.open("samples.jsonl").unwrap(), &desk.path("shards"), 1 << 20, || ()).unwrap();
    let shard = desk.path("shards/000000.tar");
    let bytes = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, &bytes[..bytes.len() / 2]).unwrap();
    assert!(say("shards").contains("000000.tar"), "{}", say("shards"));

    let mut archive = tar::Builder::new(std::fs::File::create(desk.path("words.tar")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    archive.append_data(&mut header, "a.json", &b"oops"[..]).unwrap();
    archive.finish().unwrap();
    let error = desk.open("words.tar").unwrap().get(0).unwrap_err().to_string();
    assert!(error.contains("words.tar, a.json"), "{error}");

    std::fs::remove_file(desk.path("videos/0.mp4")).unwrap();
    let error = pack::shards(&desk.open("samples.jsonl").unwrap(), &desk.path("more"), 1, || ()).unwrap_err();
    assert!(error.to_string().contains("videos/0.mp4") && !desk.path("more").exists(), "{error}");
    assert!(
        std::fs::read_dir(desk.0.path())
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().ends_with(".tmp") })
    );
}

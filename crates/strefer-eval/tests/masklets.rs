//! Scores of masks: recorded pairs, records by hand, and folders in the layout of DAVIS.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use serde_json::{Value, json};
use strefer_core::masklet::{FrameKey, UniformRule};
use strefer_core::records::{Masklet, MaskletFrame, Masklets, MaskletsFailure, Record};
use strefer_core::{IndexSpace, Mask, PixelBox, Rle, golden};
use strefer_eval::masklets::{VideoMasklets, davis, f_measure, jaccard, score};
use strefer_eval::{Error, Unmatched, records};

#[test]
fn overlap_and_boundaries_are_those_recorded() {
    let (mut count, mut between, mut noticed) = (0, 0, 0);
    for dir in golden::dirs("masklet_scores") {
        let cases: Vec<Value> =
            serde_json::from_slice(&std::fs::read(dir.join("pairs.json")).unwrap()).unwrap();
        for case in cases {
            let [height, width]: [u32; 2] = serde_json::from_value(case["size"].clone()).unwrap();
            let [found, truth] = ["found", "truth"].map(|key| {
                Rle::from_compressed(height, width, case[key].as_str().unwrap()).unwrap().to_mask()
            });
            let (j, f) = (case["J"].as_f64().unwrap(), case["F"].as_f64().unwrap());
            assert!((jaccard(&found, &truth).unwrap() - j).abs() < 1e-9, "{case}");
            assert!((f_measure(&found, &truth) - f).abs() < 1e-9, "{case}: {}", f_measure(&found, &truth));
            // One row that is turned over must be noticed.
            let turned = Mask::from_fn(height as usize, width as usize, |y, x| found.get(y, x) != (y == 2));
            noticed += usize::from((f_measure(&turned, &truth) - f).abs() > 1e-9);
            between += usize::from(f > 0.0 && f < 1.0);
            count += 1;
        }
    }
    assert!(count >= 30 && between >= 15 && noticed >= 15, "{count} {between} {noticed}");
}

const SIDE: usize = 40;

/// A square of ten pixels in each of some frames, at a column.
fn masklet(eid: &str, places: &[(u32, usize)]) -> Masklet {
    let frame = |&(key, x0): &(u32, usize)| {
        let mask = Mask::from_box(SIDE, SIDE, PixelBox { x0, y0: 10, x1: x0 + 10, y1: 20 });
        let frame =
            MaskletFrame { rle: Rle::from_mask(&mask).into(), area: 100, bbox_xywh: [x0 as u32, 10, 10, 10] };
        (FrameKey(key), frame)
    };
    Masklet {
        eid: eid.to_owned(),
        detector_label: None,
        detector_score: None,
        box_start_xyxy: None,
        assign: None,
        confidence: None,
        gaps: Vec::new(),
        frames: places.iter().map(frame).collect(),
    }
}

fn video(id: &str, objects: Vec<Masklet>) -> VideoMasklets {
    VideoMasklets(Masklets {
        schema: Default::default(),
        video_id: id.to_owned(),
        provenance: None,
        index_space: IndexSpace::Uniform { n: 10, rule: UniformRule::LinspaceTrunc },
        frame_times_s: (0..10).map(f64::from).collect(),
        start_index: None,
        n_read: None,
        failure: None,
        objects,
    })
}

fn all(x: usize) -> Vec<(u32, usize)> {
    (0..10).map(|key| (key, x)).collect()
}

#[test]
fn records_are_scored_by_hand() {
    // e0 is always there, e1 comes late, e2 returns, e3 is never to be seen.
    let truth = video(
        "v",
        vec![
            masklet("e0", &all(0)),
            masklet("e1", &[(4, 14), (5, 14), (6, 14), (7, 14)]),
            masklet("e2", &[(0, 28), (1, 28), (5, 28), (6, 28)]),
            masklet("e3", &[]),
        ],
    );
    let found = video(
        "v",
        vec![
            // Goes over to e1 for two frames.
            masklet(
                "e0",
                &[(0, 0), (1, 0), (2, 0), (3, 0), (4, 14), (5, 14), (6, 0), (7, 0), (8, 0), (9, 0)],
            ),
            // Half beside it at first, a frame too late.
            masklet("e1", &[(5, 24), (6, 14), (7, 14), (8, 14)]),
        ],
    );
    let scores = score(&[truth], &[found], Unmatched::REFUSE).unwrap();
    let [e0, e1, e2] = &scores.videos[0].objects[..] else { panic!("three are to be seen") };
    assert!(!e0.presence.late && !e0.presence.returning);
    assert_eq!((e0.covered, e0.wrong, e0.switches, e0.delay), (true, Some(false), Some(2), 0));
    assert!((e0.j - 0.8).abs() < 1e-12 && (e0.f - 0.8).abs() < 1e-12);
    assert!(e1.presence.late && !e1.presence.returning);
    // Five frames show it in truth or in the record: two of them right.
    assert!((e1.j - 2.0 / 5.0).abs() < 1e-12, "{}", e1.j);
    assert_eq!((e1.wrong, e1.switches, e1.delay), (Some(false), Some(0), 2));
    assert!(!e2.presence.late && e2.presence.returning);
    assert_eq!((e2.covered, e2.wrong, e2.switches, e2.delay, e2.j), (false, None, None, 7, 0.0));

    let sheet = scores.sheet();
    let value = |name: &str| sheet.lines.iter().find(|line| line.name == name).unwrap().value.unwrap();
    assert!((value("all.coverage") - 200.0 / 3.0).abs() < 1e-9);
    assert_eq!([value("late.delay"), value("returning.delay"), value("steady.switches")], [2.0, 7.0, 2.0]);
    assert_eq!(value("all.wrong"), 0.0);
    assert_eq!(sheet.metrics["all.masklets"], 2);
    assert!(!sheet.lines.iter().any(|line| line.name == "returning.wrong" && line.value.is_some()));
}

#[test]
fn a_masklet_of_somebody_else_is_wrong() {
    let truth = video("v", vec![masklet("e0", &all(0)), masklet("e1", &all(20))]);
    let crossed = video("v", vec![masklet("e0", &all(20)), masklet("e1", &all(0))]);
    let scores = score(std::slice::from_ref(&truth), &[crossed], Unmatched::REFUSE).unwrap();
    assert!(
        scores.videos[0].objects.iter().all(|it| it.wrong == Some(true) && it.j == 0.0 && it.delay == 10)
    );
    let mut failed = video("v", Vec::new());
    failed.0.failure = Some(MaskletsFailure::NoDetection { looked: 32 });
    let scores = score(&[truth], &[failed], Unmatched::REFUSE).unwrap();
    let sheet = scores.sheet();
    assert_eq!(sheet.notes.len(), 1);
    assert_eq!(sheet.notes[0].ids, ["v"]);
    assert_eq!(sheet.metrics["all.coverage"], 0.0);
}

#[test]
fn records_that_cannot_be_compared_are_named() {
    let truth = video("v", vec![masklet("e0", &all(0))]);
    let mut other = truth.clone();
    other.0.index_space = IndexSpace::Source;
    let said = score(std::slice::from_ref(&truth), &[other], Unmatched::REFUSE).unwrap_err().to_string();
    assert!(said.contains("video v") && said.contains("Source"), "{said}");
    let mut small = truth.clone();
    let frame = small.0.objects[0].frames.get_mut(&FrameKey(3)).unwrap();
    frame.rle = Rle::from_mask(&Mask::from_fn(20, 20, |_, _| true)).into();
    let said = score(std::slice::from_ref(&truth), &[small], Unmatched::REFUSE).unwrap_err().to_string();
    assert!(said.contains("video v") && said.contains("20, 20"), "{said}");
    let missing = score(&[truth], &[video("w", Vec::new())], Unmatched::REFUSE).unwrap_err();
    assert!(matches!(missing, Error::Unmatched { .. }));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("masklets.jsonl");
    let mut twice = video("v", vec![masklet("e0", &all(0)), masklet("e0", &all(0))]).0;
    let says = |record: &Masklets, words: &str| {
        let line = serde_json::to_string(&Record::Masklets(record.clone())).unwrap();
        std::fs::write(&path, line + "\n").unwrap();
        let said = records::read_lines::<VideoMasklets>(&path).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    };
    says(&twice, "comes twice");
    twice.objects.pop();
    let frame = twice.objects[0].frames.get_mut(&FrameKey(0)).unwrap();
    frame.rle.size = [3, 3];
    says(&twice, "frame 0");
    std::fs::write(&path, json!({"type": "clips", "video_id": "v", "items": []}).to_string()).unwrap();
    let said = records::read_lines::<VideoMasklets>(&path).unwrap_err().to_string();
    assert!(said.contains("clips"), "{said}");
}

/// Writes numbers as a picture with a palette, some bits a pixel.
fn write_labels(path: &Path, bits: png::BitDepth, labels: &[Vec<u8>]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (width, height) = (labels[0].len() as u32, labels.len() as u32);
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path).unwrap()), width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(bits);
    // Two numbers of one colour: only the numbers count.
    encoder.set_palette(
        [[0, 0, 0], [9, 9, 9], [9, 9, 9], [1, 2, 3]].concat().repeat(if bits == png::BitDepth::Eight {
            64
        } else {
            1
        }),
    );
    let mut writer = encoder.write_header().unwrap();
    let each = 8 / bits as usize;
    let pack = |row: &Vec<u8>| -> Vec<u8> {
        let of = |pixels: &[u8]| {
            let place = |(at, pixel): (usize, &u8)| pixel << (8 - bits as usize * (at + 1));
            pixels.iter().enumerate().map(place).fold(0, |byte, bits| byte | bits)
        };
        row.chunks(each).map(of).collect()
    };
    writer.write_image_data(&labels.iter().flat_map(pack).collect::<Vec<u8>>()).unwrap();
}

/// Two squares of nine pixels, side by side, moved to the right.
fn labels(shift: usize, void: bool) -> Vec<Vec<u8>> {
    let mut rows = vec![vec![0; 33]; 21];
    for row in &mut rows[5..8] {
        row[4 + shift..7 + shift].fill(1);
        row[20..23].fill(2);
    }
    if void {
        rows[0].fill(255);
    }
    rows
}

#[test]
fn folders_in_the_layout_of_davis_are_scored() {
    let dir = tempfile::tempdir().unwrap();
    let (truth, found) = (dir.path().join("Annotations"), dir.path().join("Results"));
    for frame in 0..4 {
        let name = format!("{frame:05}.png");
        write_labels(&truth.join("bear").join(&name), png::BitDepth::Eight, &labels(0, frame == 1));
        // The first and the last frame are wrong, which does not count; in the second one everything is right but pixels
        // that do not count; in the third the first object is a pixel beside its place.
        let shift = [4, 0, 1, 9][frame];
        let mut rows = labels(shift, false);
        if frame == 1 {
            rows[0].fill(2);
        }
        write_labels(&found.join("bear").join(&name), png::BitDepth::Two, &rows);
    }
    let scores = davis::score(&truth, &found, false, Unmatched::REFUSE).unwrap();
    let [first, second] = &scores.objects[..] else { panic!("two objects") };
    assert!((first.j - (1.0 + 0.5) / 2.0).abs() < 1e-12, "{first:?}");
    assert_eq!((second.j, second.f, second.object), (1.0, 1.0, 2));
    assert_eq!(first.f, 1.0, "a pixel is within the tolerance");
    let every = davis::score(&truth, &found, true, Unmatched::REFUSE).unwrap();
    assert!((every.objects[0].j - 1.5 / 4.0).abs() < 1e-12);
    let sheet = scores.sheet();
    assert_eq!(sheet.lines[0].name, "J&F-Mean");
    assert!((sheet.lines[0].value.unwrap() - 100.0 * (0.875 + 1.0) / 2.0).abs() < 1e-9);

    std::fs::create_dir_all(found.join("cat")).unwrap();
    let said = davis::score(&truth, &found, false, Unmatched::REFUSE).unwrap_err();
    assert!(said.to_string().contains("cat"), "{said}");
    std::fs::remove_dir(found.join("cat")).unwrap();
    write_labels(&found.join("bear/00002.png"), png::BitDepth::Eight, &vec![vec![0; 5]; 5]);
    let said = davis::score(&truth, &found, false, Unmatched::REFUSE).unwrap_err().to_string();
    assert!(said.contains("00002.png") && said.contains("5x5"), "{said}");
    std::fs::remove_file(found.join("bear/00002.png")).unwrap();
    let said = davis::score(&truth, &found, false, Unmatched::REFUSE).unwrap_err().to_string();
    assert!(said.contains("00002.png"), "{said}");
    std::fs::write(found.join("bear/00002.png"), b"no picture").unwrap();
    assert!(davis::score(&truth, &found, false, Unmatched::REFUSE).is_err());
}

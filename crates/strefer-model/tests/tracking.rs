//! Objects that are pointed at in one frame are followed through a video as SAM 2.1 does it by itself.

use std::path::{Path, PathBuf};

use candle_core::DType;
use image::RgbImage;
use strefer_core::{Gesture, Mask, PixelBox, PixelPoint, Rng, golden};
use strefer_model::Error;
use strefer_model::question::{Mark, MarkShape};
use strefer_model::tracking::{Tracker, prompt};
use strefer_nn::testing::device;
use strefer_video::{Limits, VideoSource};
use strefer_vision::sam2::{Pass, Sam2Video, Session, SessionOptions, pixels};

const WIDTH: u32 = 40;
const HEIGHT: u32 = 30;

/// A folder with a small random SAM that believes to see objects everywhere (or nowhere).
fn segmenter(dir: &Path, sees: bool) -> PathBuf {
    let folder = dir.join("sam");
    std::fs::create_dir(&folder).unwrap();
    let golden = &golden::dirs("sam2_video")[0];
    std::fs::copy(golden.join("config.json"), folder.join("config.json")).unwrap();
    let mut bytes = std::fs::read(golden.join("weights.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let names: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let bias = &names["mask_decoder.pred_obj_score_head.proj_out.bias"]["data_offsets"][0];
    let at = 8 + header + bias.as_u64().unwrap() as usize;
    // The upper half of a number of 32 bits is one of 16.
    let value: f32 = if sees { 1e3 } else { -1e3 };
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes()[2..]);
    std::fs::write(folder.join("model.safetensors"), bytes).unwrap();
    folder
}

/// Seven frames of noise, two a second.
fn video(dir: &Path) -> VideoSource {
    let frames = dir.join("frames");
    std::fs::create_dir(&frames).unwrap();
    let rng = Rng::new(3, "frames");
    for frame in 0..7 {
        let mut rng = rng.at(frame);
        let bytes = (0..WIDTH * HEIGHT * 3).map(|_| rng.below(256) as u8).collect();
        RgbImage::from_raw(WIDTH, HEIGHT, bytes).unwrap().save(frames.join(format!("{frame}.png"))).unwrap();
    }
    VideoSource::open(&frames, &Limits::default()).unwrap()
}

fn boxed(x0: usize, y0: usize, x1: usize, y1: usize) -> MarkShape {
    MarkShape::Gesture(Gesture::Box(PixelBox { x0, y0, x1, y1 }))
}

/// The second at which a frame has begun.
fn second(video: &VideoSource, frame: usize) -> f64 {
    video.info().times_s[frame]
}

#[test]
fn tracked_masks_are_those_of_the_segmenter_forwards_and_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, video) = (segmenter(dir.path(), true), video(dir.path()));
    let tracker = Tracker::open(&folder, device(), DType::F32).unwrap();
    let clicks = MarkShape::Clicks {
        inside: vec![PixelPoint { x: 12, y: 9 }],
        outside: vec![PixelPoint { x: 30, y: 20 }],
    };
    let shapes = [(boxed(3, 4, 25, 22), 4), (clicks, 2)];
    let once = |(shape, frame): &(MarkShape, usize)| Mark::Once {
        shape: shape.clone(),
        at_s: second(&video, *frame),
    };
    let given = [(1, Mask::from_fn(30, 40, |y, x| y > 3 && x > 5))].into_iter().collect();
    let marks = [once(&shapes[0]), Mark::Frames(given), once(&shapes[1])];
    let mut steps = Vec::new();
    let found =
        tracker.track("q", &video, &marks, &[0, 3, 6, 6], |done, total| steps.push((done, total))).unwrap();
    assert!(found[1].is_none(), "masks in several frames need no following");
    let all: Vec<(usize, usize)> = (1..=6).map(|done| (done, 6)).collect();
    assert_eq!(steps, all, "four frames forwards from the second of five, two backwards");

    // The same by the segmenter alone, on frames 0, 2, 3, 4, 6.
    let frames = [0, 2, 3, 4, 6];
    let sam = Sam2Video::open(&folder, device(), DType::F32).unwrap();
    let side = sam.image().image_size();
    let see = |at: usize| -> Result<_, Error> {
        let image = video.frames_at_indices(&[frames[at]])?.swap_remove(0).image;
        Ok(Some(pixels(image.as_raw(), HEIGHT as usize, WIDTH as usize, side)?))
    };
    let mut session = Session::new((HEIGHT as usize, WIDTH as usize), Some(5), SessionOptions::default());
    for (object, place) in [(2, 1), (0, 3)] {
        let features = sam.image().encode(&see(place).unwrap().unwrap()).unwrap();
        let shape = &shapes[usize::from(object == 2)].0;
        let said = prompt(shape, HEIGHT as usize, WIDTH as usize).unwrap();
        sam.prompt(&mut session, place, &features, object, &said).unwrap();
    }
    let mut compared = 0;
    for pass in [Pass::forward(), Pass::backward(1)] {
        for masks in sam.propagate(&mut session, pass, see).unwrap() {
            let masks = masks.unwrap();
            for object in &masks.objects {
                let tracked = found[object.object_id as usize].as_ref().unwrap();
                assert_eq!(tracked.frames, 5);
                let wanted = object.mask(HEIGHT as usize, WIDTH as usize).unwrap();
                let frame = frames[masks.frame_idx];
                // The frame that both passes begin at is looked at twice; the second look counts.
                if frame == 2 && pass == Pass::forward() {
                    continue;
                }
                let none = Mask::zeros(HEIGHT as usize, WIDTH as usize);
                assert_eq!(tracked.masks.get(&frame).unwrap_or(&none), &wanted, "frame {frame}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 10);
    let [first, second] = [&found[0], &found[2]].map(|found| found.as_ref().unwrap());
    assert_eq!((first.marked, second.marked), (4, 2));
    assert!(first.masks != second.masks, "two objects");
    let (least, most) = first.shares();
    assert!(0.0 < least && least <= most && most <= 1.0);
}

#[test]
fn what_cannot_be_followed_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, video) = (segmenter(dir.path(), true), video(dir.path()));
    let tracker = Tracker::open(&folder, device(), DType::F32).unwrap();
    let refused = |shape: MarkShape, at_s: f64| {
        tracker.track("q", &video, &[Mark::Once { shape, at_s }], &[0, 1], |_, _| ()).unwrap_err().to_string()
    };
    let point = |x, y| MarkShape::Gesture(Gesture::Points(vec![PixelPoint { x, y }]));
    assert!(refused(point(40, 3), 0.0).contains("mark 0: point 40,3 lies outside the 40x30 frame"));
    assert!(refused(point(4, 3), 99.0).contains("no frame at 99.000"));
    assert!(refused(boxed(50, 0, 60, 9), 0.0).contains("outside the 40x30 frame"));
    assert!(refused(MarkShape::Mask(Mask::zeros(3, 4)), 0.0).contains("mark 0"));
    assert!(tracker.track("q", &video, &[], &[0, 1], |_, _| ()).unwrap().is_empty());
    let blind = tempfile::tempdir().unwrap();
    let blind = Tracker::open(&segmenter(blind.path(), false), device(), DType::F32).unwrap();
    let mark = Mark::Once { shape: point(4, 3), at_s: 0.0 };
    let error = blind.track("q", &video, &[mark], &[0, 5], |_, _| ()).unwrap_err();
    assert!(matches!(&error, Error::Grounding { subject, .. } if subject == "question q, mark 0"), "{error}");
    for (file, said) in [("model.safetensors", "sam"), ("config.json", "config.json")] {
        let broken = tempfile::tempdir().unwrap();
        let folder = segmenter(broken.path(), true);
        std::fs::write(folder.join(file), "{").unwrap();
        let error = Tracker::open(&folder, device(), DType::F32).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

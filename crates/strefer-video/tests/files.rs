//! Video files that the tests encode themselves: access by index and by time against decoding in order.

#![cfg(feature = "ffmpeg")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{number, numbered};
use image::RgbImage;
use strefer_core::Rng;
use strefer_video::write::{Encoding, VideoWriter};
use strefer_video::{Error, Limits, VideoSource};

fn encode(path: &Path, n_frames: usize, encoding: &Encoding) {
    let mut writer = VideoWriter::create(path, 128, 64, encoding).unwrap();
    for index in 0..n_frames {
        writer.push(&numbered(index)).unwrap();
    }
    writer.finish().unwrap();
}

fn with_options(options: &[(&str, &str)]) -> Encoding {
    let options = options.iter().map(|&(name, value)| (name.to_string(), value.to_string())).collect();
    Encoding { options, b_frames: Some(3), ..Encoding::default() }
}

/// Index access, in random order, one by one and in sets, gives what sequential decoding gives.
fn check_access(path: &Path, n_frames: usize) {
    let video = VideoSource::open(path, &Limits::default()).unwrap();
    let shown = path.display();
    assert_eq!(video.info().n_frames(), n_frames, "{shown}");
    let sequence: Vec<RgbImage> = video.iter().map(|frame| frame.unwrap().image).collect();
    let numbers: Vec<usize> = sequence.iter().map(number).collect();
    assert_eq!(numbers, (0..n_frames).collect::<Vec<_>>(), "{shown}");

    let mut rng = Rng::new(3, "access");
    for index in (0..n_frames).step_by(7).chain([n_frames - 1]) {
        let frame = video.frames_at_indices(&[index]).unwrap().remove(0);
        assert!(frame.image == sequence[index], "{shown}: frame {index} alone");
        let middle_s = frame.time_s + 0.5 / video.info().fps;
        assert_eq!(video.frames_at_times(&[middle_s]).unwrap()[0].index, index, "{shown}");
    }
    for _ in 0..6 {
        let mut wanted: Vec<usize> = (0..9).map(|_| rng.below(n_frames)).collect();
        wanted.push(wanted[0]);
        let frames = video.frames_at_indices(&wanted).unwrap();
        assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), wanted);
        assert!(frames.iter().all(|frame| frame.image == sequence[frame.index]), "{shown}: {wanted:?}");
    }
}

#[test]
fn frames_by_index_equal_frames_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let x264 = |params: &str| with_options(&[("x264-params", params)]);
    let long = x264("keyint=100:min-keyint=100:scenecut=0:bframes=3:b-adapt=0");
    let open = x264("keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0:open-gop=1");
    let pyramid = x264("keyint=30:min-keyint=30:scenecut=0:bframes=4:b-adapt=0:b-pyramid=normal:ref=4");
    let short = x264("keyint=2:min-keyint=1:scenecut=0:bframes=1:b-adapt=0");
    let mpeg4 = Encoding { encoder: Some("mpeg4".into()), key_interval: Some(24), ..with_options(&[]) };
    for (name, encoding) in
        [("long", &long), ("open", &open), ("pyramid", &pyramid), ("short", &short), ("mpeg4", &mpeg4)]
    {
        for container in ["mp4", "mkv"] {
            let path = dir.path().join(format!("{name}.{container}"));
            encode(&path, 130, encoding);
            check_access(&path, 130);
        }
    }
}

#[test]
fn frames_without_times_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raw.h264");
    encode(&path, 40, &with_options(&[]));
    check_access(&path, 40);
}

#[test]
fn times_of_a_constant_rate_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    for (fps, exact) in [(24.0, 24.0), (30.0, 30.0), (29.97, 30000.0 / 1001.0), (25.0, 25.0)] {
        let path = dir.path().join(format!("{fps}.mp4"));
        encode(&path, 36, &Encoding { fps, ..Encoding::default() });
        let info = VideoSource::open(&path, &Limits::default()).unwrap().info().clone();
        assert!((info.fps - exact).abs() < 1e-9, "{}", info.fps);
        assert!((info.duration_s - 36.0 / exact).abs() < 1e-9, "{}", info.duration_s);
        for (index, time_s) in info.times_s.iter().enumerate() {
            assert!((time_s - index as f64 / exact).abs() < 1e-9, "{fps}: frame {index} at {time_s}");
        }
    }
}

#[test]
fn a_variable_rate_keeps_its_times() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("uneven.mp4");
    let times_s: Vec<f64> = (0..50).map(|index| index as f64 / 24.0 + (index / 5) as f64 * 0.31).collect();
    let mut writer = VideoWriter::create(&path, 128, 64, &with_options(&[])).unwrap();
    for (index, &time_s) in times_s.iter().enumerate() {
        writer.push_at(&numbered(index), time_s).unwrap();
    }
    assert!(writer.push_at(&numbered(0), 0.2).is_err(), "a frame before the last is refused");
    writer.finish().unwrap();

    let video = VideoSource::open(&path, &Limits::default()).unwrap();
    let found = &video.info().times_s;
    assert_eq!(found.len(), times_s.len());
    assert!(found.iter().zip(&times_s).all(|(a, b)| (a - b).abs() < 5e-4), "{found:?}");
    for index in [4, 5, 9, 30, 48] {
        let just_before_s = found[index + 1] - 1e-3;
        let frames = video.frames_at_times(&[just_before_s, found[index]]).unwrap();
        assert_eq!(frames.iter().map(|frame| number(&frame.image)).collect::<Vec<_>>(), [index, index]);
    }
}

/// Writes a display matrix into the header of an MP4 file.
fn turn(path: &Path, [a, b, c, d]: [i32; 4]) {
    let mut bytes = std::fs::read(path).unwrap();
    let header = bytes.windows(4).position(|window| window == b"tkhd").unwrap();
    let one = 1 << 16;
    for (index, number) in [a * one, b * one, 0, c * one, d * one, 0].into_iter().enumerate() {
        let at = header + 4 + 40 + 4 * index;
        bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_turned_video_is_seen_upright() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("phone.mp4");
    encode(&path, 12, &Encoding::default());
    let flat =
        VideoSource::open(&path, &Limits::default()).unwrap().frames_at_indices(&[7]).unwrap().remove(0);
    for (matrix, turned) in [
        ([0, 1, -1, 0], image::imageops::rotate90(&flat.image)),
        ([-1, 0, 0, -1], image::imageops::rotate180(&flat.image)),
        ([0, -1, 1, 0], image::imageops::rotate270(&flat.image)),
    ] {
        turn(&path, matrix);
        let video = VideoSource::open(&path, &Limits::default()).unwrap();
        assert_eq!((video.info().width, video.info().height), turned.dimensions());
        assert!(video.frames_at_indices(&[7]).unwrap()[0].image == turned, "{matrix:?}");
    }
}

fn cut(path: &Path, share: f64) -> PathBuf {
    let bytes = std::fs::read(path).unwrap();
    let target = path.with_file_name(format!("cut_{}", path.file_name().unwrap().to_string_lossy()));
    std::fs::write(&target, &bytes[..(bytes.len() as f64 * share) as usize]).unwrap();
    target
}

#[test]
fn a_file_that_is_cut_off_is_named_so() {
    let dir = tempfile::tempdir().unwrap();
    let strict = Limits::default();
    let tolerant = Limits { tolerate_damage: true, ..Limits::default() };

    let index_last = dir.path().join("index_last.mp4");
    encode(&index_last, 60, &with_options(&[]));
    for limits in [&strict, &tolerant] {
        let error = VideoSource::open(cut(&index_last, 0.6), limits).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error}");
        assert!(error.to_string().contains("cut_index_last.mp4"), "{error}");
    }

    let index_first = dir.path().join("index_first.mp4");
    encode(&index_first, 60, &Encoding { fast_start: true, ..with_options(&[]) });
    let matroska = dir.path().join("clip.mkv");
    encode(&matroska, 60, &with_options(&[]));
    for path in [index_first, matroska] {
        let broken = cut(&path, 0.6);
        let error = VideoSource::open(&broken, &strict).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error}");
        let video = VideoSource::open(&broken, &tolerant).unwrap();
        let n_frames = video.info().n_frames();
        assert!((5..60).contains(&n_frames), "{n_frames}");
        let first = video.frames_at_indices(&[0, 4]).unwrap();
        assert_eq!(first.iter().map(|frame| number(&frame.image)).collect::<Vec<_>>(), [0, 4]);
    }
}

#[test]
fn what_is_no_video_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound.wav");
    let mut wav = b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00".to_vec();
    wav.extend(8000u32.to_le_bytes());
    wav.extend(16000u32.to_le_bytes());
    wav.extend(b"\x02\x00\x10\x00data");
    wav.extend(16000u32.to_le_bytes());
    wav.resize(wav.len() + 16000, 7);
    let length = wav.len() as u32 - 8;
    wav[4..8].copy_from_slice(&length.to_le_bytes());
    std::fs::write(&sound, wav).unwrap();
    let error = VideoSource::open(&sound, &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::NoVideoStream { .. }), "{error}");

    for (name, bytes) in [("empty.mp4", &[][..]), ("noise.mp4", &[0xa7u8; 4000][..])] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        let error = VideoSource::open(dir.path().join(name), &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn times_budget_and_deadline_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    encode(&path, 24, &Encoding::default());
    let video = VideoSource::open(&path, &Limits::default()).unwrap();
    assert_eq!(video.frames_at_times(&[1.0]).unwrap()[0].index, 23);
    let Err(Error::NoFrame { at_s, end_s, .. }) = video.frames_at_times(&[0.5, 1.5]) else {
        panic!("1.5 s lies past the end")
    };
    assert_eq!((at_s, end_s), (1.5, 1.0));
    assert!(matches!(video.frames_at_times(&[-0.5]), Err(Error::NoFrame { .. })));
    assert!(matches!(video.frames_at_indices(&[24]), Err(Error::NoIndex { .. })));
    let small = Limits { max_bytes: 128 * 64 * 3 * 2, ..Limits::default() };
    let video = VideoSource::open(&path, &small).unwrap();
    assert!(matches!(video.frames_at_indices(&[0, 1, 2]), Err(Error::Budget { .. })));
    assert_eq!(video.iter().count(), 24);
    let no_time = Limits { deadline: Duration::ZERO, ..Limits::default() };
    assert!(matches!(VideoSource::open(&path, &no_time), Err(Error::Deadline { .. })));
}

#[test]
fn odd_sides_grow_by_a_pixel_and_unfinished_files_vanish() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.mp4");
    let mut writer = VideoWriter::create(&path, 33, 17, &Encoding::default()).unwrap();
    writer.push(&RgbImage::from_pixel(33, 17, image::Rgb([200, 30, 60]))).unwrap();
    assert!(writer.push(&RgbImage::new(8, 8)).is_err(), "another size is refused");
    assert!(!path.exists(), "the name appears at the end");
    writer.finish().unwrap();
    let video = VideoSource::open(&path, &Limits::default()).unwrap();
    assert_eq!((video.info().width, video.info().height), (34, 18));
    let frame = video.frames_at_indices(&[0]).unwrap().remove(0);
    for (value, target) in frame.image.get_pixel(33, 17).0.into_iter().zip([200u8, 30, 60]) {
        assert!(value.abs_diff(target) < 12, "{:?}", frame.image.get_pixel(33, 17));
    }

    let mut writer = VideoWriter::create(dir.path().join("lost.mp4"), 32, 16, &Encoding::default()).unwrap();
    writer.push(&RgbImage::new(32, 16)).unwrap();
    drop(writer);
    let empty = VideoWriter::create(dir.path().join("empty.mp4"), 32, 16, &Encoding::default()).unwrap();
    assert!(empty.finish().is_err());
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["odd.mp4"]);
    assert!(VideoWriter::create(dir.path().join("none/x.mp4"), 32, 16, &Encoding::default()).is_err());
    let unknown = Encoding { encoder: Some("no-such".into()), ..Encoding::default() };
    assert!(VideoWriter::create(dir.path().join("x.mp4"), 32, 16, &unknown).is_err());
}

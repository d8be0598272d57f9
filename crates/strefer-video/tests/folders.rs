//! Folders of images and single images as videos.

mod common;

use std::time::Duration;

use common::{number, numbered};
use strefer_video::{Error, Limits, VideoSource, write::write_frames_dir};

#[test]
fn a_folder_is_read_in_the_order_of_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    for index in [10, 2, 1, 0, 9, 11] {
        numbered(index).save(dir.path().join(format!("{index}.png"))).unwrap();
    }
    std::fs::write(dir.path().join("notes.txt"), "no image").unwrap();
    std::fs::write(dir.path().join(".hidden.png"), "no image").unwrap();
    let video = VideoSource::open(dir.path(), &Limits::default()).unwrap();
    let numbers: Vec<usize> = video.iter().map(|frame| number(&frame.unwrap().image)).collect();
    assert_eq!(numbers, [0, 1, 2, 9, 10, 11]);
    assert_eq!(video.info().fps, 3.0);
    assert_eq!(video.info().duration_s, 2.0);
    let shown = video.frames_at_times(&[1.5, 0.0, 2.0]).unwrap();
    assert_eq!(shown.iter().map(|frame| frame.index).collect::<Vec<_>>(), [4, 0, 5]);
}

#[test]
fn written_frames_are_read_back_equal() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("clip");
    let frames: Vec<_> = (0..4).map(numbered).collect();
    write_frames_dir(&target, &frames).unwrap();
    let video = VideoSource::open(&target, &Limits::default()).unwrap();
    let again = video.frames_at_indices(&[3, 0, 3]).unwrap();
    assert_eq!(again.iter().map(|frame| frame.index).collect::<Vec<_>>(), [3, 0, 3]);
    assert!(again.iter().all(|frame| frame.image == frames[frame.index]));
    assert!(matches!(write_frames_dir(&target, &frames), Err(Error::Exists { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished is left");
}

#[test]
fn one_image_is_a_video_of_one_frame() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("picture.png");
    numbered(77).save(&file).unwrap();
    let video = VideoSource::open(&file, &Limits::default()).unwrap();
    assert_eq!(video.info().n_frames(), 1);
    assert_eq!(number(&video.frames_at_indices(&[0]).unwrap()[0].image), 77);
}

#[test]
fn wrong_folders_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    assert!(matches!(VideoSource::open(dir.path().join("none"), &limits), Err(Error::NotFound { .. })));
    assert!(matches!(VideoSource::open(dir.path(), &limits), Err(Error::NoFrames { .. })));

    numbered(0).save(dir.path().join("0.png")).unwrap();
    image::RgbImage::new(9, 9).save(dir.path().join("1.png")).unwrap();
    std::fs::write(dir.path().join("2.png"), "no image").unwrap();
    let video = VideoSource::open(dir.path(), &limits).unwrap();
    let error = video.frames_at_indices(&[1]).unwrap_err();
    assert!(error.to_string().contains("1.png") && error.to_string().contains("9x9"), "{error}");
    assert!(matches!(video.frames_at_indices(&[2]), Err(Error::Image { .. })));
    assert!(matches!(video.frames_at_indices(&[3]), Err(Error::NoIndex { index: 3, n_frames: 3, .. })));
    assert!(matches!(video.frames_at_times(&[1.01]), Err(Error::NoFrame { .. })));
    let mut frames = video.iter();
    assert!(frames.next().unwrap().is_ok() && frames.next().unwrap().is_err() && frames.next().is_none());
}

#[test]
fn a_budget_and_a_deadline_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    write_frames_dir(dir.path().join("clip"), &(0..3).map(numbered).collect::<Vec<_>>()).unwrap();
    let open = |limits: &Limits| VideoSource::open(dir.path().join("clip"), limits);
    let two_frames = Limits { max_bytes: 2 * 128 * 64 * 3, ..Limits::default() };
    let video = open(&two_frames).unwrap();
    assert_eq!(video.frames_at_indices(&[0, 2]).unwrap().len(), 2);
    assert!(matches!(video.frames_at_indices(&[0, 1, 2]), Err(Error::Budget { frames: 3, .. })));
    assert_eq!(video.iter().count(), 3, "an iteration holds one frame at a time");
    let no_time = Limits { deadline: Duration::ZERO, ..Limits::default() };
    assert!(matches!(open(&no_time).unwrap().frames_at_indices(&[0]), Err(Error::Deadline { .. })));
}

#[cfg(not(feature = "ffmpeg"))]
#[test]
fn without_ffmpeg_a_video_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clip.mp4");
    std::fs::write(&file, [0u8; 64]).unwrap();
    assert!(matches!(VideoSource::open(&file, &Limits::default()), Err(Error::NoFfmpeg { .. })));
    let encoding = strefer_video::write::Encoding::default();
    let writer = strefer_video::write::VideoWriter::create(&file, 8, 8, &encoding);
    assert!(matches!(writer, Err(Error::NoFfmpeg { .. })));
}

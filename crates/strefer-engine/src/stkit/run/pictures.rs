//! Frames with boxes drawn into them, a folder a clip.

use std::path::{Path, PathBuf};

use image::RgbImage;
use strefer_video::{Limits, VideoSource, jpeg};

use super::config::{PictureConfig, PictureKind};
use crate::error::{Error, Result};
use crate::pipeline::digest;
use crate::stkit::overlay::Overlay;

/// Frames of a video that are decoded at once.
const AT_ONCE: usize = 8;

/// The file in a folder that says what is drawn there.
const MARKS: &str = ".marks";

/// A frame as clips name it: a picture, or a video and the number of a frame in it (`park.mp4#15`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FramePath {
    pub path: PathBuf,
    pub number: Option<usize>,
}

impl FramePath {
    /// Finds a frame below a folder.
    pub fn find(root: &Path, text: &str) -> Result<Self> {
        let whole = root.join(text);
        if whole.exists() {
            return Ok(Self { path: whole, number: None });
        }
        let split =
            text.rsplit_once('#').and_then(|(path, number)| Some((root.join(path), number.parse().ok()?)));
        match split.filter(|(path, _)| path.exists()) {
            Some((path, number)) => Ok(Self { path, number: Some(number) }),
            None => Err(Error::Io { path: whole, source: std::io::ErrorKind::NotFound.into() }),
        }
    }
}

/// Draws the frames of an overlay below a folder, if they are not there yet. Frames are named as they lie.
pub(super) fn draw(
    overlay: &Overlay,
    dir: &Path,
    cfg: &PictureConfig,
    smallest_box: f64,
    is_stopped: &dyn Fn() -> bool,
) -> Result<bool> {
    let target = dir.join(&overlay.folder);
    let digest = digest::of_value(&(overlay, cfg, smallest_box))?;
    if std::fs::read_to_string(target.join(MARKS)).is_ok_and(|known| known == digest) {
        return Ok(true);
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let part =
        target.with_file_name(format!(".{}.part", target.file_name().unwrap_or_default().to_string_lossy()));
    if part.exists() {
        std::fs::remove_dir_all(&part).map_err(io(&part))?;
    }
    std::fs::create_dir_all(&part).map_err(io(&part))?;
    let mut video: Option<VideoSource> = None;
    for (portion, frames) in overlay.frames.chunks(AT_ONCE).enumerate() {
        if is_stopped() {
            return Ok(false);
        }
        for (place, mut image) in images(frames, &mut video)?.into_iter().enumerate() {
            let at = portion * AT_ONCE + place;
            let found = (image.height(), image.width());
            if overlay.size.is_some_and(|size| size != found) {
                let reason = format!("is {}x{}, its boxes are for another size", found.1, found.0);
                return Err(Error::BadFile { path: overlay.frames[at].clone().into(), reason });
            }
            overlay.draw(at, &mut image, smallest_box);
            write(&part, at, &image, cfg)?;
        }
    }
    replace(&part, &target).map_err(io(&target))?;
    std::fs::write(target.join(MARKS), digest).map_err(io(&target))?;
    Ok(true)
}

/// Puts the files of a folder in the place of those of another. Folders inside stay: they are those of other clips (`park/x` beside `park`).
fn replace(part: &Path, target: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(target)?;
    let files = |folder: &Path| -> std::io::Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
        Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
    };
    // Without its list of marks a folder is not whole.
    let marks = target.join(MARKS);
    if marks.exists() {
        std::fs::remove_file(&marks)?;
    }
    for old in files(target)? {
        std::fs::remove_file(old)?;
    }
    for file in files(part)? {
        std::fs::rename(&file, target.join(file.file_name().unwrap_or_default()))?;
    }
    std::fs::remove_dir_all(part)
}

/// Some frames of one clip. The video that they come from stays open.
fn images(frames: &[String], video: &mut Option<VideoSource>) -> Result<Vec<RgbImage>> {
    let paths =
        frames.iter().map(|frame| FramePath::find(Path::new(""), frame)).collect::<Result<Vec<_>>>()?;
    let numbers: Option<Vec<usize>> = paths.iter().map(|path| path.number).collect();
    if let (Some(numbers), Some(first)) = (numbers, paths.first())
        && paths.iter().all(|path| path.path == first.path)
    {
        let source = match video.take().filter(|source| source.path() == first.path) {
            Some(source) => source,
            None => VideoSource::open(&first.path, &Limits { threads: 1, ..Limits::default() })?,
        };
        let frames = source.frames_at_indices(&numbers)?;
        *video = Some(source);
        return Ok(frames.into_iter().map(|frame| frame.image).collect());
    }
    paths.iter().map(picture).collect()
}

fn picture(frame: &FramePath) -> Result<RgbImage> {
    let source = VideoSource::open(&frame.path, &Limits { threads: 1, ..Limits::default() })?;
    let mut frames = source.frames_at_indices(&[frame.number.unwrap_or(0)])?;
    let none = || Error::BadFile { path: frame.path.clone(), reason: "holds no picture".to_owned() };
    frames.pop().map(|frame| frame.image).ok_or_else(none)
}

fn write(dir: &Path, at: usize, image: &RgbImage, cfg: &PictureConfig) -> Result<()> {
    match cfg.kind {
        PictureKind::Jpeg => {
            let path = dir.join(format!("{at:05}.jpg"));
            let bytes = jpeg::encode(image, cfg.quality)?;
            std::fs::write(&path, bytes).map_err(|source| Error::Io { path, source })
        }
        PictureKind::Png => {
            let path = dir.join(format!("{at:05}.png"));
            image.save(&path).map_err(|error| Error::BadFile { path, reason: error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use strefer_core::Colour;

    use super::*;
    use crate::stkit::overlay::Mark;

    #[test]
    fn frames_are_pictures_or_numbers_in_a_video() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("film")).unwrap();
        std::fs::write(dir.path().join("a#2"), "").unwrap();
        let find = |text: &str| FramePath::find(dir.path(), text);
        assert_eq!(find("a#2").unwrap().number, None);
        assert_eq!(find("film#12").unwrap(), FramePath { path: dir.path().join("film"), number: Some(12) });
        for text in ["film#x", "b#2", "b"] {
            assert!(find(text).unwrap_err().to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn what_is_drawn_is_drawn_once_and_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let film = dir.path().join("film");
        std::fs::create_dir(&film).unwrap();
        for number in 0..3 {
            RgbImage::from_pixel(32, 24, image::Rgb([10 * number, 0, 0]))
                .save(film.join(format!("{number}.png")))
                .unwrap();
        }
        let mut overlay = Overlay {
            clip_id: "s/a".to_owned(),
            folder: "marked/s/a".to_owned(),
            frames: [2, 0].map(|number| format!("{}#{number}", film.display())).to_vec(),
            size: Some((24, 32)),
            marks: vec![Mark { colour: Colour::Green, boxes: vec![Some([4.0, 4.0, 20.0, 20.0]), None] }],
        };
        let cfg = PictureConfig { kind: PictureKind::Png, ..PictureConfig::default() };
        let draw = |overlay: &Overlay| draw(overlay, dir.path(), &cfg, 0.0, &|| false).unwrap();
        assert!(draw(&overlay));
        let read =
            |at: usize| image::open(dir.path().join(format!("marked/s/a/{at:05}.png"))).unwrap().into_rgb8();
        assert_eq!((read(0).get_pixel(4, 10).0, read(0).get_pixel(12, 12).0), ([0, 255, 0], [20, 0, 0]));
        assert_eq!(read(1), RgbImage::new(32, 24));
        let other = Overlay { folder: "marked/s/b".to_owned(), size: Some((48, 64)), ..overlay.clone() };
        let refused = super::draw(&other, dir.path(), &cfg, 0.0, &|| false).unwrap_err().to_string();
        assert!(refused.contains("film#2") && refused.contains("32x24"), "{refused}");
        // What is there is not read again.
        std::fs::remove_dir_all(&film).unwrap();
        assert!(draw(&overlay));
        overlay.marks.clear();
        let again = super::draw(&overlay, dir.path(), &cfg, 0.0, &|| false);
        assert!(again.unwrap_err().to_string().contains("film"));
    }
}

//! A person's question about a video becomes a [`Sample`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use strefer_core::placeholder::{Piece, pieces};
use strefer_core::sample::{Media, MediaKind, Region, RegionMode, Role, TimeRef, TimeStyle};
use strefer_core::{FrameKey, Gesture, IndexSpace, Mask, PixelPoint, Sample};
use strefer_video::VideoInfo;

use crate::error::{Error, Result};

/// A marked object.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// In one frame.
    Once {
        /// Its outline.
        shape: MarkShape,
        /// When it looks like that, in seconds.
        at_s: f64,
    },
    /// Its pixels in several frames, by their numbers: what it does is seen from them.
    Frames(BTreeMap<usize, Mask>),
}

/// The outline of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum MarkShape {
    /// Its pixels.
    Mask(Mask),
    /// What was drawn to point at it.
    Gesture(Gesture),
    /// Pixels of it and pixels beside it: for a [`Tracker`](crate::tracking::Tracker), which finds the object between them.
    Clicks {
        /// Its own.
        inside: Vec<PixelPoint>,
        /// Those of something else.
        outside: Vec<PixelPoint>,
    },
}

/// A video, image or folder of frames as a sample names it.
pub fn media(video: &Path, info: &VideoInfo) -> Media {
    let kind = if video.is_dir() {
        MediaKind::Frames
    } else if strefer_video::is_image(video) {
        MediaKind::Image
    } else {
        MediaKind::Video
    };
    let uri = video.to_string_lossy().into_owned();
    Media { kind, uri, segment: None, size: Some((info.height, info.width)) }
}

/// A question as a person puts it.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Names it in messages.
    pub id: String,
    /// The video file or folder.
    pub video: PathBuf,
    /// The text; `<region>` stands for the marked objects in order, `<time>` for the times.
    pub text: String,
    /// Marked objects. Those that the text does not mention are put before it.
    pub marks: Vec<Mark>,
    /// One moment, or the start and end of a span, in seconds. Put behind the text where it does not mention them.
    pub times_s: Vec<f64>,
}

impl Question {
    /// The sample that asks this about a video of `info`.
    ///
    /// # Errors
    /// A time outside the video, a mask of another size than its frames, a gesture that marks none of a frame's pixels,
    /// other numbers of `<region>` or `<time>`.
    pub fn to_sample(&self, info: &VideoInfo) -> Result<Sample> {
        let refuse = |reason: String| Error::Unsupported { id: self.id.clone(), reason };
        let end_s = info.times_s.last().copied().unwrap_or(0.0);
        let frame_at = |at_s: f64| {
            info.index_at(at_s).filter(|_| at_s >= 0.0 && at_s <= info.duration_s).ok_or_else(|| {
                Error::Video(strefer_video::Error::NoFrame { path: self.video.clone(), at_s, end_s })
            })
        };
        let media = media(&self.video, info);
        let uri = media.uri.clone();
        let mut sample = Sample::new(self.id.clone(), uri, vec![media]);
        for (rid, mark) in self.marks.iter().enumerate() {
            let key = |frame: usize| FrameKey(frame as u32);
            let (masks, fixed_key) = match mark {
                Mark::Once { shape, at_s } => {
                    let frame = frame_at(*at_s)?;
                    (vec![(key(frame), self.mask(rid, shape, info)?)], Some(key(frame)))
                }
                Mark::Frames(masks) => {
                    let masks =
                        masks.iter().map(|(&frame, mask)| Ok((key(frame), self.fitting(rid, mask, info)?)));
                    (masks.collect::<Result<_>>()?, None)
                }
            };
            sample.regions.push(Region {
                rid,
                eid: None,
                masks: masks.iter().map(|(key, mask)| (*key, mask.into())).collect(),
                index_space: IndexSpace::Source,
                mode: if fixed_key.is_some() { RegionMode::SingleFixed } else { RegionMode::Multi },
                fixed_key,
            });
        }
        for (tid, &s) in self.times_s.iter().enumerate() {
            frame_at(s)?;
            // The model's clock ends with the last frame.
            let s = s.min(end_s);
            sample.times.push(TimeRef { tid, s, rel_to: "media:0".to_owned(), style: TimeStyle::Token });
        }
        let text = place_times(&place_regions(&self.text, self.marks.len()), self.times_s.len());
        let mentioned =
            |wanted: fn(&Piece<'_>) -> bool| pieces(&text).iter().filter(|piece| wanted(piece)).count();
        let regions = mentioned(|piece| matches!(piece, Piece::Region(_)));
        if regions != self.marks.len() {
            return Err(refuse(format!(
                "the question mentions {regions} regions, {} are marked",
                self.marks.len()
            )));
        }
        let times = mentioned(|piece| matches!(piece, Piece::Time(_)));
        if times != self.times_s.len() || text.contains("<time>") {
            return Err(refuse(format!(
                "the question and the {} times given do not fit",
                self.times_s.len()
            )));
        }
        sample.say(Role::User, format!("<video>\n{text}"));
        Ok(sample)
    }

    fn mask(&self, region: usize, shape: &MarkShape, info: &VideoInfo) -> Result<Mask> {
        let bad = |source| Error::Mark { id: self.id.clone(), mark: region, source };
        match shape {
            MarkShape::Mask(mask) => self.fitting(region, mask, info),
            MarkShape::Gesture(gesture) => {
                gesture.to_mask(info.height as usize, info.width as usize).map_err(bad)
            }
            MarkShape::Clicks { .. } => Err(Error::Unsupported {
                id: self.id.clone(),
                reason: format!("mark {region} has points beside the object: only a segmenter can use them"),
            }),
        }
    }

    /// The mask, if it has the size of the frames.
    fn fitting(&self, region: usize, mask: &Mask, info: &VideoInfo) -> Result<Mask> {
        if (mask.height(), mask.width()) == (info.height as usize, info.width as usize) {
            return Ok(mask.clone());
        }
        Err(Error::MaskSize {
            id: self.id.clone(),
            region,
            mask_height: mask.height(),
            mask_width: mask.width(),
            video: self.video.clone(),
            height: info.height,
            width: info.width,
        })
    }
}

/// Numbers `<region>`; a text without any gets the objects before it.
fn place_regions(text: &str, count: usize) -> String {
    let mut text = text.to_owned();
    let mentioned = strefer_core::placeholder::number_regions(std::iter::once(&mut text));
    if mentioned > 0 || count == 0 || text.contains("<region:") {
        return text;
    }
    let objects: Vec<String> = (0..count).map(|index| format!("<region:{index}>")).collect();
    format!("About {}: {text}", objects.join(" and "))
}

/// Numbers `<time>`; a text without any gets the times behind it.
fn place_times(text: &str, count: usize) -> String {
    let mut parts = text.split("<time>");
    let mut placed = parts.next().unwrap_or_default().to_owned();
    let mut found = 0;
    for part in parts {
        placed.push_str(&format!("<time:{found}>{part}"));
        found += 1;
    }
    if found > 0 || count == 0 || text.contains("<time:") {
        return placed;
    }
    let (body, end) = match placed.trim_end().strip_suffix(['?', '.']) {
        Some(body) => (body, &placed.trim_end()[body.len()..]),
        None => (placed.as_str(), ""),
    };
    match count {
        1 => format!("{body} at <time:0>{end}"),
        _ => format!("{body} between <time:0> and <time:1>{end}"),
    }
}

/// Reads a mask from a PNG (everything that is not black is inside) or from JSON (`{"size": …, "counts": …}`).
pub fn read_mask(path: &Path) -> Result<Mask> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let bad = |reason: String| Error::Config { path: path.to_owned(), reason };
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let bytes = std::fs::read(path).map_err(io)?;
    if is_json {
        let rle: strefer_core::Rle =
            serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        return Ok(rle.to_mask());
    }
    let image = image::load_from_memory(&bytes).map_err(|error| bad(error.to_string()))?.into_rgba8();
    let (width, height) = image.dimensions();
    Ok(Mask::from_fn(height as usize, width as usize, |y, x| {
        let [red, green, blue, alpha] = image.get_pixel(x as u32, y as u32).0;
        alpha > 0 && (red, green, blue) != (0, 0, 0)
    }))
}

/// Reads a folder of an object's masks, each a PNG or JSON file named by the number of its frame (`00012.png`, as DAVIS has
/// them).
///
/// # Errors
/// No such file in the folder, one that is no mask, two of one frame.
pub fn read_masks(folder: &Path) -> Result<BTreeMap<usize, Mask>> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let bad = |reason: String| Error::Config { path: folder.to_owned(), reason };
    let mut masks = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<usize>().ok());
        let is_mask = path.extension().is_some_and(|ending| ending == "png" || ending == "json");
        if let (Some(frame), true) = (number, is_mask)
            && masks.insert(frame, read_mask(&path)?).is_some()
        {
            return Err(bad(format!("two masks of frame {frame}")));
        }
    }
    if masks.is_empty() {
        return Err(bad("no masks named by the numbers of frames (00012.png) are here".into()));
    }
    Ok(masks)
}

#[cfg(test)]
mod tests {
    use strefer_core::PixelBox;

    use super::*;

    fn info() -> VideoInfo {
        VideoInfo { width: 8, height: 6, fps: 2.0, duration_s: 2.0, times_s: vec![0.0, 0.5, 1.0, 1.5] }
    }

    fn question(text: &str, boxes: usize, times_s: &[f64]) -> Question {
        let shape = MarkShape::Gesture(Gesture::Box(PixelBox { x0: 1, y0: 1, x1: 4, y1: 4 }));
        Question {
            id: "q".into(),
            video: "v.mp4".into(),
            text: text.into(),
            marks: vec![Mark::Once { shape, at_s: 1.2 }; boxes],
            times_s: times_s.to_vec(),
        }
    }

    #[test]
    fn objects_and_times_that_the_text_does_not_mention_are_added() {
        let text = |question: Question| question.to_sample(&info()).unwrap().conversations[0].text.clone();
        assert_eq!(text(question("What is it?", 1, &[])), "<video>\nAbout <region:0>: What is it?");
        assert_eq!(
            text(question("What is <region> doing?", 1, &[1.0])),
            "<video>\nWhat is <region:0> doing at <time:0>?"
        );
        assert_eq!(
            text(question("Did <region> hit <region> between <time> and <time>?", 2, &[0.0, 1.5])),
            "<video>\nDid <region:0> hit <region:1> between <time:0> and <time:1>?"
        );
        let sample = question("What?", 1, &[]).to_sample(&info()).unwrap();
        assert_eq!(sample.regions[0].fixed_key, Some(FrameKey(2)));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_reason() {
        let refused = |question: Question| question.to_sample(&info()).unwrap_err().to_string();
        assert!(refused(question("<region> or <region>?", 1, &[])).contains("2 regions, 1 are marked"));
        assert!(refused(question("When?", 0, &[7.0])).contains("no frame at 7.000"));
        assert!(refused(question("What at <time>?", 0, &[])).contains("do not fit"));
        let mut other = question("What?", 1, &[]);
        other.marks[0] = Mark::Once { shape: MarkShape::Mask(Mask::zeros(3, 3)), at_s: 1.0 };
        assert!(refused(other).contains("the mask is 3x3"));
        let mut outside = question("What?", 1, &[]);
        let shape = MarkShape::Gesture(Gesture::Box(PixelBox { x0: 50, y0: 0, x1: 60, y1: 5 }));
        outside.marks[0] = Mark::Once { shape, at_s: 1.0 };
        assert_eq!(refused(outside), "question q, mark 0: box 50,0,60,5 lies outside the 8x6 frame");
    }

    #[test]
    fn every_way_to_point_becomes_a_mask_of_the_frame() {
        let corners: Vec<PixelPoint> = [(1, 1), (5, 1), (5, 4)].map(|(x, y)| PixelPoint { x, y }).to_vec();
        let ways = [
            Gesture::Points(corners.clone()),
            Gesture::Scribble(corners.clone()),
            Gesture::Polygon(corners),
            Gesture::Box(PixelBox { x0: 1, y0: 1, x1: 4, y1: 4 }),
        ];
        for gesture in ways {
            let mut asked = question("What?", 1, &[]);
            asked.marks[0] = Mark::Once { shape: MarkShape::Gesture(gesture.clone()), at_s: 1.2 };
            let sample = asked.to_sample(&info()).unwrap();
            let mask = sample.regions[0].masks[0].to_mask(None).unwrap().unwrap();
            assert_eq!(mask, gesture.to_mask(6, 8).unwrap());
        }
    }

    #[test]
    fn an_object_may_be_marked_in_several_frames() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, width: u32| {
            let image = image::GrayImage::from_pixel(width, 6, image::Luma([255]));
            image.save(folder.path().join(name)).unwrap();
        };
        assert!(read_masks(folder.path()).unwrap_err().to_string().contains("00012.png"));
        write("00003.png", 8);
        write("1.png", 8);
        write("overview.png", 8);
        let mut asked = question("What?", 0, &[]);
        asked.marks = vec![Mark::Frames(read_masks(folder.path()).unwrap())];
        let region = asked.to_sample(&info()).unwrap().regions.remove(0);
        assert_eq!(region.masks.keys().map(|key| key.0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((region.mode, region.fixed_key), (RegionMode::Multi, None));
        write("3.png", 8);
        assert!(read_masks(folder.path()).unwrap_err().to_string().contains("two masks of frame 3"));
        std::fs::remove_file(folder.path().join("3.png")).unwrap();
        write("2.png", 7);
        asked.marks = vec![Mark::Frames(read_masks(folder.path()).unwrap())];
        assert!(asked.to_sample(&info()).unwrap_err().to_string().contains("the mask is 6x7"));
    }
}

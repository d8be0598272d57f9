//! A video becomes parts.

use strefer_core::Span;
use strefer_core::records::{Boundary, ClipSpan};
use strefer_video::VideoSource;

use super::features::FrameFeatures;
use super::score::Hsv;
use super::semantic::Stretch;
use crate::config::ClipsConfig;
use crate::pipeline::fault::Fault;
use crate::pipeline::frames::read_frames;
use crate::pipeline::watch::Watch;

/// Frames of every second, third, … that are read at once.
const AT_ONCE: usize = 16;

/// Parts of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// They cover it in order, without gaps.
    pub clips: Vec<ClipSpan>,
    /// Frames that the cuts were sought among.
    pub looked: usize,
    /// Why frames at the end were not looked at, where they could not be read.
    pub unread: Option<String>,
}

/// Finds cuts, then parts inside shots. One frame is held at a time, of features 16.
///
/// # Errors
/// A video of which no frame can be read, features that cannot be had, a deadline, a stop.
pub fn detect(
    video: &VideoSource,
    cfg: &ClipsConfig,
    features: &dyn FrameFeatures,
    watch: &Watch<'_>,
) -> Result<Found, Fault> {
    let info = video.info();
    let step = info.n_frames().div_ceil(cfg.shots.most_frames).max(1);
    let (scores, unread) = scores(video, step, cfg.shots.width, watch)?;
    let cuts = cfg.shots.cuts(&scores);
    let mut edges = vec![0.0];
    edges.extend(cuts.iter().map(|&cut| millis(info.times_s[cut * step])));
    edges.retain(|edge| *edge < info.duration_s);
    edges.push(info.duration_s);
    edges.dedup();
    let shots: Vec<Span> = edges.windows(2).map(|pair| Span { start_s: pair[0], end_s: pair[1] }).collect();
    if shots.is_empty() {
        return Err(Fault::Unreadable { reason: format!("it lasts {} s", info.duration_s) });
    }
    let stretches = cfg.semantic.stretches(&shots);
    let described = describe(video, &stretches, features, watch)?;
    let clips = rounded(cfg.semantic.parts(&stretches, &described), info.duration_s);
    Ok(Found { clips, looked: scores.len(), unread })
}

/// How much each frame differs from the one before; those of a video whose end cannot be read stop there, and why.
fn scores(
    video: &VideoSource,
    step: usize,
    width: u32,
    watch: &Watch<'_>,
) -> Result<(Vec<f64>, Option<String>), Fault> {
    let (mut scores, mut before): (Vec<f64>, Option<Hsv>) = (Vec::new(), None);
    let mut add = |image: &image::RgbImage| {
        let now = Hsv::of(image, width);
        scores.push(before.as_ref().map_or(0.0, |before| now.difference(before)));
        before = Some(now);
    };
    let mut unread = None;
    if step == 1 {
        for frame in video {
            watch.check()?;
            match frame {
                Ok(frame) => add(&frame.image),
                Err(error) => unread = Some(error.to_string()),
            }
        }
    } else {
        let indices: Vec<usize> = (0..video.info().n_frames()).step_by(step).collect();
        for indices in indices.chunks(AT_ONCE) {
            watch.check()?;
            match video.frames_at_indices(indices) {
                Ok(frames) => frames.iter().for_each(|frame| add(&frame.image)),
                Err(error) => {
                    unread = Some(error.to_string());
                    break;
                }
            }
        }
    }
    match unread {
        Some(reason) if scores.is_empty() => Err(Fault::Unreadable { reason }),
        unread => Ok((scores, unread)),
    }
}

/// One row a stretch; a frame that cannot be read looks like the one before it.
fn describe(
    video: &VideoSource,
    stretches: &[Stretch],
    features: &dyn FrameFeatures,
    watch: &Watch<'_>,
) -> Result<Vec<Vec<f32>>, Fault> {
    let info = video.info();
    let last = info.n_frames().saturating_sub(1);
    let index = |stretch: &Stretch| info.index_at(stretch.middle_s()).unwrap_or(last);
    let wanted: Vec<usize> = stretches.iter().map(index).collect();
    let mut rows: Vec<Vec<f32>> = Vec::with_capacity(wanted.len());
    let mut missing = 0;
    for indices in wanted.chunks(AT_ONCE) {
        watch.check()?;
        let (read, images): (Vec<usize>, Vec<_>) =
            read_frames(video, indices)?.into_iter().map(|(place, frame)| (place, frame.image)).unzip();
        let described = features
            .describe(&images)
            .map_err(|reason| Fault::Model { model: features.name().to_owned(), reason })?;
        let mut found = read.into_iter().zip(described).peekable();
        for place in 0..indices.len() {
            match (found.next_if(|(at, _)| *at == place), rows.last()) {
                (Some((_, row)), _) => rows.push(row),
                (None, Some(before)) => rows.push(before.clone()),
                (None, None) => missing += 1,
            }
        }
    }
    let first = rows.first().cloned().ok_or_else(|| Fault::Unreadable {
        reason: "none of the frames that stand for its parts can be read".to_owned(),
    })?;
    Ok(std::iter::repeat_n(first, missing).chain(rows).collect())
}

fn millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Times in whole milliseconds; the end of the video stays what it is.
fn rounded(mut clips: Vec<ClipSpan>, end_s: f64) -> Vec<ClipSpan> {
    for clip in &mut clips {
        clip.start_s = millis(clip.start_s);
        clip.end_s = if clip.boundary == Boundary::End { end_s } else { millis(clip.end_s) };
    }
    clips
}

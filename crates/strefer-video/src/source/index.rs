//! The frames of a file, found by reading its packets once without decoding them.

use std::path::Path;

use video_rs::ffmpeg::Rational;

use super::container;
use super::decoder::{Decoder, Read};
use super::orientation::Orientation;
use crate::error::{Error, Result};
use crate::frame::VideoInfo;
use crate::limits::Limits;

/// Where the frames of a file lie.
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// Presentation time of each frame in ticks, ascending.
    pub pts: Vec<i64>,
    /// Frames at which decoding can start, ascending by `pts`.
    pub keys: Vec<Key>,
    /// Some packet had no time: frames are found by counting decoded pictures from the start.
    pub by_order: bool,
    /// How the pictures have to be turned.
    pub orientation: Orientation,
}

/// A frame at which decoding can start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Key {
    pub pts: i64,
    pub dts: i64,
}

impl Index {
    /// The last key frame that is shown no later than `pts`. Frames that lead an open group of pictures are shown before
    /// their key frame, so the group before it is found for them.
    pub fn key_before(&self, pts: i64) -> Option<Key> {
        self.keys[..self.keys.partition_point(|key| key.pts <= pts)].last().copied()
    }
}

/// Reads the packets of `path` once.
pub(super) fn build(path: &Path, limits: &Limits) -> Result<(VideoInfo, Index)> {
    let mut damage = container::missing_part(path).map_err(Error::io(path))?;
    let mut decoder = Decoder::open(path, limits.clock()).map_err(|error| match (&error, &damage) {
        (Error::Corrupt { .. }, Some(what)) => Error::Truncated { path: path.into(), what: what.clone() },
        _ => error,
    })?;

    let mut frames: Vec<(i64, i64)> = Vec::new(); // (pts, duration)
    let mut keys = Vec::new();
    let mut by_order = false;
    loop {
        match decoder.read_packet()? {
            Read::Packet(packet) if packet.is_discarded => {}
            Read::Packet(packet) if packet.is_cut => {
                damage.get_or_insert_with(|| "a packet is incomplete".to_string());
            }
            Read::Packet(packet) => match packet.pts {
                Some(pts) => {
                    frames.push((pts, packet.duration));
                    if packet.is_key {
                        keys.push(Key { pts, dts: packet.dts.unwrap_or(pts) });
                    }
                }
                None => by_order = true,
            },
            Read::Damaged => {
                damage.get_or_insert_with(|| "a packet cannot be read".to_string());
            }
            Read::End => break,
        }
    }
    if let Some(what) = damage.filter(|_| !limits.tolerate_damage) {
        return Err(Error::Truncated { path: path.into(), what });
    }
    if by_order {
        frames = count_pictures(path, limits)?;
        keys.clear();
    }
    frames.sort_unstable();
    frames.dedup_by_key(|frame| frame.0);
    keys.sort_unstable_by_key(|key: &Key| key.pts);

    let orientation = decoder.orientation();
    let info = describe(path, &decoder, orientation, &frames)?;
    let pts = frames.into_iter().map(|(pts, _)| pts).collect();
    Ok((info, Index { pts, keys, by_order, orientation }))
}

/// Decodes the whole file to learn when its pictures are shown.
fn count_pictures(path: &Path, limits: &Limits) -> Result<Vec<(i64, i64)>> {
    let mut decoder = Decoder::open(path, limits.clock())?;
    let tick = decoder.ticks_per_frame();
    let mut frames: Vec<(i64, i64)> = Vec::new();
    while let Some(picture) = decoder.next_picture()? {
        let after_last = frames.last().map_or(0, |last| last.0 + tick);
        let pts = picture.timestamp().filter(|&pts| frames.last().is_none_or(|last| pts > last.0));
        frames.push((pts.unwrap_or(after_last), tick));
    }
    Ok(frames)
}

fn describe(
    path: &Path,
    decoder: &Decoder,
    orientation: Orientation,
    frames: &[(i64, i64)],
) -> Result<VideoInfo> {
    let (Some(first), Some(last)) = (frames.first(), frames.last()) else {
        return Err(Error::NoFrames { path: path.into() });
    };
    let seconds = |ticks: i64| ticks as f64 * f64::from(decoder.time_base());
    let times_s: Vec<f64> = frames.iter().map(|frame| seconds(frame.0 - first.0)).collect();
    let last_s = if last.1 > 0 { seconds(last.1) } else { seconds(decoder.ticks_per_frame()) };
    let duration_s = seconds(last.0 - first.0) + last_s;
    let counted = frames.len() as f64 / duration_s;
    let fps = f64::from(claimed_rate(decoder.average_rate(), counted));
    let (mut width, mut height) = decoder.size();
    if width == 0 || height == 0 {
        return Err(Error::corrupt(path, "its pictures have no size"));
    }
    if orientation.swaps_sides() {
        (width, height) = (height, width);
    }
    let fps = if fps > 0.0 { fps } else { counted };
    Ok(VideoInfo { width, height, fps, duration_s, times_s })
}

/// The container's frame rate where it agrees with what was counted (it is exact then), else 0.
fn claimed_rate(claim: Rational, counted: f64) -> Rational {
    let agrees = claim.denominator() > 0 && (f64::from(claim) / counted - 1.0).abs() < 0.005;
    if agrees { claim } else { Rational::new(0, 1) }
}

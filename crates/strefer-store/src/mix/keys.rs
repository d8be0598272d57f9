//! What a sample is known by: its video, and what it says.

use strefer_core::Sample;
use strefer_core::rle::Counts;
use strefer_core::sample::{MediaKind, Role};
use strefer_core::segmentation::FrameMask;

use super::config::Duplicates;

/// Endings of videos and pictures, which are no part of a video's name.
const ENDINGS: [&str; 12] =
    ["mp4", "avi", "mkv", "webm", "mov", "gif", "m4v", "mpg", "mpeg", "jpg", "jpeg", "png"];

/// Characters of a YouTube id.
const YOUTUBE: usize = 11;

/// A number of fewer digits names no video by itself.
const SHORT: usize = 6;

/// The last part of a path without an ending of a video; with the part before it where it is a mere number or the name of a camera
/// (`0001`, `cam01`), which many videos share.
fn stem(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let start = path.rfind(['/', '\\']).map_or(0, |slash| slash + 1);
    let name = &path[start..];
    let end = match name.rsplit_once('.') {
        Some((stem, ending)) if ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) => start + stem.len(),
        _ => path.len(),
    };
    let digits = path[start..end].strip_prefix("cam").unwrap_or(&path[start..end]);
    let is_mere = digits.len() < SHORT && digits.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let before = path[..start.saturating_sub(1)].rfind(['/', '\\']).map_or(0, |slash| slash + 1);
    &path[if is_mere { before } else { start }..end]
}

/// By what a video is known across datasets: the last part of its path without an ending of a video (of a mere number or the name of a camera
/// the part before it, too); of what is named like a part of a YouTube video (`ID_60.0_210.0`, `ID_0:00:05.000_0:00:11.500`,
/// `v_ID`), its id.
pub fn video_key(path: &str) -> &str {
    let stem = stem(path);
    let is_id =
        |id: &str| id.len() == YOUTUBE && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    match stem.strip_prefix("v_") {
        Some(id) if is_id(id) => return id,
        _ => {}
    }
    let is_moment = |text: &str| {
        text.bytes().any(|b| b.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit() || b".:".contains(&b))
    };
    let mut parts = stem.rsplitn(3, '_');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(end), Some(start), Some(id)) if is_id(id) && is_moment(start) && is_moment(end) => id,
        _ => stem,
    }
}

/// The path of what a sample shows first; its `video_id` where it shows nothing.
fn path_of(sample: &Sample) -> &str {
    sample.media.first().map_or(&sample.video_id, |media| &media.uri)
}

/// The video of a sample by [`video_key`].
pub(super) fn video_of(sample: &Sample) -> &str {
    video_key(path_of(sample))
}

/// A digest of what a sample says, about what.
pub(super) fn content(sample: &Sample, by: Duplicates) -> u128 {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    // Two parts of one video are two clips here.
    add(stem(path_of(sample)).as_bytes());
    for media in &sample.media {
        // Pictures of one folder often are called like those of another.
        if media.kind == MediaKind::Image {
            add(media.uri.as_bytes());
        }
        let segment = media.segment.map(|part| [part.start_s, part.end_s.unwrap_or(f64::INFINITY)]);
        for s in segment.into_iter().flatten() {
            add(&s.to_le_bytes());
        }
    }
    for turn in &sample.conversations {
        if by == Duplicates::Question && turn.role == Role::Assistant {
            continue;
        }
        add(&[turn.role as u8]);
        add(plain(&turn.text).as_bytes());
    }
    for region in &sample.regions {
        for (key, mask) in &region.masks {
            add(&key.0.to_le_bytes());
            match mask {
                FrameMask::Rle(rle) => match &rle.counts {
                    Counts::Compressed(text) => add(text.as_bytes()),
                    Counts::Runs(counts) => counts.iter().for_each(|count| add(&count.to_le_bytes())),
                },
                FrameMask::Polygons(polygons) => {
                    for number in polygons.iter().flatten() {
                        add(&number.to_le_bytes());
                    }
                }
                FrameMask::Null | FrameMask::Missing => add(b"none"),
            }
        }
    }
    for time in &sample.times {
        add(&time.s.to_le_bytes());
    }
    let [digest @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *hasher.finalize().as_bytes();
    u128::from_le_bytes(digest)
}

/// Lower case, with one space for whatever is no letter and no digit.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.chars() {
        if c.is_alphanumeric() {
            if gap && !plain.is_empty() {
                plain.push(' ');
            }
            gap = false;
            plain.extend(c.to_lowercase());
        } else {
            gap = true;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn videos_are_known_by_the_end_of_their_path_or_their_youtube_id() {
        for (path, key) in [
            ("NExT-QA/videos/NExTVideo/0089/5379320378.mp4", "5379320378"),
            ("nextqa/0089/5379320378", "5379320378"),
            ("DAVIS/JPEGImages/480p/blackswan/", "blackswan"),
            ("qvh/RoripwjYFp8_360.0_510.0.mp4", "RoripwjYFp8"),
            ("Panda-70M/-0UHz3H2PXE_0:02:54.073_0:03:01.000.mp4", "-0UHz3H2PXE"),
            ("anet/v_sJFgo9H6zNo.mkv", "sJFgo9H6zNo"),
            ("v1.2.mp4", "v1.2"),
            ("train/park/0001.mp4", "park/0001"),
            ("marked/ego/cooking_7/cam01-00", "cooking_7/cam01-00"),
            ("0001", "0001"),
            ("a_1_2.mp4", "a_1_2"),
            ("clip_long_enough_1.MP4", "clip_long_enough_1"),
        ] {
            assert_eq!(video_key(path), key, "{path}");
        }
    }

    #[test]
    fn case_spaces_and_punctuation_do_not_count() {
        assert_eq!(plain("  What's <region:0>\n DOING? "), "what s region 0 doing");
        assert_eq!(plain("what s region 0 doing"), "what s region 0 doing");
        assert_eq!(plain("?!"), "");
    }
}

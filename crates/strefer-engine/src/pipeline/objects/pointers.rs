//! Frames in which masks show an object.

use strefer_core::records::Masklets;
use strefer_core::rle::{Rle, RleRecord};
use strefer_teacher::Clip;
use strefer_video::{VideoSource, draw};

use crate::pipeline::fault::Fault;
use crate::pipeline::frames;

/// The colour of outlines: prompts call it red.
const COLOUR: [u8; 3] = [255, 0, 0];

/// An object in one frame of the video.
#[derive(Debug, Clone, PartialEq)]
pub struct Pointer {
    /// The frame's number in the video.
    pub frame: usize,
    /// Pixels that show it.
    pub area: u64,
    /// Which.
    pub rle: RleRecord,
}

/// The frames of a video of `n_frames` that show an object, in order. Of keys that mean one frame the first counts.
pub fn pointers(masklets: &Masklets, eid: &str, n_frames: usize) -> Vec<Pointer> {
    let mut found: Vec<Pointer> = Vec::new();
    for object in masklets.objects.iter().filter(|object| object.eid == eid) {
        for (key, entry) in object.frames.iter().filter(|(_, entry)| entry.area > 0) {
            let frame = masklets.index_space.source_frame(*key, n_frames);
            if let Some(frame) = frame.filter(|frame| found.iter().all(|known| known.frame != *frame)) {
                found.push(Pointer { frame, area: entry.area, rle: entry.rle.clone() });
            }
        }
    }
    found.sort_by_key(|pointer| pointer.frame);
    found
}

/// The frames in which an object is largest, `count` at most, in order.
pub fn largest(pointers: &[Pointer], count: usize) -> Vec<&Pointer> {
    let mut chosen: Vec<&Pointer> = pointers.iter().collect();
    chosen.sort_by_key(|pointer| (std::cmp::Reverse(pointer.area), pointer.frame));
    chosen.truncate(count);
    chosen.sort_by_key(|pointer| pointer.frame);
    chosen
}

/// Frames spread over all, `count` at most.
pub fn spread(pointers: &[Pointer], count: usize) -> Vec<&Pointer> {
    let wanted = count.min(pointers.len());
    let place = |nth: usize| match wanted {
        0 | 1 => pointers.len() / 2,
        _ => nth * (pointers.len() - 1) / (wanted - 1),
    };
    (0..wanted).map(|nth| &pointers[place(nth)]).collect()
}

/// Frames as a teacher sees them, with a line along the edge of the object.
///
/// # Errors
/// None of the frames can be read; masks that are none.
pub fn outlined(video: &VideoSource, chosen: &[&Pointer], side: u32) -> Result<Clip, Fault> {
    let bad = |error: strefer_core::Error| Fault::Records { reason: error.to_string() };
    let masks = chosen.iter().map(|pointer| Rle::try_from(pointer.rle.clone()).map(|rle| rle.to_mask()));
    let masks = masks.collect::<strefer_core::Result<Vec<_>>>().map_err(bad)?;
    let indices: Vec<usize> = chosen.iter().map(|pointer| pointer.frame).collect();
    frames::painted(video, &indices, side, |index, image| {
        if let Some(at) = indices.iter().position(|known| *known == index) {
            draw::mask(image, &masks[at], COLOUR, 0.0);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_chosen_by_size_and_evenly() {
        let pointer = |(frame, area): (usize, u64)| {
            let rle = RleRecord { size: [1, 1], counts: strefer_core::rle::Counts::Runs(vec![0, 1]) };
            Pointer { frame, area, rle }
        };
        let all: Vec<Pointer> = [(0, 5), (3, 9), (4, 9), (8, 2), (9, 7)].map(pointer).into();
        let frames = |chosen: Vec<&Pointer>| chosen.iter().map(|one| one.frame).collect::<Vec<_>>();
        assert_eq!(frames(largest(&all, 1)), [3]);
        assert_eq!(frames(largest(&all, 3)), [3, 4, 9]);
        assert_eq!(frames(spread(&all, 3)), [0, 4, 9]);
        assert_eq!(frames(spread(&all, 1)), [4]);
        assert_eq!(frames(spread(&all, 9)), [0, 3, 4, 8, 9]);
        assert!(spread(&[], 2).is_empty());
    }
}

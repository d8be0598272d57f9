//! Which frames of a video a model sees: the rules of the published models, as pure functions.

use std::collections::BTreeSet;

/// `n` indices spread over `0..n_total`, both ends included, fractions cut off.
pub fn linspace_trunc(n_total: usize, n: usize) -> Vec<usize> {
    linspace_between(0, n_total.saturating_sub(1), n)
}

/// `n` indices spread from `first` to `last`, both included, fractions cut off.
pub fn linspace_between(first: usize, last: usize, n: usize) -> Vec<usize> {
    let (from, to) = (first as f64, last as f64);
    let step = if n > 1 { (to - from) / (n - 1) as f64 } else { 0.0 };
    let index = |i: usize| if i > 0 && i == n - 1 { last } else { (i as f64 * step + from) as usize };
    (0..n).map(index).collect()
}

/// The first and last frame of a stretch given in seconds, as Strefer's reader sets them: cut at the video's ends, and a
/// stretch that ends before it starts is one frame. The video must have a frame.
pub fn segment(start_s: f64, end_s: f64, fps: f64, n_total: usize) -> (usize, usize) {
    let last = n_total.saturating_sub(1);
    let frame = |at_s: f64| ((at_s * fps).max(0.0) as usize).min(last);
    let first = frame(start_s);
    (first, frame(end_s).max(first))
}

/// The first and last frame of a stretch given in seconds, as VideoRefer's reader sets them: one frame early, negative
/// times are 0, swapped ends are put right, and an empty stretch lasts a second.
pub fn videorefer_range(start_s: f64, end_s: f64, fps: f64, n_total: usize) -> (usize, usize) {
    let (start_s, end_s) = (start_s.max(0.0), end_s.max(0.0));
    let (start_s, mut end_s) = (start_s.min(end_s), start_s.max(end_s));
    if start_s == end_s {
        end_s = start_s + 1.0;
    }
    let before = |at_s: f64| ((at_s * fps) as usize).saturating_sub(1);
    let last = before(end_s).min(n_total.saturating_sub(1));
    (before(start_s).min(last), last)
}

/// VideoRefer's uniform rule: the middles of `n` equal parts of `n_total - 1`, halves to the even neighbour. Short videos
/// repeat frames.
pub fn midpoints(n_total: usize, n: usize) -> Vec<usize> {
    let part = n_total.saturating_sub(1) as f64 / n as f64;
    (0..n)
        .map(|i| ((part * i as f64 + part * (i + 1) as f64) / 2.0 + 1e-6).round_ties_even() as usize)
        .collect()
}

/// VideoRefer's rule at a rate: one frame out of `fps / target_fps`, the first in the middle of its step.
pub fn at_rate(n_total: usize, fps: f64, target_fps: f64) -> Vec<usize> {
    let step = ((fps / target_fps) as usize).min(n_total).max(1);
    (step / 2..n_total).step_by(step).collect()
}

/// Where a strided reading of `n` frames may start: `0..=max`. `None` when the video has fewer frames than that, where the
/// reference falls back to [`linspace_trunc`].
pub fn strided_max_start(n_total: usize, n: usize) -> Option<usize> {
    let stride = n_total.checked_div(n).filter(|&stride| stride > 0)?;
    Some(n_total - 1 - (n - 1) * stride)
}

/// Every `n_total / n`-th frame from `start` on.
pub fn strided(n_total: usize, n: usize, start: usize) -> Option<Vec<usize>> {
    let max_start = strided_max_start(n_total, n)?;
    let stride = n_total / n;
    (start <= max_start).then(|| (0..n).map(|i| start + i * stride).collect())
}

/// The moments of a stretch cut into `n` equal intervals: `first_s`, which lies in the first interval, and the same place
/// in each of the others. Moments past the end of the video are its end: its last frame is repeated.
pub fn clip_times(start_s: f64, end_s: f64, n: usize, first_s: f64, duration_s: f64) -> Vec<f64> {
    let interval_s = (end_s - start_s) / n as f64;
    (0..n).map(|i| (first_s + i as f64 * interval_s).min(duration_s)).collect()
}

/// The frames that carry masks, and where each object finds its own among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotatedFrames {
    /// Frames with a mask of any object, ascending, each once.
    pub frames: Vec<usize>,
    /// Per object: positions in `frames`, in the order of its annotation.
    pub rows: Vec<Vec<usize>>,
}

/// Collects the frames that the objects are annotated on. The order within an object is kept: it is the order in which
/// its tokens are merged.
pub fn annotated(frames_of_objects: &[Vec<usize>]) -> AnnotatedFrames {
    let frames: Vec<usize> =
        frames_of_objects.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let row = |frame: &usize| frames.partition_point(|other| other < frame);
    let rows = frames_of_objects.iter().map(|object| object.iter().map(row).collect()).collect();
    AnnotatedFrames { frames, rows }
}

/// At most `n` of `items`, spread evenly with both ends kept.
pub fn spread<T: Clone>(items: &[T], n: usize) -> Vec<T> {
    if items.len() <= n {
        return items.to_vec();
    }
    linspace_trunc(items.len(), n).into_iter().map(|index| items[index].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotated_frames_are_shared_and_keep_the_order_of_each_object() {
        let found = annotated(&[vec![30, 4], vec![], vec![4, 9, 30]]);
        assert_eq!(found.frames, [4, 9, 30]);
        assert_eq!(found.rows, [vec![2, 0], vec![], vec![0, 1, 2]]);
    }

    #[test]
    fn a_stretch_in_videorefer_starts_a_frame_early() {
        assert_eq!(videorefer_range(1.0, 2.0, 10.0, 100), (9, 19));
        assert_eq!(videorefer_range(2.0, 1.0, 10.0, 100), (9, 19));
        assert_eq!(videorefer_range(-3.0, 0.0, 10.0, 100), (0, 9));
        assert_eq!(videorefer_range(50.0, 60.0, 10.0, 100), (99, 99));
    }

    #[test]
    fn few_frames_are_all_kept_and_many_are_spread() {
        assert_eq!(spread(&[1, 5], 8), [1, 5]);
        assert_eq!(spread(&[0, 1, 2, 3, 4, 5, 6], 3), [0, 3, 6]);
        assert_eq!(linspace_trunc(7, 1), [0]);
        assert_eq!(linspace_trunc(0, 0), [0usize; 0]);
    }
}

//! Two kinds of average precision that share only their name.

use std::cmp::Ordering;

use crate::overlap::iou;

/// Predicted windows beyond these are not looked at.
const MOST_WINDOWS: usize = 10;

/// Precision over recall of windows found in order of their scores, at each IoU threshold: precision interpolated from
/// the right, summed where recall grows.
///
/// `predicted`: start, end, score, in the order of the file; `truth`: start, end. Seconds; not empty.
pub(super) fn of_windows<const T: usize>(
    predicted: &[[f64; 3]],
    truth: &[[f64; 2]],
    thresholds: &[f64; T],
) -> [f64; T] {
    let mut ranked: Vec<[f64; 3]> = predicted.iter().take(MOST_WINDOWS).copied().collect();
    ranked.sort_by(|a, b| descending(a[2], b[2]));
    let candidates: Vec<Vec<(usize, f64)>> = ranked.iter().map(|window| by_overlap(window, truth)).collect();
    thresholds.map(|threshold| area(&found(&candidates, truth.len(), threshold), truth.len()))
}

fn descending(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

/// True windows with their IoU, largest first; of equal ones the later.
fn by_overlap(window: &[f64; 3], truth: &[[f64; 2]]) -> Vec<(usize, f64)> {
    let mut candidates: Vec<(usize, f64)> =
        truth.iter().map(|&truth| iou([window[0], window[1]], truth)).enumerate().collect();
    candidates.sort_by(|a, b| descending(a.1, b.1).then(b.0.cmp(&a.0)));
    candidates
}

/// Which of the ranked windows take a true window that is still free.
fn found(candidates: &[Vec<(usize, f64)>], n_truth: usize, threshold: f64) -> Vec<bool> {
    let mut taken = vec![false; n_truth];
    let take = |candidates: &Vec<(usize, f64)>| {
        let free = candidates
            .iter()
            .take_while(|(_, iou)| *iou >= threshold)
            .map(|(at, _)| *at)
            .find(|&at| !taken[at]);
        free.is_some_and(|at| {
            taken[at] = true;
            true
        })
    };
    candidates.iter().map(take).collect()
}

fn area(found: &[bool], n_truth: usize) -> f64 {
    let mut hits = 0_usize;
    let mut points = vec![(0.0, 0.0)];
    for (before, &hit) in found.iter().enumerate() {
        hits += usize::from(hit);
        points.push((hits as f64 / n_truth as f64, hits as f64 / (before + 1) as f64));
    }
    points.push((1.0, 0.0));
    for at in (1..points.len()).rev() {
        points[at - 1].1 = points[at - 1].1.max(points[at].1);
    }
    points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * pair[1].1).sum()
}

/// Clips in order of their predicted saliency, ties in one step.
#[derive(Debug)]
pub(super) struct RankedClips {
    order: Vec<usize>,
    /// Ends of the steps in `order`.
    steps: Vec<usize>,
}

impl RankedClips {
    /// `saliency`: one score for each clip.
    pub(super) fn new(saliency: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..saliency.len()).collect();
        order.sort_by(|&a, &b| descending(saliency[a], saliency[b]));
        let ends = |&end: &usize| end == order.len() || saliency[order[end - 1]] != saliency[order[end]];
        let steps = (1..=order.len()).filter(ends).collect();
        Self { order, steps }
    }

    /// The mean of the interpolated precision over the steps at which recall grows.
    pub(super) fn average_precision(&self, positive: impl Fn(usize) -> bool) -> f64 {
        let mut hits_up_to = vec![0_usize];
        for &clip in &self.order {
            hits_up_to.push(hits_up_to[hits_up_to.len() - 1] + usize::from(positive(clip)));
        }
        let all = hits_up_to[self.order.len()];
        if all == 0 || all == self.order.len() {
            return if all == 0 { 0.0 } else { 1.0 };
        }
        let (mut precision, mut sum, mut kept) = (0.0_f64, 0.0, 0_usize);
        for (step, &end) in self.steps.iter().enumerate().rev() {
            let start = if step == 0 { 0 } else { self.steps[step - 1] };
            precision = precision.max(hits_up_to[end] as f64 / end as f64);
            if hits_up_to[end] != hits_up_to[start] {
                sum += precision;
                kept += 1;
            }
        }
        sum / kept as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_window_on_the_same_moment_takes_another_or_is_wrong() {
        let truth = [[0.0, 10.0], [10.0, 20.0]];
        let both = [[0.0, 20.0, 0.9], [0.0, 20.0, 0.8]];
        assert_eq!(of_windows(&both, &truth, &[0.5, 0.55]), [1.0, 0.0]);
        let twice = [[0.0, 10.0, 0.9], [0.0, 10.0, 0.8], [10.0, 20.0, 0.7]];
        // Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
        assert!((of_windows(&twice, &truth, &[0.5])[0] - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
        assert_eq!(of_windows(&[], &truth, &[0.5]), [0.0]);
    }

    #[test]
    fn only_the_first_ten_windows_of_the_file_count() {
        let mut windows = vec![[50.0, 60.0, 0.1]; 10];
        windows.push([0.0, 10.0, 0.9]);
        assert_eq!(of_windows(&windows, &[[0.0, 10.0]], &[0.5]), [0.0]);
        windows.swap(9, 10);
        assert_eq!(of_windows(&windows, &[[0.0, 10.0]], &[0.5]), [1.0]);
    }

    #[test]
    fn equal_saliency_is_one_step() {
        let clips = RankedClips::new(&[0.5, 0.5, 0.1, 0.9]);
        // Steps of 1, 2 and 1 clips; hits 0, 1, 1: precision 0, 1/3, 2/4, interpolated 1/2 at both steps that hit.
        assert_eq!(clips.average_precision(|clip| clip == 0 || clip == 2), 0.5);
        assert_eq!(clips.average_precision(|_| true), 1.0);
        assert_eq!(clips.average_precision(|_| false), 0.0);
    }
}

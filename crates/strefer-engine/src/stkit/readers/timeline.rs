//! From the moments of a recording to the half-second grid of a clip. Only the readers behind features need it.

/// Between two frames of a clip, in microseconds.
pub(super) const STEP_US: i64 = 500_000;

/// The nearest of ascending times; of two equally near the earlier.
pub(super) fn nearest(times_us: &[i64], at_us: i64) -> Option<usize> {
    let next = times_us.partition_point(|&time_us| time_us < at_us);
    let candidates = [next.checked_sub(1), Some(next).filter(|&next| next < times_us.len())];
    candidates.into_iter().flatten().min_by_key(|&at| times_us[at].abs_diff(at_us))
}

/// For every moment of the grid from the first to the last of ascending times, the nearest time; `None` where none lies within
/// `slack_us` of it.
pub(super) fn on_grid(times_us: &[i64], slack_us: i64) -> Vec<Option<usize>> {
    let (Some(&first_us), Some(&last_us)) = (times_us.first(), times_us.last()) else { return Vec::new() };
    let moments =
        (0..).map(|step| first_us + step * STEP_US).take_while(|at_us| *at_us <= last_us + slack_us);
    let found = moments.map(|at_us| {
        nearest(times_us, at_us).filter(|&at| times_us[at].abs_diff(at_us) <= slack_us.unsigned_abs())
    });
    found.collect()
}

/// The longest stretch without a hole, of equally long ones the first: where it begins, and what is in it.
pub(super) fn longest_stretch<T>(items: Vec<Option<T>>) -> (usize, Vec<T>) {
    let (mut best, mut current): ((usize, Vec<T>), (usize, Vec<T>)) = ((0, Vec::new()), (0, Vec::new()));
    for (at, item) in items.into_iter().enumerate() {
        match item {
            Some(item) => current.1.push(item),
            None => {
                if current.1.len() > best.1.len() {
                    best = std::mem::take(&mut current);
                }
                current = (at + 1, Vec::new());
            }
        }
    }
    if current.1.len() > best.1.len() { current } else { best }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_takes_every_fifth_of_ten_a_second_and_sees_holes() {
        let mut times_us: Vec<i64> = (0..21).map(|at| 7_000 + at * 100_000 + at % 3 * 1_000).collect();
        let grid = [0, 5, 10, 15, 20].map(Some);
        assert_eq!(on_grid(&times_us, 50_000), grid);
        // Without the sweeps round the third moment.
        times_us.drain(9..12);
        assert_eq!(on_grid(&times_us, 50_000), [Some(0), Some(5), None, Some(12), Some(17)]);
        assert_eq!(on_grid(&[], 50_000), []);
        assert_eq!(nearest(&[0, 10], 5), Some(0));
    }

    #[test]
    fn the_longest_stretch_is_kept() {
        let items = vec![Some(0), None, Some(2), Some(3), None, Some(5), Some(6)];
        assert_eq!(longest_stretch(items), (2, vec![2, 3]));
        assert_eq!(longest_stretch::<u8>(vec![None, None]), (0, Vec::new()));
        assert_eq!(longest_stretch(vec![None, Some(1)]), (1, vec![1]));
    }
}

//! How the rows of a pass go through the model: those of like length together, and on CPUs in portions side by side.

use strefer_model::VideoLlmConfig;

use crate::config::TrainConfig;
use crate::plan::{Kept, Learning, Place, RowSize, kept};

/// The most portions of a group; products of fewer rows use a core less well.
const MOST: usize = 4;

/// The share of what a pass keeps for its backward that the gradients of its portions may take besides.
const ROOM: f64 = 0.25;

/// Divides the rows of a pass. It depends on the run alone, so that the numbers do not depend on how many threads there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portions<'a> {
    run: &'a TrainConfig,
    model: &'a VideoLlmConfig,
    learning: Learning,
    /// Numbers that learn.
    learn: usize,
    place: Place,
}

/// The rows of a pass, divided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Divided<T> {
    /// Those of long rows first.
    pub portions: Vec<Vec<T>>,
    /// Whether they go side by side, each with gradients of its own, or one after the other.
    pub side_by_side: bool,
}

impl<'a> Portions<'a> {
    /// As a run divides them on CPUs, or on cards, each of whose operations is shared out already.
    pub(crate) fn new(
        run: &'a TrainConfig,
        model: &'a VideoLlmConfig,
        learning: Learning,
        learn: usize,
        place: Place,
    ) -> Self {
        Self { run, model, learning, learn, place }
    }

    /// Divides the rows of a pass.
    pub(crate) fn of<T>(&self, rows: Vec<T>, size: impl Fn(&T) -> RowSize) -> Divided<T> {
        if self.run.steps.pack > 0 {
            let portions = if rows.is_empty() { Vec::new() } else { vec![rows] };
            return Divided { portions, side_by_side: false };
        }
        let groups = by_length(rows, |row| size(row).positions);
        let kept = |group: &Vec<T>| self.kept(&group.iter().map(&size).collect::<Vec<_>>()).most;
        let kept: Vec<usize> = groups.iter().map(kept).collect();
        let room = |kept: usize| kept as f64 * ROOM / self.learn.max(1) as f64;
        let count =
            |(group, kept): (&Vec<T>, &usize)| (room(*kept) as usize).min(MOST).min(group.len()).max(1);
        let counts: Vec<usize> = groups.iter().zip(&kept).map(count).collect();
        let has_room = counts.iter().sum::<usize>() as f64 <= room(kept.iter().sum());
        if self.place.is_card() || !self.run.may_go_side_by_side() || !has_room {
            return Divided { portions: groups, side_by_side: false };
        }
        let portions = groups.into_iter().zip(counts).flat_map(|(group, count)| divided(group, count));
        Divided { portions: portions.collect(), side_by_side: true }
    }

    /// The most that the portions under way at a time keep, with so many threads; and the sets of gradients at the end of the
    /// pass, when other passes of the step came `before` it.
    pub(crate) fn held(&self, pass: &Divided<RowSize>, threads: usize, before: bool) -> (Kept, usize) {
        let sets = pass.portions.len() + usize::from(before);
        // One after the other, each is added to the sum before the next begins.
        let (at_once, sets) = if pass.side_by_side { (threads, sets) } else { (1, sets.min(2)) };
        let mut each: Vec<Kept> = pass.portions.iter().map(|rows| self.kept(rows)).collect();
        each.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.most));
        let kept = if at_once == 1 {
            each.into_iter().fold(Kept::default(), Kept::max)
        } else {
            each.into_iter().take(at_once).sum()
        };
        (kept, sets)
    }

    fn kept(&self, rows: &[RowSize]) -> Kept {
        kept(rows, self.model, self.learning, self.run, self.place)
    }
}

/// Rows of like length, longest first: padding a short prompt to a long one costs as much as the long one.
fn by_length<T>(rows: Vec<T>, length: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut rows: Vec<(usize, T)> = rows.into_iter().map(|row| (length(&row), row)).collect();
    rows.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    let (mut groups, mut longest) = (Vec::<Vec<T>>::new(), 0);
    for (length, row) in rows {
        match groups.last_mut() {
            Some(group) if 5 * length >= 3 * longest => group.push(row),
            _ => {
                longest = length;
                groups.push(vec![row]);
            }
        }
    }
    groups
}

/// So many stretches of a group, as equal as can be.
fn divided<T>(group: Vec<T>, count: usize) -> Vec<Vec<T>> {
    let (len, mut rows) = (group.len(), group.into_iter());
    (0..count).map(|at| rows.by_ref().take((at + 1) * len / count - at * len / count).collect()).collect()
}

#[cfg(test)]
mod tests {
    use strefer_model::Checkpoint;

    use super::*;
    use crate::config::Part;

    #[test]
    fn rows_of_like_length_stay_together_and_none_is_lost() {
        let rows = vec![30, 100, 61, 59, 60, 10, 18];
        let groups = by_length(rows, |row| *row);
        assert_eq!(groups, [vec![100, 61, 60], vec![59], vec![30, 18], vec![10]]);
        assert!(by_length(Vec::<usize>::new(), |row| *row).is_empty());
    }

    #[test]
    fn small_models_go_side_by_side_where_their_gradients_are_small_beside_what_is_kept() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut run = TrainConfig::load(&root.join("configs/train/demo.toml"), &[]).unwrap();
        let model = Checkpoint::open(root.join("checkpoints/strefer-tiny/base")).unwrap().config;
        let learning = Learning::of(&[Part::Vision, Part::Connector, Part::Region, Part::Language]);
        let row = |positions| RowSize { positions, supervised: 60, frames: 8, video_tokens: 128 };
        let alike = vec![row(300); 8];
        let lens = |run: &TrainConfig, learn: usize, on_card: bool, rows: &[RowSize]| {
            let place = if on_card { Place::Card { fused: true } } else { Place::Processor };
            let portions = Portions::new(run, &model, learning, learn, place);
            let Divided { portions, side_by_side } = portions.of(rows.to_vec(), |row| *row);
            (portions.iter().map(Vec::len).collect::<Vec<_>>(), side_by_side)
        };
        let tiny = 1_200_000;
        assert_eq!(lens(&run, tiny, false, &alike), (vec![2, 2, 2, 2], true));
        assert_eq!(lens(&run, tiny, true, &alike), (vec![8], false));
        assert_eq!(lens(&run, 30 * tiny, false, &alike), (vec![8], false));
        // Groups of other lengths go one after the other, too, where there is no room for a set of gradients of each.
        let unlike = [row(2000), row(1000), row(300), row(300), row(100)];
        assert_eq!(lens(&run, tiny, false, &unlike), (vec![1, 1, 1, 1, 1], true));
        assert_eq!(lens(&run, 30 * tiny, false, &unlike), (vec![1, 1, 2, 1], false));

        let portions = Portions::new(&run, &model, learning, tiny, Place::Processor);
        let pass = portions.of(alike.clone(), |row| *row);
        let (two, sets) = portions.held(&pass, 2, false);
        let (held, other) = portions.held(&pass, 4, true);
        assert_eq!((2 * two.most, sets + 1), (held.most, other));
        let large = Portions::new(&run, &model, learning, 30 * tiny, Place::Processor);
        let pass = large.of(unlike.to_vec(), |row| *row);
        // The longest keep most, two together the most of the tower.
        let [longest, two] = [&pass.portions[0], &pass.portions[2]].map(|rows| large.kept(rows));
        assert!(longest.most > two.most && two.tower > longest.tower);
        assert_eq!(large.held(&pass, 4, true), (longest.max(two), 2));
        run.steps.recompute = true;
        assert_eq!(lens(&run, tiny, false, &alike), (vec![8], false));
    }

    #[test]
    fn a_group_is_divided_as_equally_as_can_be() {
        assert_eq!(divided(vec![1, 2, 3, 4, 5], 2), [vec![1, 2], vec![3, 4, 5]]);
        assert_eq!(divided(vec![1, 2, 3], 3), [[1], [2], [3]]);
        assert_eq!(divided(vec![1, 2, 3], 1), [[1, 2, 3]]);
    }
}

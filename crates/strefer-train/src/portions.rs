//! How the rows of a pass go through the model: those of like length together, and on CPUs in portions side by side.

use strefer_model::VideoLlmConfig;

use crate::config::{Float, TrainConfig};
use crate::plan::{Learning, RowSize, kept};

/// The most portions of a group; products of fewer rows use a core less well.
const MOST: usize = 4;

/// The share of what a group keeps for its backward that the gradients of its portions may take besides.
const ROOM: f64 = 0.25;

/// Divides the rows of a pass. It depends on the run alone, so that a run gives the same numbers whatever the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portions<'a> {
    run: &'a TrainConfig,
    model: &'a VideoLlmConfig,
    learning: Learning,
    /// Numbers that learn.
    learn: usize,
    side_by_side: bool,
}

impl<'a> Portions<'a> {
    /// As a run on CPUs divides them.
    pub(crate) fn new(
        run: &'a TrainConfig,
        model: &'a VideoLlmConfig,
        learning: Learning,
        learn: usize,
    ) -> Self {
        // Who runs layers again wants memory, not time; what is dropped depends on the order of passes; and narrow numbers are a
        // card's, which shares out every operation itself.
        let dropout = run.lora.as_ref().is_some_and(|lora| lora.dropout > 0.0);
        let (steps, f32) = (&run.steps, run.steps.dtype == Float::F32);
        let side_by_side = f32 && !steps.recompute && steps.pack == 0 && !dropout;
        Self { run, model, learning, learn, side_by_side }
    }

    /// As a run divides them where portions cannot go side by side.
    pub(crate) fn one_by_one(self) -> Self {
        Self { side_by_side: false, ..self }
    }

    /// Whether portions go side by side, each with gradients of its own.
    pub(crate) fn side_by_side(&self) -> bool {
        self.side_by_side
    }

    /// The portions, those of long rows first.
    pub(crate) fn of<T>(&self, rows: Vec<T>, size: impl Fn(&T) -> RowSize) -> Vec<Vec<T>> {
        if self.run.steps.pack > 0 {
            return if rows.is_empty() { Vec::new() } else { vec![rows] };
        }
        let mut portions = Vec::new();
        for group in by_length(rows, |row| size(row).positions) {
            let sizes: Vec<RowSize> = group.iter().map(&size).collect();
            portions.extend(divided(group, self.count(&sizes)));
        }
        portions
    }

    /// Numbers that those of a pass's portions keep which are under way at the same time, on so many threads; and the sets of
    /// gradients that are there at its end, when other passes of the step were `before` it.
    pub(crate) fn held(&self, portions: &[Vec<RowSize>], threads: usize, before: bool) -> (usize, usize) {
        let sets = portions.len() + usize::from(before);
        // One by one, each is added to the sum before the next begins.
        let (at_once, sets) = if self.side_by_side { (threads, sets) } else { (1, sets.min(2)) };
        let mut each: Vec<usize> = portions.iter().map(|rows| self.kept(rows)).collect();
        each.sort_unstable_by_key(|kept| std::cmp::Reverse(*kept));
        (each.iter().take(at_once).sum(), sets)
    }

    fn count(&self, group: &[RowSize]) -> usize {
        if !self.side_by_side {
            return 1;
        }
        let room = self.kept(group) as f64 * ROOM / self.learn.max(1) as f64;
        (room as usize).min(MOST).min(group.len()).max(1)
    }

    fn kept(&self, rows: &[RowSize]) -> usize {
        kept(rows, self.model, self.learning, &self.run.steps)
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
        let rows = vec![row(300); 8];
        let lens = |run: &TrainConfig, learn: usize| -> Vec<usize> {
            let portions = Portions::new(run, &model, learning, learn);
            portions.of(rows.clone(), |row| *row).iter().map(Vec::len).collect()
        };
        let tiny = 1_200_000;
        assert_eq!(lens(&run, tiny), [2, 2, 2, 2]);
        assert_eq!(lens(&run, 30 * tiny), [8]);
        let portions = Portions::new(&run, &model, learning, tiny);
        assert_eq!(portions.one_by_one().of(rows.clone(), |row| *row).len(), 1);
        let divided = portions.of(rows.clone(), |row| *row);
        let (two, sets) = portions.held(&divided, 2, false);
        assert_eq!((2 * two, sets), (portions.held(&divided, 4, true).0, 4));
        run.steps.recompute = true;
        assert_eq!(lens(&run, tiny), [8]);
    }

    #[test]
    fn a_group_is_divided_as_equally_as_can_be() {
        assert_eq!(divided(vec![1, 2, 3, 4, 5], 2), [vec![1, 2], vec![3, 4, 5]]);
        assert_eq!(divided(vec![1, 2, 3], 3), [[1], [2], [3]]);
        assert_eq!(divided(vec![1, 2, 3], 1), [[1, 2, 3]]);
    }
}

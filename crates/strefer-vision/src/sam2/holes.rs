//! Small holes in masks are closed.

/// What a cell in a filled hole becomes.
const FILLED: f32 = 0.1;

/// Groups of cells outside the mask (logit not above zero) that touch by side or corner and have no more than `area` cells
/// become part of it.
///
/// # Shapes
/// - `logits`: row by row, `width` to a row
pub fn fill_holes(logits: &mut [f32], width: usize, area: usize) {
    if width == 0 || area == 0 {
        return;
    }
    let mut groups = Groups::new(logits.len());
    let outside = |at: usize| logits[at] <= 0.0;
    for at in (0..logits.len()).filter(|at| outside(*at)) {
        let x = at % width;
        // Neighbours that were seen before: left, and three above.
        let left = (x > 0).then(|| at - 1);
        let above = at.checked_sub(width);
        let above_left = above.filter(|_| x > 0).map(|above| above - 1);
        let above_right = above.filter(|_| x + 1 < width).map(|above| above + 1);
        for neighbour in
            [left, above_left, above, above_right].into_iter().flatten().filter(|at| outside(*at))
        {
            groups.unite(at, neighbour);
        }
    }
    for (at, logit) in logits.iter_mut().enumerate() {
        if *logit <= 0.0 && groups.size_of(at) <= area {
            *logit = FILLED;
        }
    }
}

/// Sets of cells, each with one cell that stands for it.
struct Groups {
    parent: Vec<usize>,
    size: Vec<usize>,
}

impl Groups {
    fn new(cells: usize) -> Self {
        Self { parent: (0..cells).collect(), size: vec![1; cells] }
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            let (large, small) = if self.size[a] < self.size[b] { (b, a) } else { (a, b) };
            self.parent[small] = large;
            self.size[large] += self.size[small];
        }
    }

    fn size_of(&mut self, at: usize) -> usize {
        let root = self.root(at);
        self.size[root]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_holes_are_closed_and_corners_count_as_touching() {
        let picture = ["#######", "#.###.#", "##.####", "#######", "...####"];
        let mut logits: Vec<f32> =
            picture.concat().chars().map(|cell| if cell == '#' { 2.0 } else { -3.0 }).collect();
        let before = logits.clone();
        fill_holes(&mut logits, 7, 0);
        assert_eq!(logits, before);
        fill_holes(&mut logits, 7, 1);
        let closed = |logits: &[f32]| logits.iter().filter(|x| **x == FILLED).count();
        assert_eq!((closed(&logits), logits[7 + 5]), (1, FILLED));
        fill_holes(&mut logits, 7, 2);
        assert_eq!((closed(&logits), logits[2 * 7 + 2]), (3, FILLED));
        assert_eq!(logits[4 * 7], -3.0);
    }
}

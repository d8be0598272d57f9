//! Pieces become objects: those that look alike and are never in two places at once.

use super::follow::Piece;
use super::{CorrectedConfig, likeness, mean_look, together};

/// Looks must be this much alike to believe that two tracks met on one object.
const MET_LIKENESS: f64 = 0.5;

/// Positions of the pieces of each object, in the order of time.
pub(super) fn objects(pieces: &[Piece], met: &[(usize, usize)], cfg: &CorrectedConfig) -> Vec<Vec<usize>> {
    let mut objects: Vec<Vec<usize>> = (0..pieces.len()).map(|piece| vec![piece]).collect();
    let mut join = |first: usize, second: usize| {
        let of = |objects: &Vec<Vec<usize>>, piece| objects.iter().position(|object| object.contains(&piece));
        let (Some(first), Some(second)) = (of(&objects, first), of(&objects, second)) else { return };
        if first == second || !fit(pieces, &objects[first], &objects[second]) {
            return;
        }
        let more = objects.remove(first.max(second));
        objects[first.min(second)].extend(more);
    };
    for &(earlier, later) in met {
        let alike = likeness(pieces[earlier].look.as_ref(), pieces[later].look.as_ref());
        if alike.is_none_or(|alike| alike >= MET_LIKENESS) {
            join(earlier, later);
        }
    }
    // The most alike first; one that fits two others about as well is joined with neither before the referee is asked.
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for first in 0..pieces.len() {
        for second in first + 1..pieces.len() {
            let (a, b) = (&pieces[first], &pieces[second]);
            if noun(a) == noun(b)
                && !together(a, b).0
                && let Some(alike) = likeness(a.look.as_ref(), b.look.as_ref())
                && alike >= cfg.join_likeness
            {
                pairs.push((alike, first, second));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    for (_, first, second) in pairs {
        join(first, second);
    }
    for object in &mut objects {
        object.sort_by_key(|&piece| pieces[piece].masks.keys().next().copied());
    }
    objects
}

/// The noun that fits a piece best.
pub(super) fn noun(piece: &Piece) -> Option<usize> {
    let best =
        (0..piece.nouns.len()).max_by(|&a, &b| piece.nouns[a].total_cmp(&piece.nouns[b]).then(b.cmp(&a)));
    best.filter(|&noun| piece.nouns[noun] > 0.0)
}

/// Whether all pieces of two objects may be one.
pub(super) fn fit(pieces: &[Piece], first: &[usize], second: &[usize]) -> bool {
    let apart =
        |a: &Piece, b: &Piece| a.expression.zip(b.expression).is_some_and(|(own, other)| own != other);
    let fits = |a: &Piece, b: &Piece| !apart(a, b) && !together(a, b).0;
    first.iter().all(|&a| second.iter().all(|&b| fits(&pieces[a], &pieces[b])))
}

/// The look of several pieces.
pub(super) fn look(pieces: &[Piece], object: &[usize]) -> Option<Vec<f32>> {
    mean_look(object.iter().filter_map(|&piece| pieces[piece].look.as_ref()))
}

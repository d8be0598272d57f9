//! What the referee says about several frames.

use std::collections::BTreeSet;

use strefer_core::Rle;
use strefer_core::records::{MaskletsFailure, PerceptionStage};

use super::CorrectedConfig;
use super::follow::Piece;
use crate::masklets::seam::{Area, Perception, at};

/// Where an object is on a frame.
fn mask_at<'a>(pieces: &'a [Piece], object: &[usize], position: usize) -> Option<&'a Rle> {
    object.iter().find_map(|&piece| pieces[piece].masks.get(&position))
}

/// The frames to ask about: each shows objects that others have not shown yet, as many as there are.
fn frames(pieces: &[Piece], objects: &[&Vec<usize>], most: usize) -> Vec<usize> {
    let all: BTreeSet<usize> = objects
        .iter()
        .flat_map(|object| object.iter().flat_map(|&piece| pieces[piece].masks.keys().copied()))
        .collect();
    let largest: Vec<u64> = objects
        .iter()
        .map(|object| {
            let areas = object.iter().flat_map(|&piece| pieces[piece].masks.values().map(Rle::area));
            areas.max().unwrap_or(1).max(1)
        })
        .collect();
    let mut shown = vec![0usize; objects.len()];
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < most {
        let gain = |position: usize| -> f64 {
            let of = |(at, object): (usize, &&Vec<usize>)| {
                let mask = mask_at(pieces, object, position)?;
                // An object half hidden is half as good to ask about.
                Some(mask.area() as f64 / largest[at] as f64 / (1.0 + shown[at] as f64).powi(2))
            };
            objects.iter().enumerate().filter_map(of).sum()
        };
        let open = all.iter().copied().filter(|position| !chosen.contains(position));
        let best = open.max_by(|&a, &b| gain(a).total_cmp(&gain(b)).then(b.cmp(&a)));
        let Some(best) = best.filter(|&best| gain(best) > 0.0) else { break };
        for (at, object) in objects.iter().enumerate() {
            shown[at] += usize::from(mask_at(pieces, object, best).is_some());
        }
        chosen.push(best);
    }
    chosen
}

/// How much speaks for each object, from 0 to 1, for each expression.
///
/// # Shapes
/// - returns: one row an expression, one column an object
pub(super) fn votes(
    pieces: &[Piece],
    objects: &[&Vec<usize>],
    expressions: &[&str],
    perception: &mut Perception,
    cfg: &CorrectedConfig,
) -> Result<Vec<Vec<f64>>, MaskletsFailure> {
    let mut votes = vec![vec![0.0; objects.len()]; expressions.len()];
    let mut asked = vec![0usize; objects.len()];
    for position in frames(pieces, objects, cfg.vote_frames) {
        let shown: Vec<(usize, Area)> = objects
            .iter()
            .enumerate()
            .filter_map(|(at, object)| {
                let found = mask_at(pieces, object, position)?.bbox()?;
                Some((at, [found.x0, found.y0, found.x1, found.y1].map(|side| side as f64)))
            })
            .collect();
        let areas: Vec<Area> = shown.iter().map(|(_, area)| *area).collect();
        let answers = perception.referee.refer(position, &areas, expressions);
        let answers = at(PerceptionStage::Referee, position, answers)?;
        for (row, answer) in votes.iter_mut().zip(answers) {
            let mut said: Vec<(usize, f64)> = Vec::new();
            for (nth, &index) in answer.indices.iter().enumerate() {
                let sure = answer.confidence.get(nth).copied().unwrap_or(1.0).clamp(0.0, 1.0);
                if index < shown.len() && !said.iter().any(|(known, _)| *known == index) {
                    said.push((index, sure));
                }
            }
            let share = said.len().max(1) as f64;
            for (index, sure) in said {
                row[shown[index].0] += sure / share;
            }
        }
        for (object, _) in shown {
            asked[object] += 1;
        }
    }
    for row in &mut votes {
        for (vote, &asked) in row.iter_mut().zip(&asked) {
            // One answer alone is worth less than the same from several frames.
            *vote /= asked as f64 + 0.5;
        }
    }
    Ok(votes)
}

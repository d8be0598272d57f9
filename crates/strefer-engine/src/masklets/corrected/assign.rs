//! Expressions and objects are matched one to one, all at once.

use std::collections::BTreeMap;

use strefer_core::records::{AssignStatus, MaskletsFailure};

use super::follow::Piece;
use super::join::{fit, look, noun};
use super::{CorrectedConfig, likeness, vote};
use crate::masklets::hungarian;
use crate::masklets::record::Draft;
use crate::masklets::request::Sought;
use crate::masklets::seam::Perception;

/// A rest of an object belongs to an expression when at least this much speaks for it, and this many times more than for
/// any other.
const REST_VOTES: f64 = 0.35;
const REST_LEAD: f64 = 1.5;

/// What is known of one expression.
#[derive(Debug, Clone)]
struct Chosen {
    object: Option<usize>,
    confidence: f64,
    status: AssignStatus,
}

/// One draft an expression; without masks where it gets nothing.
pub(super) fn assign(
    sought: &[Sought],
    nouns: &[String],
    pieces: Vec<Piece>,
    mut objects: Vec<Vec<usize>>,
    perception: &mut Perception,
    cfg: &CorrectedConfig,
) -> Result<Vec<Draft>, MaskletsFailure> {
    let nothing = Chosen { object: None, confidence: 0.0, status: AssignStatus::None };
    let mut chosen = vec![nothing; sought.len()];
    draw(&mut chosen, &pieces, &mut objects);
    for (number, name) in nouns.iter().enumerate() {
        let asking: Vec<usize> = (0..sought.len())
            .filter(|&at| sought[at].noun.trim() == name && chosen[at].object.is_none())
            .collect();
        let taken = |object: usize| chosen.iter().any(|chosen| chosen.object == Some(object));
        let candidates: Vec<usize> = (0..objects.len())
            .filter(|&at| !taken(at) && best_noun(&pieces, &objects[at]) == Some(number))
            .filter(|&at| support(&pieces, &objects[at]) >= cfg.least_support)
            .collect();
        if asking.is_empty() || candidates.is_empty() {
            continue;
        }
        if let ([only], [object]) = (&asking[..], &candidates[..]) {
            let confidence = support(&pieces, &objects[*object]) * score(&pieces, &objects[*object]);
            chosen[*only] = Chosen { object: Some(*object), confidence, status: AssignStatus::Shortcut };
            continue;
        }
        let phrases: Vec<&str> = asking.iter().map(|&at| sought[at].expression.as_str()).collect();
        let shown: Vec<&Vec<usize>> = candidates.iter().map(|&at| &objects[at]).collect();
        let votes = vote::votes(&pieces, &shown, &phrases, perception, cfg)?;
        let worth = |row: usize, column: usize| {
            votes[row][column] * (0.5 + 0.5 * support(&pieces, &objects[candidates[column]]))
        };
        let costs: Vec<Vec<f64>> = (0..asking.len())
            .map(|row| (0..candidates.len()).map(|column| -worth(row, column)).collect())
            .collect();
        for (row, column) in hungarian::assign(&costs).into_iter().enumerate() {
            let wanted = (0..candidates.len()).any(|column| worth(row, column) >= cfg.least_confidence);
            chosen[asking[row]] = match column.filter(|&column| worth(row, column) >= cfg.least_confidence) {
                Some(column) => Chosen {
                    object: Some(candidates[column]),
                    confidence: worth(row, column),
                    status: AssignStatus::Vote,
                },
                None => Chosen {
                    object: None,
                    confidence: 0.0,
                    status: if wanted { AssignStatus::Conflict } else { AssignStatus::None },
                },
            };
        }
        rests(&mut objects, &pieces, &chosen, &asking, &candidates, &votes);
    }
    let drafts = sought
        .iter()
        .zip(chosen)
        .map(|(sought, chosen)| draft(sought, chosen, &pieces, &objects, nouns, perception));
    Ok(drafts.collect())
}

/// Objects in a box that a person drew belong to that expression, all of them.
fn draw(chosen: &mut [Chosen], pieces: &[Piece], objects: &mut [Vec<usize>]) {
    for (expression, chosen) in chosen.iter_mut().enumerate() {
        let drawn =
            |object: &Vec<usize>| object.iter().any(|&piece| pieces[piece].expression == Some(expression));
        let own: Vec<usize> = (0..objects.len()).filter(|&at| drawn(&objects[at])).collect();
        let Some(&first) = own.first() else { continue };
        for &other in &own[1..] {
            let more = std::mem::take(&mut objects[other]);
            objects[first].extend(more);
        }
        *chosen = Chosen { object: Some(first), confidence: 1.0, status: AssignStatus::Shortcut };
    }
}

/// Objects that nobody got are rests of others where the referee says so.
fn rests(
    objects: &mut [Vec<usize>],
    pieces: &[Piece],
    chosen: &[Chosen],
    asking: &[usize],
    candidates: &[usize],
    votes: &[Vec<f64>],
) {
    for (column, &rest) in candidates.iter().enumerate() {
        if chosen.iter().any(|chosen| chosen.object == Some(rest)) {
            continue;
        }
        let mut rows: Vec<usize> = (0..asking.len()).collect();
        rows.sort_by(|&a, &b| votes[b][column].total_cmp(&votes[a][column]));
        let second = rows.get(1).map_or(0.0, |&row| votes[row][column]);
        let vote = votes[rows[0]][column];
        let Some(object) = chosen[asking[rows[0]]].object else { continue };
        let alike = likeness(look(pieces, &objects[object]).as_ref(), look(pieces, &objects[rest]).as_ref());
        let is_rest = vote >= REST_VOTES
            && vote >= REST_LEAD * second
            && alike.is_none_or(|alike| alike >= 0.6)
            && fit(pieces, &objects[object], &objects[rest]);
        if is_rest {
            let more = std::mem::take(&mut objects[rest]);
            objects[object].extend(more);
        }
    }
}

fn best_noun(pieces: &[Piece], object: &[usize]) -> Option<usize> {
    let mut sum: Vec<f64> = Vec::new();
    for &piece in object {
        sum.resize(pieces[piece].nouns.len(), 0.0);
        sum.iter_mut().zip(&pieces[piece].nouns).for_each(|(sum, value)| *sum += value);
    }
    let best = (0..sum.len()).max_by(|&a, &b| sum[a].total_cmp(&sum[b]).then(b.cmp(&a)));
    best.filter(|&noun| sum[noun] > 0.0).or_else(|| object.iter().find_map(|&piece| noun(&pieces[piece])))
}

/// Share of the frames looked at in which the detector found an object.
fn support(pieces: &[Piece], object: &[usize]) -> f64 {
    let sum = |count: fn(&Piece) -> usize| object.iter().map(|&piece| count(&pieces[piece])).sum::<usize>();
    let (hits, shown) = (sum(|piece| piece.hits), sum(|piece| piece.shown));
    // A box may have been found on a frame whose mask is empty.
    if hits == 0 { 0.0 } else { (hits as f64 / shown as f64).min(1.0) }
}

fn score(pieces: &[Piece], object: &[usize]) -> f64 {
    object.iter().map(|&piece| pieces[piece].score).fold(0.0, f64::max)
}

fn draft(
    sought: &Sought,
    chosen: Chosen,
    pieces: &[Piece],
    objects: &[Vec<usize>],
    nouns: &[String],
    perception: &Perception,
) -> Draft {
    let own: &[usize] = chosen.object.map_or(&[], |object| &objects[object]);
    let mut masks = BTreeMap::new();
    for &piece in own {
        for (position, mask) in &pieces[piece].masks {
            masks.entry(*position).or_insert_with(|| mask.clone());
        }
    }
    let first = own.iter().min_by_key(|&&piece| pieces[piece].born);
    Draft {
        eid: sought.eid.clone(),
        label: first.and_then(|_| best_noun(pieces, own)).map(|noun| nouns[noun].clone()),
        score: first.map(|_| score(pieces, own)),
        area: first.map(|&piece| pieces[piece].area),
        model: perception.referee.name().to_owned(),
        answer: chosen.object.into_iter().collect(),
        status: chosen.status,
        confidence: Some(chosen.confidence),
        gaps: !masks.is_empty(),
        masks,
    }
}

//! Tracks are cut where their looks change: there the tracker went over to something else.

use std::collections::BTreeMap;

use super::follow::{Followed, Hit, Piece, Track};
use super::{CorrectedConfig, likeness, mean_look};

/// Looks on each side of a cut that are compared.
const AROUND: usize = 3;

/// All tracks as pieces, and the pairs of pieces that were met on one object.
pub(super) fn pieces(
    followed: Followed,
    n_nouns: usize,
    cfg: &CorrectedConfig,
) -> (Vec<Piece>, Vec<(usize, usize)>) {
    let Followed { tracks, looked_at, met, .. } = followed;
    let mut pieces: Vec<Piece> = Vec::new();
    for (number, track) in tracks.iter().enumerate() {
        let mut starts = vec![0];
        let looks: Vec<(usize, &Vec<f32>)> = track.looks.iter().map(|(at, look)| (*at, look)).collect();
        // What a person drew is followed as it is.
        if track.drawn().is_none() {
            changes(&looks, track, cfg, &mut starts);
        }
        starts.sort_unstable();
        for (at, &from) in starts.iter().enumerate() {
            let to = starts.get(at + 1).copied().unwrap_or(usize::MAX);
            let masks: BTreeMap<_, _> =
                track.masks.range(from..to).map(|(position, mask)| (*position, mask.clone())).collect();
            if masks.is_empty() {
                continue;
            }
            let hits: Vec<&Hit> = track.hits.range(from..to).map(|(_, hit)| hit).collect();
            let shown = masks.keys().filter(|position| looked_at.contains(position)).count();
            let mut nouns = vec![0.0; n_nouns];
            for hit in &hits {
                if let Some(noun) = hit.noun {
                    nouns[noun] += hit.score;
                }
            }
            if hits.is_empty() {
                // A piece without a box of its own is what the track was.
                for hit in track.hits.values() {
                    if let Some(noun) = hit.noun {
                        nouns[noun] += 1e-3 * hit.score;
                    }
                }
            }
            pieces.push(Piece {
                track: number,
                area: track.area,
                born: track.born,
                score: hits.iter().map(|hit| hit.score).fold(0.0, f64::max),
                nouns,
                shown,
                hits: hits.len(),
                look: mean_look(track.looks.range(from..to).map(|(_, look)| look)),
                expression: hits.iter().find_map(|hit| hit.expression),
                masks,
            });
        }
    }
    let met = met.into_iter().filter_map(|(earlier, later)| {
        // The backward way began at the later track's first piece, and met the earlier one's piece of that time.
        let first = pieces.iter().position(|piece| piece.track == later)?;
        let from = *pieces[first].masks.keys().next()?;
        let own = (0..pieces.len()).filter(|&at| pieces[at].track == earlier);
        let mut before = own.filter(|&at| pieces[at].masks.keys().next().is_some_and(|start| *start < from));
        before.next_back().map(|before| (before, first))
    });
    let met = met.collect();
    (pieces, met)
}

/// Adds the positions from which on a track looks otherwise.
fn changes(looks: &[(usize, &Vec<f32>)], track: &Track, cfg: &CorrectedConfig, starts: &mut Vec<usize>) {
    let likeness_at = |at: usize| {
        let before = mean_look(looks[at.saturating_sub(AROUND)..at].iter().map(|(_, look)| *look));
        let after = mean_look(looks[at..looks.len().min(at + AROUND)].iter().map(|(_, look)| *look));
        likeness(before.as_ref(), after.as_ref()).unwrap_or(1.0)
    };
    // Two looks on each side: one alone may be of an object half hidden.
    let places = 2..looks.len().saturating_sub(1);
    let Some(at) = places.min_by(|&a, &b| likeness_at(a).total_cmp(&likeness_at(b))) else { return };
    if likeness_at(at) >= cfg.cut_likeness {
        return;
    }
    starts.push(jump(track, looks[at - 1].0, looks[at].0));
    changes(&looks[..at], track, cfg, starts);
    changes(&looks[at..], track, cfg, starts);
}

/// The position between two looks at which the mask moves farthest.
fn jump(track: &Track, from: usize, to: usize) -> usize {
    let overlap = |position: &usize| {
        let before = track.masks.range(..*position).next_back().map(|(_, mask)| mask);
        let now = track.masks.get(position);
        before.zip(now).and_then(|(before, now)| before.iou(now).ok()).unwrap_or(0.0)
    };
    (from + 1..=to).min_by(|a, b| overlap(a).total_cmp(&overlap(b))).unwrap_or(to)
}

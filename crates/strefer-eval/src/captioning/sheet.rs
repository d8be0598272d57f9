//! All numbers of a set of captions, with what each caption adds to them.

use serde_json::{Map, Value};

use super::bleu::Counts;
use super::meteor::MeteorScores;
use super::score::{CaptionScores, Tokenized, score};
use super::spice::SpiceScores;
use crate::sheet::{Line, Note, Sheet};
use crate::statistics::Statistic;

/// As many decimals as the toolkit prints.
const DECIMALS: usize = 3;

/// Numbers that other programs give.
#[derive(Debug, Clone, Default)]
pub struct External {
    /// METEOR.
    pub meteor: Option<MeteorScores>,
    /// SPICE.
    pub spice: Option<SpiceScores>,
}

/// Scores captions, for people and for programs; what other programs did not give is left out. Names are the toolkit's, and
/// as there nothing is in percent: CIDEr goes to 10, the others to 1.
pub fn sheet(tokenized: &Tokenized, external: &External) -> Sheet {
    let scores = score(&tokenized.captions);
    let bleu = |at: usize| {
        let counts = scores.counts.clone();
        let of = move |drawn: &[usize]| drawn.iter().map(|&item| counts[item]).sum::<Counts>().scores()[at];
        Statistic::new((0..scores.items.len()).collect(), of)
    };
    let mean_of = |pick: fn(&CaptionScores) -> f64| {
        Statistic::mean(scores.items.iter().map(|item| Some(pick(item))).collect())
    };
    let mut lines: Vec<Line> =
        (0..4).map(|at| Line::of(format!("Bleu_{}", at + 1), "", DECIMALS, bleu(at))).collect();
    if let Some(meteor) = &external.meteor {
        // Made of summed statistics that stay in its program, so there is no interval.
        let name = "METEOR".to_owned();
        lines.push(Line { name, unit: "", value: Some(meteor.corpus), decimals: DECIMALS, statistic: None });
    }
    lines.push(Line::of("ROUGE_L", "", DECIMALS, mean_of(|item| item.rouge_l)));
    lines.push(Line::of("CIDEr", "", DECIMALS, mean_of(|item| item.cider)));
    let mut notes = Vec::new();
    if let Some(spice) = &external.spice {
        lines.push(Line::of("SPICE", "", DECIMALS, Statistic::mean(spice.items.clone())));
        let none = tokenized.ids.iter().zip(&spice.items).filter(|(_, score)| score.is_none());
        let none = none.map(|(id, _)| id.clone()).collect();
        notes.extend(Note::about("without a number of SPICE, in no mean of it", none));
    }
    let said_nothing = tokenized.ids.iter().zip(&tokenized.captions);
    let said_nothing = said_nothing.filter(|(_, caption)| caption.prediction.trim().is_empty());
    let nothing =
        Note::about("without a word, score nothing", said_nothing.map(|(id, _)| id.clone()).collect());
    let programs = [
        (external.meteor.is_none(), "METEOR is left out: it needs the program meteor-1.5.jar"),
        (external.spice.is_none(), "SPICE is left out: it needs the program spice-1.0.jar"),
    ];
    let left_out = programs.into_iter().filter(|(is_absent, _)| *is_absent);
    let left_out = left_out.map(|(_, what)| Note { what: what.to_owned(), ids: Vec::new() });
    let metrics: Map<String, Value> =
        lines.iter().map(|line| (line.name.clone(), line.value.into())).collect();
    Sheet {
        benchmark: "captions",
        coverage: tokenized.coverage.clone(),
        lines,
        notes: nothing.into_iter().chain(notes).chain(left_out).collect(),
        metrics: metrics.into(),
    }
}

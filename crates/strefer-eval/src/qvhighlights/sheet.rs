//! The numbers that papers report, with what each query adds to them.

use super::highlights::QueryHighlights;
use super::score::{Scores, percent};
use crate::sheet::{Line, Note, Sheet};
use crate::statistics::Statistic;

impl Scores {
    /// For people and for programs; in percent, rounded as the benchmark's evaluator rounds.
    pub fn sheet(&self) -> Sheet {
        let (mut lines, mut notes) = (Vec::new(), Vec::new());
        let named = |qids: &[u64]| qids.iter().map(u64::to_string).collect();
        let line = |name: String, value, statistic| Line {
            name,
            unit: "%",
            value,
            decimals: 2,
            statistic: Some(Statistic::mean(statistic)),
        };
        let unscored = |what: &str| Note { what: what.to_owned(), ids: Vec::new() };
        if let Some(moments) = &self.moments {
            lines.extend(moments.brief().map(|brief| {
                let of_query = |query| 100.0 * (brief.of_query)(query);
                let by_query = brief.subset.queries.iter().map(|query| query.as_ref().map(of_query));
                line(brief.name.to_owned(), brief.value.as_f64(), by_query.collect())
            }));
            let iou = moments.full.queries.iter().map(|query| query.as_ref().map(|query| 100.0 * query.iou));
            lines.push(line("MR-mIoU".to_owned(), Some(percent(moments.full.mean_iou)), iou.collect()));
            let what = "without a predicted window, counted as not found";
            notes.extend(Note::about(what, named(&moments.without_windows)));
        } else {
            notes.push(unscored("no prediction has windows: moment retrieval is not scored"));
        }
        if let Some(highlights) = &self.highlights {
            for level in &highlights.levels {
                let by_query = |pick: fn(&QueryHighlights) -> f64| {
                    level.queries.iter().map(|query| Some(100.0 * pick(query))).collect()
                };
                let name = |number: &str| format!("HL-min-{}-{number}", level.level.name());
                let precisions = by_query(|query| query.average_precision);
                lines.push(line(name("mAP"), Some(percent(level.map)), precisions));
                lines.push(line(name("Hit1"), Some(percent(level.hit_at_1)), by_query(|query| query.hit)));
            }
            let what = "without predicted saliency, counted as not found";
            notes.extend(Note::about(what, named(&highlights.without_saliency)));
        } else {
            notes.push(unscored("no prediction has saliency: highlight detection is not scored"));
        }
        let metrics = self.to_json();
        Sheet { benchmark: "QVHighlights", coverage: self.coverage.clone(), lines, notes, metrics }
    }
}

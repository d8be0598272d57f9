//! Both tasks over all queries, and the numbers laid out as the benchmark's evaluator prints them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::highlights::{HighlightScores, LevelScores};
use super::moments::{MomentScores, QueryScores, SubsetScores, THRESHOLDS};
use super::record::{Annotation, Prediction};
use crate::coverage::{Coverage, Unmatched, pair};
use crate::error::{Error, Result};

/// Scores of both tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Which queries are scored.
    pub coverage: Coverage,
    /// When it happens; absent when no prediction has windows.
    pub moments: Option<MomentScores>,
    /// What is worth watching; absent when no prediction has saliency.
    pub highlights: Option<HighlightScores>,
}

/// Scores predictions against the annotations.
///
/// # Errors
/// When queries have no prediction or predictions no query (see [`Unmatched`]), or a prediction names another video than
/// its query.
pub fn score(annotations: &[Annotation], predictions: &[Prediction], unmatched: Unmatched) -> Result<Scores> {
    let paired = pair(annotations, predictions, unmatched)?;
    for (annotation, prediction) in &paired.pairs {
        if let Some(predicted) = prediction.vid.as_ref().filter(|vid| **vid != annotation.vid) {
            let (query, annotated) = (annotation.qid.to_string(), annotation.vid.clone());
            return Err(Error::OtherVideo { query, annotated, predicted: predicted.clone() });
        }
    }
    let has = |list: fn(&Prediction) -> bool| paired.pairs.iter().any(|(_, prediction)| list(prediction));
    Ok(Scores {
        moments: has(|it| it.pred_relevant_windows.is_some()).then(|| MomentScores::of(&paired.pairs)),
        highlights: has(|it| it.pred_saliency_scores.is_some()).then(|| HighlightScores::of(&paired.pairs)),
        coverage: paired.coverage,
    })
}

/// In percent, to two decimals.
pub(super) fn percent(share: f64) -> f64 {
    let text = format!("{:.2}", 100.0 * share);
    text.parse().expect("a formatted number is a number")
}

impl SubsetScores {
    fn number(&self, share: f64) -> Value {
        if self.n_queries == 0 { Value::Null } else { percent(share).into() }
    }

    fn by_threshold(&self, shares: &[f64; 10]) -> Map<String, Value> {
        let entry = |(threshold, &share): (&f64, &f64)| (threshold.to_string(), self.number(share));
        THRESHOLDS.iter().zip(shares).map(entry).collect()
    }

    fn to_json(&self) -> Value {
        let mut map = self.by_threshold(&self.map);
        map.insert("average".to_owned(), self.number(self.mean_map()));
        json!({"MR-mAP": map, "MR-R1": self.by_threshold(&self.recall_at_1)})
    }
}

/// One of the numbers that papers report.
pub(super) struct Brief<'a> {
    pub(super) name: &'static str,
    pub(super) subset: &'a SubsetScores,
    /// Rounded, in percent; null without queries.
    pub(super) value: Value,
    /// What a query adds to it, 0 to 1.
    pub(super) of_query: fn(&QueryScores) -> f64,
}

impl<'a> Brief<'a> {
    fn new(
        name: &'static str,
        subset: &'a SubsetScores,
        share: f64,
        of_query: fn(&QueryScores) -> f64,
    ) -> Self {
        Self { name, subset, value: subset.number(share), of_query }
    }
}

impl MomentScores {
    pub(super) fn brief(&self) -> [Brief<'_>; 8] {
        let Self { full, short, middle, long, .. } = self;
        [
            Brief::new("MR-full-R1@0.5", full, full.recall_at_1[0], |it| it.hit[0]),
            Brief::new("MR-full-R1@0.7", full, full.recall_at_1[4], |it| it.hit[4]),
            Brief::new("MR-full-mAP", full, full.mean_map(), QueryScores::mean_precision),
            Brief::new("MR-full-mAP@0.5", full, full.map[0], |it| it.average_precision[0]),
            Brief::new("MR-full-mAP@0.75", full, full.map[5], |it| it.average_precision[5]),
            Brief::new("MR-long-mAP", long, long.mean_map(), QueryScores::mean_precision),
            Brief::new("MR-middle-mAP", middle, middle.mean_map(), QueryScores::mean_precision),
            Brief::new("MR-short-mAP", short, short.mean_map(), QueryScores::mean_precision),
        ]
    }
}

impl Scores {
    /// In percent, rounded to two decimals, under the names of the benchmark's evaluator: `brief` holds the numbers that
    /// papers report. A length class without queries is null.
    pub fn to_json(&self) -> Value {
        let (mut brief, mut parts) = (Map::new(), Map::new());
        if let Some(moments) = &self.moments {
            brief.extend(moments.brief().map(|it| (it.name.to_owned(), it.value)));
            let MomentScores { full, short, middle, long, .. } = moments;
            let subsets = [("full", full), ("long", long), ("middle", middle), ("short", short)];
            parts.extend(subsets.map(|(name, subset)| (name.to_owned(), subset.to_json())));
        }
        for LevelScores { level, map, hit_at_1, .. } in
            self.highlights.iter().flat_map(|scores| &scores.levels)
        {
            let name = format!("HL-min-{}", level.name());
            brief.insert(format!("{name}-mAP"), percent(*map).into());
            brief.insert(format!("{name}-Hit1"), percent(*hit_at_1).into());
            parts.insert(name, json!({"HL-mAP": percent(*map), "HL-Hit1": percent(*hit_at_1)}));
        }
        let mut all = Map::from_iter([("brief".to_owned(), brief.into())]);
        all.extend(parts);
        all.into()
    }
}

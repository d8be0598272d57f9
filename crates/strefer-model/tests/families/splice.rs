//! The splice alone, on embeddings one wide that are their tokens' ids. Where the reference puts tokens into places that
//! are not theirs, ours stand where they belong.

use candle_core::Tensor;
use serde_json::Value;
use strefer_core::golden;
use strefer_model::{Packing, PromptToken, SplicePlan, SpliceRow};
use strefer_nn::testing::device;

use super::place::json_file;
use super::whole::prompt;

/// One recorded call.
struct Case {
    facts: Value,
    case: Value,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dir in golden::dirs("strefer_e2e") {
        let facts = json_file(&dir.join("splice_cases.json"));
        let listed = facts["cases"].as_array().unwrap().clone();
        cases.extend(listed.into_iter().map(|case| Case { facts: facts.clone(), case }));
    }
    assert!(!cases.is_empty());
    cases
}

fn lists<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<Vec<T>> {
    serde_json::from_value(value.clone()).unwrap()
}

impl Case {
    fn note(&self) -> &str {
        self.case["note"].as_str().unwrap()
    }

    fn id(&self, which: &str) -> i64 {
        self.facts[which].as_i64().unwrap()
    }

    fn values(&self, which: &str) -> Vec<f32> {
        serde_json::from_value(self.facts[which].clone()).unwrap()
    }

    /// Prompts without padding, and tokens of each row's objects; a row without objects has none.
    fn rows(&self) -> Vec<(Vec<PromptToken>, Vec<usize>)> {
        let counts = lists::<usize>(&self.case["region_token_nums"]);
        let rows = lists::<i64>(&self.case["input_ids"]).into_iter().zip(counts);
        rows.map(|(ids, counts)| {
            let len = ids.iter().rposition(|id| *id != self.id("pad_token_id")).map_or(0, |last| last + 1);
            let counts = if counts == [0] { Vec::new() } else { counts };
            let region = (!counts.is_empty()).then(|| self.id("region_token_id"));
            (prompt(&ids[..len], |id| id == self.id("media_token_id"), region), counts)
        })
        .collect()
    }

    /// What our splice makes of it, row by row and without padding.
    fn spliced(&self) -> candle_core::Result<Vec<Vec<f32>>> {
        let rows = self.rows();
        let video = self.values("vision_tokens_per_video");
        let labels: Vec<Vec<i64>> = rows.iter().map(|(tokens, _)| vec![0; tokens.len()]).collect();
        let splice_rows: Vec<SpliceRow<'_>> = rows
            .iter()
            .zip(&labels)
            .map(|((tokens, counts), labels)| SpliceRow {
                tokens,
                labels,
                turns: &[],
                video_tokens: video.len(),
                region_tokens: counts,
            })
            .collect();
        let plan = SplicePlan::new(&splice_rows, Packing::default())?;
        let column = |values: Vec<f32>| {
            let count = values.len();
            Tensor::from_vec(values, (count, 1), device())
        };
        let text = column(plan.text_ids.iter().map(|&id| id as f32).collect())?;
        let videos = column(video.repeat(rows.len()))?;
        let taken = rows.iter().flat_map(|(_, counts)| counts).sum();
        let regions = column(self.values("region_tokens")[..taken].to_vec())?;
        let spliced = plan.splice(&text, Some(&videos), Some(&regions))?.squeeze(2)?.to_vec2::<f32>()?;
        Ok(spliced.into_iter().zip(&plan.places).map(|(row, place)| row[..place.len].to_vec()).collect())
    }

    /// Every placeholder replaced by its own tokens.
    fn expected(&self) -> Vec<Vec<f32>> {
        let mut regions = self.values("region_tokens").into_iter();
        let video = self.values("vision_tokens_per_video");
        self.rows()
            .into_iter()
            .map(|(tokens, counts)| {
                let own: Vec<Vec<f32>> =
                    counts.iter().map(|&count| regions.by_ref().take(count).collect()).collect();
                let values = |token: PromptToken| match token {
                    PromptToken::Text(id) => vec![id as f32],
                    PromptToken::Video => video.clone(),
                    PromptToken::Region(at) => own[at].clone(),
                };
                tokens.into_iter().flat_map(values).collect()
            })
            .collect()
    }
}

#[test]
fn spliced_rows_equal_the_recorded_ones() {
    let mut compared = 0;
    for case in cases().iter().filter(|case| case.case["spliced"].is_array()) {
        let found = case.spliced().unwrap();
        assert_eq!(found, case.expected(), "{}", case.note());
        if case.note().contains("quirk") {
            continue;
        }
        let masks = lists::<i64>(&case.case["attention_mask"]);
        let recorded = lists::<f32>(&case.case["spliced"]).into_iter().zip(masks).map(|(row, mask)| {
            let len = mask.iter().filter(|flag| **flag != 0).count();
            row[..len].to_vec()
        });
        assert_eq!(found, recorded.collect::<Vec<_>>(), "{}", case.note());
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn more_placeholders_than_objects_are_an_error() {
    let refused: Vec<Case> = cases().into_iter().filter(|case| case.case["error"].is_string()).collect();
    assert!(!refused.is_empty());
    for case in refused {
        assert!(case.spliced().is_err(), "{}", case.note());
    }
}

//! What there is to do: items in every view, in portions of neighbours that show the same video.

use serde_json::json;
use strefer_core::Rng;

use super::sha256;
use crate::bench::{Benchmark, View, Views};

/// Items of a portion, unless one video has more questions.
const ITEMS: usize = 16;

/// Some items in one view: what a process claims at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Portion {
    pub view: View,
    /// Positions in the benchmark.
    pub items: Vec<usize>,
}

/// All work of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Positions in the benchmark of the items that are asked, ascending.
    pub(super) items: Vec<usize>,
    pub(super) portions: Vec<Portion>,
}

impl Plan {
    /// Every item in every view that it fits, or `limit` items spread over the benchmark.
    pub fn new(benchmark: &dyn Benchmark, views: &Views<'_>, wanted: &[View], limit: Option<usize>) -> Self {
        let n = benchmark.items().len();
        let items = Rng::new(0, "limit").spread(n, limit.unwrap_or(n));
        // Questions about one video stand together, so that it is decoded once.
        let video = |at: usize| &benchmark.items()[at].sample.video_id;
        let mut order = items.clone();
        order.sort_by(|&a, &b| video(a).cmp(video(b)));
        let mut portions = Vec::new();
        for &view in wanted {
            let mut open: Vec<usize> = Vec::new();
            for &at in order.iter().filter(|&&at| views.fits(view, at)) {
                if open.len() >= ITEMS && open.last().is_some_and(|&last| video(last) != video(at)) {
                    portions.push(Portion { view, items: std::mem::take(&mut open) });
                }
                open.push(at);
            }
            if !open.is_empty() {
                portions.push(Portion { view, items: open });
            }
        }
        Self { items, portions }
    }

    /// Items that are asked.
    pub fn items(&self) -> usize {
        self.items.len()
    }

    /// Questions, all views together.
    pub fn questions(&self) -> usize {
        self.portions.iter().map(|portion| portion.items.len()).sum()
    }

    /// A digest of what is asked: two runs with the same one ask the same.
    pub fn digest(&self, benchmark: &dyn Benchmark) -> String {
        let mut text = String::new();
        for &at in &self.items {
            let item = &benchmark.items()[at];
            let sample = &item.sample;
            let (turns, times) = (&sample.conversations, &sample.times);
            let one = json!([item.id(), sample.media, turns, sample.regions, times, item.label]);
            text.push_str(&one.to_string());
            text.push('\n');
        }
        sha256(text.as_bytes())
    }
}

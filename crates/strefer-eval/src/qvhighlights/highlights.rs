//! Highlight detection: which clips are worth watching.

use serde::{Deserialize, Serialize};

use super::average_precision::RankedClips;
use super::record::{Annotation, Prediction};
use crate::statistics::mean;

/// From which rating on a clip is a highlight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// 2 of 4.
    Fair,
    /// 3 of 4.
    Good,
    /// 4 of 4: the benchmark's headline.
    VeryGood,
}

impl Level {
    /// All of them, from the lowest.
    pub const ALL: [Self; 3] = [Self::Fair, Self::Good, Self::VeryGood];

    /// The lowest rating that counts.
    pub fn least_rating(self) -> u8 {
        match self {
            Self::Fair => 2,
            Self::Good => 3,
            Self::VeryGood => 4,
        }
    }

    /// As in the names of the benchmark's numbers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fair => "Fair",
            Self::Good => "Good",
            Self::VeryGood => "VeryGood",
        }
    }
}

/// Scores at one level, as shares (0 to 1), not rounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LevelScores {
    /// The level.
    pub level: Level,
    /// Mean average precision over queries and annotators.
    pub map: f64,
    /// Share of queries whose best predicted clip is a highlight for at least one annotator.
    pub hit_at_1: f64,
    /// What each query adds to the means.
    pub queries: Vec<QueryHighlights>,
}

/// What one query adds to the means at one level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QueryHighlights {
    /// Average precision, its mean over the annotators.
    pub average_precision: f64,
    /// 1 when the best predicted clip is a highlight, else 0.
    pub hit: f64,
}

/// Scores of highlight detection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HighlightScores {
    /// In the order of [`Level::ALL`].
    pub levels: [LevelScores; 3],
    /// Queries for which no saliency is predicted: they count as not found.
    pub without_saliency: Vec<u64>,
}

impl HighlightScores {
    pub(super) fn of(pairs: &[(&Annotation, &Prediction)]) -> Self {
        let queries: Vec<Query> =
            pairs.iter().map(|(query, said)| Query::new(query, said.saliency())).collect();
        let without = pairs.iter().filter(|(_, prediction)| prediction.saliency().is_empty());
        let scores = |level: Level| LevelScores {
            level,
            map: mean(queries.iter().flat_map(|query| query.average_precisions(level))),
            hit_at_1: mean(queries.iter().map(|query| query.hit(level))),
            queries: queries.iter().map(|query| query.scores(level)).collect(),
        };
        Self {
            levels: Level::ALL.map(scores),
            without_saliency: without.map(|(annotation, _)| annotation.qid).collect(),
        }
    }
}

/// One query's ratings by clip, and the predicted order of its clips.
struct Query {
    ratings: Vec<[u8; 3]>,
    /// `None` when nothing is predicted.
    ranked: Option<RankedClips>,
    /// The first clip of the largest predicted saliency; it may lie after the end of the video.
    best: usize,
}

impl Query {
    fn new(annotation: &Annotation, saliency: &[f64]) -> Self {
        let mut ratings = vec![[0; 3]; annotation.n_clips()];
        for (&clip, &rating) in annotation.relevant_clip_ids.iter().zip(&annotation.saliency_scores) {
            if let Some(of_clip) = ratings.get_mut(clip) {
                *of_clip = rating;
            }
        }
        let mut best = 0;
        for (clip, score) in saliency.iter().enumerate() {
            if *score > saliency[best] {
                best = clip;
            }
        }
        // Lists of another length are cut, or filled with zeros, as the benchmark's evaluator does.
        let mut by_clip = saliency.to_vec();
        by_clip.resize(ratings.len(), 0.0);
        let ranked = (!saliency.is_empty()).then(|| RankedClips::new(&by_clip));
        Self { ratings, ranked, best }
    }

    fn average_precisions(&self, level: Level) -> [f64; 3] {
        std::array::from_fn(|annotator| {
            let positive = |clip: usize| self.ratings[clip][annotator] >= level.least_rating();
            self.ranked.as_ref().map_or(0.0, |ranked| ranked.average_precision(positive))
        })
    }

    fn scores(&self, level: Level) -> QueryHighlights {
        QueryHighlights { average_precision: mean(self.average_precisions(level)), hit: self.hit(level) }
    }

    fn hit(&self, level: Level) -> f64 {
        let rating = self.ratings.get(self.best).and_then(|ratings| ratings.iter().max());
        let hit = self.ranked.is_some() && rating.is_some_and(|&rating| rating >= level.least_rating());
        if hit { 1.0 } else { 0.0 }
    }
}

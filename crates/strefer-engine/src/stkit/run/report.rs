//! What a run made, in numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::pipeline::store::{Note, Output};
use crate::stkit::clip::Clip;
use crate::stkit::counts::Counts;
use crate::stkit::plausible::{Rejection, Tally};
use crate::stkit::pseudo::{KEPT, REFUSED, relative_error};

/// Shorter true ways are not compared, in metres: of nothing every error is infinitely large.
const SHORTEST_M: f64 = 1.0;

/// By how much ways that were lifted differ from true ones.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackError {
    /// Objects that were compared.
    pub tracks: usize,
    /// Mean difference as a share of the true way.
    pub mean: f64,
}

/// What came of one source.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceReport {
    /// Recordings that were wanted.
    pub recordings: usize,
    /// Recordings that a clip was made of.
    pub clips: usize,
    /// Objects in them.
    pub objects: usize,
    /// Recordings that cannot be used.
    pub failed: usize,
    /// Recordings that were looked at and not believed.
    pub refused: usize,
    /// Share of the recordings looked at that are believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_recordings: Option<f64>,
    /// Tracks that were lifted: those that are believed, and why others are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracks: Option<Tally>,
    /// Share of the tracks that are believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_tracks: Option<f64>,
    /// Beside the truth, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TrackError>,
    /// What else was left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, usize>,
}

/// `counts.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// By source.
    pub sources: BTreeMap<String, SourceReport>,
    /// Clips that are asked about.
    pub clips: usize,
    /// Questions.
    pub samples: usize,
    /// Clips whose frames could not be marked; their questions are left out.
    pub unmarked: usize,
    /// The questions, by task, source and answer.
    pub questions: Counts,
    /// The questions that could have been asked.
    pub offered: Counts,
}

impl SourceReport {
    /// Adds a recording that something was made of.
    pub(super) fn add(&mut self, output: &Output<Clip>) {
        for clip in &output.records {
            self.clips += 1;
            self.objects += clip.objects.len();
        }
        for Note { kind, .. } in &output.notes {
            let rejection = Rejection::ALL.into_iter().find(|rejection| rejection.name() == kind);
            match (kind.as_str(), rejection) {
                (REFUSED, _) => self.refused += 1,
                (KEPT, _) => self.tracks.get_or_insert_default().count(Ok(())),
                (_, Some(rejection)) => self.tracks.get_or_insert_default().count(Err(rejection)),
                _ => *self.notes.entry(kind.clone()).or_default() += 1,
            }
        }
        let looked = self.clips + self.refused;
        self.kept_recordings = (looked > 0).then(|| self.clips as f64 / looked as f64);
        self.kept_tracks = self.tracks.as_ref().and_then(Tally::kept_share);
    }

    /// Compares the objects of a clip with those of the same id in a true one.
    pub(super) fn compare(&mut self, clip: &Clip, truth: &Clip) -> Result<()> {
        for object in &clip.objects {
            let Some(same) = truth.objects.iter().find(|same| same.id == object.id) else { continue };
            let (lifted, true_track) = (clip.track(object)?, truth.track(same)?);
            if let Some(error) = relative_error(&lifted, &true_track, SHORTEST_M) {
                let sum = self.error.get_or_insert_default();
                sum.mean += (error - sum.mean) / (sum.tracks + 1) as f64;
                sum.tracks += 1;
            }
        }
        Ok(())
    }
}

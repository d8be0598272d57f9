//! Models made from what is known about a video: how well rules do can be measured without any network.
//!
//! Every draw is a function of the seed, the video and what it is about, never of who asks: both sets of rules see the same
//! boxes on the same frame, lose the same objects at the same moments, and hear the same answer to the same question.

mod boxes;
mod noise;
mod questions;
mod scene;
mod stage;
mod tracks;

use strefer_core::Rng;

pub use boxes::SimulatedDetector;
pub use noise::Noise;
pub use questions::{SimulatedLooks, SimulatedReferee};
pub use scene::Scene;
pub use stage::{StageConfig, stage};
pub use tracks::SimulatedTracker;

use super::request::{Sought, Timeline};
use super::seam::Perception;
use super::{CorrectedConfig, PublishedConfig, corrected, published};
use crate::truth::TruthVideo;
use strefer_core::records::Masklets;

/// Which rules.
#[derive(Debug, Clone)]
pub enum Rules {
    /// Those of the release.
    Published(PublishedConfig),
    /// The default ones.
    Corrected(CorrectedConfig),
}

/// What the rules make of a video that simulated models look at. Masks are those of the frames for which the truth has
/// masks.
pub fn run(truth: &TruthVideo, noise: &Noise, rules: &Rules) -> Masklets {
    let scene = Scene::new(truth);
    let rng = Rng::new(noise.seed, "simulated perception").named(&truth.video.video_id);
    let tracker = SimulatedTracker::new(&scene, noise, rng.named("tracker"));
    let mut perception = Perception {
        detector: &mut SimulatedDetector::new(&scene, noise, rng.named("detector")),
        tracker: &tracker,
        referee: &mut SimulatedReferee::new(&scene, noise, rng.named("referee")),
        looks: &mut SimulatedLooks::new(&scene, noise, rng.named("looks")),
    };
    let sought: Vec<Sought> = truth.stages().entities.items.iter().map(Sought::from).collect();
    let timeline = Timeline {
        space: truth.index_space,
        keys: scene.keys.clone(),
        indices: (0..scene.keys.len()).collect(),
        times_s: truth.frame_times_s.clone(),
        is_partial: false,
    };
    let video_id = &truth.video.video_id;
    match rules {
        Rules::Published(cfg) => published::run(video_id, &sought, &timeline, &mut perception, cfg),
        Rules::Corrected(cfg) => corrected::run(video_id, &sought, &timeline, &mut perception, cfg),
    }
}

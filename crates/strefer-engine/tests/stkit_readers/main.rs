//! Datasets in their official layouts, written by these tests, become clips whose numbers are worked out by hand.

#[cfg(feature = "argoverse")]
mod argoverse;
mod ego_exo;
mod npy;
#[cfg(feature = "sql")]
mod nuplan;
mod nuscenes;
mod nuscenes_desk;
mod pseudo;
mod run;

use strefer_engine::stkit::clip::ClipObject;
use strefer_engine::stkit::{Clip, KinematicsConfig, Motion};

/// The object of a category.
fn object<'a>(clip: &'a Clip, category: &str) -> &'a ClipObject {
    clip.objects.iter().find(|object| object.category == category).expect("there is such an object")
}

/// How far in metres and how fast in kilometres an hour an object goes.
fn travel(clip: &Clip, category: &str) -> (f64, f64) {
    let track = clip.track(object(clip, category)).unwrap();
    let motion = Motion::measure(&track, None, clip.up, &KinematicsConfig::default());
    let travel = motion.travel.expect("it is known well");
    (travel.distance_m, travel.speed_kmh())
}

/// Asserts that numbers are those worked out by hand.
fn near(found: &[f64], expected: &[f64], slack: f64) {
    let is_near = |(a, b): (&f64, &f64)| (a - b).abs() <= slack;
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(is_near),
        "{found:?}, not {expected:?}"
    );
}

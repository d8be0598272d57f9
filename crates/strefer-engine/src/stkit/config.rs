//! Every constant of the room, with the values that labels are made with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::sample::Split;

use crate::error::{Error, Result};
use crate::stkit::overlay::Colour;
use crate::stkit::plausible::Mover;

/// How motion is measured and compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KinematicsConfig {
    /// Slower steps have no direction, in metres a second.
    pub slowest_mps: f64,
    /// Longest time between two samples that a straight line may bridge, in seconds.
    pub longest_gap_s: f64,
    /// Shortest time in one direction that is asked about, in seconds.
    pub shortest_run_s: f64,
    /// Angles this close below a border of the clock's hours lie on it, in degrees.
    pub angle_slack_deg: f64,
    /// The winner of a comparison differs from the next by this share of the larger value.
    pub margin: f64,
    /// Shortest net way that has a direction, in metres.
    pub shortest_net_m: f64,
    /// Two net ways up to this angle are the same direction, in degrees.
    pub same_up_to_deg: f64,
    /// Two net ways from this angle on are different directions, in degrees.
    pub different_from_deg: f64,
}

impl Default for KinematicsConfig {
    fn default() -> Self {
        Self {
            slowest_mps: 0.5,
            longest_gap_s: 1.25,
            shortest_run_s: 1.0,
            angle_slack_deg: 1e-9,
            margin: 0.1,
            shortest_net_m: 1.0,
            same_up_to_deg: 30.0,
            different_from_deg: 60.0,
        }
    }
}

/// How lifted tracks are smoothed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmoothingConfig {
    /// Longest gap that is filled, in seconds; longer ones cut the track.
    pub longest_gap_s: f64,
    /// Neighbours on each side among which an outlier is sought.
    pub hampel_half: usize,
    /// Outliers lie further from the median than this many deviations.
    pub hampel_limit: f64,
    /// Smallest deviation that is assumed, in metres.
    pub deviation_floor_m: f64,
    /// Most neighbours on each side that are averaged.
    pub average_half: usize,
}

impl Default for SmoothingConfig {
    fn default() -> Self {
        Self {
            longest_gap_s: 1.25,
            hampel_half: 3,
            hampel_limit: 3.0,
            deviation_floor_m: 0.05,
            average_half: 2,
        }
    }
}

/// How masks and depth become positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LiftingConfig {
    /// Least confidence of a pixel's depth.
    pub least_confidence: f64,
    /// A video is refused when its frames' scales spread by more than this share.
    pub largest_spread: f64,
    /// Pixels within this many deviations of the median depth are kept.
    pub keep_limit: f64,
    /// Pixels within this share of the median depth are kept in any case.
    pub keep_share: f64,
    /// Masks are narrowed by this many pixels first.
    pub erode_px: usize,
    /// With fewer pixels kept, the sample is missing.
    pub fewest_pixels: usize,
}

impl Default for LiftingConfig {
    fn default() -> Self {
        Self {
            least_confidence: 1.5,
            largest_spread: 0.25,
            keep_limit: 2.5,
            keep_share: 0.05,
            erode_px: 2,
            fewest_pixels: 64,
        }
    }
}

/// Which detected and lifted tracks are believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// Least score of a detection.
    pub least_score: f64,
    /// Smallest mean area of the boxes, as a share of the frame.
    pub smallest_area: f64,
    /// Largest mean area of the boxes, as a share of the frame.
    pub largest_area: f64,
    /// Least share of the boxes that do not touch the border.
    pub least_free_of_border: f64,
    /// Least share of the samples in which the object is tracked.
    pub least_tracked: f64,
    /// Fewest samples in which it is tracked.
    pub fewest_samples: usize,
    /// Largest share of outliers.
    pub most_outliers: f64,
    /// Fastest vehicle, in metres a second.
    pub fastest_vehicle_mps: f64,
    /// Fastest bicycle, in metres a second.
    pub fastest_bicycle_mps: f64,
    /// Fastest person, in metres a second.
    pub fastest_person_mps: f64,
    /// Hardest change of speed, in metres a second each second.
    pub hardest_change_mps2: f64,
    /// Largest ratio of the raw way to the smoothed one.
    pub most_jitter: f64,
}

impl FilterConfig {
    /// The fastest that such an object can be, in metres a second.
    pub fn fastest_mps(&self, mover: Mover) -> f64 {
        match mover {
            Mover::Vehicle => self.fastest_vehicle_mps,
            Mover::Bicycle => self.fastest_bicycle_mps,
            Mover::Person => self.fastest_person_mps,
        }
    }
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            least_score: 0.35,
            smallest_area: 0.002,
            largest_area: 0.5,
            least_free_of_border: 0.7,
            least_tracked: 0.6,
            fewest_samples: 8,
            most_outliers: 0.2,
            fastest_vehicle_mps: 50.0,
            fastest_bicycle_mps: 20.0,
            fastest_person_mps: 12.0,
            hardest_change_mps2: 15.0,
            most_jitter: 2.0,
        }
    }
}

/// How clips become questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StkitConfig {
    /// Every draw is keyed by it, the clip and the task.
    pub seed: u64,
    /// Name of the source, in samples.
    pub dataset: String,
    /// Which part of the dataset this is.
    pub split: Split,
    /// Questions a task, balanced over their answers; all that can be asked when absent.
    pub per_task: Option<usize>,
    /// Whether it is asked which way objects move; not for sports, where nobody moves one way for long.
    pub directions: bool,
    /// Folder below which every clip has a folder of frames with boxes drawn into them.
    pub marked_dir: String,
    /// Most frames of a clip; longer ones are cut.
    pub frames_per_clip: usize,
    /// What is left over after cutting is a clip with at least so many frames.
    pub fewest_frames: usize,
    /// Most objects that are marked in a clip.
    pub objects_per_clip: usize,
    /// Objects with fewer samples are not asked about.
    pub fewest_samples: usize,
    /// Least share of an object's samples in which its box can be seen.
    pub least_visible: f64,
    /// Smaller boxes cannot be seen, as a share of the frame.
    pub smallest_box: f64,
    /// Shortest way that is asked about, in metres.
    pub least_distance_m: f64,
    /// Slowest speed that is asked about, in kilometres an hour.
    pub least_speed_kmh: f64,
    /// Parts of the video about which an object's distance and speed are asked, besides the whole.
    pub windows_per_object: usize,
    /// Shortest such part, in seconds.
    pub shortest_window_s: f64,
    /// How motion is measured.
    pub kinematics: KinematicsConfig,
}

impl Default for StkitConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            dataset: "stkit".to_owned(),
            split: Split::Train,
            per_task: Some(200),
            directions: true,
            marked_dir: "marked".to_owned(),
            frames_per_clip: 40,
            fewest_frames: 8,
            objects_per_clip: 4,
            fewest_samples: 8,
            least_visible: 0.8,
            smallest_box: strefer_core::marks::SMALLEST_BOX,
            least_distance_m: 1.0,
            least_speed_kmh: 1.0,
            windows_per_object: 2,
            shortest_window_s: 2.0,
            kinematics: KinematicsConfig::default(),
        }
    }
}

impl StkitConfig {
    /// Rejects what parses but cannot be meant.
    ///
    /// # Errors
    /// [`Error::Config`] names the key.
    pub fn validate(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Config(format!("stkit: {reason}")));
        if !(1..=Colour::PALETTE.len()).contains(&self.objects_per_clip) {
            return refuse(format!(
                "objects_per_clip is {}, not between 1 and {}",
                self.objects_per_clip,
                Colour::PALETTE.len()
            ));
        }
        if self.frames_per_clip < 2 {
            return refuse("frames_per_clip is below 2: nothing moves in one frame".to_owned());
        }
        let kinematics = &self.kinematics;
        for (name, value, low, high) in [
            ("least_visible", self.least_visible, 0.0, 1.0),
            ("smallest_box", self.smallest_box, 0.0, 1.0),
            ("least_distance_m", self.least_distance_m, 0.0, f64::MAX),
            ("least_speed_kmh", self.least_speed_kmh, 0.0, f64::MAX),
            ("shortest_window_s", self.shortest_window_s, 0.0, f64::MAX),
            ("kinematics.slowest_mps", kinematics.slowest_mps, f64::MIN_POSITIVE, f64::MAX),
            ("kinematics.longest_gap_s", kinematics.longest_gap_s, 0.0, f64::MAX),
            ("kinematics.shortest_run_s", kinematics.shortest_run_s, 0.0, f64::MAX),
            ("kinematics.angle_slack_deg", kinematics.angle_slack_deg, 0.0, 1.0),
            ("kinematics.margin", kinematics.margin, 0.0, 1.0),
            ("kinematics.shortest_net_m", kinematics.shortest_net_m, f64::MIN_POSITIVE, f64::MAX),
            ("kinematics.same_up_to_deg", kinematics.same_up_to_deg, 0.0, 180.0),
            (
                "kinematics.different_from_deg",
                kinematics.different_from_deg,
                kinematics.same_up_to_deg,
                180.0,
            ),
        ] {
            if !(low..=high).contains(&value) {
                return refuse(format!("{name} is {value}, not between {low} and {high}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_meant_and_unknown_keys_cannot() {
        assert!(StkitConfig::default().validate().is_ok());
        assert_eq!(serde_json::from_str::<StkitConfig>("{}").unwrap(), StkitConfig::default());
        assert!(serde_json::from_str::<StkitConfig>(r#"{"kinematics": {"margins": 0.2}}"#).is_err());
        assert!(serde_json::from_str::<LiftingConfig>(r#"{"erode": 1}"#).is_err());
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (text, key) in [
            (r#"{"objects_per_clip": 9}"#, "objects_per_clip"),
            (r#"{"frames_per_clip": 1}"#, "frames_per_clip"),
            (r#"{"least_visible": 1.5}"#, "least_visible"),
            (r#"{"kinematics": {"slowest_mps": 0.0}}"#, "slowest_mps"),
            (r#"{"kinematics": {"same_up_to_deg": 90.0}}"#, "different_from_deg"),
        ] {
            let cfg: StkitConfig = serde_json::from_str(text).unwrap();
            assert!(cfg.validate().unwrap_err().to_string().contains(key), "{key}");
        }
    }
}

//! How wrong simulated models are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rates of faults. Shares are probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Of all draws.
    pub seed: u64,
    /// A whole object is missed on a frame; one that is hidden in part is missed as often more as it is hidden.
    pub miss: f64,
    /// Deviation of a box's sides, as a share of its size.
    pub box_jitter: f64,
    /// A box is given another noun.
    pub confuse: f64,
    /// A box is given a label that joins two nouns.
    pub merged_label: f64,
    /// A frame shows a box round nothing.
    pub false_box: f64,
    /// Deviation of a mask's place, as a share of its size.
    pub mask_jitter: f64,
    /// Frames out of sight after which an object may be lost.
    pub remembered: usize,
    /// It is lost then.
    pub lose: f64,
    /// An object in sight is lost from one frame to the next.
    pub slip: f64,
    /// The tracker goes over to an object of the same noun that touches, or that is in sight while its own is not.
    pub switch: f64,
    /// The referee answers right where the right box is there.
    pub right: f64,
    /// Of the wrong answers, those that are the same whenever the expression is asked about.
    pub stubborn: f64,
    /// It chooses a box although the right one is not there.
    pub always_answers: f64,
    /// It names a second box, too.
    pub several: f64,
    /// Deviation of a look; looks have length 1.
    pub look_noise: f64,
    /// How alike two objects of one noun look.
    pub look_alike: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self::light()
    }
}

impl Noise {
    /// Models that do well.
    pub fn light() -> Self {
        Self {
            seed: 1,
            miss: 0.05,
            box_jitter: 0.03,
            confuse: 0.02,
            merged_label: 0.02,
            false_box: 0.05,
            mask_jitter: 0.02,
            remembered: 3,
            lose: 0.4,
            slip: 0.003,
            switch: 0.02,
            right: 0.9,
            stubborn: 0.5,
            always_answers: 0.8,
            several: 0.05,
            look_noise: 0.4,
            look_alike: 0.5,
        }
    }

    /// Models that do badly.
    pub fn heavy() -> Self {
        Self {
            miss: 0.2,
            box_jitter: 0.06,
            confuse: 0.06,
            merged_label: 0.08,
            false_box: 0.2,
            mask_jitter: 0.04,
            remembered: 2,
            lose: 0.7,
            slip: 0.01,
            switch: 0.06,
            right: 0.75,
            several: 0.12,
            look_noise: 0.8,
            look_alike: 0.7,
            ..Self::light()
        }
    }

    /// No fault at all.
    pub fn none() -> Self {
        Self {
            miss: 0.0,
            box_jitter: 0.0,
            confuse: 0.0,
            merged_label: 0.0,
            false_box: 0.0,
            mask_jitter: 0.0,
            remembered: usize::MAX,
            lose: 0.0,
            slip: 0.0,
            switch: 0.0,
            right: 1.0,
            stubborn: 0.0,
            always_answers: 0.0,
            several: 0.0,
            look_noise: 0.0,
            look_alike: 0.0,
            ..Self::light()
        }
    }

    /// What makes no sense about it, if anything does.
    pub fn problem(&self) -> Option<String> {
        let shares = [
            ("miss", self.miss),
            ("box_jitter", self.box_jitter),
            ("confuse", self.confuse),
            ("merged_label", self.merged_label),
            ("false_box", self.false_box),
            ("mask_jitter", self.mask_jitter),
            ("lose", self.lose),
            ("slip", self.slip),
            ("switch", self.switch),
            ("right", self.right),
            ("stubborn", self.stubborn),
            ("always_answers", self.always_answers),
            ("several", self.several),
            ("look_alike", self.look_alike),
        ];
        let wrong = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share));
        let wrong = wrong
            .or(Some(("look_noise", self.look_noise)).filter(|(_, noise)| !(0.0..=10.0).contains(noise)));
        wrong.map(|(name, share)| format!("{name} is {share}"))
    }
}

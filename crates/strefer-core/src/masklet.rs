//! Index spaces of mask keys: source frames, or positions in a uniform sample.

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The key of one frame in a masklet; written as a string, as every published format does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameKey(pub u32);

impl fmt::Display for FrameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for FrameKey {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim().parse().map(Self)
    }
}

impl Serialize for FrameKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FrameKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = FrameKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a frame number, as a string or an integer")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<FrameKey, E> {
                text.parse().map_err(|_| E::custom(format!("{text:?} is not a frame number")))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<FrameKey, E> {
                u32::try_from(number).map(FrameKey).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<FrameKey, E> {
                u32::try_from(number).map(FrameKey).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}

/// Something for some frames, in the order of the file (which is the order in which region tokens are merged).
pub type FrameMap<T> = IndexMap<FrameKey, T>;

/// How positions of a uniform sample are laid over a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniformRule {
    /// `linspace(0, n_frames - 1, n)`, both ends included, truncated to integers (Strefer).
    #[default]
    LinspaceTrunc,
    /// Middles of `n` equal segments (VideoRefer).
    Midpoints,
}

/// What the keys of a masklet count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum IndexSpace {
    /// Frame numbers of the source video.
    Source,
    /// Positions in a uniform sample of `n` frames.
    Uniform {
        /// Number of frames in the sample.
        n: u32,
        /// How they are chosen.
        #[serde(default)]
        rule: UniformRule,
    },
}

impl IndexSpace {
    /// The 32 frames of the Strefer release.
    pub const STREFER: Self = Self::Uniform { n: 32, rule: UniformRule::LinspaceTrunc };

    /// The source frame that `key` stands for in a video of `n_frames` frames; `None` when it lies outside.
    pub fn source_frame(self, key: FrameKey, n_frames: usize) -> Option<usize> {
        let key = key.0 as usize;
        match self {
            Self::Source => (key < n_frames).then_some(key),
            Self::Uniform { n, rule } => {
                let n = n as usize;
                if key >= n || n_frames == 0 {
                    return None;
                }
                let last = (n_frames - 1) as f64;
                let frame = match rule {
                    UniformRule::LinspaceTrunc if n == 1 => 0,
                    // numpy computes `arange(n) * step`, and sets the last element to the end itself.
                    UniformRule::LinspaceTrunc if key == n - 1 => n_frames - 1,
                    UniformRule::LinspaceTrunc => (key as f64 * (last / (n - 1) as f64)) as usize,
                    UniformRule::Midpoints => {
                        (last / n as f64 * (key as f64 + 0.5) + 1e-6).round_ties_even() as usize
                    }
                };
                Some(frame.min(n_frames - 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_strings_in_json_and_keep_their_order() {
        let map: FrameMap<u8> = serde_json::from_str(r#"{"48": 1, "3": 2}"#).unwrap();
        assert_eq!(map.keys().map(|key| key.0).collect::<Vec<_>>(), [48, 3]);
        assert_eq!(serde_json::to_string(&map).unwrap(), r#"{"48":1,"3":2}"#);
        assert!(serde_json::from_str::<FrameMap<u8>>(r#"{"-1": 1}"#).is_err());
    }

    #[test]
    fn a_uniform_sample_of_300_frames_starts_at_0_and_ends_at_299() {
        let frames: Vec<usize> =
            (0..32).map(|key| IndexSpace::STREFER.source_frame(FrameKey(key), 300).unwrap()).collect();
        assert_eq!((frames[0], frames[1], frames[16], frames[31]), (0, 9, 154, 299));
        assert!(frames.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(IndexSpace::STREFER.source_frame(FrameKey(32), 300), None);
        assert_eq!(IndexSpace::Source.source_frame(FrameKey(300), 300), None);
    }
}

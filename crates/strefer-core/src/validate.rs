//! Contradictions inside a sample, found before anything is decoded.

use std::fmt;

use crate::error::{Error, Result};
use crate::placeholder::{Piece, pieces};
use crate::sample::{RegionMode, Role, Sample};

/// What can be wrong with a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Issue {
    /// The text refers to other regions than the list holds.
    RegionCountMismatch {
        /// One more than the largest index in the text.
        in_text: usize,
        /// Length of the list.
        listed: usize,
    },
    /// The text refers to a time that the list does not hold.
    UnknownTime {
        /// The index in the text.
        index: usize,
        /// Length of the list.
        listed: usize,
    },
    /// A time before the start or after the end of what is shown.
    TimeOutOfRange {
        /// The time in seconds.
        at_s: f64,
        /// Length of what is shown in seconds.
        duration_s: f64,
    },
    /// A region without any mask that shows it.
    EmptyMask {
        /// Its index.
        region: usize,
    },
    /// A mask that cannot be decoded, or whose size is not the frame's.
    BadRleSize {
        /// The region's index.
        region: usize,
        /// The frame's key.
        key: u32,
        /// What is wrong.
        reason: String,
    },
    /// Something that starts like a placeholder and is none.
    UnknownPlaceholder(String),
    /// The text shows a video but none is named, or the other way round.
    MissingMedia,
    /// The region's fixed frame is not among its masks.
    UnknownFixedKey {
        /// Its index.
        region: usize,
    },
    /// Turns that are not user, assistant, user, assistant, …
    TurnOrder {
        /// Position of the first turn out of order.
        turn: usize,
    },
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegionCountMismatch { in_text, listed } => {
                write!(f, "the text refers to {in_text} regions, {listed} are listed")
            }
            Self::UnknownTime { index, listed } => {
                write!(f, "the text refers to <time:{index}>, {listed} times are listed")
            }
            Self::TimeOutOfRange { at_s, duration_s } => {
                write!(f, "the time {at_s:.2} s lies outside the {duration_s:.2} s that are shown")
            }
            Self::EmptyMask { region } => write!(f, "region {region} is visible in none of its frames"),
            Self::BadRleSize { region, key, reason } => {
                write!(f, "region {region}, frame {key}: {reason}")
            }
            Self::UnknownPlaceholder(tag) => write!(f, "{tag} is not a placeholder"),
            Self::MissingMedia => f.write_str("the text and the list of media disagree about what is shown"),
            Self::UnknownFixedKey { region } => write!(f, "region {region}: its fixed frame has no mask"),
            Self::TurnOrder { turn } => {
                write!(f, "turn {turn} is out of order (user and assistant alternate)")
            }
        }
    }
}

/// What is known about the medium when a sample is checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct MediaFacts {
    /// Length of the segment shown, in seconds.
    pub duration_s: Option<f64>,
    /// Height and width of its frames.
    pub frame_size: Option<(u32, u32)>,
}

impl Sample {
    /// Checks that text, regions and times belong together. Masks are decoded only when `facts` has a frame size.
    pub fn validate(&self, facts: MediaFacts) -> Result<()> {
        self.first_issue(facts).map_or(Ok(()), |issue| Err(Error::Invalid { id: self.id.clone(), issue }))
    }

    fn first_issue(&self, facts: MediaFacts) -> Option<Issue> {
        self.text_issue().or_else(|| self.turn_issue()).or_else(|| {
            let duration_s = facts.duration_s.unwrap_or(f64::INFINITY);
            let outside = |s: f64| !s.is_finite() || s < 0.0 || s > duration_s + 1e-6;
            let time = self.times.iter().find(|time| outside(time.s));
            time.map(|time| Issue::TimeOutOfRange { at_s: time.s, duration_s })
                .or_else(|| self.region_issue(facts.frame_size))
        })
    }

    fn text_issue(&self) -> Option<Issue> {
        let (mut used, mut visuals) = (std::collections::BTreeSet::new(), 0);
        for piece in self.conversations.iter().flat_map(|turn| pieces(&turn.text)) {
            match piece {
                Piece::Text(_) => {}
                Piece::Visual => visuals += 1,
                Piece::Region(index) => {
                    used.insert(index.unwrap_or(usize::MAX - 1));
                }
                Piece::Time(index) if index >= self.times.len() => {
                    return Some(Issue::UnknownTime { index, listed: self.times.len() });
                }
                Piece::Time(_) => {}
                Piece::Unknown(tag) => return Some(Issue::UnknownPlaceholder(tag.to_owned())),
            }
        }
        let in_text = used.last().map_or(0, |last| last + 1);
        if in_text != self.regions.len() || used.len() != self.regions.len() {
            return Some(Issue::RegionCountMismatch { in_text, listed: self.regions.len() });
        }
        (visuals != self.media.len()).then_some(Issue::MissingMedia)
    }

    fn turn_issue(&self) -> Option<Issue> {
        let skip = usize::from(self.conversations.first().is_some_and(|turn| turn.role == Role::System));
        let turns = self.conversations.iter().enumerate().skip(skip);
        turns
            .zip([Role::User, Role::Assistant].iter().cycle())
            .find(|((_, turn), role)| turn.role != **role)
            .map(|((turn, _), _)| Issue::TurnOrder { turn })
    }

    fn region_issue(&self, frame_size: Option<(u32, u32)>) -> Option<Issue> {
        for (index, region) in self.regions.iter().enumerate() {
            let fixed = region.fixed_key.is_some_and(|key| region.masks.contains_key(&key));
            if region.mode == RegionMode::SingleFixed && !fixed {
                return Some(Issue::UnknownFixedKey { region: index });
            }
            if region.masks.is_empty() {
                return Some(Issue::EmptyMask { region: index });
            }
            let Some(size) = frame_size else { continue };
            let mut visible = false;
            for (key, mask) in &region.masks {
                let bad = |reason| Issue::BadRleSize { region: index, key: key.0, reason };
                if let Some(stated) = mask.stated_size().filter(|stated| *stated != size) {
                    let reason = format!(
                        "the mask is {}x{} (height x width), the frame {}x{}",
                        stated.0, stated.1, size.0, size.1
                    );
                    return Some(bad(reason));
                }
                match mask.to_mask(Some(size)) {
                    Ok(mask) => visible |= mask.is_some_and(|mask| !mask.is_empty()),
                    Err(error) => return Some(bad(error.to_string())),
                }
            }
            if !visible {
                return Some(Issue::EmptyMask { region: index });
            }
        }
        None
    }
}

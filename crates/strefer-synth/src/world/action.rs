//! What a body can do.

use serde::{Deserialize, Serialize};

/// What a body does for a while. Directions are the viewer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It stands still.
    StandsStill,
    /// It moves to the left.
    MovesLeft,
    /// It moves to the right.
    MovesRight,
    /// It comes closer.
    ComesCloser,
    /// It moves away.
    MovesAway,
    /// It jumps, again and again.
    Jumps,
    /// It spins about the vertical.
    Spins,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 7] = [
        Self::StandsStill,
        Self::MovesLeft,
        Self::MovesRight,
        Self::ComesCloser,
        Self::MovesAway,
        Self::Jumps,
        Self::Spins,
    ];

    /// In words, third person: "moves to the left".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::StandsStill => "stands still",
            Self::MovesLeft => "moves to the left",
            Self::MovesRight => "moves to the right",
            Self::ComesCloser => "comes closer",
            Self::MovesAway => "moves away",
            Self::Jumps => "jumps",
            Self::Spins => "spins",
        }
    }

    /// Whether the body's place changes.
    pub fn travels(self) -> bool {
        matches!(self, Self::MovesLeft | Self::MovesRight | Self::ComesCloser | Self::MovesAway)
    }

    /// Whether the second undoes the first.
    pub fn reverses(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::MovesLeft, Self::MovesRight)
                | (Self::MovesRight, Self::MovesLeft)
                | (Self::ComesCloser, Self::MovesAway)
                | (Self::MovesAway, Self::ComesCloser)
        )
    }
}

//! The frame on which tracking begins.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::masklets::seam::Detection;

/// The order in which frames are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// From the middle, halving again and again.
    MiddleOut,
    /// From the first on.
    First,
    /// From the last back.
    End,
}

impl Policy {
    /// The positions of `n` frames in the order in which they are looked at.
    pub fn order(self, n: usize) -> Vec<usize> {
        match self {
            Self::MiddleOut => middle_out(n),
            Self::First => (0..n).collect(),
            Self::End => (0..n).rev().collect(),
        }
    }
}

/// Breadth first through a balanced binary tree over the positions, the middle of an even number being the lower one.
pub fn middle_out(n: usize) -> Vec<usize> {
    let mut order = Vec::with_capacity(n);
    let mut open = VecDeque::from([(0, n)]);
    while let Some((from, to)) = open.pop_front() {
        if from < to {
            let middle = (from + to - 1) / 2;
            order.push(middle);
            open.extend([(from, middle), (middle + 1, to)]);
        }
    }
    order
}

/// Where tracking begins, and with what.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The frame.
    pub position: usize,
    /// The boxes that fit well enough.
    pub detections: Vec<Detection>,
    /// Which frames were looked at, in order.
    pub looked: Vec<usize>,
}

/// Looks at frames in order until one shows `enough` boxes; otherwise the earliest of those with the most is taken.
/// Nothing for a video without frames.
///
/// # Errors
/// What `detect` says.
pub fn find<E>(
    order: &[usize],
    enough: usize,
    min_score: f64,
    mut detect: impl FnMut(usize) -> Result<Vec<Detection>, E>,
) -> Result<Option<Start>, E> {
    let mut best: Option<Start> = None;
    let mut looked = Vec::new();
    for &position in order {
        let mut detections = detect(position)?;
        detections.retain(|found| found.score >= min_score && !found.label.is_empty());
        looked.push(position);
        let is_enough = detections.len() >= enough;
        if best.as_ref().is_none_or(|best| detections.len() > best.detections.len()) {
            best = Some(Start { position, detections, looked: Vec::new() });
        }
        if is_enough {
            break;
        }
    }
    Ok(best.map(|start| Start { looked, ..start }))
}

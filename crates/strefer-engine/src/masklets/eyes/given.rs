//! Boxes that a person drew.

use crate::masklets::request::{Sought, query};
use crate::masklets::seam::{Area, Detection, Detector, Seen};

/// A box that a person drew round what an expression means.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnBox {
    /// The frame.
    pub position: usize,
    /// Where.
    pub area: Area,
    /// Position of the expression in what is looked for.
    pub expression: usize,
}

/// Finds what was drawn, and beside it what another detector finds.
pub struct GivenBoxes<'a> {
    boxes: Vec<DrawnBox>,
    /// The noun of each expression, as a position in the query.
    nouns: Vec<Option<usize>>,
    /// The noun of each expression, as it is written.
    labels: Vec<String>,
    beside: Option<&'a mut dyn Detector>,
}

impl<'a> GivenBoxes<'a> {
    /// Boxes of `sought`, by the positions of its expressions.
    pub fn new(boxes: Vec<DrawnBox>, sought: &[Sought], beside: Option<&'a mut dyn Detector>) -> Self {
        let nouns = query(sought);
        let noun = |sought: &Sought| nouns.iter().position(|noun| noun == sought.noun.trim());
        let labels = sought.iter().map(|sought| sought.noun.trim().to_owned()).collect();
        Self { boxes, nouns: sought.iter().map(noun).collect(), labels, beside }
    }
}

impl Detector for GivenBoxes<'_> {
    fn detect(&mut self, position: usize, nouns: &[String]) -> Seen<Vec<Detection>> {
        let here = self.boxes.iter().filter(|drawn| drawn.position == position);
        let mut found: Vec<Detection> = here
            .map(|drawn| Detection {
                area: drawn.area,
                score: 1.0,
                label: self.labels.get(drawn.expression).cloned().unwrap_or_default(),
                noun: self.nouns.get(drawn.expression).copied().flatten(),
                expression: Some(drawn.expression),
            })
            .collect();
        if let Some(beside) = &mut self.beside {
            found.extend(beside.detect(position, nouns)?);
        }
        Ok(found)
    }
}

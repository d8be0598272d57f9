//! Boxes that are known: a person drew them, or another program found them.

use crate::masklets::request::{Sought, query};
use crate::masklets::seam::{Area, Detection, Detector, Seen};

/// What a box is drawn round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// What an expression means, by its position in what is looked for.
    Expression(usize),
    /// Something with this noun: the referee tells whether an expression means it.
    Noun(String),
}

/// A box that was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnBox {
    /// The frame.
    pub position: usize,
    /// Where.
    pub area: Area,
    /// What it is drawn round.
    pub meant: Meant,
}

/// Finds what was drawn, and beside it what another detector finds.
pub struct GivenBoxes<'a> {
    boxes: Vec<DrawnBox>,
    /// The noun of each expression, as a position in the query.
    nouns: Vec<Option<usize>>,
    /// The noun of each expression, as it is written.
    labels: Vec<String>,
    /// The nouns of the query.
    query: Vec<String>,
    beside: Option<&'a mut dyn Detector>,
}

impl<'a> GivenBoxes<'a> {
    /// Boxes of `sought`, by the positions of its expressions.
    pub fn new(boxes: Vec<DrawnBox>, sought: &[Sought], beside: Option<&'a mut dyn Detector>) -> Self {
        let nouns = query(sought);
        let noun = |sought: &Sought| nouns.iter().position(|noun| noun == sought.noun.trim());
        let labels = sought.iter().map(|sought| sought.noun.trim().to_owned()).collect();
        Self { boxes, nouns: sought.iter().map(noun).collect(), labels, query: nouns, beside }
    }
}

impl Detector for GivenBoxes<'_> {
    fn detect(&mut self, position: usize, nouns: &[String]) -> Seen<Vec<Detection>> {
        let here = self.boxes.iter().filter(|drawn| drawn.position == position);
        let mut found: Vec<Detection> = here
            .map(|drawn| {
                let (label, noun, expression) = match &drawn.meant {
                    Meant::Expression(at) => (
                        self.labels.get(*at).cloned().unwrap_or_default(),
                        self.nouns.get(*at).copied().flatten(),
                        Some(*at),
                    ),
                    Meant::Noun(noun) => {
                        (noun.clone(), self.query.iter().position(|known| known == noun), None)
                    }
                };
                Detection { area: drawn.area, score: 1.0, label, noun, expression }
            })
            .collect();
        if let Some(beside) = &mut self.beside {
            found.extend(beside.detect(position, nouns)?);
        }
        Ok(found)
    }
}

//! Partitions, the resolution of answers, and how partitions are put together again.

use std::collections::BTreeMap;

/// Expressions that choose among the same boxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Positions of expressions.
    pub expressions: Vec<usize>,
    /// Positions of boxes.
    pub boxes: Vec<usize>,
}

/// Boxes whose label equals an expression's noun are its candidates; expressions with the same candidates are together.
/// Those without any are left out.
pub fn partitions(labels: &[impl AsRef<str>], nouns: &[impl AsRef<str>]) -> Vec<Partition> {
    let mut found: Vec<Partition> = Vec::new();
    for (expression, noun) in nouns.iter().enumerate() {
        let fits = |found: &usize| labels[*found].as_ref() == noun.as_ref();
        let boxes: Vec<usize> = (0..labels.len()).filter(fits).collect();
        match found.iter_mut().find(|partition| partition.boxes == boxes) {
            Some(partition) => partition.expressions.push(expression),
            None if boxes.is_empty() => {}
            None => found.push(Partition { expressions: vec![expression], boxes }),
        }
    }
    found
}

/// Whether nobody is asked: the expressions are the nouns, or there is one expression and one box.
pub fn is_settled(partition: &Partition, expressions: &[impl AsRef<str>], nouns: &[impl AsRef<str>]) -> bool {
    let plain = |&at: &usize| expressions[at].as_ref() == nouns[at].as_ref();
    partition.expressions.iter().all(plain) || (partition.expressions.len(), partition.boxes.len()) == (1, 1)
}

/// What a partition contributes: expressions, boxes in their order, and numbered objects, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Positions of expressions.
    pub expressions: Vec<usize>,
    /// Positions of the boxes that records list.
    pub boxes: Vec<usize>,
    /// The box of each object.
    pub objects: BTreeMap<u32, usize>,
}

impl Kept {
    /// A partition that is left as it is, with all its boxes.
    pub fn unchanged(partition: &Partition) -> Self {
        let objects = partition.boxes.iter().enumerate().map(|(at, &found)| (at as u32 + 1, found));
        Self {
            expressions: partition.expressions.clone(),
            boxes: partition.boxes.clone(),
            objects: objects.collect(),
        }
    }
}

/// Answers become an assignment. Nothing when two expressions claim one box, or none gets one.
///
/// Answers are known by the words of their expressions: of two that read the same the later answer counts, for both.
///
/// # Shapes
/// - `phrases`, `answers`: one each expression of the partition; answers count its boxes
pub fn resolve(partition: &Partition, phrases: &[&str], answers: &[Vec<usize>]) -> Option<Kept> {
    let mut by_words: Vec<(&str, Vec<usize>)> = Vec::new();
    for (&phrase, answer) in phrases.iter().zip(answers) {
        let answer: Vec<usize> =
            answer.iter().copied().filter(|index| *index < partition.boxes.len()).collect();
        match by_words.iter_mut().find(|(known, _)| *known == phrase) {
            Some(entry) => entry.1 = answer,
            None => by_words.push((phrase, answer)),
        }
    }
    let mut claimed: Vec<(&str, usize)> = Vec::new();
    let is_taken = |claimed: &[(&str, usize)], index: usize| claimed.iter().any(|(_, taken)| *taken == index);
    for (phrase, answer) in by_words.iter().filter(|(_, answer)| answer.len() == 1) {
        if is_taken(&claimed, answer[0]) {
            return None;
        }
        claimed.push((phrase, answer[0]));
    }
    for (phrase, answer) in by_words.iter().filter(|(_, answer)| answer.len() > 1) {
        if let Some(&free) = answer.iter().find(|index| !is_taken(&claimed, **index)) {
            claimed.push((phrase, free));
        }
    }
    if claimed.is_empty() {
        return None;
    }
    let mut kept = Kept::default();
    let mut names: Vec<&str> = Vec::new();
    for (&expression, &phrase) in partition.expressions.iter().zip(phrases) {
        if let Some((_, index)) = claimed.iter().find(|(known, _)| *known == phrase) {
            let found = partition.boxes[*index];
            names.push(phrase);
            let first = names.iter().position(|known| *known == phrase).map_or(names.len(), |at| at + 1);
            kept.expressions.push(expression);
            kept.boxes.push(found);
            kept.objects.insert(first as u32, found);
        }
    }
    Some(kept)
}

/// Partitions one after the other. Objects are renumbered by how many expressions came before, so those of a partition that
/// kept more boxes than expressions are overwritten.
pub fn merge(parts: impl IntoIterator<Item = Kept>) -> Kept {
    let mut merged = Kept::default();
    for part in parts {
        let before = merged.expressions.len() as u32;
        merged.objects.extend(part.objects.into_iter().map(|(object, found)| (object + before, found)));
        merged.expressions.extend(part.expressions);
        merged.boxes.extend(part.boxes);
    }
    merged
}

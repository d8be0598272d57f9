//! Texts cut into phrases that do not see each other.

use candle_core::{Device, Result, Tensor, bail};
use strefer_nn::ops::AttentionMask;

use super::{Sight, TextMask};

/// [CLS], [SEP], "." and "?": each ends the phrase before it.
const SEPARATORS: [u32; 4] = [101, 102, 1012, 1029];

/// Tokens of several texts of one length, padded at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Phrases {
    b: usize,
    s: usize,
    ids: Vec<u32>,
    valid: Vec<bool>,
    /// The phrase of each token: the column that ends it. A token outside all phrases is its own.
    phrase: Vec<i32>,
    positions: Vec<u32>,
}

impl Phrases {
    /// Texts as token ids; shorter ones are padded.
    pub fn new(texts: &[Vec<u32>]) -> Result<Self> {
        let s = texts.iter().map(Vec::len).max().unwrap_or(0);
        if s == 0 {
            bail!("texts without tokens");
        }
        let (mut ids, mut valid) = (Vec::new(), Vec::new());
        for text in texts {
            ids.extend(text.iter().copied().chain(std::iter::repeat_n(0, s - text.len())));
            valid.extend((0..s).map(|at| at < text.len()));
        }
        Ok(Self::cut(texts.len(), s, ids, valid))
    }

    fn cut(b: usize, s: usize, ids: Vec<u32>, valid: Vec<bool>) -> Self {
        let mut phrase: Vec<i32> = (0..b * s).map(|at| (at % s) as i32).collect();
        let mut positions = vec![0u32; b * s];
        for row in 0..b {
            let mut begin = 1;
            for column in 0..s {
                if !SEPARATORS.contains(&ids[row * s + column]) {
                    continue;
                }
                // A separator in the first or last column stands alone, and closes nothing.
                if column != 0 && column != s - 1 {
                    for (position, at) in (row * s + begin..=row * s + column).enumerate() {
                        phrase[at] = column as i32;
                        positions[at] = position as u32;
                    }
                }
                begin = column + 1;
            }
        }
        Self { b, s, ids, valid, phrase, positions }
    }

    /// Rows and columns.
    pub fn dims(&self) -> (usize, usize) {
        (self.b, self.s)
    }

    /// Token ids of a row.
    pub fn ids(&self, row: usize) -> &[u32] {
        &self.ids[row * self.s..(row + 1) * self.s]
    }

    /// Which columns of a row hold tokens.
    pub fn valid(&self, row: usize) -> &[bool] {
        &self.valid[row * self.s..(row + 1) * self.s]
    }

    /// The phrase of each column of a row: the column that ends it.
    pub fn phrase(&self, row: usize) -> &[i32] {
        &self.phrase[row * self.s..(row + 1) * self.s]
    }

    /// The place of each column of a row in its phrase.
    pub fn positions(&self, row: usize) -> &[u32] {
        &self.positions[row * self.s..(row + 1) * self.s]
    }

    /// Columns of the phrases of a row, separators left out, in their order.
    pub fn spans(&self, row: usize) -> Vec<Vec<usize>> {
        let (ids, phrase, valid) = (self.ids(row), self.phrase(row), self.valid(row));
        let mut spans: Vec<(i32, Vec<usize>)> = Vec::new();
        for column in (0..self.s).filter(|at| valid[*at] && !SEPARATORS.contains(&ids[*at])) {
            match spans.last_mut() {
                Some((id, columns)) if *id == phrase[column] => columns.push(column),
                _ => spans.push((phrase[column], vec![column])),
            }
        }
        spans.into_iter().map(|(_, columns)| columns).collect()
    }

    /// Each token sees its own phrase.
    pub(super) fn mask(&self) -> Result<AttentionMask> {
        AttentionMask::bidirectional().with_segments(self.b, &self.phrase)
    }

    /// Who sees whom in the text backbone.
    pub fn sight(&self, mask: TextMask, dev: &Device) -> Result<Sight> {
        if mask == TextMask::Hide {
            return self.mask().map(Sight::Hidden);
        }
        let row = |row: usize| {
            let own = self.phrase(row);
            own.iter().flat_map(move |id| own.iter().map(move |other| f32::from(u8::from(id == other))))
        };
        let flags = Tensor::from_iter((0..self.b).flat_map(row), dev)?;
        flags.reshape((self.b, 1, self.s, self.s)).map(Sight::Added)
    }

    /// Every query sees every token that is no padding.
    pub(super) fn tokens(&self) -> Result<AttentionMask> {
        AttentionMask::bidirectional().with_padding(self.b, &self.valid)
    }

    /// `(b, s)`, u32: ids, types and positions.
    pub(super) fn tensors(&self, dev: &Device) -> Result<[Tensor; 3]> {
        let shape = (self.b, self.s);
        let tensor = |values: &[u32]| Tensor::from_slice(values, shape, dev);
        let types = vec![0; self.b * self.s];
        Ok([tensor(&self.ids)?, tensor(&types)?, tensor(&self.positions)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_end_with_a_separator_and_positions_start_again() {
        // [CLS] a cat . dog . [SEP], and a shorter text without a "." before its end
        let phrases = Phrases::new(&[vec![101, 7, 8, 1012, 9, 1012, 102], vec![101, 7, 102]]).unwrap();
        assert_eq!(phrases.phrase(0), [0, 3, 3, 3, 5, 5, 6]);
        assert_eq!(phrases.positions(0), [0, 0, 1, 2, 0, 1, 0]);
        assert_eq!(phrases.spans(0), [vec![1, 2], vec![4]]);
        assert_eq!(phrases.phrase(1), [0, 2, 2, 3, 4, 5, 6]);
        assert_eq!(phrases.valid(1), [true, true, true, false, false, false, false]);
        assert_eq!(phrases.spans(1), [vec![1]]);
        // With nothing behind it, a closing separator closes nothing.
        let short = Phrases::new(&[vec![101, 7, 8, 102]]).unwrap();
        assert_eq!(short.phrase(0), [0, 1, 2, 3]);
        assert!(Phrases::new(&[vec![]]).is_err());
    }
}

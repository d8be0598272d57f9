//! Visual tokens take the places of their placeholders, and rows of a batch get one length.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor, bail};
use strefer_nn::ops::AttentionMask;

use crate::inputs::{IGNORE, PromptToken};

/// Where every position of a spliced batch comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplicePlan {
    /// Per row and position: an index into the rows text tokens ++ video tokens ++ region tokens ++ one row of zeros.
    index: Vec<u32>,
    /// Ids of all text tokens of the batch, in order.
    pub text_ids: Vec<u32>,
    /// Per row and position.
    labels: Vec<i64>,
    /// Per row and position: the turn it belongs to, -1 for padding; none where all rows are conversations.
    turns: Option<Vec<i32>>,
    /// Positions of each row that hold something.
    pub lens: Vec<usize>,
    /// Positions of every row.
    pub width: usize,
}

/// One row to be spliced: its prompt, its labels, the number of its video tokens and those of each of its regions.
#[derive(Debug, Clone, Copy)]
pub struct SpliceRow<'a> {
    /// The prompt.
    pub tokens: &'a [PromptToken],
    /// One label a position.
    pub labels: &'a [i64],
    /// One turn a position where turns do not see each other, as in [`crate::Inputs::turns`]; else empty.
    pub turns: &'a [u32],
    /// Tokens of its video.
    pub video_tokens: usize,
    /// Tokens of each of its regions.
    pub region_tokens: &'a [usize],
}

impl SplicePlan {
    /// Lays out a batch, padded on the right. Visual tokens get the label [`IGNORE`].
    ///
    /// # Errors
    /// A placeholder for a region that the row does not have; turns that are not one a position.
    pub fn new(rows: &[SpliceRow<'_>]) -> Result<Self> {
        let text: usize = rows.iter().map(|row| text_len(row.tokens)).sum();
        let videos: usize = rows.iter().map(|row| row.video_tokens).sum();
        let regions: usize = rows.iter().flat_map(|row| row.region_tokens).sum();
        let zero = (text + videos + regions) as u32;
        let (mut next_video, mut next_region) = (text, text + videos);
        let mut text_ids = Vec::with_capacity(text);
        let mut laid: Vec<(Vec<u32>, Vec<i64>, Vec<i32>)> = Vec::with_capacity(rows.len());
        for row in rows {
            if !row.turns.is_empty() && row.turns.len() != row.tokens.len() {
                bail!("{} turns for {} positions", row.turns.len(), row.tokens.len());
            }
            let starts = region_starts(next_region, row.region_tokens);
            let (mut index, mut labels, mut turns) = (Vec::new(), Vec::new(), Vec::new());
            for (at, (token, &label)) in row.tokens.iter().zip(row.labels).enumerate() {
                let turn = row.turns.get(at).map_or(0, |&turn| turn as i32);
                let visual = match *token {
                    PromptToken::Text(id) => {
                        index.push(text_ids.len() as u32);
                        labels.push(label);
                        turns.push(turn);
                        text_ids.push(id);
                        continue;
                    }
                    PromptToken::Video => next_video..next_video + row.video_tokens,
                    PromptToken::Region(region) => match row.region_tokens.get(region) {
                        Some(count) => starts[region]..starts[region] + count,
                        None => bail!("region {region} of {}", row.region_tokens.len()),
                    },
                };
                labels.extend(visual.clone().map(|_| IGNORE));
                turns.extend(visual.clone().map(|_| turn));
                index.extend(visual.map(|at| at as u32));
            }
            next_video += row.video_tokens;
            next_region += row.region_tokens.iter().sum::<usize>();
            laid.push((index, labels, turns));
        }
        let lens: Vec<usize> = laid.iter().map(|(index, ..)| index.len()).collect();
        let width = lens.iter().copied().max().unwrap_or(0);
        let (mut index, mut labels, mut turns) = (Vec::new(), Vec::new(), Vec::new());
        for (mut row_index, mut row_labels, mut row_turns) in laid {
            row_index.resize(width, zero);
            row_labels.resize(width, IGNORE);
            row_turns.resize(width, -1);
            index.append(&mut row_index);
            labels.append(&mut row_labels);
            turns.append(&mut row_turns);
        }
        let turns = rows.iter().any(|row| !row.turns.is_empty()).then_some(turns);
        Ok(Self { index, text_ids, labels, turns, lens, width })
    }

    /// Puts the batch together.
    ///
    /// # Shapes
    /// - `text`: `(text tokens, d)`, embeddings of [`SplicePlan::text_ids`]
    /// - `videos`: `(video tokens of all rows, d)`, `regions`: `(region tokens of all rows, d)`
    /// - returns: `(b, width, d)`
    pub fn splice(&self, text: &Tensor, videos: Option<&Tensor>, regions: Option<&Tensor>) -> Result<Tensor> {
        let d = text.dim(1)?;
        let zero = Tensor::zeros((1, d), text.dtype(), text.device())?;
        let parts = [Some(text), videos, regions, Some(&zero)].into_iter().flatten();
        let parts: Vec<&Tensor> = parts.filter(|part| part.elem_count() > 0).collect();
        let index = Tensor::from_slice(&self.index, self.index.len(), text.device())?;
        Tensor::cat(&parts, 0)?.index_select(&index, 0)?.reshape((self.lens.len(), self.width, d))
    }

    /// Labels, `(b, width)` in i64.
    pub fn labels(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(&self.labels, (self.lens.len(), self.width), device)
    }

    /// Positions of every row, `(b, width)` in u32: `0, 1, …`, and every turn that does not see the others goes on behind
    /// what stands before them all.
    pub fn positions(&self, device: &Device) -> Result<Tensor> {
        let (b, width) = (self.lens.len(), self.width);
        match &self.turns {
            None => Tensor::arange(0u32, width as u32, device)?
                .reshape((1, width))?
                .broadcast_as((b, width))?
                .contiguous(),
            Some(turns) => {
                let rows = turns.chunks_exact(width.max(1)).flat_map(positions_of_turns).collect();
                Tensor::from_vec(rows, (b, width), device)
            }
        }
    }

    /// Who sees whom. Rows are padded on the right, where a causal mask hides the padding from everything before it.
    pub fn mask(&self) -> Result<AttentionMask> {
        match &self.turns {
            None => Ok(AttentionMask::causal()),
            Some(turns) => AttentionMask::causal().with_branches(self.lens.len(), turns),
        }
    }
}

fn positions_of_turns(turns: &[i32]) -> Vec<u32> {
    let (mut shared, mut next) = (0, HashMap::new());
    let mut position = |&turn: &i32| {
        let next = if turn == 0 { &mut shared } else { next.entry(turn).or_insert(shared) };
        *next += 1;
        *next - 1
    };
    turns.iter().map(&mut position).collect()
}

fn text_len(tokens: &[PromptToken]) -> usize {
    tokens.iter().filter(|token| matches!(token, PromptToken::Text(_))).count()
}

fn region_starts(first: usize, counts: &[usize]) -> Vec<usize> {
    counts.iter().scan(first, |at, count| Some(std::mem::replace(at, *at + count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use PromptToken::{Region, Text, Video};

    #[test]
    fn rows_take_their_own_visual_tokens() -> Result<()> {
        let device = Device::Cpu;
        let rows = [
            SpliceRow {
                tokens: &[Text(5), Video, Region(1), Text(6), Region(0)],
                labels: &[5, 0, 0, 6, 0],
                turns: &[],
                video_tokens: 2,
                region_tokens: &[1, 2],
            },
            SpliceRow {
                tokens: &[Video, Text(7)],
                labels: &[0, 7],
                turns: &[],
                video_tokens: 1,
                region_tokens: &[],
            },
        ];
        let plan = SplicePlan::new(&rows)?;
        assert_eq!(plan.lens, [7, 2]);
        let column = |values: &[f32]| Tensor::from_slice(values, (values.len(), 1), &device);
        let text = column(&[5.0, 6.0, 7.0])?;
        let spliced =
            plan.splice(&text, Some(&column(&[10., 11., 12.])?), Some(&column(&[20., 21., 22.])?))?;
        let values: Vec<Vec<f32>> = spliced.squeeze(2)?.to_vec2()?;
        assert_eq!(values[0], [5., 10., 11., 21., 22., 6., 20.]);
        assert_eq!(values[1], [12., 7., 0., 0., 0., 0., 0.]);
        let labels = plan.labels(&device)?.to_vec2::<i64>()?;
        assert_eq!(labels[0], [5, IGNORE, IGNORE, IGNORE, IGNORE, 6, IGNORE]);
        assert_eq!(labels[1][..2], [IGNORE, 7]);
        Ok(())
    }

    #[test]
    fn a_region_that_is_not_there_is_an_error() {
        let row =
            SpliceRow { tokens: &[Region(0)], labels: &[0], turns: &[], video_tokens: 0, region_tokens: &[] };
        assert!(SplicePlan::new(&[row]).is_err());
        let row = SpliceRow { turns: &[0, 1], region_tokens: &[1], ..row };
        assert!(SplicePlan::new(&[row]).is_err());
    }

    #[test]
    fn turns_that_are_independent_go_on_behind_the_video() -> Result<()> {
        let row = SpliceRow {
            tokens: &[Text(1), Video, Text(2), Region(0), Text(3), Text(4)],
            labels: &[IGNORE, IGNORE, 2, IGNORE, 3, 4],
            turns: &[0, 0, 1, 1, 2, 2],
            video_tokens: 2,
            region_tokens: &[2],
        };
        let short = SpliceRow { tokens: &[Text(5)], labels: &[5], turns: &[], ..row };
        let plan = SplicePlan::new(&[row, short])?;
        let positions = plan.positions(&Device::Cpu)?.to_vec2::<u32>()?;
        assert_eq!(positions[0], [0, 1, 2, 3, 4, 5, 3, 4]);
        assert_eq!(positions[1][0], 0);
        Ok(())
    }
}

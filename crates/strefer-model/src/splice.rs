//! Visual tokens take the places of their placeholders, and samples of a batch lie in rows of one length.

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
    /// Per row and position: what it belongs to.
    parts: Vec<Part>,
    /// Whether some row holds several samples.
    packed: bool,
    /// Rows.
    pub rows: usize,
    /// Positions of every row.
    pub width: usize,
    /// Where each sample lies.
    pub places: Vec<Placed>,
}

/// Where a sample lies in a spliced batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its row.
    pub row: usize,
    /// Its first position in the row.
    pub start: usize,
    /// Its positions.
    pub len: usize,
}

/// What a position belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// The sample, counted in its row.
    segment: i32,
    /// 0, or the turn that does not see the others; -1 for padding.
    turn: i32,
}

const PADDING: Part = Part { segment: 0, turn: -1 };

/// One sample to be spliced: its prompt, its labels, the number of its video tokens and those of each of its regions.
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

/// How samples share rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packing {
    /// The most positions of a row that several samples share; 0 gives each a row of its own.
    pub positions: usize,
    /// Samples of more positions than this share no row.
    pub longest: Option<usize>,
}

impl Packing {
    /// Which samples, of so many positions each, share a row: each goes into the first row with room, the longest first.
    pub fn rows(self, lens: &[usize]) -> Vec<Vec<usize>> {
        if self.positions == 0 {
            return (0..lens.len()).map(|sample| vec![sample]).collect();
        }
        let mut order: Vec<usize> = (0..lens.len()).collect();
        order.sort_by_key(|&sample| std::cmp::Reverse(lens[sample]));
        let mut rows: Vec<(usize, Vec<usize>)> = Vec::new();
        for sample in order {
            let len = lens[sample];
            let alone = self.longest.is_some_and(|longest| len > longest);
            let room = |(used, _): &&mut (usize, Vec<usize>)| used.saturating_add(len) <= self.positions;
            match rows.iter_mut().find(room).filter(|_| !alone) {
                Some((used, row)) => {
                    *used += len;
                    row.push(sample);
                }
                None => rows.push((if alone { usize::MAX } else { len }, vec![sample])),
            }
        }
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// A sample, laid out.
#[derive(Default)]
struct Laid {
    index: Vec<u32>,
    labels: Vec<i64>,
    turns: Vec<i32>,
}

impl SplicePlan {
    /// Lays out a batch, padded on the right. Visual tokens get the label [`IGNORE`], and so does the first position of a
    /// sample behind another one.
    ///
    /// # Errors
    /// A placeholder for a region that the sample does not have; turns that are not one a position.
    pub fn new(samples: &[SpliceRow<'_>], packing: Packing) -> Result<Self> {
        let text: usize = samples.iter().map(|sample| text_len(sample.tokens)).sum();
        let videos: usize = samples.iter().map(|sample| sample.video_tokens).sum();
        let regions: usize = samples.iter().flat_map(|sample| sample.region_tokens).sum();
        let zero = (text + videos + regions) as u32;
        let (mut next_video, mut next_region) = (text, text + videos);
        let mut text_ids = Vec::with_capacity(text);
        let mut laid = Vec::with_capacity(samples.len());
        for sample in samples {
            laid.push(lay(sample, &mut text_ids, next_video, next_region)?);
            next_video += sample.video_tokens;
            next_region += sample.region_tokens.iter().sum::<usize>();
        }

        let lens: Vec<usize> = laid.iter().map(|sample| sample.index.len()).collect();
        let rows = packing.rows(&lens);
        let width = rows.iter().map(|row| row.iter().map(|&sample| lens[sample]).sum()).max().unwrap_or(0);
        let (mut index, mut labels, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        let mut places = vec![Placed { row: 0, start: 0, len: 0 }; samples.len()];
        for (row, members) in rows.iter().enumerate() {
            for (segment, &sample) in members.iter().enumerate() {
                let Laid { index: own_index, labels: own_labels, turns } = std::mem::take(&mut laid[sample]);
                let start = index.len() - row * width;
                places[sample] = Placed { row, start, len: lens[sample] };
                index.extend(own_index);
                let first = labels.len();
                labels.extend(own_labels);
                if start > 0 && !turns.is_empty() {
                    labels[first] = IGNORE;
                }
                parts.extend(turns.into_iter().map(|turn| Part { segment: segment as i32, turn }));
            }
            let end = (row + 1) * width;
            index.resize(end, zero);
            labels.resize(end, IGNORE);
            parts.resize(end, PADDING);
        }
        let packed = rows.iter().any(|row| row.len() > 1);
        Ok(Self { index, text_ids, labels, parts, packed, rows: rows.len(), width, places })
    }

    /// Puts the batch together.
    ///
    /// # Shapes
    /// - `text`: `(text tokens, d)`, embeddings of [`SplicePlan::text_ids`]
    /// - `videos`: `(video tokens of all samples, d)`, `regions`: `(region tokens of all samples, d)`
    /// - returns: `(b, width, d)`
    pub fn splice(&self, text: &Tensor, videos: Option<&Tensor>, regions: Option<&Tensor>) -> Result<Tensor> {
        let d = text.dim(1)?;
        let zero = Tensor::zeros((1, d), text.dtype(), text.device())?;
        let parts = [Some(text), videos, regions, Some(&zero)].into_iter().flatten();
        // On a processor videos may have become f32 beside narrow weights.
        let parts = parts.filter(|part| part.elem_count() > 0).map(|part| part.to_dtype(text.dtype()));
        let parts: Vec<Tensor> = parts.collect::<Result<_>>()?;
        let index = Tensor::from_slice(&self.index, self.index.len(), text.device())?;
        Tensor::cat(&parts, 0)?.index_select(&index, 0)?.reshape((self.rows, self.width, d))
    }

    /// Labels, `(b, width)` in i64, on the processor: the loss looks through them there.
    pub fn labels(&self) -> Result<Tensor> {
        Tensor::from_slice(&self.labels, (self.rows, self.width), &Device::Cpu)
    }

    /// Positions, `(b, width)` in u32: `0, 1, …` in every sample, and every turn that does not see the others goes on
    /// behind what stands before them all. Padding is at 0.
    pub fn positions(&self, device: &Device) -> Result<Tensor> {
        let rows = self.parts.chunks_exact(self.width.max(1)).flat_map(positions_of).collect();
        Tensor::from_vec(rows, (self.rows, self.width), device)
    }

    /// Who sees whom. Rows are padded on the right, where a causal mask hides the padding from everything before it.
    pub fn mask(&self) -> Result<AttentionMask> {
        let mask = AttentionMask::causal();
        let turns = || self.parts.iter().map(|part| part.turn).collect::<Vec<i32>>();
        let segments = || self.parts.iter().map(|part| part.segment).collect::<Vec<i32>>();
        match (self.packed, self.parts.iter().any(|part| part.turn > 0)) {
            (false, false) => Ok(mask),
            (false, true) => mask.with_branches(self.rows, &turns()),
            (true, true) => mask.with_packed_branches(self.rows, &segments(), &turns()),
            (true, false) => {
                let own = |part: &Part| if part.turn < 0 { part.turn } else { part.segment };
                mask.with_segments(self.rows, &self.parts.iter().map(own).collect::<Vec<i32>>())
            }
        }
    }
}

/// Lays out one sample, whose video and region tokens begin at these indices.
fn lay(sample: &SpliceRow<'_>, text_ids: &mut Vec<u32>, video: usize, regions: usize) -> Result<Laid> {
    let SpliceRow { tokens, labels: own, turns, video_tokens, region_tokens } = *sample;
    if !turns.is_empty() && turns.len() != tokens.len() {
        bail!("{} turns for {} positions", turns.len(), tokens.len());
    }
    let starts = region_starts(regions, region_tokens);
    let mut laid = Laid::default();
    for (at, (token, &label)) in tokens.iter().zip(own).enumerate() {
        let turn = turns.get(at).map_or(0, |&turn| turn as i32);
        let visual = match *token {
            PromptToken::Text(id) => {
                laid.index.push(text_ids.len() as u32);
                laid.labels.push(label);
                laid.turns.push(turn);
                text_ids.push(id);
                continue;
            }
            PromptToken::Video => video..video + video_tokens,
            PromptToken::Region(region) => match region_tokens.get(region) {
                Some(count) => starts[region]..starts[region] + count,
                None => bail!("region {region} of {}", region_tokens.len()),
            },
        };
        laid.labels.extend(visual.clone().map(|_| IGNORE));
        laid.turns.extend(visual.clone().map(|_| turn));
        laid.index.extend(visual.map(|at| at as u32));
    }
    Ok(laid)
}

fn positions_of(parts: &[Part]) -> Vec<u32> {
    let mut next: HashMap<(i32, i32), u32> = HashMap::new();
    let mut position = |&Part { segment, turn }: &Part| {
        if turn < 0 {
            return 0;
        }
        let shared = next.get(&(segment, 0)).copied().unwrap_or(0);
        let next = next.entry((segment, turn)).or_insert(shared);
        *next += 1;
        *next - 1
    };
    parts.iter().map(&mut position).collect()
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
        let plan = SplicePlan::new(&rows, Packing::default())?;
        assert_eq!(plan.places.iter().map(|place| place.len).collect::<Vec<_>>(), [7, 2]);
        let column = |values: &[f32]| Tensor::from_slice(values, (values.len(), 1), &device);
        let text = column(&[5.0, 6.0, 7.0])?;
        let spliced =
            plan.splice(&text, Some(&column(&[10., 11., 12.])?), Some(&column(&[20., 21., 22.])?))?;
        let values: Vec<Vec<f32>> = spliced.squeeze(2)?.to_vec2()?;
        assert_eq!(values[0], [5., 10., 11., 21., 22., 6., 20.]);
        assert_eq!(values[1], [12., 7., 0., 0., 0., 0., 0.]);
        let labels = plan.labels()?.to_vec2::<i64>()?;
        assert_eq!(labels[0], [5, IGNORE, IGNORE, IGNORE, IGNORE, 6, IGNORE]);
        assert_eq!(labels[1][..2], [IGNORE, 7]);
        Ok(())
    }

    #[test]
    fn a_region_that_is_not_there_is_an_error() {
        let row =
            SpliceRow { tokens: &[Region(0)], labels: &[0], turns: &[], video_tokens: 0, region_tokens: &[] };
        assert!(SplicePlan::new(&[row], Packing::default()).is_err());
        let row = SpliceRow { turns: &[0, 1], region_tokens: &[1], ..row };
        assert!(SplicePlan::new(&[row], Packing::default()).is_err());
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
        let plan = SplicePlan::new(&[row, short], Packing::default())?;
        let positions = plan.positions(&Device::Cpu)?.to_vec2::<u32>()?;
        assert_eq!(positions[0], [0, 1, 2, 3, 4, 5, 3, 4]);
        assert_eq!(positions[1][0], 0);
        Ok(())
    }

    #[test]
    fn samples_share_rows_as_far_as_there_is_room() {
        let rows = |positions, longest, lens: &[usize]| Packing { positions, longest }.rows(lens);
        assert_eq!(rows(0, None, &[3, 9]), [vec![0], vec![1]]);
        assert_eq!(rows(10, None, &[3, 9, 4, 2, 12]), [vec![4], vec![1], vec![2, 0, 3]]);
        assert_eq!(rows(20, Some(8), &[3, 9, 4]), [vec![1], vec![2, 0]]);
        assert!(rows(10, None, &[]).is_empty());
    }

    #[test]
    fn packed_samples_lie_end_to_end_and_count_for_themselves() -> Result<()> {
        let long = SpliceRow {
            tokens: &[Video, Text(2), Text(3)],
            labels: &[IGNORE, 2, 3],
            turns: &[0, 1, 2],
            video_tokens: 2,
            region_tokens: &[],
        };
        let short = SpliceRow { tokens: &[Text(5), Text(6)], labels: &[5, 6], turns: &[], ..long };
        let plan = SplicePlan::new(&[short, long, short], Packing { positions: 7, longest: None })?;
        let place = |row, start, len| Placed { row, start, len };
        assert_eq!(plan.places, [place(0, 4, 2), place(0, 0, 4), place(1, 0, 2)]);
        assert_eq!((plan.rows, plan.width), (2, 6));
        let labels = plan.labels()?.to_vec2::<i64>()?;
        assert_eq!(labels[0], [IGNORE, IGNORE, 2, 3, IGNORE, 6]);
        let positions = plan.positions(&Device::Cpu)?.to_vec2::<u32>()?;
        assert_eq!(positions, [[0, 1, 2, 2, 0, 1], [0, 1, 0, 0, 0, 0]]);
        Ok(())
    }
}

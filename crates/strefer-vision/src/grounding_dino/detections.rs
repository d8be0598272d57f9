//! Boxes that are kept, and the phrases they belong to.

use candle_core::{Result, Tensor};

use super::{Answer, Phrases};

/// The model's last column of text has no phrase.
const LAST_COLUMN: usize = 255;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Boxes whose best token fits better than this are kept.
    pub score: f32,
    /// Tokens that fit better than this belong to a box's words.
    pub token: f32,
}

impl Default for Thresholds {
    /// Those of the original code.
    fn default() -> Self {
        Self { score: 0.35, token: 0.25 }
    }
}

/// A box that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Which query found it.
    pub query: usize,
    /// Left, top, right, bottom in pixels of the image; it may reach over the edges.
    pub area: [f32; 4],
    /// How well its best token fits.
    pub score: f32,
    /// Columns of all tokens that fit well enough. They may be of several phrases.
    pub columns: Vec<usize>,
    /// Of those, the ones of the phrase of the best token.
    pub own_columns: Vec<usize>,
    /// The phrase whose best token fits best, counted from 0, and how well it fits; none where there is no phrase.
    pub phrase: Option<(usize, f32)>,
}

/// The boxes of each image that are kept. `sizes` are height and width of the images before they were resized; `columns` is
/// how many columns of text the model has at most.
pub fn detections(
    answer: &Answer,
    phrases: &Phrases,
    sizes: &[(usize, usize)],
    thresholds: Thresholds,
    columns: usize,
) -> Result<Vec<Vec<Detection>>> {
    let last = columns.checked_sub(1).unwrap_or(LAST_COLUMN);
    let image = |(row, &(height, width)): (usize, &(usize, usize))| -> Result<Vec<Detection>> {
        let logits = candle_nn::ops::sigmoid(&answer.logits.get(row)?)?.to_vec2::<f32>()?;
        let boxes = corners(&answer.boxes.get(row)?, height, width)?;
        let spans = phrases.spans(row);
        let (valid, of_phrase) = (phrases.valid(row), phrases.phrase(row));
        let mut kept = Vec::new();
        for (query, (chances, area)) in logits.iter().zip(boxes).enumerate() {
            let best = (0..chances.len()).filter(|at| valid[*at]);
            let Some(best) = best.max_by(|a, b| chances[*a].total_cmp(&chances[*b]).then(b.cmp(a))) else {
                continue;
            };
            let score = chances[best];
            if score <= thresholds.score {
                continue;
            }
            let fits = |at: &usize| *at != 0 && *at != last && valid[*at] && chances[*at] > thresholds.token;
            let columns: Vec<usize> = (0..chances.len()).filter(fits).collect();
            let own = columns.iter().copied().filter(|at| of_phrase[*at] == of_phrase[best]).collect();
            let strongest = |span: &Vec<usize>| span.iter().map(|at| chances[*at]).fold(0.0, f32::max);
            let scores = spans.iter().map(strongest).enumerate();
            let phrase = scores.reduce(|best, other| if other.1 > best.1 { other } else { best });
            kept.push(Detection { query, area, score, columns, own_columns: own, phrase });
        }
        Ok(kept)
    };
    sizes.iter().enumerate().map(image).collect()
}

/// Boxes by centre and size, as shares of the image, become corners in pixels.
fn corners(boxes: &Tensor, height: usize, width: usize) -> Result<Vec<[f32; 4]>> {
    let (h, w) = (height as f32, width as f32);
    let area = |b: &Vec<f32>| {
        [(b[0] - 0.5 * b[2]) * w, (b[1] - 0.5 * b[3]) * h, (b[0] + 0.5 * b[2]) * w, (b[1] + 0.5 * b[3]) * h]
    };
    Ok(boxes.to_vec2::<f32>()?.iter().map(area).collect())
}

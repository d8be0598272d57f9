//! What fresh weights begin as where random ones would have to learn, for long, what is known before: where patches lie
//! and how moments follow each other.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor};
use strefer_core::Rng;

use crate::config::VideoLlmConfig;
use crate::region::{WAVES, waves_of};
use crate::time::{TimeConfig, TimeTokens};
use crate::video_llm::prefix::{LANGUAGE, REGION, VISION};

/// Puts waves in the place of the vision tower's random positions. Where objects' tokens are told their time and moments
/// have tokens of their own, both begin as images of the same waves: a moment then resembles what is seen at it.
pub fn with_waves(weights: &mut BTreeMap<String, Tensor>, cfg: &VideoLlmConfig, seed: u64) -> Result<()> {
    let positions = grid_positions(cfg.grid_side(), cfg.vision.siglip.hidden_size)?;
    weights.insert(format!("{VISION}.vision_model.embeddings.position_embedding.weight"), positions);
    let (place, table) = (format!("{REGION}.place.weight"), format!("{LANGUAGE}.model.embed_tokens.weight"));
    if let (Some(first), TimeConfig::Tokens(TimeTokens { count, .. }), Some(told), Some(embeds)) =
        (cfg.tokens.first_time, cfg.time, weights.get(&place), weights.get(&table))
    {
        let (told, embeds) = moments(told, embeds, first as usize, count as usize, seed)?;
        weights.insert(place, told);
        weights.insert(table, embeds);
    }
    Ok(())
}

/// The last columns of `told` `(d, numbers)`, which belong to the time, and the rows of the temporal tokens in `embeds`
/// `(v, d)`, drawn anew as one map of waves.
fn moments(
    told: &Tensor,
    embeds: &Tensor,
    first: usize,
    count: usize,
    seed: u64,
) -> Result<(Tensor, Tensor)> {
    /// Deviation of the columns: that of fresh ones.
    const COLUMNS: f64 = 0.08;
    let (d, numbers) = told.dims2()?;
    let mut rng = Rng::new(seed, "moments");
    let map: Vec<f32> = (0..d * WAVES).map(|_| rng.normal() as f32).collect();
    let map = Tensor::from_vec(map, (d, WAVES), &Device::Cpu)?;
    let told = Tensor::cat(&[&told.narrow(1, 0, numbers - WAVES)?, &(&map * COLUMNS)?], 1)?;
    let waves: Vec<f32> = (0..count).flat_map(|at| waves_of(at as f32 / (count.max(2) - 1) as f32)).collect();
    let waves = Tensor::from_vec(waves, (count, WAVES), &Device::Cpu)?;
    // As long as other rows, about 1: a sine and its cosine have the length 1 together.
    let length = (d as f64 * WAVES as f64 / 2.0).sqrt();
    let rows = (waves.matmul(&map.t()?)? / length)?;
    let behind = first + count;
    let embeds = Tensor::cat(
        &[&embeds.narrow(0, 0, first)?, &rows, &embeds.narrow(0, behind, embeds.dim(0)? - behind)?],
        0,
    )?;
    Ok((told, embeds))
}

/// Where the patches of a grid lie, as waves along rows and columns (arXiv 2111.06377) of 2.5 to `4 side` patches: what is
/// pooled under a mask then says where the mask is, which random vectors say only after much learning.
///
/// Returns `(side * side, width)`, patches row by row.
fn grid_positions(side: usize, width: usize) -> Result<Tensor> {
    /// About as large as what patches themselves begin with.
    const AMPLITUDE: f32 = 0.35;
    let waves = width / 4;
    let (shortest, longest) = (2.5f32, 4.0 * side as f32);
    let wave = |at: usize, nth: usize| {
        let length = shortest * (longest / shortest).powf(nth as f32 / (waves.max(2) - 1) as f32);
        std::f32::consts::TAU * at as f32 / length
    };
    let mut values = Vec::with_capacity(side * side * width);
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        let angles = |at: usize| (0..waves).map(move |nth| wave(at, nth));
        let of_axis =
            |at: usize| angles(at).map(f32::sin).chain(angles(at).map(f32::cos)).collect::<Vec<_>>();
        let mut row = [of_axis(x), of_axis(y)].concat();
        row.resize(width, 0.0);
        values.extend(row.iter().map(|value| AMPLITUDE * value));
    }
    Tensor::from_vec(values, (side * side, width), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_resemble_their_neighbours_and_what_is_seen_then() -> Result<()> {
        let (d, first, count) = (64, 3, 32);
        let zeros = |rows: usize, columns: usize| {
            Tensor::zeros((rows, columns), candle_core::DType::F32, &Device::Cpu)
        };
        let (told, embeds) = moments(&zeros(d, 20)?, &zeros(40, d)?, first, count, 1)?;
        let rows = embeds.narrow(0, first, count)?;
        let alike = |row: usize, time: f32| -> Result<f32> {
            let waves = Tensor::from_vec(waves_of(time).to_vec(), (WAVES, 1), &Device::Cpu)?;
            let seen = told.narrow(1, 20 - WAVES, WAVES)?.matmul(&waves)?;
            rows.narrow(0, row, 1)?.matmul(&seen)?.flatten_all()?.get(0)?.to_scalar()
        };
        for row in [0, 7, 16, 31] {
            let own = alike(row, row as f32 / 31.0)?;
            let other = alike(row, ((row + 16) % 32) as f32 / 31.0)?;
            assert!(own > 2.0 * other.abs(), "{row}: {own} {other}");
        }
        assert_eq!(embeds.narrow(0, first + count, 5)?.sum_all()?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }
}

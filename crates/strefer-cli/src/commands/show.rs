//! `strefer train --show`: the samples of one step as the model sees them, as a page.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::RgbImage;
use strefer_core::Mask;
use strefer_eval::report::{PromptPart, Report, Section, SeenCard};
use strefer_llm::Tokenizer;
use strefer_model::{IGNORE, Inputs, PromptToken};
use strefer_train::{SeenSample, SeenStep, TrainConfig};
use strefer_video::draw;

/// Pictures are at least so wide.
const LEAST_WIDTH: u32 = 192;

/// Writes the page of a step and names it.
pub fn run(config: &TrainConfig, step: usize, out: Option<&Path>) -> Result<PathBuf> {
    let seen = SeenStep::of(config, step)?;
    let mut sections = vec![Section::Text(
        "Frames in the size in which the model gets them; coloured patches are those under an object's mask. Marked text is \
         learnt."
            .to_owned(),
    )];
    for sample in &seen.samples {
        sections.push(section(sample, &seen.tokenizer)?);
    }
    let path = out.map_or_else(|| PathBuf::from(format!("step-{step}.html")), Path::to_owned);
    Report { title: format!("Step {step} of {}", config.output.display()), sections }.write(&path)?;
    Ok(path)
}

fn section(sample: &SeenSample, tokenizer: &Tokenizer) -> Result<Section> {
    let place = format!("{}, sample {}", sample.source, sample.index);
    Ok(match &sample.inputs {
        Err((id, reason)) => Section::Text(format!("{id} ({place}) is skipped: {reason}")),
        Ok(inputs) => Section::Seen(SeenCard {
            title: format!("{} ({place}): {} tokens learnt", inputs.id, inputs.supervised()),
            frames: frames(inputs)?,
            prompt: prompt(inputs, tokenizer)?,
        }),
    })
}

/// Every frame with the patches under masks, and which place in the video it has.
fn frames(inputs: &Inputs) -> Result<Vec<(String, Vec<u8>)>> {
    let mut frames = Vec::new();
    for (row, source) in inputs.frame_indices.iter().enumerate() {
        let mut image = pixels(inputs, row)?;
        let scale = LEAST_WIDTH.div_ceil(image.width());
        let (width, height) = (image.width() * scale, image.height() * scale);
        image = image::imageops::resize(&image, width, height, image::imageops::FilterType::Nearest);
        let mut caption = format!("frame {source}");
        if !inputs.shown.contains(&(row as u32)) {
            caption.push_str(", for masks only");
        }
        for (at, region) in inputs.regions.iter().enumerate() {
            let masks = region.rows.iter().zip(&region.grid_masks);
            for (_, grid) in masks.filter(|(masked, _)| **masked as usize == row) {
                draw::mask(&mut image, &patches(grid, height, width), draw::colour(at), 0.3);
                caption.push_str(&format!(", object {at}"));
            }
        }
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png)?;
        frames.push((caption, png.into_inner()));
    }
    Ok(frames)
}

/// A row of the frames as a picture: the normalisation undone.
fn pixels(inputs: &Inputs, row: usize) -> Result<RgbImage> {
    let frame = inputs.frames.get(row)?;
    let (_, height, width) = frame.dims3()?;
    let values = frame.permute((1, 2, 0))?.flatten_all()?.to_vec1::<f32>()?;
    let bytes = values.into_iter().map(|value| ((value * 0.5 + 0.5) * 255.0).round() as u8).collect();
    RgbImage::from_raw(width as u32, height as u32, bytes).context("a frame has three channels")
}

/// A mask on the grid of patches, as large as a picture.
fn patches(grid: &[f32], height: u32, width: u32) -> Mask {
    let side = grid.len().isqrt().max(1);
    let (height, width) = (height as usize, width as usize);
    Mask::from_fn(height, width, |y, x| grid[y * side / height * side + x * side / width] > 0.0)
}

/// Neighbouring tokens of one kind together: a character may take several.
fn prompt(inputs: &Inputs, tokenizer: &Tokenizer) -> Result<Vec<PromptPart>> {
    let mut parts = Vec::new();
    let mut open: Option<(bool, Vec<u32>)> = None;
    let close = |open: &mut Option<(bool, Vec<u32>)>, parts: &mut Vec<PromptPart>| -> Result<()> {
        if let Some((learnt, ids)) = open.take() {
            let text = tokenizer.decode(&ids, false)?;
            parts.push(if learnt { PromptPart::Learnt(text) } else { PromptPart::Read(text) });
        }
        Ok(())
    };
    for (at, (token, &label)) in inputs.tokens.iter().zip(&inputs.labels).enumerate() {
        if at > 0 && inputs.turns.get(at) != inputs.turns.get(at - 1) {
            close(&mut open, &mut parts)?;
            parts.push(PromptPart::Placeholder(format!("\n[turn {} alone] ", inputs.turns[at])));
        }
        let learnt = label != IGNORE;
        match *token {
            PromptToken::Text(id) => match &mut open {
                Some((same, ids)) if *same == learnt => ids.push(id),
                _ => {
                    close(&mut open, &mut parts)?;
                    open = Some((learnt, vec![id]));
                }
            },
            PromptToken::Video => {
                close(&mut open, &mut parts)?;
                parts.push(PromptPart::Placeholder(format!("[video: {} frames]", inputs.shown.len())));
            }
            PromptToken::Region(region) => {
                close(&mut open, &mut parts)?;
                let masks = inputs.regions.get(region).map_or(0, |rows| rows.rows.len());
                parts.push(PromptPart::Placeholder(format!("[object {region}: {masks} masks]")));
            }
        }
    }
    close(&mut open, &mut parts)?;
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_cover_their_part_of_the_picture() {
        let mask = patches(&[0.0, 1.0, 0.0, 0.0], 8, 8);
        assert_eq!(mask.area(), 16);
        assert!(mask.get(3, 4) && !mask.get(4, 4) && !mask.get(3, 3));
    }
}

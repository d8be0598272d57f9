//! A sample as a model of another house is shown it: whole frames with what is drawn into them, and plain words.

use image::RgbImage;
use strefer_core::placeholder::{Piece, render};
use strefer_core::sample::Role;
use strefer_core::validate::MediaFacts;
use strefer_core::{Sample, UniformRule};

use super::ProcessorOptions;
use super::clip::Clip;
use super::drawing::Drawing;
use super::paint::Paint;
use super::regions;
use super::texture::Textures;
use crate::config::{Fit, FramesConfig};
use crate::error::{Error, Result};
use crate::time::TimeConfig;

/// What another model is shown of a sample.
#[derive(Debug, Clone)]
pub struct Showing {
    /// Frames at their own size, in the order in which they are shown.
    pub frames: Vec<RgbImage>,
    /// Their numbers in the video.
    pub frame_indices: Vec<usize>,
    /// Frames of the whole video.
    pub n_frames: usize,
    /// Frames a second of the video.
    pub fps: f64,
    /// The question in words: objects by what is drawn, moments in seconds.
    pub text: String,
}

/// Frames of `count` evenly spread ones, and the user's first turn.
///
/// # Errors
/// Media that cannot be read, objects where nothing that names objects is drawn, a sample that contradicts itself.
pub fn show(sample: &Sample, count: usize, options: &ProcessorOptions) -> Result<Showing> {
    let refuse = |reason: &str| Error::Unsupported { id: sample.id.clone(), reason: reason.to_owned() };
    let [media] = sample.media.as_slice() else {
        return Err(refuse("one video is shown to models of other houses, not none or several"));
    };
    if !sample.regions.is_empty() && !options.draw.names_objects() {
        return Err(refuse("it refers to objects, and nothing is drawn that names them"));
    }
    let frames = FramesConfig {
        count,
        rule: UniformRule::LinspaceTrunc,
        fit: Fit::Stretch,
        region_fit: Fit::Stretch,
        stills_once: true,
        time_embedding: false,
    };
    let mut clip = Clip::laid(frames, 0, options, media)?;
    sample.validate(MediaFacts { duration_s: Some(clip.end_s()), frame_size: None })?;
    let chosen = regions::choose(sample, &clip, None)?;
    let drawing = Drawing::new(options.draw, sample, &chosen, &mut clip)?;
    let wording = drawing.wording(sample, &clip);
    let pictures = clip.pictures(&Paint { drawing, textures: Textures::default() })?;
    let mut shown = clip.shown().to_vec();
    // Short videos repeat frames, which nobody needs to send twice.
    shown.dedup();
    let order = options.order.of((0..shown.len() as u32).collect(), false);
    let frame_indices: Vec<usize> = order.iter().map(|&place| shown[place as usize]).collect();
    let picture = |index: &usize| match options.blind {
        true => RgbImage::from_pixel(pictures[index].width(), pictures[index].height(), GREY),
        false => pictures[index].clone(),
    };
    let question = sample.conversations.iter().find(|turn| turn.role == Role::User);
    let question = question.ok_or_else(|| refuse("it asks nothing"))?;
    let duration_s = clip.duration_s();
    let text = render(&question.text, |piece| match piece {
        Piece::Visual => wording.preface.clone().unwrap_or_default(),
        Piece::Region(index) => {
            let index = index.unwrap_or(0);
            wording.objects.as_ref().and_then(|names| names.get(index).cloned()).unwrap_or_default()
        }
        Piece::Time(index) => match &wording.times {
            Some(names) => names[*index].clone(),
            None => TimeConfig::Text.render(sample.times[*index].s, duration_s, sample.times[*index].style),
        },
        Piece::Text(text) | Piece::Unknown(text) => (*text).to_owned(),
    });
    Ok(Showing {
        frames: frame_indices.iter().map(picture).collect(),
        frame_indices,
        n_frames: clip.facts().n_frames,
        fps: clip.facts().fps,
        text: text.trim().to_owned(),
    })
}

/// What is shown where nothing is to be seen.
const GREY: image::Rgb<u8> = image::Rgb([128, 128, 128]);

//! Visual prompting: objects and moments are pointed at in the pixels, and the text calls them by what is drawn.
//!
//! Objects that are drawn have no region tokens, so models without a region connector understand them too.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use schemars::JsonSchema;
use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};
use strefer_core::marks::{Colour, SMALLEST_BOX, preamble, visible_box};
use strefer_core::{FrameKey, Mask, Sample};
use strefer_video::draw;

use super::clip::Clip;
use super::prompt::Wording;
use super::regions::mask_at;
use crate::error::{Error, Result};

/// What is drawn into frames before a model sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VisualPrompt {
    /// Nothing.
    #[default]
    None,
    /// Set-of-Mark: outlines and numbers of objects.
    Som,
    /// NumberIt: the number of each shown frame, from 0.
    Numberit,
    /// Set-of-Mark and NumberIt.
    Both,
    /// ST-VLM: boxes in colours around objects.
    Boxes,
}

impl VisualPrompt {
    /// As it is called in configurations and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Som => "som",
            Self::Numberit => "numberit",
            Self::Both => "both",
            Self::Boxes => "boxes",
        }
    }

    /// Whether nothing is drawn.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Whether objects are drawn and called by their marks, instead of having region tokens.
    pub fn names_objects(self) -> bool {
        matches!(self, Self::Som | Self::Both | Self::Boxes)
    }

    fn numbers_frames(self) -> bool {
        matches!(self, Self::Numberit | Self::Both)
    }
}

impl fmt::Display for VisualPrompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for VisualPrompt {
    type Err = serde::de::value::Error;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Self::deserialize(text.into_deserializer())
    }
}

/// An object in one frame.
#[derive(Debug)]
struct Mark {
    object: usize,
    mask: Mask,
}

/// What is drawn for one sample.
#[derive(Debug)]
pub struct Drawing {
    prompt: VisualPrompt,
    /// By source frame, larger objects first.
    marks: BTreeMap<usize, Vec<Mark>>,
}

impl Drawing {
    /// Objects are drawn into every shown frame among the chosen ones; an object without such a frame gets its first
    /// chosen frame shown, in the place of the nearest one without marks.
    ///
    /// # Errors
    /// Masks of another size than the frames, an object too small to be drawn or marked outside the segment, more objects
    /// or moments than can be told apart.
    pub fn new(
        prompt: VisualPrompt,
        sample: &Sample,
        chosen: &[Vec<(FrameKey, usize)>],
        clip: &mut Clip,
    ) -> Result<Self> {
        let mut drawing = Self { prompt, marks: BTreeMap::new() };
        if !prompt.names_objects() {
            return Ok(drawing);
        }
        let refuse = |reason: String| Error::Unsupported { id: sample.id.clone(), reason };
        if prompt == VisualPrompt::Boxes && chosen.len() > Colour::PALETTE.len() {
            let (objects, colours) = (chosen.len(), Colour::PALETTE.len());
            return Err(refuse(format!("it refers to {objects} regions, boxes have {colours} colours")));
        }
        let is_shown = |clip: &Clip, frame: usize| clip.shown().contains(&frame);
        let (seen, unseen): (Vec<usize>, Vec<usize>) =
            (0..chosen.len()).partition(|&object| chosen[object].iter().any(|&(_, at)| is_shown(clip, at)));
        for object in seen {
            for &(key, frame) in chosen[object].iter().filter(|&&(_, at)| is_shown(clip, at)) {
                drawing.add(object, frame, mask_at(sample, object, key, clip)?);
            }
        }
        for object in unseen {
            let Some(&(key, frame)) = chosen[object].iter().find(|&&(_, at)| clip.contains(at)) else {
                return Err(refuse(format!("region {object} is marked outside the part that is shown")));
            };
            let Some(mask) = mask_at(sample, object, key, clip)? else { continue };
            let has_no_mark = |other: usize| !drawing.marks.contains_key(&other);
            if !is_shown(clip, frame) && !clip.show(frame, has_no_mark) {
                let reason = format!("more frames are marked than the {} that are shown", clip.shown().len());
                return Err(refuse(reason));
            }
            drawing.add(object, frame, Some(mask));
        }
        drawing.check_sizes(chosen.len()).map_err(refuse)?;
        for marks in drawing.marks.values_mut() {
            marks.sort_by_key(|mark| std::cmp::Reverse(mark.mask.area()));
        }
        Ok(drawing)
    }

    fn add(&mut self, object: usize, frame: usize, mask: Option<Mask>) {
        if let Some(mask) = mask.filter(|mask| !mask.is_empty()) {
            self.marks.entry(frame).or_default().push(Mark { object, mask });
        }
    }

    /// Refuses objects that are visible, but nowhere large enough to be drawn.
    fn check_sizes(&self, objects: usize) -> std::result::Result<(), String> {
        for object in 0..objects {
            let masks = self.marks.values().flatten().filter(|mark| mark.object == object);
            let mut masks = masks.map(|mark| &mark.mask).peekable();
            if masks.peek().is_some() && !masks.any(|mask| self.is_large_enough(mask)) {
                return Err(format!("region {object} is too small to be drawn"));
            }
        }
        Ok(())
    }

    fn is_large_enough(&self, mask: &Mask) -> bool {
        match (self.prompt, pixel_edges(mask)) {
            (VisualPrompt::Boxes, Some(edges)) => {
                visible_box(edges, (mask.height(), mask.width()), SMALLEST_BOX).is_some()
            }
            _ => !mask.without_specks(draw::MarkStyle::default().least_part).is_empty(),
        }
    }

    /// Whether frames carry their numbers.
    pub fn numbers_frames(&self) -> bool {
        self.prompt.numbers_frames()
    }

    /// Whether objects are marked in a source frame.
    pub fn marks(&self, index: usize) -> bool {
        self.marks.contains_key(&index)
    }

    /// A source frame as it is shown, at its own size.
    pub fn paint<'a>(&self, image: &'a RgbImage, index: usize, number: Option<usize>) -> Cow<'a, RgbImage> {
        let marks = self.marks.get(&index);
        if marks.is_none() && number.is_none() {
            return Cow::Borrowed(image);
        }
        let mut image = image.clone();
        for Mark { object, mask } in marks.into_iter().flatten() {
            if self.prompt == VisualPrompt::Boxes {
                if let Some(edges) = pixel_edges(mask) {
                    draw::object_box(&mut image, edges, Colour::PALETTE[*object], SMALLEST_BOX);
                }
            } else {
                let (_, colour) = draw::mark_colour(*object);
                draw::object_mark(
                    &mut image,
                    mask,
                    mark_number(*object),
                    colour,
                    &draw::MarkStyle::default(),
                );
            }
        }
        if let Some(number) = number {
            draw::frame_number(&mut image, number, &draw::NumberStyle::default());
        }
        Cow::Owned(image)
    }

    /// How the text speaks of what is drawn.
    pub fn wording(&self, sample: &Sample, clip: &Clip) -> Wording {
        let objects = 0..sample.regions.len();
        let colours = || objects.clone().map(|object| Colour::PALETTE[object]);
        let mut preface: Vec<String> = Vec::new();
        let mut wording = Wording::default();
        if self.prompt.names_objects() && !sample.regions.is_empty() {
            if self.prompt == VisualPrompt::Boxes {
                let colours: Vec<Colour> = colours().collect();
                preface.push(preamble(clip.end_s(), &clip.shown_s(), &colours));
                wording.objects = Some(colours.into_iter().map(Colour::boxed_object).collect());
            } else {
                preface.push(marks_sentence(sample.regions.len()));
                wording.objects =
                    Some(objects.map(|object| format!("object {}", mark_number(object))).collect());
            }
        }
        if self.numbers_frames() {
            preface.push(numbers_sentence(&draw::NumberStyle::default()));
            let frame = |at_s: f64| format!("frame {}", clip.nearest_shown(at_s));
            wording.times = Some(sample.times.iter().map(|time| frame(time.s)).collect());
        }
        wording.preface = (!preface.is_empty()).then(|| preface.join(" "));
        wording
    }
}

/// The number of an object; they start at 1.
fn mark_number(object: usize) -> usize {
    object + 1
}

/// Left, top, right and bottom of a mask.
fn pixel_edges(mask: &Mask) -> Option<[f64; 4]> {
    mask.bbox().map(|area| [area.x0, area.y0, area.x1, area.y1].map(|edge| edge as f64))
}

fn marks_sentence(count: usize) -> String {
    let (first, _) = draw::mark_colour(0);
    if count == 1 {
        return format!("One object is outlined in {first} and carries the number {}.", mark_number(0));
    }
    let mark = |object| format!("{} in {}", mark_number(object), draw::mark_colour(object).0);
    let marks: Vec<String> = (0..count).map(mark).collect();
    format!("{count} objects are outlined and carry numbers: {}.", marks.join(", "))
}

fn numbers_sentence(style: &draw::NumberStyle) -> String {
    format!(
        "The {} number in the {} of each frame is the number of that frame. Name moments by frame numbers, spans in the \
         form 'From x to y'.",
        style.colour.name(),
        style.place.name(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere_and_others_are_refused() {
        use VisualPrompt::{Both, Boxes, None, Numberit, Som};
        for prompt in [None, Som, Numberit, Both, Boxes] {
            assert_eq!(prompt.name().parse::<VisualPrompt>().unwrap(), prompt);
            assert_eq!(serde_json::to_value(prompt).unwrap(), prompt.name());
        }
        let error = "circles".parse::<VisualPrompt>().unwrap_err().to_string();
        assert!(error.contains("circles") && error.contains("numberit"), "{error}");
    }

    #[test]
    fn sentences_tell_numbers_colours_and_places() {
        assert_eq!(marks_sentence(1), "One object is outlined in red and carries the number 1.");
        assert_eq!(marks_sentence(2), "2 objects are outlined and carry numbers: 1 in red, 2 in green.");
        let numbers = numbers_sentence(&draw::NumberStyle::default());
        assert!(numbers.starts_with("The red number in the bottom right corner of each frame"), "{numbers}");
    }
}

//! Masklets in the files of other tools: read into [`Masklets`], written from them.
//!
//! | format | file | keys | what else is kept |
//! |---|---|---|---|
//! | [`coco`] | one JSON file, a video as images | numbers in file names, or `frame_index` | names, labels, times, start |
//! | [`sav`] | one JSON file a video | every fourth source frame | number of frames, 24 a second |
//! | [`davis`] | a folder of palette PNGs | file names | nothing: object `e0` is colour 1 |
//! | [`mots`] | a folder of 16-bit PNGs, or a text file | file names, first column | class as label |
//! | [`cvat`] | one XML file a video | source frames | labels, names |
//! | [`label_studio`] | one JSON file: brush strokes on images, or boxes through videos | file names; frames from 1 | names, labels |
//!
//! Keys count source frames in all of them. A format that cannot say something refuses it; what it cannot carry besides
//! (scores, boxes of detectors, assignments) is left out.

pub mod coco;
mod collect;
pub mod cvat;
pub mod davis;
mod file;
pub mod label_studio;
mod label_studio_brush;
pub mod mots;
pub mod picture;
pub mod referring;
pub mod sav;
mod shapes;
mod shared;

use std::path::Path;

use crate::error::Result;
use crate::records::Masklets;

pub use shared::smaller_in_front;

/// What files do not say themselves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadOptions {
    /// Frames a second, for formats without times. Without it masklets have none.
    pub fps: Option<f64>,
    /// Height and width of the frames, for formats without them.
    pub size: Option<(u32, u32)>,
    /// The name of the video, for formats without one; else that of the file or folder.
    pub video_id: Option<String>,
}

/// A format of files with masklets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// COCO instances.
    Coco,
    /// SA-V.
    Sav,
    /// A folder of palette PNGs (DAVIS, YouTube-VOS).
    Davis,
    /// A folder of 16-bit PNGs (MOTS).
    MotsPng,
    /// A text file (MOTS).
    MotsTxt,
    /// CVAT's XML for videos; masks where they are written.
    Cvat,
    /// The same; boxes around the masks where they are written.
    CvatBoxes,
    /// Label Studio's JSON; brush strokes on images where they are written.
    LabelStudio,
    /// The same; boxes through a video where they are written.
    LabelStudioBoxes,
}

/// Reads all masklets of a file or folder.
///
/// # Errors
/// A file that cannot be read or is of another format, with the file and the record at fault.
pub fn read(format: Format, path: &Path, options: &ReadOptions) -> Result<Vec<Masklets>> {
    match format {
        Format::Coco => coco::read(path, options),
        Format::Sav => Ok(vec![sav::read(path)?]),
        Format::Davis => Ok(vec![davis::read(path, options)?]),
        Format::MotsPng => Ok(vec![mots::read_folder(path, options)?]),
        Format::MotsTxt => Ok(vec![mots::read_text(path, options)?]),
        Format::Cvat | Format::CvatBoxes => Ok(vec![cvat::read(path, options)?]),
        Format::LabelStudio | Format::LabelStudioBoxes => label_studio::read(path, options),
    }
}

/// Writes masklets, in one step: a folder must not exist, a file is replaced.
///
/// # Errors
/// Several videos for a format of one video a file; something that the format cannot say; a disk that refuses.
pub fn write(format: Format, path: &Path, masklets: &[Masklets]) -> Result<()> {
    let one = || match masklets {
        [one] => Ok(one),
        more => Err(collect::wrong(
            path,
            format!("{} videos", more.len()),
            "this format holds one video a file: choose one",
        )),
    };
    match format {
        Format::Coco => coco::write(path, masklets),
        Format::Sav => sav::write(path, one()?),
        Format::Davis => davis::write(path, one()?),
        Format::MotsPng => mots::write_folder(path, one()?),
        Format::MotsTxt => mots::write_text(path, one()?),
        Format::Cvat => cvat::write(path, one()?, cvat::Shape::Mask),
        Format::CvatBoxes => cvat::write(path, one()?, cvat::Shape::Box),
        Format::LabelStudio => label_studio::write_brush(path, masklets),
        Format::LabelStudioBoxes => label_studio::write_boxes(path, masklets),
    }
}

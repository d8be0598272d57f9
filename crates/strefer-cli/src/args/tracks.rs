//! Formats of masklets of other tools, and what their files do not say.

use clap::{Args, ValueEnum};
use strefer_core::tracks::{Format, ReadOptions};

/// Formats of masklets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrackFormat {
    /// COCO instances, a video as images
    Coco,
    /// SA-V, one JSON file a video
    Sav,
    /// A folder of palette PNGs: DAVIS, YouTube-VOS
    Davis,
    /// A folder of 16-bit PNGs: MOTS
    MotsPng,
    /// A text file: MOTS
    MotsTxt,
    /// CVAT's XML for videos; masks where they are written
    Cvat,
    /// The same; boxes where they are written
    CvatBoxes,
    /// Label Studio's JSON; brush strokes on images where they are written
    LabelStudio,
    /// The same; rectangles through a video where they are written
    LabelStudioBoxes,
}

impl From<TrackFormat> for Format {
    fn from(format: TrackFormat) -> Self {
        match format {
            TrackFormat::Coco => Self::Coco,
            TrackFormat::Sav => Self::Sav,
            TrackFormat::Davis => Self::Davis,
            TrackFormat::MotsPng => Self::MotsPng,
            TrackFormat::MotsTxt => Self::MotsTxt,
            TrackFormat::Cvat => Self::Cvat,
            TrackFormat::CvatBoxes => Self::CvatBoxes,
            TrackFormat::LabelStudio => Self::LabelStudio,
            TrackFormat::LabelStudioBoxes => Self::LabelStudioBoxes,
        }
    }
}

/// What files with masklets do not say themselves.
#[derive(Debug, Args)]
pub struct TrackArgs {
    /// Frames a second of the video; without them masklets have no times, where the file does not tell them
    #[arg(long)]
    fps: Option<f64>,
    /// Size of the frames, for files that do not tell it
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    size: Option<(u32, u32)>,
    /// The name of the video, where it is not that of the file or the one in it
    #[arg(long, value_name = "ID")]
    video_id: Option<String>,
}

impl TrackArgs {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.options() == ReadOptions::default()
    }

    /// As readers take it.
    pub fn options(&self) -> ReadOptions {
        let size = self.size.map(|(width, height)| (height, width));
        ReadOptions { fps: self.fps, size, video_id: self.video_id.clone() }
    }
}

/// `WIDTHxHEIGHT`
fn size(text: &str) -> Result<(u32, u32), String> {
    let sides =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides
        .filter(|(width, height)| *width > 0 && *height > 0)
        .ok_or_else(|| "expected WIDTHxHEIGHT".to_owned())
}

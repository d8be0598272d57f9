//! Frames as JPEG, as servers and Strefer's masklet generator take them.

use image::RgbImage;
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

use crate::error::{Error, Result};

/// The quality with which Strefer writes the frames that its tracker and RexSeek read.
pub const USUAL_QUALITY: u8 = 75;

/// An image as JPEG with colours at half the height and width, as PIL writes them.
///
/// # Errors
/// An image that is larger than the format allows.
pub fn encode(image: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let bad = |reason: String| Error::Picture { reason };
    let side = |length: u32| {
        u16::try_from(length).map_err(|_| bad(format!("a side of {length} pixels is too long for JPEG")))
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    let (width, height) = (side(image.width())?, side(image.height())?);
    encoder.encode(image.as_raw(), width, height, ColorType::Rgb).map_err(|error| bad(error.to_string()))?;
    Ok(bytes)
}

/// What is left of an image after it was written as JPEG and read again.
///
/// # Errors
/// As [`encode`].
pub fn round_trip(image: &RgbImage, quality: u8) -> Result<RgbImage> {
    let bytes = encode(image, quality)?;
    let read = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg);
    Ok(read.map_err(|error| Error::Picture { reason: error.to_string() })?.to_rgb8())
}

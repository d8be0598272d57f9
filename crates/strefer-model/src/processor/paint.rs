//! Everything that is painted into the frames of one sample.

use std::borrow::Cow;

use image::RgbImage;

use super::drawing::Drawing;
use super::texture::Textures;

/// Marks and surfaces of one sample's objects.
#[derive(Debug)]
pub struct Paint {
    /// What points at them.
    pub drawing: Drawing,
    /// What they are filled with.
    pub textures: Textures,
}

impl Paint {
    /// Whether a source frame looks as in no other sample.
    pub fn is_own(&self, index: usize) -> bool {
        self.drawing.marks(index) || self.textures.change(index)
    }

    /// A source frame as it is shown, at its own size.
    pub fn apply<'a>(&self, image: &'a RgbImage, index: usize, number: Option<usize>) -> Cow<'a, RgbImage> {
        match self.textures.paint(image, index) {
            Cow::Borrowed(image) => self.drawing.paint(image, index, number),
            Cow::Owned(filled) => Cow::Owned(self.drawing.paint(&filled, index, number).into_owned()),
        }
    }
}

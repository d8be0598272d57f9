//! What an annotation says about one object in one frame.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::rle::{Rle, RleRecord};

/// One object in one frame, in the form in which it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameMask {
    /// COCO run lengths, compressed or not.
    Rle(RleRecord),
    /// Polygons `[x0, y0, x1, y1, …]` in pixels of the frame; their union is the mask.
    Polygons(Vec<Vec<f64>>),
    /// The record says that there is no mask here.
    Null,
    /// The record has an entry for this frame but says nothing.
    Missing,
}

impl FrameMask {
    /// The dense mask; `None` when the object has none here.
    ///
    /// # Errors
    /// Run lengths that do not fill their size, polygons without `frame_size` (height, width).
    pub fn to_mask(&self, frame_size: Option<(u32, u32)>) -> Result<Option<Mask>> {
        match self {
            Self::Rle(record) => Ok(Some(Rle::try_from(record.clone())?.to_mask())),
            Self::Polygons(polygons) => {
                let (height, width) = frame_size.ok_or(Error::PolygonWithoutSize)?;
                Ok(Some(Rle::from_polygons(height, width, polygons)?.to_mask()))
            }
            Self::Null | Self::Missing => Ok(None),
        }
    }

    /// Height and width that the annotation itself states.
    pub fn stated_size(&self) -> Option<(u32, u32)> {
        match self {
            Self::Rle(record) => Some((record.size[0], record.size[1])),
            _ => None,
        }
    }
}

impl From<&Mask> for FrameMask {
    fn from(mask: &Mask) -> Self {
        Self::Rle(Rle::from_mask(mask).into())
    }
}

//! Masklets of one video, as a line of a file.

use serde::{Deserialize, Deserializer};
use strefer_core::Rle;
use strefer_core::records::{LineRecord, Masklets, Record};

use crate::records::BenchRecord;

/// Masklets of one video.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoMasklets(pub Masklets);

impl<'de> Deserialize<'de> for VideoMasklets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = Record::deserialize(deserializer)?;
        let found =
            |found| serde::de::Error::custom(format!("expected masklets, found a record of type {found:?}"));
        Masklets::from_record(record).map(Self).map_err(found)
    }
}

impl BenchRecord for VideoMasklets {
    fn key(&self) -> String {
        self.0.video_id.clone()
    }

    fn fault(&self) -> Option<String> {
        let mut seen = Vec::new();
        for object in &self.0.objects {
            if seen.contains(&&object.eid) {
                return Some(format!("entity {:?} comes twice", object.eid));
            }
            seen.push(&object.eid);
            for (key, frame) in &object.frames {
                if let Err(error) = Rle::try_from(frame.rle.clone()) {
                    return Some(format!("entity {:?}, frame {key}: {error}", object.eid));
                }
            }
        }
        None
    }
}

//! Files as NumPy and our own engine write them.

use std::path::Path;

use strefer_core::masklet::FrameMap;
use strefer_core::records::{Entities, Entity, Masklet, MaskletFrame, Masklets, Record};
use strefer_core::{FrameKey, IndexSpace, Mask, PixelBox, Rle, jsonl};

/// A map of 32-bit floats, rows first.
pub fn write(path: &Path, height: usize, width: usize, value: impl Fn(usize, usize) -> f32) {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({height}, {width}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.bytes());
    for y in 0..height {
        for x in 0..width {
            bytes.extend(value(y, x).to_le_bytes());
        }
    }
    std::fs::write(path, bytes).unwrap();
}

/// The pixels inside a box, as masklets hold them.
pub fn frame(height: usize, width: usize, area: PixelBox) -> MaskletFrame {
    let mask = Mask::from_box(height, width, area);
    let bbox = [area.x0, area.y0, area.x1 - area.x0, area.y1 - area.y0].map(|side| side as u32);
    MaskletFrame { area: mask.area() as u64, rle: Rle::from_mask(&mask).into(), bbox_xywh: bbox }
}

/// An object by its frames in the video.
pub fn masklet(eid: &str, frames: impl Iterator<Item = (u32, MaskletFrame)>) -> Masklet {
    Masklet {
        eid: eid.to_owned(),
        detector_label: Some("thing".to_owned()),
        detector_score: Some(0.8),
        box_start_xyxy: None,
        assign: None,
        confidence: None,
        gaps: Vec::new(),
        frames: frames.map(|(key, frame)| (FrameKey(key), frame)).collect::<FrameMap<_>>(),
    }
}

/// Writes the records of videos: objects and what they are.
pub fn records(dir: &Path, videos: &[(&str, Vec<(Masklet, &str)>)]) {
    std::fs::create_dir_all(dir).unwrap();
    let masklets = videos.iter().map(|(video_id, objects)| {
        Record::Masklets(Masklets {
            schema: Default::default(),
            video_id: (*video_id).to_owned(),
            provenance: None,
            index_space: IndexSpace::Source,
            frame_times_s: Vec::new(),
            start_index: None,
            n_read: None,
            failure: None,
            objects: objects.iter().map(|(object, _)| object.clone()).collect(),
        })
    });
    let entities = videos.iter().map(|(video_id, objects)| {
        let entity = |(object, noun): &(Masklet, &str)| Entity {
            eid: object.eid.clone(),
            expression: format!("the {noun}"),
            noun: (*noun).to_owned(),
            general_noun: (*noun).to_owned(),
            active: true,
            source_span: None,
            attributes: Default::default(),
        };
        Record::Entities(Entities {
            schema: Default::default(),
            video_id: (*video_id).to_owned(),
            provenance: None,
            paragraph: None,
            items: objects.iter().map(entity).collect(),
        })
    });
    jsonl::write_all(dir.join("masklets.jsonl"), &masklets.collect::<Vec<_>>()).unwrap();
    jsonl::write_all(dir.join("entities.jsonl"), &entities.collect::<Vec<_>>()).unwrap();
}

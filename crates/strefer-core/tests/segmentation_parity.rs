//! Masks decoded here equal the masks that pycocotools decoded.

use safetensors::SafeTensors;
use serde::Deserialize;
use strefer_core::{FrameMask, Rle, golden};

#[derive(Deserialize)]
struct Case {
    name: String,
    segmentation: serde_json::Value,
    height: Option<u32>,
    width: Option<u32>,
    area: u64,
}

/// Every case of every root, with the pixels that are expected.
fn cases() -> Vec<(Case, Vec<u8>)> {
    let mut found = Vec::new();
    for dir in golden::dirs("videorefer") {
        let text = std::fs::read(dir.join("segmentation_cases.json")).unwrap();
        let bytes = std::fs::read(dir.join("segmentation_masks.safetensors")).unwrap();
        let masks = SafeTensors::deserialize(&bytes).unwrap();
        for case in serde_json::from_slice::<Vec<Case>>(&text).unwrap() {
            let pixels = masks.tensor(&case.name).unwrap().data().to_vec();
            found.push((case, pixels));
        }
    }
    assert!(!found.is_empty(), "no segmentation case");
    found
}

fn frame_mask(segmentation: &serde_json::Value) -> FrameMask {
    if segmentation.is_array() {
        FrameMask::Polygons(serde_json::from_value(segmentation.clone()).unwrap())
    } else {
        FrameMask::Rle(serde_json::from_value(segmentation.clone()).unwrap())
    }
}

#[test]
fn every_segmentation_decodes_to_the_recorded_mask() {
    for (case, pixels) in cases() {
        let size = case.height.zip(case.width);
        let mask = frame_mask(&case.segmentation).to_mask(size).unwrap().unwrap();
        assert_eq!(mask.area() as u64, case.area, "{}", case.name);
        assert_eq!(mask.as_slice(), pixels, "{}", case.name);
        if let Some(text) = case.segmentation.get("counts").and_then(|counts| counts.as_str()) {
            assert_eq!(Rle::from_mask(&mask).to_compressed(), text, "{}", case.name);
        }
    }
}

#[test]
fn a_disturbed_segmentation_does_not_agree() {
    let mut disturbed = 0;
    for (case, pixels) in cases() {
        let FrameMask::Rle(record) = frame_mask(&case.segmentation) else { continue };
        let rle = Rle::try_from(record).unwrap();
        let mut counts = rle.counts().to_vec();
        if counts.len() > 2 && counts[1] > 0 {
            (counts[0], counts[1]) = (counts[0] + 1, counts[1] - 1);
            let other = Rle::new(rle.height() as u32, rle.width() as u32, counts).unwrap();
            assert_ne!(other.to_mask().as_slice(), pixels, "{}", case.name);
            disturbed += 1;
        }
    }
    assert!(disturbed > 0);
}

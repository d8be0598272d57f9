//! HC-STVG, captions of masked people: `hcstvg/captions.json`, one array of `{video, frame_idx, mask, caption}` with a mask
//! (COCO run lengths) of one frame, videos in `hcstvg/video_parts/`.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use strefer_core::masklet::IndexSpace;
use strefer_core::sample::{Region, RegionMode};
use strefer_core::{FrameMask, RleRecord};

use super::benchmark::{About, Benchmark, Reading, Verdicts};
use super::catalogue::BenchOptions;
use super::item::{Item, video};
use super::layout::Layout;
use super::prompt::Words;
use super::videorefer_q::frame_key;
use super::view::View;
use crate::captioning::{CaptionRecord, External, PredictionRecord, sheet, tokenize_records};
use crate::coverage::Unmatched;
use crate::error::{Error, Result};
use crate::records::{Reply, checked, read_json};
use crate::sheet::Sheet;

#[derive(Debug, Deserialize)]
struct Record {
    video: String,
    frame_idx: Value,
    mask: RleRecord,
    caption: String,
}

struct HcStvg {
    about: About,
    captions: Vec<CaptionRecord>,
}

pub(super) fn open(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("hc-stvg", root, "hcstvg");
    let [file] = layout.files(["captions.json"])?;
    let words = options.prompt.clone().map_or_else(Words::caption, Words::of);
    let (mut items, mut captions) = (Vec::new(), Vec::new());
    for (at, record) in read_json::<Vec<Record>>(&file)?.into_iter().enumerate() {
        let id = at.to_string();
        let frame = frame_key(&record.frame_idx).map_err(|reason| Error::Record {
            path: file.clone(),
            record: id.clone(),
            reason,
        })?;
        let turn = words.turn(json!({ "object": options.objects.of(0) }))?;
        let mut item =
            Item::new(id.clone(), video(layout.uri(&format!("video_parts/{}", record.video))), turn);
        item.sample.regions.push(Region {
            rid: 0,
            eid: None,
            masks: [(frame, FrameMask::Rle(record.mask))].into_iter().collect(),
            index_space: IndexSpace::Source,
            mode: RegionMode::SingleFixed,
            fixed_key: Some(frame),
        });
        item.max_new_tokens = 128;
        item.label = json!(record.caption);
        item.right = Some(record.caption.clone());
        items.push(item);
        captions.push(CaptionRecord { id, references: vec![record.caption] });
    }
    let captions = checked(&file, captions.into_iter().map(|caption| (caption, None)))?;
    let about = About {
        title: "HC-STVG captions",
        headline: "CIDEr",
        items,
        probes: View::OF_MASKS.to_vec(),
        facts: json!({ "prompt": words.to_json(), "objects": options.objects }),
    };
    Ok(Box::new(HcStvg { about, captions }))
}

impl Benchmark for HcStvg {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, _: usize, text: &str) -> Reading {
        Reading::words(text)
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, _: Option<&Verdicts>) -> Result<Sheet> {
        let said: Vec<PredictionRecord> = replies
            .iter()
            .map(|reply| PredictionRecord { id: reply.id.clone(), prediction: reply.text.clone() })
            .collect();
        let tokenized = tokenize_records(&self.captions, &said, unmatched)?;
        Ok(Sheet { benchmark: self.title(), ..sheet(&tokenized, &External::default()) })
    }
}

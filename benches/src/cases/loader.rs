//! Samples as training reads them: decoded, resized, with masks and tokens, ready for the model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use strefer_core::jsonl::write_all;
use strefer_core::records::LineRecord;
use strefer_core::sample::{Media, MediaKind, Region, RegionMode, Role, Turn};
use strefer_core::{FrameKey, FrameMask, IndexSpace, Sample};
use strefer_model::{Checkpoint, Processor, ProcessorOptions};
use strefer_train::config::{DataConfig, StepsConfig};
use strefer_train::{Reader, Seen, Source};

use super::Prepared;

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Loader {
    pub(super) file: String,
    samples: usize,
    frames: usize,
    size: usize,
    readers: usize,
}

impl Loader {
    pub(super) fn prepare(&self, data: &Path) -> Result<Prepared> {
        let Self { samples, frames, size, readers, ref file } = *self;
        anyhow::ensure!(
            data.join(file).exists(),
            "{} is missing (scripts/bench makes it)",
            data.join(file).display()
        );
        let set = data.join(format!("loader-{samples}.jsonl"));
        let records: Vec<_> = (0..samples).map(|number| sample(number, file).into_record()).collect();
        write_all(&set, &records)?;

        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/strefer-tiny/base");
        let checkpoint = Checkpoint::open(folder)?;
        let mut config = checkpoint.config.clone();
        config.frames.count = frames;
        config.vision.siglip.image_size = size;
        let processor = Processor::new(&config, checkpoint.tokenizer.clone(), ProcessorOptions::default());
        let source = json!({ "name": "videos", "path": set });
        let data: DataConfig =
            serde_json::from_value(json!({ "mixture": { "sources": [source] }, "readers": readers }))?;
        let source = Arc::new(Source::open(&data, 1, &processor)?);
        let steps: StepsConfig = serde_json::from_value(json!({ "total": samples, "batch": 1 }))?;
        let seen = Seen { passes: steps.passes(1)?, rank: 0 };
        let work = move || {
            let mut reader = Reader::start(&source, seen, 0..samples, readers);
            for _ in 0..samples {
                let batch = reader.next_batch()?;
                anyhow::ensure!(batch.skipped.is_empty(), "skipped: {:?}", batch.skipped);
                anyhow::ensure!(batch.rows[0].inputs.frames.dim(0)? >= frames, "too few frames");
            }
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters: 0 })
    }
}

/// A question about a masked object that is seen in four of the frames.
fn sample(number: usize, uri: &str) -> Sample {
    let media = Media { kind: MediaKind::Video, uri: uri.to_owned(), segment: None, size: Some((720, 1280)) };
    let mut sample = Sample::new(number.to_string(), number.to_string(), vec![media]);
    let outline = vec![100.0, 100.0, 700.0, 100.0, 700.0, 500.0, 100.0, 500.0];
    let masks = [0, 10, 20, 31].map(|key| (FrameKey(key), FrameMask::Polygons(vec![outline.clone()])));
    sample.regions.push(Region {
        rid: 0,
        eid: None,
        masks: masks.into_iter().collect(),
        index_space: IndexSpace::STREFER,
        mode: RegionMode::Multi,
        fixed_key: None,
    });
    let turn = |role, text: &str| Turn { role, text: text.to_owned() };
    sample.conversations = vec![
        turn(Role::User, "<video>\nWhat does <region:0> do?"),
        turn(Role::Assistant, "It stays where it is."),
    ];
    sample
}

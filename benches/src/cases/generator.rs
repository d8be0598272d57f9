//! The instruction generator: facts of videos become samples in a file.

use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;
use serde::Deserialize;
use strefer_core::jsonl::Writer;
use strefer_core::masklet::{IndexSpace, UniformRule};
use strefer_core::records::{LineRecord, Record, Video, VideoKind};
use strefer_core::{FrameKey, Mask, PixelBox, Rle, Sample, Span};
use strefer_engine::InstructConfig;
use strefer_engine::config::Form;
use strefer_engine::facts::Facts;
use strefer_engine::instruct::generate;
use strefer_engine::instruct::task::TaskKind;
use strefer_engine::stages::Stages;
use strefer_engine::truth::{TruthAction, TruthEntity, TruthVideo};

use super::Prepared;

/// Videos of half a minute in 640x360, four objects with masks in 32 frames, eight actions each.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Generator {
    videos: usize,
    /// How often they are gone through.
    rounds: usize,
    /// Samples that come of them.
    samples: usize,
}

const LOOKS: [(&str, &str); 4] = [("red", "ball"), ("blue", "box"), ("green", "cone"), ("yellow", "ring")];
const ACTIONS: [&str; 8] = [
    "moves to the left",
    "jumps",
    "stands still",
    "spins",
    "moves to the right",
    "comes closer",
    "rolls away",
    "stops",
];
const FRAMES: u32 = 32;
const SECONDS: f64 = 32.0;

impl Generator {
    pub(super) fn prepare(&self, data: &Path) -> Result<Prepared> {
        let stages: Vec<Stages> = (0..self.videos).map(|number| video(number).stages()).collect();
        let cfg = InstructConfig {
            form: Form::SingleTurn,
            tasks: TaskKind::ALL
                .into_iter()
                .filter(|task| !task.is_about_a_frame())
                .map(|task| (task, 8))
                .collect(),
            attributes: Default::default(),
            ..InstructConfig::default()
        };
        let (path, expected, rounds) = (data.join("generated.jsonl"), self.samples, self.rounds);
        std::fs::create_dir_all(data)?;
        let work = move || {
            let mut writer = Writer::create(&path)?;
            let mut count = 0;
            // As many videos at a time as keep all cores busy; what is made of them waits in memory.
            for some in (0..rounds).flat_map(|_| stages.chunks(64)) {
                let made: Vec<Vec<Sample>> = some
                    .par_iter()
                    .map(|stages| generate(&Facts::new(stages)?, &cfg))
                    .collect::<strefer_engine::Result<_>>()?;
                let lines: Vec<Vec<u8>> = made
                    .into_par_iter()
                    .flatten_iter()
                    .map(|sample| serde_json::to_vec::<Record>(&sample.into_record()))
                    .collect::<serde_json::Result<_>>()?;
                count += lines.len();
                lines.iter().try_for_each(|line| writer.write_line(line))?;
            }
            writer.finish()?;
            anyhow::ensure!(count == expected, "{count} samples were made, not {expected}");
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters: 0 })
    }
}

fn video(number: usize) -> TruthVideo {
    let entities = LOOKS.iter().enumerate().map(|(at, (colour, noun))| {
        let masks = (0..FRAMES).map(|frame| {
            let left = 40 + at * 120 + (frame as usize * (at + 1)) % 60;
            let top = 60 + (number + at * 31) % 180;
            let mask = Mask::from_box(360, 640, PixelBox { x0: left, y0: top, x1: left + 70, y1: top + 70 });
            (FrameKey(frame), Rle::from_mask(&mask))
        });
        let each_s = SECONDS / ACTIONS.len() as f64;
        let action = |part: usize| TruthAction {
            span: Span { start_s: part as f64 * each_s, end_s: (part + 1) as f64 * each_s },
            text: ACTIONS[(part + at + number) % ACTIONS.len()].to_owned(),
        };
        TruthEntity {
            expression: format!("{colour} {noun}"),
            noun: (*noun).to_owned(),
            general_noun: "toy".to_owned(),
            attributes: Default::default(),
            held_out: false,
            masks: masks.collect(),
            visible: vec![Span { start_s: 0.0, end_s: SECONDS }],
            actions: (0..ACTIONS.len()).map(action).collect(),
        }
    });
    TruthVideo {
        video: Video {
            schema: Default::default(),
            video_id: format!("v{number:05}"),
            uri: format!("videos/v{number:05}.mp4"),
            kind: VideoKind::File,
            fps: 30.0,
            n_frames: 960,
            duration_s: SECONDS,
            width: 640,
            height: 360,
            sha256: None,
            license: None,
        },
        dataset: "bench".to_owned(),
        index_space: IndexSpace::Uniform { n: FRAMES, rule: UniformRule::LinspaceTrunc },
        frame_times_s: (0..FRAMES).map(|frame| f64::from(frame) * SECONDS / f64::from(FRAMES)).collect(),
        entities: entities.collect(),
        cuts_s: Vec::new(),
        scene: Some("A table in a room.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_makes_as_many_samples_as_it_says() -> Result<()> {
        let cases: serde_json::Value = serde_json::from_str(include_str!("../../cases.json"))?;
        let work = &cases["generator"]["work"];
        let case: Generator = serde_json::from_value(serde_json::json!({
            "videos": work["videos"], "rounds": work["rounds"], "samples": work["samples"]
        }))?;
        let data = tempfile::tempdir()?;
        let mut prepared = case.prepare(data.path())?;
        let began = std::time::Instant::now();
        (prepared.work)()?;
        let seconds = began.elapsed().as_secs_f64();
        eprintln!(
            "{} samples in {seconds:.2} s: {:.0} a second",
            case.samples,
            case.samples as f64 / seconds
        );
        Ok(())
    }
}

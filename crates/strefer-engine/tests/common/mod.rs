//! Small videos whose facts are drawn from a seed: coloured things that do one thing after another.
#![allow(dead_code, reason = "every test file uses a part of it")]

use strefer_core::masklet::{FrameKey, FrameMap, IndexSpace};
use strefer_core::records::{Video, VideoKind};
use strefer_core::{Mask, PixelBox, Rle, Rng, Span};
use strefer_engine::facts::Facts;
use strefer_engine::truth::{TruthAction, TruthEntity, TruthVideo};

pub const ACTIONS: [&str; 6] =
    ["stands still", "moves to the left", "moves to the right", "comes closer", "jumps", "spins"];
const SIDE: usize = 128;
const FRAMES: usize = 96;
const FPS: f64 = 24.0;

fn video(id: &str) -> Video {
    Video {
        schema: Default::default(),
        video_id: id.to_owned(),
        uri: format!("videos/{id}.mp4"),
        kind: VideoKind::File,
        fps: FPS,
        n_frames: FRAMES,
        duration_s: FRAMES as f64 / FPS,
        width: SIDE as u32,
        height: SIDE as u32,
        sha256: None,
        license: None,
    }
}

/// One video of a seeded world: two to four objects, two or three actions each, some of them not there all the time.
pub fn truth(seed: u64, index: u64) -> TruthVideo {
    let mut rng = Rng::new(seed, "test world").at(index);
    let end_s = FRAMES as f64 / FPS;
    let frame_times_s: Vec<f64> = (0..32)
        .map(|key| IndexSpace::STREFER.source_frame(FrameKey(key), FRAMES).unwrap() as f64 / FPS)
        .collect();
    let count = 2 + rng.below(3);
    let mut entities: Vec<TruthEntity> = Vec::new();
    for nth in 0..count {
        let pick = |rng: &mut Rng, words: &[&str]| (*rng.choose(words).unwrap()).to_owned();
        let size = pick(&mut rng, &["small", "medium", "large"]);
        let colour = pick(&mut rng, &["red", "blue", "green", "white"]);
        let pattern = pick(&mut rng, &["plain", "striped", "spotted"]);
        let shape = pick(&mut rng, &["ball", "box", "cone"]);
        let whole = Span { start_s: 0.0, end_s };
        let visible = match rng.below(4) {
            0 => vec![Span { start_s: rng.range(0.8, 1.6), ..whole }],
            1 => vec![
                Span { end_s: rng.range(0.8, 1.4), ..whole },
                Span { start_s: rng.range(2.2, 2.8), ..whole },
            ],
            _ => vec![whole],
        };
        let mut actions: Vec<TruthAction> = Vec::new();
        let mut start_s = visible[0].start_s;
        while start_s < end_s - 0.3 {
            let stop_s = if end_s - start_s < 2.2 { end_s } else { start_s + rng.range(0.9, 1.6) };
            let mut text = pick(&mut rng, &ACTIONS);
            while actions.last().is_some_and(|last| last.text == text) {
                text = pick(&mut rng, &ACTIONS);
            }
            actions.push(TruthAction { span: Span { start_s, end_s: stop_s }, text });
            start_s = stop_s;
        }
        let (x, y) = (8 + 30 * nth, 20 + rng.below(60));
        let masks: FrameMap<Rle> = frame_times_s
            .iter()
            .enumerate()
            .filter(|(_, at_s)| visible.iter().any(|span| span.contains(**at_s)))
            .map(|(key, at_s)| {
                let x0 = (x as f64 + 6.0 * at_s) as usize;
                let area = PixelBox { x0, y0: y, x1: x0 + 16 + nth, y1: y + 18 };
                (FrameKey(key as u32), Rle::from_mask(&Mask::from_box(SIDE, SIDE, area)))
            })
            .collect();
        let attributes = [("size", &size), ("colour", &colour), ("pattern", &pattern), ("shape", &shape)];
        entities.push(TruthEntity {
            expression: format!("{size} {colour} {pattern} {shape}"),
            noun: shape.clone(),
            general_noun: "toy".to_owned(),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.clone())).into(),
            held_out: colour == "red" && shape == "cone",
            masks,
            visible,
            actions,
        });
    }
    TruthVideo {
        video: video(&format!("v{index:04}")),
        dataset: "test".to_owned(),
        index_space: IndexSpace::STREFER,
        frame_times_s,
        entities,
        cuts_s: if rng.chance(0.2) { vec![2.0] } else { vec![] },
        scene: None,
    }
}

pub fn facts(seed: u64, index: u64) -> Facts {
    Facts::new(&truth(seed, index).stages()).unwrap()
}

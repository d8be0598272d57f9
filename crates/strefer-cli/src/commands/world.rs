//! What is true of a synthetic clip, as the engine takes it.

use std::path::Path;
use std::sync::Arc;

use strefer_core::masklet::FrameMap;
use strefer_core::records::{FactMap, Video, VideoKind};
use strefer_core::sample::Schema;
use strefer_core::{FrameKey, IndexSpace};
use strefer_engine::pipeline::{Given, Input, Known};
use strefer_engine::stkit;
use strefer_engine::truth::{TruthAction, TruthEntity, TruthVideo};
use strefer_synth::{BodyTruth, ClipTruth, read_truth};

/// A clip of a world, whose truth becomes records when they are wanted.
struct WorldClip {
    clip: ClipTruth,
    uri: String,
    kind: VideoKind,
    space: IndexSpace,
}

impl Known for WorldClip {
    fn given(&self) -> strefer_engine::Result<Given> {
        to_engine(&self.clip, self.uri.clone(), self.kind, self.space).given()
    }
}

/// The clips of a world made with `strefer synth`, as videos of which all is known.
///
/// # Errors
/// A folder that is no world.
pub fn world_inputs(world: &Path, space: IndexSpace) -> anyhow::Result<Vec<Input>> {
    let input = |clip: ClipTruth| {
        let file = format!("videos/{}.mp4", clip.id);
        let (uri, kind) = match world.join(&file).exists() {
            true => (file, VideoKind::File),
            false => (format!("videos/{}", clip.id), VideoKind::FramesDir),
        };
        let (video_id, path) = (clip.id.clone(), world.join(&uri));
        let known = Arc::new(WorldClip { clip, uri: uri.clone(), kind, space });
        Input { video_id, uri, path, shelf: None, known: Some(known) }
    };
    Ok(read_truth(world)?.into_iter().map(input).collect())
}

/// A clip's truth; masks are kept for the frames of `space`.
pub fn to_engine(clip: &ClipTruth, uri: String, kind: VideoKind, space: IndexSpace) -> TruthVideo {
    let frames: Vec<(FrameKey, usize)> = (0..clip.n_frames as u32)
        .map_while(|key| Some((FrameKey(key), space.source_frame(FrameKey(key), clip.n_frames)?)))
        .collect();
    TruthVideo {
        video: Video {
            schema: Schema::V1,
            video_id: clip.id.clone(),
            uri,
            kind,
            fps: clip.fps,
            n_frames: clip.n_frames,
            duration_s: clip.duration_s,
            width: clip.width,
            height: clip.height,
            sha256: None,
            license: None,
        },
        dataset: "strefer-synth".to_owned(),
        index_space: space,
        frame_times_s: frames.iter().map(|(_, frame)| *frame as f64 / clip.fps).collect(),
        entities: clip.bodies.iter().map(|body| entity(body, &frames)).collect(),
        cuts_s: clip.cuts_s.clone(),
        scene: None,
    }
}

/// A clip as STKit's generator takes it: a frame every half second, `frame` names its file by its number.
pub fn to_stkit(clip: &ClipTruth, frame: impl Fn(usize) -> String) -> stkit::Clip {
    const STEP_S: f64 = 0.5;
    let step = (STEP_S * clip.fps).round().max(1.0) as usize;
    let frames: Vec<usize> = (0..clip.n_frames).step_by(step).collect();
    let objects = clip.bodies.iter().enumerate().map(|(at, body)| stkit::clip::ClipObject {
        id: at.to_string(),
        category: body.noun.clone(),
        xyz: frames.iter().map(|&frame| body.positions_m.get(frame).copied()).collect(),
        boxes: frames.iter().map(|&frame| bounds(body, frame)).collect(),
        source: stkit::clip::Source::Gt,
    });
    stkit::Clip {
        clip_id: clip.id.clone(),
        fps: clip.fps / step as f64,
        up: stkit::Up::Z,
        size: Some((clip.height, clip.width)),
        objects: objects.collect(),
        times_s: frames.iter().map(|&frame| frame as f64 / clip.fps).collect(),
        frames: frames.into_iter().map(frame).collect(),
    }
}

/// Left, top, right and bottom of what is seen of a body.
fn bounds(body: &BodyTruth, frame: usize) -> Option<[f64; 4]> {
    let area = body.masks.get(frame)?.as_ref()?.bbox()?;
    Some([area.x0, area.y0, area.x1, area.y1].map(|edge| edge as f64))
}

fn entity(body: &BodyTruth, frames: &[(FrameKey, usize)]) -> TruthEntity {
    let mask = |&(key, frame): &(FrameKey, usize)| Some((key, body.masks.get(frame)?.clone()?));
    let attributes: FactMap = [
        ("colour", body.attributes.colour.word()),
        ("pattern", body.attributes.pattern.word()),
        ("shape", body.attributes.shape.word()),
        ("size", body.attributes.size.word()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    TruthEntity {
        expression: body.name.clone(),
        noun: body.noun.clone(),
        general_noun: body.general_noun.clone(),
        attributes,
        held_out: body.held_out,
        masks: frames.iter().filter_map(mask).collect::<FrameMap<_>>(),
        visible: body.visible.clone(),
        actions: body
            .timeline
            .iter()
            .map(|segment| TruthAction { span: segment.span, text: segment.phrase.clone() })
            .collect(),
    }
}

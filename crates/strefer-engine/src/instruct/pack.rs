//! Drafts become samples: conversations about one video, or single questions with what is needed to score them.

use std::collections::BTreeMap;

use strefer_core::masklet::{FrameKey, FrameMap, IndexSpace};
use strefer_core::placeholder::{Piece, render};
use strefer_core::records::VideoKind;
use strefer_core::sample::{
    Media, MediaKind, Mix, Provenance, Region, RegionMode, Role, Segment, Task, TimeRef,
};
use strefer_core::{FrameMask, OtherObject, QuizFacts, Rle, Sample};

use crate::facts::spread;
use crate::instruct::context::Context;
use crate::instruct::draft::{Draft, Fact};

/// Samples of many turns. No turn asks for what an earlier turn of the same conversation has told.
pub fn conversations(cx: &Context<'_>, mut drafts: Vec<Draft>, config_hash: &str) -> Vec<Sample> {
    cx.rng("pack").shuffle(&mut drafts);
    let mut open: Vec<Vec<Draft>> = Vec::new();
    // What tells more than it asks for would close a conversation for other questions: it comes last.
    drafts.sort_by_key(|draft| draft.tells.len() > draft.asks.len());
    for draft in drafts {
        match open.iter_mut().find(|turns| fits(cx, turns, &draft)) {
            Some(turns) => turns.push(draft),
            None => open.push(vec![draft]),
        }
    }
    open.retain(|turns| turns.len() >= cx.cfg.fewest_turns);
    open.iter()
        .enumerate()
        .map(|(number, turns)| {
            let mut sample = empty(cx, format!("{}-c{number:02}", cx.facts.video.video_id), config_hash);
            turns.iter().for_each(|draft| add_turns(cx, &mut sample, draft));
            let mode = draw_mode(cx, &sample);
            sample.regions.iter_mut().for_each(|region| region.mode = mode);
            if let [only] = turns.as_slice() {
                describe(&mut sample, only);
            }
            sample
        })
        .collect()
}

/// Conversations about single frames, each with the questions whose objects the frame shows.
pub fn frames(cx: &Context<'_>, drafts: &[Draft], config_hash: &str) -> Vec<Sample> {
    let mut shown: BTreeMap<FrameKey, Vec<usize>> = BTreeMap::new();
    for &at in cx.referable() {
        for sighting in cx.pointers(at) {
            shown.entry(sighting.key).or_default().push(at);
        }
    }
    let mut keys: Vec<FrameKey> = shown.keys().copied().collect();
    // A video shorter than the uniform sample has frames with several keys.
    keys.dedup_by_key(|key| cx.facts.index_space.source_frame(*key, cx.facts.video.n_frames));
    cx.rng("frames").shuffle(&mut keys);
    keys.truncate(cx.cfg.frames_per_video);
    let mut samples = Vec::new();
    for key in keys {
        let holds = |draft: &&Draft| {
            draft.frame.is_none_or(|frame| frame == key)
                && draft.regions.iter().all(|at| shown[&key].contains(at))
        };
        let mut order: Vec<&Draft> = drafts.iter().filter(holds).collect();
        cx.rng("frame").at(u64::from(key.0)).shuffle(&mut order);
        let mut turns: Vec<Draft> = Vec::new();
        for draft in order {
            if fits(cx, &turns, draft) {
                turns.push(draft.clone());
            }
        }
        if turns.len() < cx.cfg.fewest_turns.max(1) {
            continue;
        }
        let id = format!("{}-f{:03}", cx.facts.video.video_id, key.0);
        let mut sample = empty(cx, id, config_hash);
        turns.iter().for_each(|draft| add_turns(cx, &mut sample, draft));
        if show_alone(cx, &mut sample, key) {
            samples.push(sample);
        }
    }
    samples
}

/// Cuts a sample down to one frame of the uniform sample: its segment and its masks.
fn show_alone(cx: &Context<'_>, sample: &mut Sample, key: FrameKey) -> bool {
    let video = &cx.facts.video;
    let Some(frame) = cx.facts.index_space.source_frame(key, video.n_frames) else { return false };
    // A quarter and three quarters of the way to the next frame: safely inside, however times are rounded.
    let at_s = |share: f64| (frame as f64 + share) / video.fps;
    sample.media[0].segment = Some(Segment { start_s: at_s(0.25), end_s: Some(at_s(0.75)) });
    for region in &mut sample.regions {
        let entity = cx.facts.entities.iter().find(|entity| Some(&entity.entity.eid) == region.eid.as_ref());
        let sighting = entity.and_then(|entity| entity.sightings.iter().find(|seen| seen.key == key));
        let Some(sighting) = sighting else { return false };
        let mask = FrameMask::Rle(sighting.frame.rle.clone());
        region.masks = [(FrameKey(frame as u32), mask)].into_iter().collect();
        region.index_space = IndexSpace::Source;
    }
    true
}

fn fits(cx: &Context<'_>, turns: &[Draft], draft: &Draft) -> bool {
    let told = |fact: &Fact| turns.iter().any(|turn| turn.tells.contains(fact));
    let mut regions: Vec<usize> = turns.iter().flat_map(|turn| turn.regions.clone()).collect();
    regions.extend(&draft.regions);
    regions.sort_unstable();
    regions.dedup();
    turns.len() < cx.cfg.turns_per_sample
        && regions.len() <= cx.cfg.regions_per_sample
        && !draft.asks.iter().any(told)
        && turns.iter().all(|turn| turn.question != draft.question || turn.regions != draft.regions)
}

/// One sample a question, with its scoring.
pub fn singles(cx: &Context<'_>, drafts: &[Draft], config_hash: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut number = BTreeMap::new();
    for draft in drafts {
        let nth = number.entry(draft.task).and_modify(|nth| *nth += 1).or_insert(0);
        let id = format!("{}-{}-{nth:02}", cx.facts.video.video_id, draft.task.name());
        let mut sample = empty(cx, id, config_hash);
        add_turns(cx, &mut sample, draft);
        let mut other = draft
            .other
            .as_ref()
            .map(|(at, answer)| OtherObject { answer: answer.clone(), region: region(cx, 0, *at) });
        if draw_mode(cx, &sample) == RegionMode::SingleRandom {
            sample
                .regions
                .iter_mut()
                .chain(other.as_mut().map(|other| &mut other.region))
                .for_each(fix_largest);
        }
        describe(&mut sample, draft);
        let (kind, answer) = (draft.kind.clone(), draft.key.clone());
        sample.eval = Some(QuizFacts { kind, answer, held_out: draft.held_out, other }.to_value());
        samples.push(sample);
    }
    samples
}

fn empty(cx: &Context<'_>, id: String, config_hash: &str) -> Sample {
    let video = &cx.facts.video;
    let kind = match video.kind {
        VideoKind::File => MediaKind::Video,
        VideoKind::FramesDir => MediaKind::Frames,
    };
    let size = Some((video.height, video.width));
    let mut sample = Sample::new(
        id,
        video.video_id.clone(),
        vec![Media { kind, uri: video.uri.clone(), segment: None, size }],
    );
    sample.provenance = Some(Provenance {
        dataset: cx.cfg.dataset.clone(),
        stage: Some("instruct".to_owned()),
        config_hash: Some(config_hash.to_owned()),
        ..Provenance::default()
    });
    sample.mix = Some(Mix { source: cx.cfg.dataset.clone(), weight: 1.0 });
    sample.split = Some(cx.cfg.split);
    sample
}

fn describe(sample: &mut Sample, draft: &Draft) {
    let (group, name) = (draft.task.group().to_owned(), draft.task.name().to_owned());
    sample.task = Some(Task { group, name, negative: draft.negative });
    sample.answer_format = Some(draft.format);
    sample.choices.clone_from(&draft.choices);
}

/// Appends question and answer; the draft's references become the sample's.
fn add_turns(cx: &Context<'_>, sample: &mut Sample, draft: &Draft) {
    let regions: Vec<usize> = draft.regions.iter().map(|&at| place_region(cx, sample, at)).collect();
    let first_time = sample.times.len();
    for &at_s in &draft.times_s {
        let tid = sample.times.len();
        sample.times.push(TimeRef { tid, s: at_s, rel_to: "media:0".to_owned(), style: draft.style });
    }
    let indexed = |text: &str| {
        render(text, |piece| match piece {
            Piece::Region(Some(index)) => format!("<region:{}>", regions[*index]),
            Piece::Time(index) => format!("<time:{}>", first_time + index),
            Piece::Visual => "<video>".to_owned(),
            Piece::Text(text) | Piece::Unknown(text) => (*text).to_owned(),
            Piece::Region(None) => "<region>".to_owned(),
        })
    };
    let head = if sample.conversations.is_empty() { "<video>\n" } else { "" };
    let (question, answer) = (format!("{head}{}", indexed(&draft.question)), indexed(&draft.answer));
    sample.say(Role::User, question);
    sample.say(Role::Assistant, answer);
}

/// The index of an entity's region in the sample, which is added when it is not there yet.
fn place_region(cx: &Context<'_>, sample: &mut Sample, at: usize) -> usize {
    let eid = &cx.entity(at).entity.eid;
    if let Some(known) = sample.regions.iter().position(|region| region.eid.as_ref() == Some(eid)) {
        return known;
    }
    let rid = sample.regions.len();
    sample.regions.push(region(cx, rid, at));
    rid
}

/// Masks of an entity that are large enough to point at it, spread evenly over the video.
fn region(cx: &Context<'_>, rid: usize, at: usize) -> Region {
    let pointers = cx.pointers(at);
    let masks: FrameMap<FrameMask> = spread(pointers.len(), cx.cfg.masks_per_region)
        .map(|at| pointers[at])
        .map(|seen| (seen.key, FrameMask::Rle(seen.frame.rle.clone())))
        .collect();
    Region {
        rid,
        eid: Some(cx.entity(at).entity.eid.clone()),
        masks,
        index_space: cx.facts.index_space,
        mode: RegionMode::Multi,
        fixed_key: None,
    }
}

/// Whether a sample points at its objects in one frame or all along the video.
fn draw_mode(cx: &Context<'_>, sample: &Sample) -> RegionMode {
    let single = cx.rng("region mode").named(&sample.id).chance(cx.cfg.single_frame_share);
    if single { RegionMode::SingleRandom } else { RegionMode::Multi }
}

/// Where training draws one mask, scoring uses the largest.
fn fix_largest(region: &mut Region) {
    let area = |mask: &FrameMask| match mask {
        FrameMask::Rle(record) => Rle::try_from(record.clone()).map_or(0, |rle| rle.area()),
        _ => 0,
    };
    let largest = region.masks.iter().max_by_key(|(key, mask)| (area(mask), std::cmp::Reverse(**key)));
    region.fixed_key = largest.map(|(key, _)| *key);
    region.mode = RegionMode::SingleFixed;
}

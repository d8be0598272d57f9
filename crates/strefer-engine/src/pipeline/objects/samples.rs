//! Samples about single objects: short captions, detailed captions, questions. One pair of turns each, with masks that count
//! frames of the source, as VideoRefer-700K has them.

use strefer_core::records::{Description, Descriptions, Entities, Entity, Masklets, Video, VideoKind};
use strefer_core::sample::{AnswerFormat, Media, MediaKind, Mix, Provenance, Region, RegionMode, Role, Task};
use strefer_core::validate::MediaFacts;
use strefer_core::{FrameKey, FrameMask, IndexSpace, Rng, Sample};

use super::pointers::{Pointer, pointers, spread};
use crate::config::{EngineConfig, ObjectSample};
use crate::language::nouns::{a, capitalised, is_plural};
use crate::pipeline::store::Note;

/// The group of their tasks.
const GROUP: &str = "object";

/// Questions that an expression answers.
const SHORT: [&str; 5] = [
    "What is <region:0>?",
    "Say in a few words what <region:0> is.",
    "What do you see in <region:0>?",
    "Give a short phrase for <region:0>.",
    "Which object is <region:0>?",
];

/// Questions that a description answers.
const DETAILED: [&str; 5] = [
    "Describe <region:0> in detail.",
    "How does <region:0> look, and what does it do in the video?",
    "Tell me everything about <region:0> that the video shows.",
    "What is <region:0>, and what happens to it?",
    "Give a full description of <region:0>.",
];

/// One pair of turns.
struct Pair {
    /// Beyond the name of the video and of the entity.
    name: String,
    task: String,
    question: String,
    answer: String,
}

/// What samples of a video are made of.
pub struct Said<'a> {
    /// Its measures.
    pub video: &'a Video,
    /// What is in it.
    pub entities: &'a Entities,
    /// Where.
    pub masklets: &'a Masklets,
    /// What is said about each.
    pub descriptions: &'a Descriptions,
}

/// The samples of a video; `key` is that of the stage. Of what comes to none there is a note.
pub fn samples(said: &Said<'_>, cfg: &EngineConfig, key: &str) -> (Vec<Sample>, Vec<Note>) {
    let (mut samples, mut notes) = (Vec::new(), Vec::new());
    let video = said.video;
    let rng = Rng::new(cfg.instruct.seed, "object samples").named(&video.video_id);
    let pixels = f64::from(video.width) * f64::from(video.height);
    let mut turn = Turns::new(cfg.instruct.single_frame_share, rng.named("mode").uniform());
    for entity in &said.entities.items {
        let all = pointers(said.masklets, &entity.eid, video.n_frames);
        let mut large = all.clone();
        large.retain(|pointer| pointer.area as f64 >= cfg.instruct.smallest_area * pixels);
        if large.is_empty() {
            let (kind, text) = match all.iter().map(|pointer| pointer.area).max() {
                None => ("no_mask", entity.expression.clone()),
                Some(area) => ("too_small", format!("{}: {area} pixels at most", entity.expression)),
            };
            notes.push(Note::new(kind, &entity.eid, text));
            continue;
        }
        // Whoever is not in the list was dropped by a stage, with a note.
        let item = said.descriptions.items.iter().find(|item| item.eid == entity.eid);
        let Some(item) = item.filter(|item| !item.is_refused()) else { continue };
        let rng = rng.named(&entity.eid);
        for pair in pairs(entity, item, cfg, &rng) {
            let id = format!("{}-{}-{}", video.video_id, entity.eid, pair.name);
            let mut sample = sample(id, video, cfg, key);
            sample.provenance = sample.provenance.map(|own| Provenance {
                model: said.descriptions.provenance.as_ref().and_then(|made| made.model.clone()),
                ..own
            });
            let single = turn.is_single();
            let mut draw = rng.named(&pair.name);
            let chosen = match single {
                true => vec![&large[draw.below(large.len())]],
                false => spread(&large, cfg.instruct.masks_per_region),
            };
            sample.regions.push(region(&entity.eid, &chosen, single));
            sample.say(Role::User, format!("<video>\n{}", pair.question));
            sample.say(Role::Assistant, pair.answer);
            sample.task = Some(Task { group: GROUP.to_owned(), name: pair.task, negative: false });
            sample.answer_format = Some(AnswerFormat::Free);
            let frame_size = Some((video.height, video.width));
            match sample.validate(MediaFacts { duration_s: None, frame_size }) {
                Ok(()) => samples.push(sample),
                Err(error) => notes.push(Note::new("dropped_sample", &entity.eid, error.to_string())),
            }
        }
    }
    (samples, notes)
}

/// What is asked and answered about an object.
fn pairs(entity: &Entity, item: &Description, cfg: &EngineConfig, rng: &Rng) -> Vec<Pair> {
    let writes = |kind| cfg.objects.as_ref().is_some_and(|objects| objects.writes(kind));
    let one_of = |templates: &[&str], name: &str| {
        let mut draw = rng.named(name).named("question");
        draw.choose(templates).map_or(String::new(), |text| (*text).to_owned())
    };
    let mut pairs = Vec::new();
    let mut add = |name: &str, templates: &[&str], answer: String| {
        let question = one_of(templates, name);
        pairs.push(Pair { name: name.to_owned(), task: format!("{name}_caption"), question, answer });
    };
    if writes(ObjectSample::Short) {
        add("short", &SHORT, phrase(&entity.expression));
    }
    if let Some(caption) = item.caption.as_ref().filter(|_| writes(ObjectSample::Detailed)) {
        add("detailed", &DETAILED, caption.clone());
    }
    if writes(ObjectSample::Questions) {
        for (at, pair) in item.questions.iter().enumerate() {
            pairs.push(Pair {
                name: format!("question-{at}"),
                task: format!("{}_question", pair.kind.name()),
                question: pair.question.clone(),
                answer: pair.answer.clone(),
            });
        }
    }
    pairs
}

/// Words behind which an expression says more about what it has named.
const BEHIND: [&str; 14] =
    ["in", "on", "at", "of", "with", "by", "to", "from", "near", "behind", "under", "who", "which", "that"];

/// An expression as an answer: with an article where it has none and can have one.
fn phrase(expression: &str) -> String {
    let expression = expression.trim().trim_end_matches('.');
    let first = expression.split_whitespace().next().unwrap_or_default().to_lowercase();
    let determined = [
        "the", "a", "an", "this", "that", "these", "those", "his", "her", "their", "its", "my", "two",
        "three", "four", "five", "six", "one", "another", "some", "several", "many", "both", "all", "each",
        "every",
    ];
    let counted = first.starts_with(|letter: char| letter.is_ascii_digit());
    // "elephants walking to the left": what comes before a verb or a preposition says how many there are.
    let head =
        expression.split_whitespace().take_while(|word| !(word.ends_with("ing") || BEHIND.contains(word)));
    let several = head.last().is_some_and(is_plural);
    let text = if counted || several || determined.contains(&first.as_str()) {
        expression.to_owned()
    } else {
        a(expression)
    };
    format!("{}.", capitalised(&text))
}

/// Masks of one frame, or of several.
fn region(eid: &str, chosen: &[&Pointer], single: bool) -> Region {
    let key = |pointer: &Pointer| FrameKey(pointer.frame as u32);
    Region {
        rid: 0,
        eid: Some(eid.to_owned()),
        masks: chosen.iter().map(|one| (key(one), FrameMask::Rle(one.rle.clone()))).collect(),
        index_space: IndexSpace::Source,
        mode: if single { RegionMode::SingleFixed } else { RegionMode::Multi },
        fixed_key: chosen.first().filter(|_| single).map(|one| key(one)),
    }
}

fn sample(id: String, video: &Video, cfg: &EngineConfig, key: &str) -> Sample {
    let kind = match video.kind {
        VideoKind::File => MediaKind::Video,
        VideoKind::FramesDir => MediaKind::Frames,
    };
    let size = Some((video.height, video.width));
    let media = Media { kind, uri: video.uri.clone(), segment: None, size };
    let mut sample = Sample::new(id, video.video_id.clone(), vec![media]);
    sample.provenance = Some(Provenance {
        dataset: cfg.instruct.dataset.clone(),
        stage: Some("samples".to_owned()),
        config_hash: Some(key.chars().take(16).collect()),
        ..Provenance::default()
    });
    sample.mix = Some(Mix { source: cfg.instruct.dataset.clone(), weight: 1.0 });
    sample.split = Some(cfg.instruct.split);
    sample
}

/// Whose turn it is: of any run of samples the share with one frame is as asked for, to one sample.
struct Turns {
    share: f64,
    sum: f64,
}

impl Turns {
    fn new(share: f64, begin: f64) -> Self {
        Self { share, sum: begin }
    }

    fn is_single(&mut self) -> bool {
        let before = self.sum.floor();
        self.sum += self.share;
        self.sum.floor() > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_and_several_come_in_turns() {
        for (share, wanted) in [(0.0, 0), (0.25, 3), (0.5, 6), (1.0, 12)] {
            for begin in [0.0, 0.4, 0.9] {
                let mut turns = Turns::new(share, begin);
                assert_eq!((0..12).filter(|_| turns.is_single()).count(), wanted, "{share} {begin}");
            }
        }
    }

    #[test]
    fn expressions_become_answers() {
        assert_eq!(phrase("large red striped ball"), "A large red striped ball.");
        assert_eq!(phrase("the boy in a red shirt."), "The boy in a red shirt.");
        assert_eq!(phrase("4 lizards moving around"), "4 lizards moving around.");
        assert_eq!(phrase("orange box"), "An orange box.");
    }
}

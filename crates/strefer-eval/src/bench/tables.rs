//! Benchmarks that are tables of questions with given answers, one file or a few: MVBench, MLVU, Perception Test, NExT-QA,
//! TempCompass.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use strefer_core::sample::{Media, Segment};

use super::benchmark::Benchmark;
use super::catalogue::BenchOptions;
use super::choices::Choices;
use super::item::{Item, bracketed, dotted, frames, video};
use super::layout::Layout;
use super::prompt::Words;
use crate::choice::{Asked, QuestionFile};
use crate::error::{Error, Result};
use crate::records::read_json;

/// How a table becomes items.
pub(super) struct Table<'a> {
    pub title: &'static str,
    pub file: QuestionFile,
    pub words: Words,
    /// Puts letters before options.
    pub letters: fn(&[String]) -> Vec<String>,
    /// Where a question's video lies.
    pub media: &'a dyn Fn(&Asked) -> Result<Media>,
}

impl Table<'_> {
    pub fn read(self, path: &Path, options: &BenchOptions) -> Result<Choices> {
        let words = options.prompt.clone().map_or(self.words, Words::of);
        let reading = options.reading.unwrap_or(self.file.reading());
        let mut all = Choices::new(self.title, reading, words);
        for asked in self.file.read_asked(path)? {
            let refuse = |reason: &str| Error::Record {
                path: path.to_owned(),
                record: asked.question.id.clone(),
                reason: reason.to_owned(),
            };
            if asked.text.trim().is_empty() || asked.video.is_empty() {
                return Err(refuse("it has no question, or names no video"));
            }
            let mut media = (self.media)(&asked)?;
            if let Some([start_s, end_s]) = asked.span_s.filter(|_| !options.cut_already) {
                media.segment = Some(Segment { start_s, end_s: Some(end_s) });
            }
            let shown = (self.letters)(&asked.question.options);
            let kind = asked.question.groups.get("type");
            let facts = json!({ "question": asked.text, "options": shown, "kind": kind });
            let item = Item::new(asked.question.id.clone(), media, all.words.turn(facts)?);
            let mut question = asked.question;
            question.reading = options.reading.or(question.reading);
            all.push(item, question, &shown, &asked.text);
        }
        Ok(all)
    }
}

/// MVBench's folders of videos.
const FOLDERS: [(&str, &str); 20] = [
    ("action_sequence", "star/Charades_v1_480"),
    ("action_prediction", "star/Charades_v1_480"),
    ("object_interaction", "star/Charades_v1_480"),
    ("action_localization", "sta/sta_video"),
    ("moving_direction", "clevrer/video_validation"),
    ("moving_count", "clevrer/video_validation"),
    ("moving_attribute", "clevrer/video_validation"),
    ("object_existence", "clevrer/video_validation"),
    ("counterfactual_inference", "clevrer/video_validation"),
    ("object_shuffle", "perception/videos"),
    ("action_count", "perception/videos"),
    ("state_change", "perception/videos"),
    ("character_order", "perception/videos"),
    ("action_antonym", "ssv2_video"),
    ("fine_grained_action", "Moments_in_Time_Raw/videos"),
    ("unexpected_action", "FunQA_test/test"),
    ("scene_transition", "scene_qa/video"),
    ("fine_grained_pose", "nturgbd"),
    ("egocentric_navigation", "vlnqa"),
    ("episodic_reasoning", "tvqa/frames_fps3_hq"),
];

/// `mvbench/json/<task>.json`, `mvbench/video/<folder>/…`.
pub(super) fn mv_bench(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("mvbench", root, "mvbench");
    let [json] = layout.files(["json"])?;
    let media = |asked: &Asked| {
        let (id, task) = (&asked.question.id, task(asked));
        let folder = FOLDERS.iter().find(|(name, _)| *name == task).map(|(_, folder)| *folder);
        let folder = folder.ok_or_else(|| Error::Record {
            path: json.clone(),
            record: id.clone(),
            reason: format!("{task} is none of MVBench's tasks"),
        })?;
        let uri = layout.uri(&format!("video/{folder}/{}", asked.video));
        Ok(if task == "episodic_reasoning" { frames(uri) } else { video(uri) })
    };
    let table = Table {
        title: "MVBench",
        file: QuestionFile::MvBench,
        words: Words::choice(),
        letters: bracketed,
        media: &media,
    };
    Ok(Box::new(table.read(&json, options)?))
}

/// The file of a question, in benchmarks that have a file a task.
fn task(asked: &Asked) -> &str {
    asked.question.id.split('/').next().unwrap_or_default()
}

/// `mlvu/json/<number>_<task>.json`, `mlvu/video/<number>_<task>/…`, or both in `mlvu/MLVU/`, as they are downloaded. Its own
/// scripts have folders of videos without numbers.
pub(super) fn mlvu(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let downloaded = root.join("mlvu/MLVU/json").exists();
    let layout = Layout::new("mlvu", root, if downloaded { "mlvu/MLVU" } else { "mlvu" });
    let [json] = layout.files(["json"])?;
    let media = |asked: &Asked| {
        let (task, name) = (task(asked), &asked.video);
        let bare = task.split_once('_').map_or(task, |(_, bare)| bare);
        Ok(video(layout.first_uri([task, bare].map(|folder| format!("video/{folder}/{name}")))))
    };
    let table = Table {
        title: "MLVU",
        file: QuestionFile::Mlvu,
        words: Words::choice(),
        letters: bracketed,
        media: &media,
    };
    Ok(Box::new(table.read(&json, options)?))
}

/// `perception_test/mc_question_<split>.json`, `perception_test/videos/<video>.mp4`.
pub(super) fn perception_test(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("perception-test", root, "perception_test");
    let split = options.split.as_deref().unwrap_or("valid");
    let [json] = layout.files([&format!("mc_question_{split}.json")])?;
    let table = Table {
        title: "Perception Test",
        file: QuestionFile::PerceptionTest,
        words: Words::choice(),
        letters: dotted,
        media: &|asked| Ok(video(layout.uri(&format!("videos/{}.mp4", asked.video)))),
    };
    Ok(Box::new(table.read(&json, options)?))
}

/// `tempcompass/questions/*.json`, `tempcompass/videos/<id>.mp4`.
pub(super) fn temp_compass(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("tempcompass", root, "tempcompass");
    let [folder] = layout.files(["questions"])?;
    let table = Table {
        title: "TempCompass",
        file: QuestionFile::TempCompass,
        words: Words::choice_inside(),
        // They stand in the question with their letters.
        letters: <[String]>::to_vec,
        media: &|asked| Ok(video(layout.uri(&format!("videos/{}.mp4", asked.video)))),
    };
    let mut all = table.read(&folder, options)?;
    for item in &mut all.about.items {
        item.max_new_tokens = 64;
        if let Some(offer) = &mut item.offer {
            // The options' lines are not part of the bare question.
            let bare = offer.question.lines().take(2).collect::<Vec<_>>().join("\n");
            offer.question = bare;
        }
    }
    all.about.probes = super::View::OF_ORDER.to_vec();
    Ok(Box::new(all))
}

/// `nextqa/<split>.csv`, `nextqa/map_vid_vidorID.json`, `nextqa/NExTVideo/<path>.mp4`.
pub(super) fn next_qa(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("nextqa", root, "nextqa");
    let split = options.split.as_deref().unwrap_or("val");
    let [csv, map] = layout.files([&format!("{split}.csv"), "map_vid_vidorID.json"])?;
    let videos = NextQaVideos::open(&layout, map)?;
    let media = |asked: &Asked| videos.of(&asked.video, &asked.question.id);
    let table = Table {
        title: "NExT-QA",
        file: QuestionFile::NextQa,
        words: Words::choice(),
        letters: dotted,
        media: &media,
    };
    Ok(Box::new(table.read(&csv, options)?))
}

/// Where NExT-QA's videos lie: `nextqa/map_vid_vidorID.json` has the path of each below `NExTVideo/`.
pub(super) struct NextQaVideos<'a> {
    layout: &'a Layout,
    map: PathBuf,
    paths: HashMap<String, String>,
}

impl<'a> NextQaVideos<'a> {
    pub fn open(layout: &'a Layout, map: PathBuf) -> Result<Self> {
        let paths = read_json(&map)?;
        Ok(Self { layout, map, paths })
    }

    /// The video of a question.
    pub fn of(&self, name: &str, question: &str) -> Result<Media> {
        let path = self.paths.get(name).ok_or_else(|| Error::Record {
            path: self.map.clone(),
            record: name.to_owned(),
            reason: format!("question {question} is about it, and it has no path"),
        })?;
        Ok(video(self.layout.uri(&format!("NExTVideo/{path}.mp4"))))
    }
}

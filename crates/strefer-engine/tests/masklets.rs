//! Rules over simulated models: what is known comes back, and what goes wrong stands in the record.

use std::collections::BTreeMap;

use strefer_core::masklet::UniformRule;
use strefer_core::records::{AssignStatus, Masklets, MaskletsFailure, PerceptionStage};
use strefer_core::{FrameKey, IndexSpace, Mask, PixelBox, Rle};
use strefer_engine::masklets::simulate::{Noise, Rules, StageConfig, run, stage};
use strefer_engine::masklets::{
    Answer, Area, CorrectedConfig, Detection, Detector, Nobody, Perception, PublishedConfig, Referee, Sought,
    Timeline, Tracker, Tracking, Way, corrected, published,
};
use strefer_engine::truth::TruthVideo;

fn rules() -> [Rules; 2] {
    [Rules::Published(PublishedConfig::default()), Rules::Corrected(CorrectedConfig::default())]
}

/// Shares of an entity's frames in which it and its masklet overlap.
fn found(truth: &TruthVideo, record: &Masklets, entity: usize) -> f64 {
    let known = &truth.entities[entity].masks;
    let eid = format!("e{entity}");
    let Some(masklet) = record.objects.iter().find(|object| object.eid == eid) else { return 0.0 };
    let right = known.iter().filter(|(key, mask)| {
        masklet
            .frames
            .get(*key)
            .is_some_and(|frame| Rle::try_from(frame.rle.clone()).unwrap().iou(mask).unwrap() > 0.5)
    });
    right.count() as f64 / known.len().max(1) as f64
}

#[test]
fn without_faults_all_objects_come_back_whole() {
    let cfg = StageConfig::default();
    let (mut total, mut sums) = (0, [0.0; 2]);
    for index in 0..12 {
        let truth = stage(&cfg, 5, index);
        for (rules, sum) in rules().iter().zip(&mut sums) {
            let record = run(&truth, &Noise::none(), rules);
            assert_eq!(record.failure, None);
            assert_eq!(record, run(&truth, &Noise::none(), rules), "the same draws give the same record");
            *sum += (0..truth.entities.len()).map(|at| found(&truth, &record, at)).sum::<f64>();
        }
        total += truth.entities.len();
    }
    let [published, corrected] = sums.map(|sum| sum / f64::from(total as u32));
    // What the start frame does not show is not found by the published rules, whatever the models do.
    assert!(corrected > 0.97 && published < 0.95, "published {published}, corrected {corrected}");
}

#[test]
fn masklets_say_how_sure_they_are_and_where_they_are_not() {
    let truth = stage(&StageConfig::default(), 6, 1);
    let record = run(&truth, &Noise::light(), &rules()[1]);
    assert_eq!(record.objects.len(), truth.entities.len(), "one an entity");
    assert!(record.start_index.is_some() && record.n_read.is_none());
    for masklet in &record.objects {
        let confidence = masklet.confidence.unwrap();
        assert!((0.0..=1.0).contains(&confidence));
        assert_eq!(masklet.frames.is_empty(), confidence == 0.0, "{:?}", masklet.assign);
        let hidden: u32 = masklet.gaps.iter().map(|gap| gap[1] - gap[0] + 1).sum();
        if !masklet.frames.is_empty() {
            assert_eq!(hidden as usize + masklet.frames.len(), 32);
            assert!(
                masklet
                    .gaps
                    .iter()
                    .all(|gap| (gap[0]..=gap[1]).all(|key| !masklet.frames.contains_key(&FrameKey(key))))
            );
        }
    }
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Masklets>(&text).unwrap(), record);
}

/// A picture of 40 by 60 pixels with squares in columns, each in some frames.
struct Desk {
    /// Noun, column, and frames of each square.
    squares: Vec<(usize, usize, Vec<usize>)>,
    /// By expression: the square that is answered, from the frames' own numbers.
    says: BTreeMap<String, Vec<usize>>,
    asked: Vec<usize>,
    /// The frame on which the detector fails.
    fails_at: Option<usize>,
    repeated: usize,
}

fn square(column: usize) -> PixelBox {
    PixelBox { x0: 12 * column, y0: 10, x1: 12 * column + 10, y1: 20 }
}

fn area(column: usize) -> Area {
    let found = square(column);
    [found.x0, found.y0, found.x1, found.y1].map(|side| side as f64)
}

impl Desk {
    fn new(squares: &[(usize, usize, &[usize])]) -> Self {
        let squares =
            squares.iter().map(|(noun, column, frames)| (*noun, *column, frames.to_vec())).collect();
        Self { squares, says: BTreeMap::new(), asked: Vec::new(), fails_at: None, repeated: 1 }
    }

    fn says(mut self, expression: &str, squares: &[usize]) -> Self {
        self.says.insert(expression.to_owned(), squares.to_vec());
        self
    }

    fn run(self, sought: &[(&str, &str)], frames: usize, rules: &Rules) -> (Masklets, Vec<usize>) {
        let sought: Vec<Sought> = sought
            .iter()
            .enumerate()
            .map(|(at, (expression, noun))| Sought {
                eid: format!("e{at}"),
                expression: (*expression).to_owned(),
                noun: (*noun).to_owned(),
            })
            .collect();
        let times_s: Vec<f64> = (0..frames).map(|frame| frame as f64).collect();
        let timeline = Timeline::uniform(&times_s, frames);
        let tracker = Columns { squares: self.squares.clone() };
        let mut detector =
            Boxes { squares: self.squares.clone(), fails_at: self.fails_at, repeated: self.repeated };
        let mut referee = self;
        let mut perception = Perception {
            detector: &mut detector,
            tracker: &tracker,
            referee: &mut referee,
            looks: &mut Nobody,
        };
        let record = match rules {
            Rules::Published(cfg) => published::run("v", &sought, &timeline, &mut perception, cfg),
            Rules::Corrected(cfg) => corrected::run("v", &sought, &timeline, &mut perception, cfg),
        };
        (record, referee.asked)
    }
}

struct Boxes {
    squares: Vec<(usize, usize, Vec<usize>)>,
    fails_at: Option<usize>,
    repeated: usize,
}

impl Detector for Boxes {
    fn detect(
        &mut self,
        position: usize,
        nouns: &[String],
    ) -> Result<Vec<Detection>, Box<dyn std::error::Error + Send + Sync>> {
        if self.fails_at == Some(position) {
            return Err("the lamp is off".into());
        }
        let there = self.squares.iter().filter(|(_, _, frames)| frames.contains(&position));
        Ok(there
            .flat_map(|(noun, column, _)| {
                let found = Detection {
                    area: area(*column),
                    score: 0.8,
                    label: nouns[*noun].clone(),
                    noun: Some(*noun),
                    expression: None,
                };
                vec![found; self.repeated]
            })
            .collect())
    }
}

/// Follows a column; it forgets what it does not see.
struct Columns {
    squares: Vec<(usize, usize, Vec<usize>)>,
}

struct ColumnSession<'a> {
    squares: &'a [(usize, usize, Vec<usize>)],
    objects: Vec<(u32, usize, bool)>,
}

impl Tracker for Columns {
    fn begin<'a>(
        &'a self,
        _: usize,
        _: Way,
    ) -> Result<Box<dyn Tracking + 'a>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Box::new(ColumnSession { squares: &self.squares, objects: Vec::new() }))
    }
}

impl Tracking for ColumnSession<'_> {
    fn add(
        &mut self,
        object: u32,
        _: usize,
        area: Area,
    ) -> Result<Mask, Box<dyn std::error::Error + Send + Sync>> {
        let column = (area[0] / 12.0).round() as usize;
        self.objects.push((object, column, true));
        Ok(Mask::from_box(40, 60, square(column)))
    }

    fn step(
        &mut self,
        position: usize,
    ) -> Result<Vec<(u32, Mask)>, Box<dyn std::error::Error + Send + Sync>> {
        let squares = self.squares;
        let mut found = Vec::new();
        for (object, column, is_known) in &mut self.objects {
            *is_known &= squares.iter().any(|(_, own, frames)| own == column && frames.contains(&position));
            let mask = if *is_known { Mask::from_box(40, 60, square(*column)) } else { Mask::zeros(40, 60) };
            found.push((*object, mask));
        }
        Ok(found)
    }

    fn remove(&mut self, object: u32) {
        self.objects.retain(|(known, ..)| *known != object);
    }
}

impl Referee for Desk {
    fn name(&self) -> &str {
        "desk"
    }

    fn refer(
        &mut self,
        position: usize,
        boxes: &[Area],
        expressions: &[&str],
    ) -> Result<Vec<Answer>, Box<dyn std::error::Error + Send + Sync>> {
        self.asked.push(position);
        let answer = |expression: &&str| {
            let squares = self.says.get(*expression).cloned().unwrap_or_default();
            let index =
                |square: &usize| boxes.iter().position(|found| *found == area(self.squares[*square].1));
            let indices: Vec<usize> = squares.iter().filter_map(index).collect();
            Answer { confidence: vec![1.0; indices.len()], indices }
        };
        Ok(expressions.iter().map(answer).collect())
    }
}

fn frames_of(record: &Masklets, eid: &str) -> Vec<u32> {
    let object = record.objects.iter().find(|object| object.eid == eid);
    object.map(|object| object.frames.keys().map(|key| key.0).collect()).unwrap_or_default()
}

fn column_of(record: &Masklets, eid: &str) -> Option<u32> {
    let object = record.objects.iter().find(|object| object.eid == eid)?;
    object.frames.values().next().map(|frame| frame.bbox_xywh[0] / 12)
}

const ALL: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

#[test]
fn a_conflict_costs_only_the_expressions_in_it() {
    let people = [("tall", "person"), ("short", "person"), ("old", "person")];
    let desk = || {
        Desk::new(&[(0, 0, &ALL), (0, 1, &ALL), (0, 2, &ALL)])
            .says("tall", &[1])
            .says("short", &[1])
            .says("old", &[2])
    };
    let (published, asked) = desk().run(&people, 8, &rules()[0]);
    assert_eq!(published.failure, Some(MaskletsFailure::NothingAssigned { tracks: 3 }));
    assert_eq!(asked, [3], "the start frame alone is asked about");
    let (corrected, asked) = desk().run(&people, 8, &rules()[1]);
    assert_eq!(column_of(&corrected, "e2"), Some(2));
    let winners: Vec<u32> = ["e0", "e1"].iter().filter_map(|eid| column_of(&corrected, eid)).collect();
    assert_eq!(winners, [1], "one of the two gets the square");
    let status = |eid: usize| corrected.objects[eid].assign.as_ref().unwrap().status;
    assert_eq!([status(0), status(1)].iter().filter(|status| **status == AssignStatus::Conflict).count(), 1);
    assert_eq!(asked.len(), CorrectedConfig::default().vote_frames);
}

#[test]
fn expressions_that_read_the_same_are_two() {
    let men = [("man", "person"), ("man", "person"), ("woman", "person")];
    let desk =
        || Desk::new(&[(0, 0, &ALL), (0, 1, &ALL), (0, 2, &ALL)]).says("man", &[0, 1]).says("woman", &[2]);
    let (corrected, _) = desk().run(&men, 8, &rules()[1]);
    let mut columns: Vec<Option<u32>> = ["e0", "e1", "e2"].map(|eid| column_of(&corrected, eid)).into();
    assert_eq!(columns.pop(), Some(Some(2)));
    columns.sort();
    assert_eq!(columns, [Some(0), Some(1)]);
    let (published, _) = desk().run(&men, 8, &rules()[0]);
    assert_eq!(published.objects.len(), 2, "the words are one key");
}

#[test]
fn objects_that_come_late_or_are_found_late_are_followed_both_ways() {
    // Square 1 is seen by the detector on even frames only, and is there from frame 3 on.
    let desk = Desk::new(&[(0, 0, &ALL), (1, 1, &[3, 4, 5, 6, 7])]);
    let (record, _) = desk.run(&[("man", "person"), ("dog", "animal")], 8, &rules()[1]);
    assert_eq!(frames_of(&record, "e1"), [3, 4, 5, 6, 7], "frame 3 by following it back from frame 4");
    assert_eq!(record.objects[1].gaps, [[0, 2]]);
    assert_eq!(record.objects[1].assign.as_ref().unwrap().status, AssignStatus::Shortcut);
}

#[test]
fn an_object_that_returns_keeps_its_identity() {
    // The tracker forgets square 1 while it is away; without looks the referee's word joins both parts.
    let desk = Desk::new(&[(0, 0, &ALL), (0, 1, &[0, 1, 2, 5, 6, 7])]).says("left", &[0]).says("right", &[1]);
    let (record, _) = desk.run(&[("left", "person"), ("right", "person")], 8, &rules()[1]);
    assert_eq!(frames_of(&record, "e1"), [0, 1, 2, 5, 6, 7]);
    assert_eq!(record.objects[1].gaps, [[3, 4]]);
    assert_eq!(frames_of(&record, "e0").len(), 8);
}

#[test]
fn boxes_that_repeat_are_one_object() {
    let mut desk = Desk::new(&[(0, 0, &ALL)]);
    desk.repeated = 3;
    let (record, _) = desk.run(&[("man", "person")], 8, &rules()[1]);
    assert_eq!(record.objects.len(), 1);
    assert_eq!(record.objects[0].assign.as_ref().unwrap().status, AssignStatus::Shortcut);
}

#[test]
fn what_goes_wrong_stands_in_the_record() {
    for rules in &rules() {
        let is_published = matches!(rules, Rules::Published(_));
        let (record, _) = Desk::new(&[]).run(&[("man", "person")], 8, rules);
        let looked = if is_published { 8 } else { 5 };
        assert_eq!(record.failure, Some(MaskletsFailure::NoDetection { looked }));
        assert!(record.objects.is_empty());

        let (record, _) = Desk::new(&[(0, 0, &ALL)]).run(&[("", " ")], 8, rules);
        assert_eq!(record.failure, Some(MaskletsFailure::NoEntity));

        let mut desk = Desk::new(&[]);
        desk.fails_at = Some(6);
        let (record, _) = desk.run(&[("man", "person")], 8, rules);
        let (stage, reason) = (PerceptionStage::Detector, "the lamp is off".to_owned());
        let failure = MaskletsFailure::Perception { stage, position: 6, reason };
        assert_eq!(failure.to_string(), "detector, frame 6: the lamp is off");
        assert_eq!(record.failure, Some(failure));

        let (record, _) = Desk::new(&[]).run(&[("man", "person")], 0, rules);
        assert_eq!(record.failure, Some(MaskletsFailure::NoDetection { looked: 0 }));
    }
    // Nobody is certain of anything.
    let (record, _) = Desk::new(&[(0, 0, &ALL), (0, 1, &ALL)]).run(&[("man", "person")], 8, &rules()[1]);
    assert_eq!(record.failure, Some(MaskletsFailure::NothingAssigned { tracks: 2 }));
}

#[test]
fn configurations_that_cannot_be_meant_are_named() {
    assert_eq!(CorrectedConfig::default().problem(), None);
    assert!(CorrectedConfig { every: 0, ..Default::default() }.problem().unwrap().contains("every"));
    let cfg = CorrectedConfig { match_iou: 1.5, ..Default::default() };
    assert!(cfg.problem().unwrap().contains("match_iou is 1.5"));
    for noise in [Noise::light(), Noise::heavy(), Noise::none()] {
        assert_eq!(noise.problem(), None);
    }
    assert!(Noise { miss: -0.1, ..Noise::light() }.problem().unwrap().contains("miss"));
    let space = stage(&StageConfig::default(), 1, 0).index_space;
    assert_eq!(space, IndexSpace::Uniform { n: 32, rule: UniformRule::LinspaceTrunc });
}

#[test]
fn worlds_of_masks_show_objects_that_come_late_and_return() {
    let (mut late, mut returning, mut never_together) = (0, 0, 0);
    for index in 0..40 {
        let truth = stage(&StageConfig::default(), 9, index);
        assert_eq!(truth, stage(&StageConfig::default(), 9, index));
        for entity in &truth.entities {
            let keys: Vec<u32> = entity.masks.keys().map(|key| key.0).collect();
            late += usize::from(keys.first().is_some_and(|first| *first > 3));
            returning += usize::from(keys.windows(2).any(|pair| pair[1] > pair[0] + 2));
        }
        let all_there =
            |key: u32| truth.entities.iter().all(|entity| entity.masks.contains_key(&FrameKey(key)));
        never_together += usize::from(!(0..32).any(all_there));
    }
    assert!(late > 20 && returning > 20 && never_together > 10, "{late} {returning} {never_together}");
}

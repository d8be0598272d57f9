//! The numbers of all videos; intervals draw whole videos, whose entities depend on each other.

use serde_json::{Map, Value, json};

use super::score::{ObjectScore, Presence, Scores};
use crate::sheet::{Line, Note, Sheet};
use crate::statistics::Statistic;

/// Which entities.
type Group = fn(Presence) -> bool;

const GROUPS: [(&str, Group); 4] = [
    ("all", |_| true),
    ("steady", |it| !it.late && !it.returning),
    ("late", |it| it.late),
    ("returning", |it| it.returning),
];

/// A number of an entity, its unit and how many decimals are shown.
type Number = (&'static str, &'static str, usize, fn(&ObjectScore) -> Option<f64>);

fn share(holds: bool) -> f64 {
    if holds { 100.0 } else { 0.0 }
}

const NUMBERS: [Number; 7] = [
    ("J", "%", 2, |it| Some(100.0 * it.j)),
    ("F", "%", 2, |it| Some(100.0 * it.f)),
    ("J&F", "%", 2, |it| Some(50.0 * (it.j + it.f))),
    ("coverage", "%", 1, |it| Some(share(it.covered))),
    ("wrong", "% of masklets", 1, |it| it.wrong.map(share)),
    ("switches", "per masklet", 3, |it| it.switches.map(|count| count as f64)),
    ("delay", "frames", 2, |it| Some(f64::from(it.delay))),
];

impl Scores {
    /// For people and for programs.
    pub fn sheet(&self) -> Sheet {
        let (mut lines, mut metrics) = (Vec::new(), Map::new());
        for (group, holds) in GROUPS {
            let count = self.objects(holds).count();
            metrics.insert(format!("{group}.entities"), json!(count));
            if count == 0 {
                continue;
            }
            for (name, unit, decimals, pick) in NUMBERS {
                let name = format!("{group}.{name}");
                let line = Line::of(name.clone(), unit, decimals, self.statistic(holds, pick));
                metrics.insert(name, json!(line.value));
                lines.push(line);
            }
            let masklets = self.objects(holds).filter(|it| it.covered).count();
            let wrong = self.objects(holds).filter(|it| it.wrong == Some(true)).count();
            metrics.insert(format!("{group}.masklets"), json!(masklets));
            metrics.insert(format!("{group}.wrong_masklets"), json!(wrong));
        }
        let failed = self.videos.iter().filter(|video| video.failure.is_some());
        let failed = Note::about("without masklets", failed.map(|video| video.video_id.clone()).collect());
        Sheet {
            benchmark: "Masklets",
            coverage: self.coverage.clone(),
            lines,
            notes: failed.into_iter().collect(),
            metrics: Value::Object(metrics),
        }
    }

    fn objects(&self, holds: Group) -> impl Iterator<Item = &ObjectScore> {
        self.videos.iter().flat_map(|video| &video.objects).filter(move |object| holds(object.presence))
    }

    /// The mean over entities, of whole videos.
    fn statistic(&self, holds: Group, pick: fn(&ObjectScore) -> Option<f64>) -> Statistic {
        let of_video = |objects: &[ObjectScore]| -> Vec<f64> {
            objects.iter().filter(|object| holds(object.presence)).filter_map(pick).collect()
        };
        let by_video: Vec<Vec<f64>> = self.videos.iter().map(|video| of_video(&video.objects)).collect();
        let counted = (0..by_video.len()).filter(|&video| !by_video[video].is_empty()).collect();
        Statistic::new(counted, move |drawn| {
            crate::statistics::mean(drawn.iter().flat_map(|&video| by_video[video].iter().copied()))
        })
    }
}

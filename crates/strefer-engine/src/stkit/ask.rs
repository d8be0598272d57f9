//! All questions that can be asked about the objects of a clip, each with one true answer.

use strefer_core::{Rng, Span};

use crate::stkit::clip::Clip;
use crate::stkit::compare::{Extremes, NetDirection};
use crate::stkit::config::StkitConfig;
use crate::stkit::fault::Fault;
use crate::stkit::motion::Motion;
use crate::stkit::numbers::tenths;
use crate::stkit::question::{Quantity, Question};
use crate::stkit::subject::Subject;
use crate::stkit::travel::Travel;

impl Quantity {
    const BOTH: [Self; 2] = [Self::Distance, Self::Speed];

    fn of(self, travel: &Travel) -> f64 {
        match self {
            Self::Distance => travel.distance_m,
            Self::Speed => travel.speed_kmh(),
        }
    }

    /// The smallest value that is asked about.
    fn least(self, cfg: &StkitConfig) -> f64 {
        match self {
            Self::Distance => cfg.least_distance_m,
            Self::Speed => cfg.least_speed_kmh,
        }
    }
}

/// All questions about the objects of one clip.
///
/// # Errors
/// Objects on different clocks; those of one clip share one.
pub fn questions(
    clip: &Clip,
    subjects: &[Subject],
    cfg: &StkitConfig,
    rng: &mut Rng,
) -> Result<Vec<Question>, Fault> {
    let mut found = Vec::new();
    for subject in subjects {
        found.extend(measures(clip, subject, cfg, rng));
        if cfg.directions {
            found.extend(directions(subject, cfg));
        }
    }
    for (at, first) in subjects.iter().enumerate() {
        for second in &subjects[at + 1..] {
            found.extend(comparisons(first, second, cfg, rng));
            if cfg.directions {
                found.extend(same_direction(clip, first, second, cfg, rng)?);
            }
        }
    }
    Ok(found)
}

/// How far and how fast, through the whole clip and through some parts of it.
fn measures(clip: &Clip, subject: &Subject, cfg: &StkitConfig, rng: &mut Rng) -> Vec<Question> {
    let mut found = measure(subject, None, &subject.motion, cfg);
    for span in windows(subject, cfg, rng) {
        let motion = Motion::measure(&subject.track, Some(&span), clip.up, &cfg.kinematics);
        found.extend(measure(subject, Some(span), &motion, cfg));
    }
    found
}

fn measure(subject: &Subject, span: Option<Span>, motion: &Motion, cfg: &StkitConfig) -> Vec<Question> {
    let Some(travel) = motion.travel else { return Vec::new() };
    let values = Quantity::BOTH.map(|quantity| (quantity, tenths(quantity.of(&travel))));
    values
        .into_iter()
        .filter(|(quantity, value)| *value >= quantity.least(cfg))
        .map(|(quantity, value)| Question::Measure { quantity, object: subject.colour(), span, value })
        .collect()
}

/// Different parts of the clip that begin and end with a sample, as they are written in the question.
fn windows(subject: &Subject, cfg: &StkitConfig, rng: &mut Rng) -> Vec<Span> {
    let times_s: Vec<f64> =
        subject.track.valid().map(|(at, _)| tenths(subject.track.times_s()[at])).collect();
    let (Some(&first_s), Some(&last_s)) = (times_s.first(), times_s.last()) else { return Vec::new() };
    let mut spans = Vec::new();
    for (at, &start_s) in times_s.iter().enumerate() {
        for &end_s in &times_s[at + 1..] {
            let is_whole = start_s == first_s && end_s == last_s;
            if !is_whole && end_s - start_s >= cfg.shortest_window_s {
                spans.push(Span { start_s, end_s });
            }
        }
    }
    rng.shuffle(&mut spans);
    spans.truncate(cfg.windows_per_object);
    spans
}

/// Which way at the end, and when which way.
fn directions(subject: &Subject, cfg: &StkitConfig) -> Vec<Question> {
    let object = subject.colour();
    let at_end = subject.motion.final_heading();
    let at_end = at_end.map(|heading| Question::Direction { object, clock: heading.clock });
    let runs = subject.motion.directions.eligible_runs(&cfg.kinematics);
    let when = runs.into_iter().map(|run| {
        let span = Span { start_s: tenths(run.span.start_s), end_s: tenths(run.span.end_s) };
        Question::Timestamp { object, clock: run.clock, span }
    });
    at_end.into_iter().chain(when).collect()
}

/// Who goes farther, less far, faster, slower, where one stands out. At most one of both may be stationary.
fn comparisons(first: &Subject, second: &Subject, cfg: &StkitConfig, rng: &mut Rng) -> Vec<Question> {
    let mut found = Vec::new();
    for quantity in Quantity::BOTH {
        let pair = shuffled(first, second, rng);
        let values = pair.map(|subject| subject.motion.travel.map(|travel| quantity.of(&travel)));
        let moves = |value: &f64| tenths(*value) >= quantity.least(cfg);
        if !values.iter().flatten().any(moves) {
            continue;
        }
        let extremes = Extremes::of(&values, cfg.kinematics.margin);
        let objects = pair.map(Subject::colour);
        for (more, winner) in [(true, extremes.largest), (false, extremes.smallest)] {
            found.extend(winner.map(|winner| Question::Comparison { quantity, objects, more, winner }));
        }
    }
    found
}

fn same_direction(
    clip: &Clip,
    first: &Subject,
    second: &Subject,
    cfg: &StkitConfig,
    rng: &mut Rng,
) -> Result<Option<Question>, Fault> {
    let net = NetDirection::between(&first.track, &second.track, clip.up, &cfg.kinematics)?;
    let objects = shuffled(first, second, rng).map(Subject::colour);
    Ok(net.same.map(|same| Question::SameDirection { objects, same }))
}

/// The two in the order in which they are mentioned.
fn shuffled<'a>(first: &'a Subject, second: &'a Subject, rng: &mut Rng) -> [&'a Subject; 2] {
    if rng.chance(0.5) { [first, second] } else { [second, first] }
}

#[cfg(test)]
mod tests {
    use strefer_core::StkitTask;

    use super::*;
    use crate::stkit::clip::{ClipObject, Source};
    use crate::stkit::overlay::Colour;
    use crate::stkit::subject::subjects;
    use crate::stkit::vector::{Point, Up};

    fn ask(ways: &[&dyn Fn(f64) -> Point], cfg: &StkitConfig) -> Vec<Question> {
        let times_s: Vec<f64> = (0..20).map(|at| f64::from(at) * 0.5).collect();
        let object = |(id, way): (usize, &&dyn Fn(f64) -> Point)| ClipObject {
            id: id.to_string(),
            category: "car".to_owned(),
            xyz: times_s.iter().map(|&at_s| Some(way(at_s))).collect(),
            boxes: vec![Some([0.0, 0.0, 9.0, 9.0]); 20],
            source: Source::Gt,
        };
        let clip = Clip {
            clip_id: "a".to_owned(),
            fps: 2.0,
            up: Up::Z,
            size: None,
            frames: vec![String::new(); 20],
            objects: ways.iter().enumerate().map(object).collect(),
            times_s: times_s.clone(),
        };
        let rng = Rng::new(1, "ask");
        let subjects = subjects(&clip, cfg, &mut rng.named("subjects")).unwrap();
        questions(&clip, &subjects, cfg, &mut rng.named("questions")).unwrap()
    }

    fn of_task(questions: &[Question], task: StkitTask) -> Vec<&Question> {
        questions.iter().filter(|question| question.task() == task).collect()
    }

    fn fast(at_s: f64) -> Point {
        [4.0 * at_s, 0.0, 0.0]
    }

    fn slow(at_s: f64) -> Point {
        [0.0, at_s, 0.0]
    }

    fn still(_: f64) -> Point {
        [9.0, 9.0, 0.0]
    }

    #[test]
    fn every_task_is_asked_with_the_right_answer() {
        let found = ask(&[&fast, &slow], &StkitConfig::default());
        for task in StkitTask::ALL {
            assert!(!of_task(&found, task).is_empty(), "{task:?}");
        }
        for question in &found {
            match question {
                Question::Measure { quantity, span, value, .. } => {
                    let duration_s = span.map_or(9.5, |span| span.length_s());
                    let mps = match quantity {
                        Quantity::Distance => value / duration_s,
                        Quantity::Speed => value / 3.6,
                    };
                    assert!((mps - 4.0).abs() < 0.03 || (mps - 1.0).abs() < 0.03, "{question:?}");
                }
                Question::Direction { clock, .. } => assert_eq!(*clock, 12),
                Question::Timestamp { clock, span, .. } => {
                    assert_eq!((*clock, *span), (12, Span { start_s: 0.0, end_s: 9.5 }));
                }
                Question::Comparison { .. } => {}
                Question::SameDirection { same, .. } => assert!(!same),
            }
        }
    }

    #[test]
    fn the_winner_is_the_object_that_stands_out() {
        let cfg = StkitConfig::default();
        let found = ask(&[&fast, &slow], &cfg);
        let distance = |colour: Colour| {
            found.iter().find_map(|question| match question {
                Question::Measure { quantity: Quantity::Distance, object, span: None, value }
                    if *object == colour =>
                {
                    Some(*value)
                }
                _ => None,
            })
        };
        let mut compared = 0;
        for question in &found {
            if let Question::Comparison { objects, more, winner, .. } = question {
                let [won, lost] = [objects[*winner], objects[1 - winner]].map(distance);
                assert_eq!(won > lost, *more);
                compared += 1;
            }
        }
        assert_eq!(compared, 4);
    }

    #[test]
    fn stationary_objects_appear_only_beside_moving_ones() {
        let found = ask(&[&fast, &still], &StkitConfig::default());
        assert_eq!(of_task(&found, StkitTask::TraveledDistanceComparison).len(), 2);
        assert_eq!(of_task(&found, StkitTask::MovementDirectionComparison).len(), 0);
        assert_eq!(of_task(&found, StkitTask::MovementDirection).len(), 1);
        assert_eq!(ask(&[&still, &still], &StkitConfig::default()), []);
        // One creeps 0.4 m, which still stands out against none at all; nobody could see it.
        assert_eq!(ask(&[&still, &|at_s| [at_s * 0.04, 0.0, 0.0]], &StkitConfig::default()), []);
    }

    #[test]
    fn no_question_about_ties() {
        let found = ask(&[&fast, &|at_s| [4.2 * at_s, 5.0, 0.0]], &StkitConfig::default());
        assert_eq!(of_task(&found, StkitTask::TravelingSpeedComparison).len(), 0);
        let same = of_task(&found, StkitTask::MovementDirectionComparison);
        assert!(matches!(same[..], [Question::SameDirection { same: true, .. }]));
    }

    #[test]
    fn sports_are_not_asked_for_directions() {
        let found = ask(&[&fast, &slow], &StkitConfig { directions: false, ..StkitConfig::default() });
        let tasks: std::collections::BTreeSet<StkitTask> = found.iter().map(Question::task).collect();
        assert_eq!(tasks.len(), 4);
        assert!(!tasks.contains(&StkitTask::MovementDirection));
    }

    #[test]
    fn windows_are_long_enough_and_not_the_whole() {
        let cfg = StkitConfig { windows_per_object: 1000, ..StkitConfig::default() };
        let found = ask(&[&fast], &cfg);
        let spans: Vec<Span> = found
            .iter()
            .filter_map(|question| match question {
                Question::Measure { quantity: Quantity::Speed, span, .. } => *span,
                _ => None,
            })
            .collect();
        assert_eq!(spans.len(), (1..=16).sum::<usize>() - 1);
        assert!(spans.iter().all(|span| (2.0..9.5).contains(&span.length_s())));
    }
}

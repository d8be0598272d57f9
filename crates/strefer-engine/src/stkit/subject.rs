//! Which objects of a clip get a box and questions.

use strefer_core::Rng;

use crate::error::Result;
use crate::stkit::clip::{Clip, ClipObject};
use crate::stkit::config::StkitConfig;
use crate::stkit::motion::Motion;
use crate::stkit::overlay::{Colour, Mark, visible_box};
use crate::stkit::track::Track;

/// An object that is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Its box.
    pub mark: Mark,
    /// Where it is.
    pub track: Track,
    /// Its motion through the whole clip.
    pub motion: Motion,
}

impl Subject {
    /// What it is called.
    pub fn colour(&self) -> Colour {
        self.mark.colour
    }
}

/// Draws the objects of a clip that are asked about, each with a colour of its own.
///
/// # Errors
/// An object whose positions do not fit its clip.
pub fn subjects(clip: &Clip, cfg: &StkitConfig, rng: &mut Rng) -> Result<Vec<Subject>> {
    let mut found = Vec::new();
    for object in &clip.objects {
        let track = clip.track(object)?;
        let motion = Motion::measure(&track, None, clip.up, &cfg.kinematics);
        let boxes = visible_boxes(clip, object, cfg);
        if is_known_well(&track, &boxes, cfg) && motion.travel.is_some() {
            found.push((boxes, track, motion));
        }
    }
    rng.shuffle(&mut found);
    let named = found.into_iter().take(cfg.objects_per_clip).zip(Colour::PALETTE);
    Ok(named
        .map(|((boxes, track, motion), colour)| Subject { mark: Mark { colour, boxes }, track, motion })
        .collect())
}

/// The boxes that are large enough to be seen; all of them where the size of the frames is not known.
fn visible_boxes(clip: &Clip, object: &ClipObject, cfg: &StkitConfig) -> Vec<Option<[f64; 4]>> {
    let Some((height, width)) = clip.size else { return object.boxes.clone() };
    let size = (height as usize, width as usize);
    object.boxes.iter().map(|bbox| visible_box((*bbox)?, size, cfg.smallest_box)).collect()
}

fn is_known_well(track: &Track, boxes: &[Option<[f64; 4]>], cfg: &StkitConfig) -> bool {
    let samples = track.valid().count();
    let seen = track.valid().filter(|(at, _)| boxes[*at].is_some()).count();
    samples >= cfg.fewest_samples && seen as f64 >= cfg.least_visible * samples as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stkit::clip::Source;
    use crate::stkit::vector::Up;

    fn object(id: usize) -> ClipObject {
        ClipObject {
            id: id.to_string(),
            category: "car".to_owned(),
            xyz: (0..10).map(|at| Some([f64::from(at), id as f64, 0.0])).collect(),
            boxes: vec![Some([10.0, 10.0, 40.0, 40.0]); 10],
            source: Source::Gt,
        }
    }

    fn chosen(objects: Vec<ClipObject>, seed: u64) -> Vec<Subject> {
        let clip = Clip {
            clip_id: "a".to_owned(),
            fps: 2.0,
            up: Up::Z,
            size: Some((100, 100)),
            frames: vec![String::new(); 10],
            times_s: (0..10).map(|at| f64::from(at) * 0.5).collect(),
            objects,
        };
        subjects(&clip, &StkitConfig::default(), &mut Rng::new(seed, "subjects")).unwrap()
    }

    fn is_chosen(change: &dyn Fn(&mut ClipObject)) -> bool {
        let mut object = object(0);
        change(&mut object);
        !chosen(vec![object], 0).is_empty()
    }

    #[test]
    fn an_object_needs_samples_boxes_and_a_way() {
        assert!(is_chosen(&|_| ()));
        assert!(is_chosen(&|it| it.xyz[..2].fill(None)));
        assert!(!is_chosen(&|it| it.xyz[..3].fill(None)));
        assert!(is_chosen(&|it| it.boxes[..2].fill(None)));
        assert!(!is_chosen(&|it| it.boxes[..3].fill(None)));
        // A box counts only where the object is known to be.
        assert!(!is_chosen(&|it| {
            it.xyz[9] = None;
            it.boxes[..2].fill(None);
        }));
        assert!(!is_chosen(&|it| it.xyz[4..6].fill(None)));
        assert!(!is_chosen(&|it| it.boxes.fill(Some([10.0, 10.0, 12.0, 12.0]))));
    }

    #[test]
    fn at_most_four_objects_are_drawn_each_with_its_colour() {
        let draw = |seed| chosen((0..6).map(object).collect(), seed);
        let colours: Vec<Colour> = draw(1).iter().map(Subject::colour).collect();
        assert_eq!(colours, Colour::PALETTE[..4]);
        assert_eq!(draw(1), draw(1));
        assert!((2..9).any(|seed| draw(seed) != draw(1)));
    }
}

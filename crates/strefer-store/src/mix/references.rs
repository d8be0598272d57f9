//! Masks become what a person would draw: a point, a box or a line, in one frame.

use strefer_core::gesture::{Gesture, PixelPoint};
use strefer_core::sample::{Region, RegionMode};
use strefer_core::segmentation::FrameMask;
use strefer_core::{FrameKey, Mask, PixelBox, Rng, Sample};

use super::config::References;

/// Parts of an object, along its longer side, that a line goes through.
const PARTS: usize = 3;

/// Ways to point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Point,
    Box,
    Scribble,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::Box => "box",
            Self::Scribble => "scribble",
        }
    }

    fn draw(shares: &References, rng: &mut Rng) -> Option<Self> {
        let mut left = rng.uniform();
        for (way, share) in
            [(Self::Point, shares.point), (Self::Box, shares.boxed), (Self::Scribble, shares.scribble)]
        {
            if left < share {
                return Some(way);
            }
            left -= share;
        }
        None
    }

    fn gesture(self, mask: &Mask, rng: &mut Rng) -> Option<Gesture> {
        match self {
            Self::Point => any_pixel(mask, rng).map(|point| Gesture::Points(vec![point])),
            Self::Box => mask.bbox().map(Gesture::Box),
            Self::Scribble => line(mask),
        }
    }
}

/// Points at all objects of a sample in one way, drawn by `shares`. `None` where masks stay: none was drawn, there is no object, or one
/// of them has no mask that can be seen.
pub(super) fn point_at(sample: &mut Sample, shares: &References, rng: &mut Rng) -> Option<Way> {
    let way = Way::draw(shares, rng)?;
    let size = sample.media.first().and_then(|media| media.size);
    let pointed: Option<Vec<Region>> =
        sample.regions.iter().map(|region| pointed(region, way, size, rng)).collect();
    sample.regions = pointed.filter(|regions| !regions.is_empty())?;
    Some(way)
}

fn pointed(region: &Region, way: Way, size: Option<(u32, u32)>, rng: &mut Rng) -> Option<Region> {
    // A frame that the record itself chose stays chosen.
    let chosen = |key: &FrameKey| region.mode != RegionMode::SingleFixed || region.fixed_key == Some(*key);
    let mut frames: Vec<(FrameKey, &FrameMask)> =
        region.masks.iter().filter(|(key, _)| chosen(key)).map(|(key, mask)| (*key, mask)).collect();
    rng.shuffle(&mut frames);
    let seen = |mask: &FrameMask| mask.to_mask(size).ok().flatten().filter(|mask| !mask.is_empty());
    let (key, mask) = frames.into_iter().find_map(|(key, mask)| Some((key, seen(mask)?)))?;
    let drawn = way.gesture(&mask, rng)?.to_mask(mask.height(), mask.width()).ok()?;
    let masks = std::iter::once((key, FrameMask::from(&drawn))).collect();
    Some(Region { masks, mode: RegionMode::SingleFixed, fixed_key: Some(key), ..region.clone() })
}

fn any_pixel(mask: &Mask, rng: &mut Rng) -> Option<PixelPoint> {
    let inside = mask.as_slice().iter().enumerate().filter(|(_, value)| **value != 0);
    let nth = rng.below(mask.area().max(1));
    let (at, _) = inside.into_iter().nth(nth)?;
    Some(PixelPoint { x: at % mask.width(), y: at / mask.width() })
}

/// A line through the middles of the object's parts; of an object that is a single pixel wide everywhere, over its box.
fn line(mask: &Mask) -> Option<Gesture> {
    let PixelBox { x0, y0, x1, y1 } = mask.bbox()?;
    let (width, height) = (x1 - x0, y1 - y0);
    let point = |(y, x): (usize, usize)| PixelPoint { x, y };
    let mut points: Vec<PixelPoint> = (0..PARTS)
        .filter_map(|part| {
            let cut =
                |low: usize, length: usize| (low + part * length / PARTS, low + (part + 1) * length / PARTS);
            let ((left, right), (top, bottom)) =
                if width >= height { (cut(x0, width), (y0, y1)) } else { ((x0, x1), cut(y0, height)) };
            let part = Mask::from_fn(mask.height(), mask.width(), |y, x| {
                (top..bottom).contains(&y) && (left..right).contains(&x) && mask.get(y, x)
            });
            part.deepest_pixel().map(point)
        })
        .collect();
    points.dedup();
    if points.len() < 2 {
        points = vec![PixelPoint { x: x0, y: y0 }, PixelPoint { x: x1 - 1, y: y1 - 1 }];
    }
    Some(Gesture::Scribble(points))
}

#[cfg(test)]
mod tests {
    use strefer_core::IndexSpace;
    use strefer_core::sample::{Media, MediaKind, Role};
    use strefer_core::validate::MediaFacts;

    use super::*;

    /// An object that is an L: a bar down the left and one along the bottom.
    fn mask() -> Mask {
        Mask::from_fn(60, 80, |y, x| {
            (10..50).contains(&y) && (10..18).contains(&x) || (42..50).contains(&y) && (10..70).contains(&x)
        })
    }

    fn sample() -> Sample {
        let media = Media { kind: MediaKind::Video, uri: "a.mp4".to_owned(), segment: None, size: None };
        let mut sample = Sample::new("s", "a", vec![media]);
        sample.say(Role::User, "<video>\nWhat is <region:0>?");
        sample.say(Role::Assistant, "An L.");
        let empty = FrameMask::from(&Mask::zeros(60, 80));
        let masks = [(FrameKey(0), empty), (FrameKey(4), FrameMask::from(&mask()))].into_iter().collect();
        sample.regions = vec![Region {
            rid: 0,
            eid: None,
            masks,
            index_space: IndexSpace::Source,
            mode: RegionMode::Multi,
            fixed_key: None,
        }];
        sample
    }

    fn drawn(shares: References, seed: u64) -> (Option<Way>, Sample) {
        let mut sample = sample();
        let way = point_at(&mut sample, &shares, &mut Rng::new(seed, "test"));
        sample.validate(MediaFacts { duration_s: None, frame_size: Some((60, 80)) }).unwrap();
        (way, sample)
    }

    fn only(sample: &Sample) -> Mask {
        let region = &sample.regions[0];
        assert_eq!(
            (region.mode, region.fixed_key, region.masks.len()),
            (RegionMode::SingleFixed, Some(FrameKey(4)), 1)
        );
        region.masks[&FrameKey(4)].to_mask(None).unwrap().unwrap()
    }

    #[test]
    fn a_box_a_point_and_a_line_lie_where_the_object_is() {
        let (way, boxed) = drawn(References { boxed: 1.0, ..References::default() }, 0);
        assert_eq!((way, only(&boxed)), (Some(Way::Box), Mask::from_box(60, 80, mask().bbox().unwrap())));
        for seed in 0..20 {
            let (_, point) = drawn(References { point: 1.0, ..References::default() }, seed);
            let disc = only(&point);
            assert!(disc.area() <= 29 && !disc.intersection(&mask()).unwrap().is_empty());
        }
        let (_, line) = drawn(References { scribble: 1.0, ..References::default() }, 0);
        let stroke = only(&line);
        let shared = stroke.intersection(&mask()).unwrap().area();
        assert!(shared * 2 > stroke.area(), "{shared} of {}", stroke.area());
        let (left, right) = (stroke.bbox().unwrap().x0, stroke.bbox().unwrap().x1);
        assert!(right - left > 30, "it goes along the object: {left} to {right}");
    }

    #[test]
    fn shares_are_kept_and_nothing_drawn_leaves_masks_alone() {
        let shares = References { point: 0.25, boxed: 0.25, scribble: 0.25 };
        let ways: Vec<Option<Way>> = (0..400).map(|seed| drawn(shares, seed).0).collect();
        for way in [None, Some(Way::Point), Some(Way::Box), Some(Way::Scribble)] {
            let count = ways.iter().filter(|found| **found == way).count();
            assert!((70..=130).contains(&count), "{way:?}: {count}");
        }
        assert_eq!(drawn(References::default(), 1).1, sample());
    }

    #[test]
    fn an_object_that_is_never_seen_stays_as_it_is() {
        let mut unseen = sample();
        unseen.regions[0].masks.shift_remove(&FrameKey(4));
        let before = unseen.clone();
        let shares = References { boxed: 1.0, ..References::default() };
        assert_eq!(point_at(&mut unseen, &shares, &mut Rng::new(0, "test")), None);
        assert_eq!(unseen, before);
    }
}

//! What the records say agrees with what the frames show and with the laws of the world.

use strefer_core::Mask;
use strefer_synth::{Action, CameraTruth, Clip, ClipTruth, Event, Split, WorldConfig};

fn clips(split: Split, n: u64) -> impl Iterator<Item = Clip> {
    (0..n).map(move |index| Clip::generate(&WorldConfig::default(), split, 11, index).unwrap())
}

/// Projects a point with the camera's formula as its record states it: `(u, v, depth)`.
fn project(camera: &CameraTruth, point: [f64; 3]) -> (f64, f64, f64) {
    let (sin_yaw, cos_yaw) = camera.yaw.sin_cos();
    let (sin_pitch, cos_pitch) = camera.pitch.sin_cos();
    let [x, y, z] = [0, 1, 2].map(|axis| point[axis] - camera.position_m[axis]);
    let ahead = sin_yaw * x + cos_yaw * y;
    let right = cos_yaw * x - sin_yaw * y;
    let depth = ahead * cos_pitch - z * sin_pitch;
    let down = -z * cos_pitch - ahead * sin_pitch;
    let scale = camera.focal_px / depth;
    (camera.centre_px[0] + scale * right, camera.centre_px[1] + scale * down, depth)
}

#[test]
fn a_clip_is_a_function_of_its_key() {
    let cfg = WorldConfig::default();
    let make = |split, seed, index| Clip::generate(&cfg, split, seed, index).unwrap();
    let clip = make(Split::Train, 4, 9);
    assert_eq!(clip, make(Split::Train, 4, 9));
    for other in [make(Split::Val, 4, 9), make(Split::Train, 5, 9), make(Split::Train, 4, 10)] {
        assert_ne!(clip.frame(0), other.frame(0));
    }
    assert_eq!(clip.frame(40), make(Split::Train, 4, 9).frame(40));
    assert_eq!(clip.truth(), make(Split::Train, 4, 9).truth());
    assert_eq!(clip.truth().id, "train-4-000009");
}

#[test]
fn a_record_survives_json() {
    let truth = clips(Split::Test, 1).next().unwrap().truth();
    let text = serde_json::to_string(&truth).unwrap();
    assert_eq!(serde_json::from_str::<ClipTruth>(&text).unwrap(), truth);
}

/// Masks share no pixel, and they lie where the camera's formula puts the bodies.
#[test]
fn masks_are_disjoint_and_where_the_bodies_are() {
    for clip in clips(Split::Train, 6) {
        let truth = clip.truth();
        for frame in (0..truth.n_frames).step_by(5) {
            let mut taken = Mask::zeros(128, 128);
            for body in &truth.bodies {
                let Some(mask) = body.masks[frame].as_ref().map(|rle| rle.to_mask()) else { continue };
                assert_eq!(taken.intersection(&mask).unwrap().area(), 0);
                taken = taken.union(&mask).unwrap();
                let [x, y, z] = body.positions_m[frame];
                let (u, v, depth) = project(&truth.cameras[frame], [x, y, z + body.size_m / 2.0]);
                let reach = body.size_m * truth.cameras[frame].focal_px / depth;
                let area = mask.bbox().unwrap();
                assert!(area.x0 as f64 > u - reach && (area.x1 as f64) < u + reach, "{}", body.name);
                assert!(area.y0 as f64 > v - reach && (area.y1 as f64) < v + reach, "{}", body.name);
            }
        }
    }
}

/// Where a body has gone, the ground appears: pixels inside a mask look different once no mask holds them.
#[test]
fn pixels_inside_masks_show_the_body() {
    let mut n_seen = 0;
    for clip in clips(Split::Train, 10) {
        let truth = clip.truth();
        if truth.cameras.iter().any(|camera| *camera != truth.cameras[0]) {
            continue;
        }
        let dense = |frame: usize| {
            truth.bodies.iter().filter_map(move |body| body.masks[frame].as_ref()).map(|rle| rle.to_mask())
        };
        let (early, late) = (clip.frame(5), clip.frame(90));
        let taken = dense(90).fold(Mask::zeros(128, 128), |all, mask| all.union(&mask).unwrap());
        for mask in dense(5) {
            let (mut n_left, mut n_changed) = (0, 0);
            for (x, y, pixel) in early.enumerate_pixels() {
                if mask.get(y as usize, x as usize) && !taken.get(y as usize, x as usize) {
                    n_left += 1;
                    let now = late.get_pixel(x, y);
                    n_changed += usize::from(pixel.0.iter().zip(&now.0).any(|(a, b)| a.abs_diff(*b) > 15));
                }
            }
            assert!(n_changed * 10 >= n_left * 9, "{}: {n_changed} of {n_left}", truth.id);
            n_seen += n_left;
        }
    }
    assert!(n_seen > 1000, "{n_seen}");
}

#[test]
fn visible_spans_agree_with_masks() {
    for clip in clips(Split::Train, 8) {
        let truth = clip.truth();
        for body in &truth.bodies {
            for (frame, mask) in body.masks.iter().enumerate() {
                let at_s = (frame as f64 + 0.5) / truth.fps;
                let spoken_of = body.visible.iter().any(|span| span.contains(at_s));
                let shown = mask.as_ref().is_some_and(|mask| mask.area() >= truth.least_visible_area());
                assert_eq!(spoken_of, shown, "{} {} frame {frame}", truth.id, body.name);
            }
        }
    }
}

/// Every segment's way over the ground is its speed times its length, and one sees it go where its words say.
#[test]
fn actions_are_seen_as_their_words_say() {
    let mut n_seen = [0usize; 7];
    for clip in clips(Split::Val, 12) {
        let truth = clip.truth();
        for body in &truth.bodies {
            assert!(body.timeline.windows(2).all(|pair| pair[0].action != pair[1].action));
            for segment in &body.timeline {
                let first = (segment.span.start_s * truth.fps).ceil() as usize;
                let last = ((segment.span.end_s * truth.fps).floor() as usize).min(truth.n_frames - 1);
                let way: f64 = body.positions_m[first..=last]
                    .windows(2)
                    .map(|pair| (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]))
                    .sum();
                // Up to a frame is missing at either end.
                let missing = 2.0 * 1.5 * segment.speed_m_s / truth.fps;
                assert!((way - segment.distance_m).abs() <= missing + 1e-4, "{segment:?}: {way} m");
                assert!((segment.speed_m_s * segment.span.length_s() - segment.distance_m).abs() < 1e-9);

                let camera = &truth.cameras[first];
                let (u0, v0, depth0) = project(camera, body.positions_m[first]);
                let (u1, v1, depth1) = project(camera, body.positions_m[last]);
                let highest = body.positions_m[first..=last].iter().map(|place| place[2]).fold(0.0, f64::max);
                let is_seen = match segment.action {
                    Action::StandsStill | Action::Spins => way < 1e-9 && highest == 0.0,
                    Action::MovesLeft => u1 < u0 - 14.0,
                    Action::MovesRight => u1 > u0 + 14.0,
                    Action::ComesCloser => v1 > v0 + 12.0 && depth1 < depth0,
                    Action::MovesAway => v1 < v0 - 12.0 && depth1 > depth0,
                    Action::Jumps => highest > 0.25 && way < 1e-9,
                };
                assert!(
                    is_seen,
                    "{} {}: {segment:?} ({u0:.1} {v0:.1}) to ({u1:.1} {v1:.1})",
                    truth.id, body.name
                );
                n_seen[segment.action as usize] += 1;
            }
        }
    }
    assert!(n_seen.iter().all(|&n| n > 0), "{n_seen:?}");
}

/// A spinning body changes its look without changing its place.
#[test]
fn a_spin_is_seen() {
    let mut n_seen = 0;
    for clip in clips(Split::Train, 10) {
        let truth = clip.truth();
        for body in &truth.bodies {
            for segment in body.timeline.iter().filter(|segment| segment.action == Action::Spins) {
                let at = |share: f64| {
                    let at_s = segment.span.start_s + share * segment.span.length_s();
                    (at_s * truth.fps).round() as usize
                };
                let (Some(one), Some(other)) = (&body.masks[at(0.05)], &body.masks[at(0.18)]) else {
                    continue;
                };
                let (one, other) = (one.to_mask(), other.to_mask());
                let both = one.intersection(&other).unwrap();
                if both.area() < 120 {
                    continue;
                }
                let (before, after) = (clip.frame(at(0.05)), clip.frame(at(0.18)));
                let differs = |y: usize, x: usize| {
                    let (a, b) = (before.get_pixel(x as u32, y as u32), after.get_pixel(x as u32, y as u32));
                    a.0.iter().zip(&b.0).any(|(a, b)| a.abs_diff(*b) > 12)
                };
                let changed = Mask::from_fn(128, 128, |y, x| both.get(y, x) && differs(y, x)).area()
                    + one.union(&other).unwrap().area()
                    - both.area();
                assert!(
                    changed * 8 > both.area(),
                    "{} {}: {changed} of {}",
                    truth.id,
                    body.name,
                    both.area()
                );
                n_seen += 1;
            }
        }
    }
    assert!(n_seen > 3);
}

#[test]
fn who_passes_behind_is_farther_and_hidden() {
    let mut n_seen = 0;
    for clip in clips(Split::Train, 12) {
        let truth = clip.truth();
        for event in &truth.events {
            let Event::PassesBehind { behind, front, span } = event else { continue };
            let middle = ((span.start_s + span.end_s) / 2.0 * truth.fps) as usize;
            let depth =
                |body: usize| project(&truth.cameras[middle], truth.bodies[body].positions_m[middle]).2;
            assert!(depth(*behind) > depth(*front), "{}: {event:?}", truth.id);
            n_seen += 1;
        }
        assert!(truth.events.windows(2).all(|pair| pair[0].at_s() <= pair[1].at_s()));
    }
    assert!(n_seen > 2);
}

#[test]
fn bodies_come_and_go_where_the_record_says() {
    let cfg = WorldConfig { late_entry: 0.4, leaving: 0.3, coming_back: 0.3, ..WorldConfig::default() };
    let mut kinds = [0; 3];
    for index in 0..12 {
        let truth = Clip::generate(&cfg, Split::Train, 2, index).unwrap().truth();
        for event in &truth.events {
            let (kind, body, at_s, comes) = match event {
                Event::Enters { body, at_s, .. } => (0, *body, *at_s, true),
                Event::Leaves { body, at_s, .. } => (1, *body, *at_s, false),
                Event::ComesBack { body, at_s, .. } => (2, *body, *at_s, true),
                _ => continue,
            };
            let frame = (at_s * truth.fps).round() as usize;
            let shown = |frame: usize| {
                truth.bodies[body].masks[frame]
                    .as_ref()
                    .is_some_and(|mask| mask.area() >= truth.least_visible_area())
            };
            assert_eq!((shown(frame - 1), shown(frame)), (!comes, comes), "{} {event:?}", truth.id);
            kinds[kind] += 1;
        }
    }
    assert!(kinds.iter().all(|&n| n > 0), "{kinds:?}");
}

#[test]
fn long_clips_have_more_bodies_and_more_to_do() {
    let cfg = WorldConfig::long();
    let truth = Clip::generate(&cfg, Split::Test, 1, 0).unwrap().truth();
    assert_eq!(truth.n_frames, 240);
    assert!(truth.bodies.len() >= 3);
    assert!(truth.bodies.iter().all(|body| body.timeline.len() >= 3 && body.timeline.len() <= 9));
    let end_s = truth.bodies[1].timeline.last().unwrap().span.end_s;
    assert!((end_s - 10.0).abs() < 1e-6, "{end_s}");
}

#[test]
fn configs_that_cannot_be_meant_are_refused() {
    let fine = WorldConfig::default();
    for bad in [
        WorldConfig { image_size: 33, ..fine.clone() },
        WorldConfig { duration_s: 0.5, ..fine.clone() },
        WorldConfig { min_objects: 3, max_objects: 2, ..fine.clone() },
        WorldConfig { cut: 1.5, ..fine.clone() },
        WorldConfig { leaving: 0.9, late_entry: 0.9, ..fine },
    ] {
        assert!(Clip::generate(&bad, Split::Train, 0, 0).is_err(), "{bad:?}");
    }
    assert!(serde_json::from_str::<WorldConfig>(r#"{"gravity": 3}"#).is_err(), "unknown keys are refused");
}

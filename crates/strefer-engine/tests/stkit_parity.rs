//! Motion, comparisons, smoothing and lifting equal the recorded numbers, case by case.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strefer_core::{Mask, Span, golden};
use strefer_engine::stkit::camera::{Pinhole, Pose};
use strefer_engine::stkit::compare::{Extremes, NetDirection};
use strefer_engine::stkit::depth::{Raster, Scale, frame_ratio};
use strefer_engine::stkit::direction::DirectionRun;
use strefer_engine::stkit::lift::{Barycentre, DepthFrame};
use strefer_engine::stkit::smooth::smooth;
use strefer_engine::stkit::{KinematicsConfig, LiftingConfig, Motion, Point, SmoothingConfig, Track, Up};

/// A file of cases: what is put in, and what comes out.
trait Input: DeserializeOwned {
    const FILE: &'static str;

    /// What we measure, laid out as the recorded numbers are.
    fn measure(&self) -> Value;

    /// A small change that must be noticed.
    fn disturb(&mut self);
}

#[derive(Deserialize)]
struct Case<T> {
    id: String,
    expected: Value,
    #[serde(flatten)]
    input: T,
}

#[derive(Deserialize)]
struct Cases<T> {
    conventions: Value,
    cases: Vec<Case<T>>,
}

/// Every file of this kind, none of them empty.
fn files<T: Input>() -> Vec<Cases<T>> {
    let read = |dir: &std::path::PathBuf| {
        let path = dir.join(format!("{}.json", T::FILE));
        let cases: Cases<T> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert!(!cases.cases.is_empty(), "{}: no case", path.display());
        cases
    };
    golden::dirs("stkit").iter().map(read).collect()
}

/// Where two values first differ: numbers with a fraction by more than `tolerance` of themselves, the rest at all.
fn difference(found: &Value, expected: &Value, tolerance: f64, path: &str) -> Option<String> {
    let differ = || Some(format!("{path}: {found} is not {expected}"));
    match (found, expected) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => b.iter().find_map(|(key, b)| {
            difference(a.get(key).unwrap_or(&Value::Null), b, tolerance, &format!("{path}.{key}"))
        }),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(at, (a, b))| difference(a, b, tolerance, &format!("{path}[{at}]")))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            if (a - b).abs() <= tolerance * b.abs().max(0.1) { None } else { differ() }
        }
        _ if found == expected => None,
        _ => differ(),
    }
}

fn case_difference<T: Input>(case: &Case<T>) -> Option<String> {
    let tolerance = if case.id == "large_offset" { 1e-6 } else { 1e-9 };
    difference(&case.input.measure(), &case.expected, tolerance, &format!("{} {}", T::FILE, case.id))
}

/// Every case agrees, and a disturbed input does not.
fn check<T: Input>() {
    let (mut all, mut noticed) = (0, 0);
    for mut case in files::<T>().into_iter().flat_map(|file| file.cases) {
        assert_eq!(case_difference(&case), None);
        case.input.disturb();
        all += 1;
        noticed += usize::from(case_difference(&case).is_some());
    }
    // Some cases cannot notice: the position lies outside the window, is an outlier, or nothing is measured.
    assert!(2 * noticed > all, "{}: {noticed} of {all} disturbed cases are noticed", T::FILE);
}

fn track(times_s: &[f64], xyz: &[Option<Point>]) -> Track {
    Track::new(times_s.to_vec(), xyz.to_vec()).unwrap()
}

/// Moves the last position that is there by a centimetre.
fn nudge(xyz: &mut [Option<Point>]) {
    if let Some(point) = xyz.iter_mut().rev().find_map(Option::as_mut) {
        point[0] += 0.01;
    }
}

#[derive(Deserialize)]
struct Kinematics {
    timestamps: Vec<f64>,
    xyz: Vec<Option<Point>>,
    window: Option<[f64; 2]>,
    up: Up,
}

fn written(runs: &[DirectionRun]) -> Value {
    let run =
        |run: &DirectionRun| json!({"clock": run.clock, "start": run.span.start_s, "end": run.span.end_s});
    runs.iter().map(run).collect()
}

impl Input for Kinematics {
    const FILE: &'static str = "kinematics";

    fn measure(&self) -> Value {
        let cfg = KinematicsConfig::default();
        let span = self.window.map(|[start_s, end_s]| Span { start_s, end_s });
        let motion = Motion::measure(&track(&self.timestamps, &self.xyz), span.as_ref(), self.up, &cfg);
        let steps = &motion.directions.steps;
        let last = motion.final_heading();
        json!({
            "status": motion.status,
            "start_index": motion.window.map(|window| window.first),
            "end_index": motion.window.map(|window| window.last),
            "traveled_distance_m": motion.travel.map(|travel| travel.distance_m),
            "speed_mps": motion.travel.map(|travel| travel.speed_mps()),
            "speed_kmh": motion.travel.map(|travel| travel.speed_kmh()),
            "reference_step": motion.directions.reference_step,
            "step_angle_cw_deg": steps.iter().map(|step| step.map(|step| step.clockwise_deg)).collect::<Vec<_>>(),
            "step_clock": steps.iter().map(|step| step.map(|step| step.clock)).collect::<Vec<_>>(),
            "final_angle_cw_deg": last.map(|heading| heading.clockwise_deg),
            "final_clock": last.map(|heading| heading.clock),
            "direction_intervals": written(&motion.directions.runs),
            "eligible_direction_timestamps": written(&motion.directions.eligible_runs(&cfg)),
        })
    }

    fn disturb(&mut self) {
        nudge(&mut self.xyz);
    }
}

#[derive(Deserialize)]
struct Comparisons {
    timestamps: Vec<f64>,
    objects: Vec<Vec<Option<Point>>>,
    up: Up,
}

impl Input for Comparisons {
    const FILE: &'static str = "comparisons";

    fn measure(&self) -> Value {
        let cfg = KinematicsConfig::default();
        let tracks: Vec<Track> = self.objects.iter().map(|xyz| track(&self.timestamps, xyz)).collect();
        let travels: Vec<_> =
            tracks.iter().map(|track| Motion::measure(track, None, self.up, &cfg).travel).collect();
        let distances: Vec<_> = travels.iter().map(|travel| travel.map(|it| it.distance_m)).collect();
        let speeds: Vec<_> = travels.iter().map(|travel| travel.map(|it| it.speed_kmh())).collect();
        let (by_distance, by_speed) =
            (Extremes::of(&distances, cfg.margin), Extremes::of(&speeds, cfg.margin));
        let direction = match tracks.as_slice() {
            [a, b] => {
                let net = NetDirection::between(a, b, self.up, &cfg).unwrap();
                json!({"net_angle_deg": net.angle_deg, "same": net.same})
            }
            _ => Value::Null,
        };
        json!({
            "distance_m": distances, "speed_kmh": speeds, "direction": direction,
            "farthest": by_distance.largest, "shortest": by_distance.smallest,
            "fastest": by_speed.largest, "slowest": by_speed.smallest,
        })
    }

    fn disturb(&mut self) {
        nudge(&mut self.objects[0]);
    }
}

#[derive(Deserialize)]
struct Smoothing {
    timestamps: Vec<f64>,
    xyz: Vec<Option<Point>>,
}

impl Input for Smoothing {
    const FILE: &'static str = "smoothing";

    fn measure(&self) -> Value {
        let smoothed = smooth(&track(&self.timestamps, &self.xyz), &SmoothingConfig::default());
        json!({"outlier_indices": smoothed.outliers, "smoothed_xyz": smoothed.track.positions()})
    }

    fn disturb(&mut self) {
        let middle = self.xyz.len() / 2;
        nudge(&mut self.xyz[..=middle]);
    }
}

type Rows = Vec<Vec<Option<f64>>>;

#[derive(Deserialize)]
struct Lifting {
    intrinsics: [[f64; 3]; 3],
    conf_threshold: f64,
    frames: Vec<LiftingFrame>,
}

#[derive(Deserialize)]
struct LiftingFrame {
    depth_rel: Rows,
    depth_metric: Rows,
    conf: Rows,
    mask: Vec<Vec<u8>>,
    cam_to_world_rotation: [[f64; 3]; 3],
    cam_to_world_translation: Point,
}

fn raster(rows: &Rows) -> Raster {
    let values = rows.iter().flatten().map(|value| value.unwrap_or(f64::NAN)).collect();
    Raster::new(rows.len(), rows[0].len(), values).unwrap()
}

impl LiftingFrame {
    fn mask(&self) -> Mask {
        Mask::from_fn(self.mask.len(), self.mask[0].len(), |y, x| self.mask[y][x] != 0)
    }

    fn frame(&self, camera: Pinhole) -> DepthFrame {
        let pose = Pose::camera_to_world(self.cam_to_world_rotation, self.cam_to_world_translation).unwrap();
        DepthFrame { depth: raster(&self.depth_rel), confidence: raster(&self.conf), camera, pose }
    }
}

impl Input for Lifting {
    const FILE: &'static str = "lifting";

    fn measure(&self) -> Value {
        let least_confidence = self.conf_threshold;
        let cfg =
            LiftingConfig { least_confidence, erode_px: 0, fewest_pixels: 0, ..LiftingConfig::default() };
        let camera = Pinhole::from_matrix(&self.intrinsics).unwrap();
        let (mut ratios, mut frames) = (Vec::new(), Vec::new());
        for recorded in &self.frames {
            let (frame, mask) = (recorded.frame(camera), recorded.mask());
            let metric = raster(&recorded.depth_metric);
            ratios.push(frame_ratio(&frame.depth, &metric, &frame.confidence, &mask, &cfg).unwrap());
            frames.push((frame, mask));
        }
        let scale = Scale::of(&ratios).unwrap();
        scale.check(&cfg).unwrap();
        let lift = |(frame, mask): &(DepthFrame, Mask)| {
            Barycentre::of(frame, mask, scale.metres, &cfg).unwrap().unwrap()
        };
        let lifted: Vec<Barycentre> = frames.iter().map(lift).collect();
        json!({
            "frame_ratios": ratios,
            "scale": scale.metres,
            "kept_pixels": lifted.iter().map(|centre| centre.kept_pixels).collect::<Vec<_>>(),
            "barycenters": lifted.iter().map(|centre| centre.xyz).collect::<Vec<_>>(),
        })
    }

    fn disturb(&mut self) {
        self.frames[0].cam_to_world_translation[1] += 0.01;
    }
}

#[test]
fn motion_equals_the_recorded_numbers() {
    check::<Kinematics>();
}

#[test]
fn comparisons_equal_the_recorded_ones() {
    check::<Comparisons>();
}

#[test]
fn smoothed_tracks_equal_the_recorded_ones() {
    check::<Smoothing>();
}

#[test]
fn lifted_masks_equal_the_recorded_positions() {
    check::<Lifting>();
}

#[test]
fn our_constants_are_those_of_the_records() {
    let (motion, smoothing, lifting) =
        (KinematicsConfig::default(), SmoothingConfig::default(), LiftingConfig::default());
    let ours = json!({
        "v_min_mps": motion.slowest_mps, "max_gap_s": motion.longest_gap_s, "min_run_s": motion.shortest_run_s,
        "clock_eps_deg": motion.angle_slack_deg, "cmp_margin": motion.margin, "net_min_m": motion.shortest_net_m,
        "same_max_deg": motion.same_up_to_deg, "diff_min_deg": motion.different_from_deg,
        "hampel_half": smoothing.hampel_half, "hampel_k": smoothing.hampel_limit,
        "mad_floor_m": smoothing.deviation_floor_m, "smooth_half": smoothing.average_half,
        "bary_k": lifting.keep_limit, "bary_rel_floor": lifting.keep_share,
    });
    for file in files::<Kinematics>() {
        assert_eq!(difference(&ours, &file.conventions, 1e-12, "conventions"), None);
    }
}

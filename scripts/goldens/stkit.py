"""Motion of objects: distance, speed, clock directions, comparisons; smoothing and lifting of tracks."""

import numpy as np

import common
import stkit_rules as rules

SEED = 4808
FAMILY = "stkit"
UP, UP_CAMERA = [0, 0, 1], [0, -1, 0]


def expected(file, case):
    if file == "kinematics":
        return rules.motion(case["timestamps"], case["xyz"], case["window"], case["up"])
    if file == "comparisons":
        return rules.compare(case["timestamps"], case["objects"], case["up"])
    if file == "smoothing":
        return rules.smooth(case["timestamps"], case["xyz"])
    return rules.lift(case["intrinsics"], case["conf_threshold"], case["frames"])


def difference(ours, theirs, tolerance, path=""):
    """Where two values first differ; floats by their relative difference, everything else exactly."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and ours.keys() == theirs.keys():
        pairs = [(ours[key], theirs[key], f"{path}.{key}") for key in theirs]
    elif isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        pairs = [(a, b, f"{path}[{at}]") for at, (a, b) in enumerate(zip(ours, theirs))]
    elif isinstance(theirs, float) and isinstance(ours, float):
        return None if abs(ours - theirs) <= tolerance * max(1.0, abs(theirs)) else f"{path}: {ours} is not {theirs}"
    else:
        same = type(ours) is type(theirs) and ours == theirs
        return None if same else f"{path}: {ours} is not {theirs}"
    return next((found for pair in pairs if (found := difference(*pair[:2], tolerance, pair[2]))), None)


def tolerance(case):
    return 1e-6 if case["id"] == "large_offset" else 1e-9


def check(folder):
    """Stops where our rules leave the reference."""
    count = 0
    for file in ("kinematics", "comparisons", "smoothing", "lifting"):
        reference = common.read_json(folder / f"{file}.json")
        assert reference["conventions"] == rules.CONVENTIONS, file
        for case in reference["cases"]:
            found = difference(expected(file, case), case["expected"], tolerance(case), f"{file} {case['id']}")
            assert found is None, found
            count += 1
    print(f"{FAMILY}: our rules agree with {count} cases")


def grid(n, step=0.5):
    return [k * step for k in range(n)]


def walk(steps, start=(0.0, 0.0, 0.0)):
    """Positions along steps of (clockwise degrees from the y axis, metres, climb)."""
    rows = [np.array(start, dtype=np.float64)]
    for degrees, metres, climb in steps:
        angle = np.radians(degrees)
        rows.append(rows[-1] + np.array([metres * np.sin(angle), metres * np.cos(angle), climb]))
    return [row.tolist() for row in rows]


def without(xyz, *missing):
    return [None if k in missing else row for k, row in enumerate(xyz)]


def wander(rng, n, metres, turn_deg):
    """A smooth random way."""
    degrees = np.cumsum(rng.normal(0.0, turn_deg, n - 1)) + rng.uniform(0, 360)
    lengths = np.abs(rng.normal(metres, 0.3 * metres, n - 1))
    return walk([(d, m, c) for d, m, c in zip(degrees, lengths, rng.normal(0, 0.05, n - 1))], rng.normal(0, 5, 3))


def kinematics(rng):
    straight = [(20.0, 2.0, 0.0)] * 8
    ways = {
        "parked": (grid(5), [[1.5, -2.0, 0.5]] * 5, None, UP),
        "crawls_below_walking_pace": (grid(7), walk([(0, 0.24, 0)] * 6), None, UP),
        "crawls_at_the_border": (grid(5), walk([(0, 0.25, 0)] * 4), None, UP),
        "nothing_seen": (grid(4), [None] * 4, None, UP),
        "seen_once": (grid(4), [None, None, [1.0, 1.0, 1.0], None], None, UP),
        "one_sample_missing": (grid(9), without(walk(straight), 4), None, UP),
        "every_other_sample_missing": (grid(9), without(walk(straight), 1, 3, 5, 7), None, UP),
        "two_samples_missing": (grid(9), without(walk(straight), 4, 5), None, UP),
        "gap_of_just_the_limit": ([0.0, 0.5, 1.125, 1.75, 2.25], without(walk(straight[:4]), 2), None, UP),
        "neighbours_far_apart_in_time": ([0.0, 0.5, 4.0, 4.5], walk(straight[:3]), None, UP),
        "late_and_gone_early": (grid(9), without(walk(straight), 0, 1, 8), None, UP),
        "window_ends_where_it_is_missing": (grid(9), without(walk(straight), 6), [0.5, 3.1], UP),
        "window_over_a_long_gap": (grid(9), without(walk(straight), 3, 4), [0.5, 3.0], UP),
        "window_beside_a_long_gap": (grid(9), without(walk(straight), 3, 4), [2.4, 4.1], UP),
        "window_beyond_the_clip": (grid(9), walk(straight), [-3.0, 60.0], UP),
        "window_backwards": (grid(9), walk(straight), [3.0, 1.0], UP),
        "window_ties": (grid(9), walk(straight), [0.75, 3.25], UP),
        "lift_goes_up": (grid(6), walk([(0, 0.0, 1.5)] * 5), None, UP),
        "spiral_staircase": (grid(13), walk([(30.0 * k, 1.0, 0.4) for k in range(12)]), None, UP),
        "counter_clockwise": (grid(13), walk([(-30.0 * k, 1.0, 0.0) for k in range(12)]), None, UP),
        "all_halves": (grid(13), walk([(0, 2, 0)] + [(15.0 + 30.0 * k, 2, 0) for k in range(11)]), None, UP),
        "just_below_all_halves": (grid(13), walk([(0, 2, 0)] + [(14.99 + 30.0 * k, 2, 0) for k in range(11)]), None, UP),
        "stops_between": (grid(10), walk([(50, 2, 0)] * 3 + [(0, 0, 0)] * 3 + [(140, 2, 0)] * 3), None, UP),
        "starts_late_ends_still": (grid(9), walk([(0, 0, 0)] * 2 + [(75, 3, 0)] * 4 + [(0, 0.1, 0)] * 2), None, UP),
        "there_and_back_and_there": (grid(10), walk([(0, 2, 0)] * 3 + [(180, 2, 0)] * 3 + [(0, 2, 0)] * 3), None, UP),
        "tilted_up": (grid(9), wander(rng, 9, 2.0, 40.0), None, [0.6, 0.0, 0.8]),
        "camera_world": (grid(20), wander(rng, 20, 2.0, 40.0), None, UP_CAMERA),
        "large_offset": (grid(20), [[x + 512345.6, y - 4987654.3, z] for x, y, z in wander(rng, 20, 3.0, 25.0)], None, UP),
    }
    for k in range(4):
        times = np.cumsum(rng.uniform(0.4, 0.6, 24)).tolist()
        lost = [] if k < 2 else rng.choice(np.arange(1, 23), 4 * (k - 1), replace=False).tolist()
        ways[f"random_{k}"] = (times, without(wander(rng, 24, 0.8 + k, 25.0), *lost), [times[2], times[20]] if k == 1 else None, UP)
    keys = ("timestamps", "xyz", "window", "up")
    return [{"id": name, **dict(zip(keys, way))} for name, way in ways.items()]


def comparisons(rng):
    def line(degrees, metres, n=10):
        return walk([(degrees, metres, 0)] * (n - 1))

    pairs = {
        "farther_by_far": [line(10, 3.0), line(20, 1.0)],
        "exactly_the_margin": [line(0, 2.0), line(0, 1.8)],
        "below_the_margin": [line(0, 2.0), line(0, 1.82)],
        "seen_for_less_time": [line(0, 2.0), without(line(90, 2.6), 0, 1, 2, 3, 9)],
        "one_has_a_long_gap": [line(0, 2.0), without(line(0, 1.0), 4, 5)],
        "never_seen_together": [without(line(0, 2.0), 5, 6, 7, 8, 9), without(line(0, 1.0), 0, 1, 2, 3, 4)],
        "neither_alike_nor_different": [line(0, 2.0), line(40, 1.0)],
        "to_the_left": [line(0, 2.0), line(-70, 1.0)],
        "returns": [line(0, 2.0), walk([(0, 2, 0)] * 4 + [(180, 2, 0)] * 5)],
        "still": [line(0, 0.0), line(0, 0.0)],
        "three_with_a_tie_on_top": [line(0, 2.0), line(0, 1.0), line(90, 1.95)],
        "one_alone": [line(0, 2.0)],
    }
    cases = [{"id": name, "timestamps": grid(10), "objects": objects, "up": UP} for name, objects in pairs.items()]
    for k in range(3):
        objects = [wander(rng, 16, metres, 10.0) for metres in rng.uniform(0.5, 3.0, 2)]
        cases.append({"id": f"random_{k}", "timestamps": grid(16), "objects": objects, "up": UP_CAMERA if k == 2 else UP})
    return cases


def smoothing(rng):
    cases = []
    for k, (n, jumps) in enumerate([(18, [4, 11]), (16, [0, 15]), (3, []), (20, [8, 9])]):
        xyz = np.array(wander(rng, n, 1.5, 15.0)) + rng.normal(0, 0.05, (n, 3))
        for at in jumps:
            xyz[at] += rng.choice([-1, 1], 3) * rng.uniform(4, 9, 3)
        times = grid(n) if k != 3 else np.cumsum(rng.uniform(0.4, 0.6, n)).tolist()
        cases.append({"id": f"track_{k}", "timestamps": times, "xyz": xyz.tolist()})
    return cases


def rotation(rng):
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def lifting(rng):
    """Objects before a rough wall; a few pixels are unknown, doubtful, or of the wall although inside the mask."""
    height, width, cases = 5, 7, []
    for n_frames in (1, 2, 3):
        scale, frames = rng.uniform(2, 8), []
        for _ in range(n_frames):
            mask = np.zeros((height, width), dtype=int)
            mask[1:4, 2:6] = 1
            depth = np.where(mask == 1, rng.normal(1.2, 0.02, mask.shape), rng.uniform(1.5, 3.0, mask.shape))
            depth[1, 2], depth[3, 5] = 2.7, 1.2 * 1.04
            metric = scale * depth * rng.normal(1.0, 0.03, mask.shape)
            holes = [[value.round(6).item() for value in row] for row in depth]
            holes[2][3], holes[0][0], holes[4][1] = None, None, 0.0
            known = [[value.round(6).item() for value in row] for row in metric]
            known[0][5], known[4][6] = None, -1.0
            conf = rng.uniform(0.7, 3.0, mask.shape).round(4)
            frames.append({
                "depth_rel": holes, "depth_metric": known, "conf": conf.tolist(), "mask": mask.tolist(),
                "cam_to_world_rotation": rotation(rng).tolist(), "cam_to_world_translation": rng.normal(0, 1, 3).tolist(),
            })
        focal = rng.uniform(5, 9, 2)
        intrinsics = [[focal[0], 0, width / 2], [0, focal[1], height / 2], [0, 0, 1]]
        cases.append({"id": f"frames_{n_frames}", "intrinsics": intrinsics, "conf_threshold": 1.0, "frames": frames})
    return cases


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures(FAMILY)
    if reference:
        check(reference)
    folder = common.out_dir(FAMILY)
    for file, make in {"kinematics": kinematics, "comparisons": comparisons, "smoothing": smoothing, "lifting": lifting}.items():
        cases = [{**case, "expected": expected(file, case)} for case in make(rng)]
        common.write_json(folder / f"{file}.json", {"conventions": rules.CONVENTIONS, "cases": cases}, indent=None)
    common.readme(
        folder, "Motion of objects (STKit)",
        "`kinematics`: distance, speed and clock directions of one object. `comparisons`: two or three side by side.\n"
        "`smoothing`: outliers replaced, then averaged. `lifting`: masks over depth to positions. Missing samples are null.",
        SEED, "Python float64, " + common.versions("numpy"),
        "Our own rules where ST-VLM leaves them open (`stkit_rules.py`); they agree with the reference's recorded cases.",
        "numbers to 1e-9 of themselves (1e-6 in the case `large_offset`), everything else equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

"""Motion of objects from their trajectories: our conventions where ST-VLM (arXiv 2503.19355) leaves them open.

A second implementation of `strefer_engine::stkit`, in numpy and float64, as plain as it can be.
"""

import numpy as np

CONVENTIONS = {
    "v_min_mps": 0.5, "max_gap_s": 1.25, "min_run_s": 1.0, "clock_eps_deg": 1e-9, "cmp_margin": 0.1, "net_min_m": 1.0,
    "same_max_deg": 30.0, "diff_min_deg": 60.0, "hampel_half": 3, "hampel_k": 3.0, "mad_floor_m": 0.05, "smooth_half": 2,
    "bary_k": 2.5, "bary_rel_floor": 0.05,
}
SIGMA = 1.4826
SLACK_S = 1e-9


def points(xyz):
    """(n, 3), rows of a missing sample are NaN; and which rows are there."""
    rows = np.array([row if row is not None else [np.nan] * 3 for row in xyz], dtype=np.float64).reshape(-1, 3)
    return rows, np.isfinite(rows).all(axis=1)


def window(times, there, span):
    """Status, first and last sample."""
    if span is None:
        found = np.flatnonzero(there)
        return ("ok", int(found[0]), int(found[-1])) if len(found) > 1 else ("too_few_points", None, None)
    first, last = (int(np.argmin(np.abs(np.array(times) - bound))) for bound in span)
    if last <= first:
        return "empty_window", None, None
    return ("ok", first, last) if there[first] and there[last] else ("endpoint_missing", None, None)


def distance(times, rows, there, first, last):
    """Length of the way, or None where a gap is too long."""
    inside = [k for k in range(first, last + 1) if there[k]]
    total = 0.0
    for i, j in zip(inside, inside[1:]):
        if j > i + 1 and times[j] - times[i] > CONVENTIONS["max_gap_s"] + SLACK_S:
            return None
        total += float(np.linalg.norm(rows[j] - rows[i]))
    return total


def flat(way, up):
    return way - np.dot(way, up) * up


def directions(times, rows, there, first, last, up):
    """Reference step, clockwise angle and hour of every step."""
    angles, hours, reference = [None] * (len(times) - 1), [None] * (len(times) - 1), None
    for k in range(first, last):
        if not (there[k] and there[k + 1]):
            continue
        way = flat(rows[k + 1] - rows[k], up)
        if np.linalg.norm(way) / (times[k + 1] - times[k]) < CONVENTIONS["v_min_mps"]:
            continue
        if reference is None:
            reference, ahead = k, way
        turn = np.degrees(np.arctan2(np.dot(np.cross(ahead, way), up), np.dot(ahead, way)))
        angle = float(np.mod(-turn, 360.0))
        angles[k] = 0.0 if angle >= 360.0 - CONVENTIONS["clock_eps_deg"] else angle
        hours[k] = int(np.floor((angles[k] + CONVENTIONS["clock_eps_deg"]) / 30.0 + 0.5)) % 12 or 12
    return reference, angles, hours


def runs(times, hours):
    found, before = [], None
    for k, hour in enumerate(hours):
        if hour is not None and hour == before:
            found[-1]["end"] = times[k + 1]
        elif hour is not None:
            found.append({"clock": hour, "start": times[k], "end": times[k + 1]})
        before = hour
    return found


def eligible(found):
    only = [run for run in found if sum(run["clock"] == other["clock"] for other in found) == 1]
    long = [run for run in only if run["end"] - run["start"] >= CONVENTIONS["min_run_s"] - SLACK_S]
    return sorted(long, key=lambda run: run["clock"])


def motion(times, xyz, span, up):
    """Everything that is measured about one object."""
    rows, there = points(xyz)
    up = np.array(up, dtype=np.float64)
    status, first, last = window(times, there, span)
    steps = max(len(times) - 1, 0)
    result = {
        "status": status, "start_index": first, "end_index": last, "traveled_distance_m": None, "speed_mps": None,
        "speed_kmh": None, "reference_step": None, "step_angle_cw_deg": [None] * steps, "step_clock": [None] * steps,
        "final_angle_cw_deg": None, "final_clock": None, "direction_intervals": [], "eligible_direction_timestamps": [],
    }
    if first is None:
        return result
    way = distance(times, rows, there, first, last)
    if way is None:
        result["status"] = "gap_too_long"
    else:
        speed = way / (times[last] - times[first])
        result.update(traveled_distance_m=way, speed_mps=speed, speed_kmh=3.6 * speed)
    reference, angles, hours = directions(times, rows, there, first, last, up)
    found = runs(times, hours)
    result.update(
        reference_step=reference, step_angle_cw_deg=angles, step_clock=hours, final_angle_cw_deg=angles[last - 1],
        final_clock=hours[last - 1], direction_intervals=found, eligible_direction_timestamps=eligible(found),
    )
    return result


def winner(values, sign):
    """Position of the largest (sign 1) or smallest (sign -1) value, if it stands out from the next."""
    if len(values) < 2 or any(value is None for value in values):
        return None
    order = sorted(range(len(values)), key=lambda at: -sign * values[at])
    x, y = values[order[0]], values[order[1]]
    return order[0] if max(x, y) > 0 and abs(x - y) / max(x, y) >= CONVENTIONS["cmp_margin"] else None


def net_direction(a, b, up):
    (rows_a, there_a), (rows_b, there_b) = points(a), points(b)
    both = np.flatnonzero(there_a & there_b)
    nothing = {"net_angle_deg": None, "same": None}
    if len(both) < 2:
        return nothing
    up = np.array(up, dtype=np.float64)
    way_a, way_b = (flat(rows[both[-1]] - rows[both[0]], up) for rows in (rows_a, rows_b))
    if min(np.linalg.norm(way_a), np.linalg.norm(way_b)) < CONVENTIONS["net_min_m"]:
        return nothing
    angle = float(np.degrees(np.arctan2(abs(np.dot(np.cross(way_a, way_b), up)), np.dot(way_a, way_b))))
    is_same, is_other = angle <= CONVENTIONS["same_max_deg"], angle >= CONVENTIONS["diff_min_deg"]
    return {"net_angle_deg": angle, "same": True if is_same else False if is_other else None}


def compare(times, objects, up):
    motions = [motion(times, xyz, None, up) for xyz in objects]
    ways, speeds = ([each[key] for each in motions] for key in ("traveled_distance_m", "speed_kmh"))
    return {
        "distance_m": ways, "speed_kmh": speeds, "farthest": winner(ways, 1), "shortest": winner(ways, -1),
        "fastest": winner(speeds, 1), "slowest": winner(speeds, -1),
        "direction": net_direction(*objects, up) if len(objects) == 2 else None,
    }


def smooth(times, xyz):
    """Outliers by Hampel's rule, replaced in time; then a moving average that shrinks at the ends."""
    rows, n = np.array(xyz, dtype=np.float64), len(xyz)
    half = CONVENTIONS["hampel_half"]
    outliers = []
    for i in range(n):
        near = rows[max(0, i - half) : i + half + 1]
        middle = np.median(near, axis=0)
        spread = np.maximum(np.median(np.abs(near - middle), axis=0), CONVENTIONS["mad_floor_m"])
        if (np.abs(rows[i] - middle) > CONVENTIONS["hampel_k"] * SIGMA * spread).any():
            outliers.append(i)
    inliers = [i for i in range(n) if i not in outliers]
    at = np.array(times)
    clean = np.stack([np.interp(at, at[inliers], rows[inliers, axis]) for axis in range(3)], axis=1)
    clean[inliers] = rows[inliers]
    halves = [min(CONVENTIONS["smooth_half"], i, n - 1 - i) for i in range(n)]
    mean = [clean[i - h : i + h + 1].mean(axis=0).tolist() for i, h in enumerate(halves)]
    return {"outlier_indices": outliers, "smoothed_xyz": mean}


def grid(values):
    return np.array([[np.nan if value is None else value for value in row] for row in values], dtype=np.float64)


def is_depth(values):
    return np.isfinite(values) & (values > 0)


def ratio(frame, threshold):
    relative, metric, trust = (grid(frame[key]) for key in ("depth_rel", "depth_metric", "conf"))
    use = is_depth(relative) & is_depth(metric) & (trust >= threshold) & (np.array(frame["mask"]) == 0)
    return float(np.median(metric[use] / relative[use]))


def barycentre(frame, scale, intrinsics, threshold):
    """Kept pixels and their mean in the world. The floor of the limit is a share of the median depth."""
    z = scale * grid(frame["depth_rel"])
    v, u = np.nonzero((np.array(frame["mask"]) != 0) & is_depth(z) & (grid(frame["conf"]) >= threshold))
    z = z[v, u]
    middle = np.median(z)
    off = np.abs(z - middle)
    keep = off <= max(CONVENTIONS["bary_k"] * SIGMA * np.median(off), CONVENTIONS["bary_rel_floor"] * middle)
    u, v, z = u[keep], v[keep], z[keep]
    (fx, _, cx), (_, fy, cy), _ = intrinsics
    camera = np.stack([(u - cx) * z / fx, (v - cy) * z / fy, z], axis=1)
    rotation, translation = np.array(frame["cam_to_world_rotation"]), np.array(frame["cam_to_world_translation"])
    return len(z), (camera @ rotation.T + scale * translation).mean(axis=0).tolist()


def lift(intrinsics, threshold, frames):
    ratios = [ratio(frame, threshold) for frame in frames]
    scale = float(np.median(ratios))
    lifted = [barycentre(frame, scale, intrinsics, threshold) for frame in frames]
    return {
        "frame_ratios": ratios, "scale": scale, "kept_pixels": [count for count, _ in lifted],
        "barycenters": [centre for _, centre in lifted],
    }

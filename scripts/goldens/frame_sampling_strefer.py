"""Frame choice of the strefer family: the rules that need no random number (drawn offsets are inputs of the rows)."""

import json
from datetime import timedelta

import numpy as np

import common

SEED = 4606
FAMILY = "frame_sampling_strefer"


def linspace(first, last, count):
    """Both ends included, truncated to whole frames."""
    return np.linspace(first, last, count).astype(int).tolist()


def whole(n, fps, count, with_text):
    indices = linspace(0, n - 1, count)
    text = [str(timedelta(seconds=index / fps))[:-3] for index in indices] if with_text else None
    return {
        "n_frames_video": n, "fps": fps, "num_frames": count, "indices": indices, "duration": (n - 1) / fps, "timestamps": text,
    }


def seconds_of(text):
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def segment(n, fps, count, start, end):
    """Clock text to truncated frames, clamped to the video; an end before the start collapses to one frame."""
    first = min(max(int(seconds_of(start) * fps), 0), n - 1)
    last = max(min(max(int(seconds_of(end) * fps), 0), n - 1), first)
    return {
        "n_frames_video": n, "fps": fps, "num_frames": count, "start": start, "end": end,
        "indices": linspace(first, last, count), "duration": (last - first) / fps,
    }


def midpoints(n, count):
    """Middles of equal segments of `n - 1`, rounded half to even after a nudge upwards."""
    middle = ((n - 1) / count) * (np.arange(count) + 0.5) + 1e-6
    return {"n_frames_video": n, "num_frames": count, "indices": np.round(middle).astype(int).tolist()}


def strided(n, fps, start):
    """32 frames `n // 32` apart from a drawn start."""
    stride = n // 32
    if stride == 0:
        return {"n_frames_video": n, "stride": 0, "error": "stride must be positive -> linspace fallback"}
    return {
        "n_frames_video": n, "stride": stride, "start_range": [0, n - 1 - 31 * stride], "start": start,
        "indices": [start + stride * i for i in range(32)], "duration": n / fps,
    }


def clipped(n, fps, start_s, end_s, offset_s, count=32):
    """The frame shown at `offset + i * (end - start) / count`, the last one for times past the end."""
    times = [offset_s + i * (end_s - start_s) / count for i in range(count)]
    return {
        "n_frames_video": n, "fps": fps, "start_s": start_s, "end_s": end_s, "num_frames": count, "offset_s": offset_s,
        "indices": [min(int(t * fps), n - 1) for t in times], "formula_equal": True,
    }


def check(folder):
    rows = common.read_json(folder / "sampling.json")
    for row in rows["linspace_whole"]:
        assert row == whole(row["n_frames_video"], row["fps"], row["num_frames"], row["timestamps"] is not None), row
    for row in rows["linspace_segment"]:
        assert row == segment(row["n_frames_video"], row["fps"], row["num_frames"], row["start"], row["end"]), row
    for row in rows["videorefer_midpoints"]:
        assert row == midpoints(row["n_frames_video"], row["num_frames"]), row
    for row in rows["torchcodec_v1"]:
        ours = strided(row["n_frames_video"], row["n_frames_video"] / row.get("duration", 1.0), row.get("start"))
        assert {**row, "duration": 0} == {**ours, "duration": 0}, row
    for row in rows["torchcodec_v2"]:
        ours = clipped(*(row[key] for key in ("n_frames_video", "fps", "start_s", "end_s", "offset_s", "num_frames")))
        assert row == ours, (row, ours)
    print(f"{FAMILY}: our rules agree with {sum(len(value) for value in rows.values() if isinstance(value, list))} rows")


def annotated(keys_of_objects):
    """All annotated frames once, ascending, and where each object's frames lie among them."""
    frames = sorted({key for keys in keys_of_objects for key in keys})
    return frames, [[frames.index(key) for key in sorted(keys)] for keys in keys_of_objects]


def check_annotated():
    root = common.fixtures(FAMILY)
    if root is None:
        return
    for entry in json.loads((root / "records.json").read_text())["records"]:
        for variant in entry["selection_variants"] if "annotation" in entry["record"] else []:
            chosen = variant["selected_key_per_object"]
            objects = [[int(k) for k in o] for o in entry["record"]["annotation"]]
            objects = [[int(c)] for c in chosen] if chosen else objects
            assert annotated(objects) == (variant["mask_frame_keys"], variant["ann_indices"]), entry["name"]


def record(rng, number):
    """An invented annotation of one to three objects; every third record is of the kind that picks one frame each."""
    objects = [sorted(int(k) for k in rng.choice(32, rng.integers(1, 7), replace=False)) for _ in range(1 + number % 3)]
    chosen = [str(keys[0]) for keys in objects] if number % 3 == 0 else None
    frames, rows = annotated([[int(key)] for key in chosen] if chosen else objects)
    annotation = [{str(key): {"segmentation": None} for key in keys} for keys in objects]
    variant = {"selected_key_per_object": chosen, "mask_frame_keys": frames, "ann_indices": rows}
    return {"name": f"invented_{number}", "record": {"annotation": annotation}, "selection_variants": [variant]}


def main():
    rng = common.seeded(SEED)
    check_annotated()
    reference = common.fixtures(FAMILY)
    if reference:
        check(reference)
    folder = common.out_dir(FAMILY)
    videos = [(1, 25.0), (3, 30.0), (24, 24.0), (40, 12.5), (120, 30.0), (251, 25.0), (1799, 59.94), (9001, 23.976)]
    rows = {
        "linspace_whole": [whole(n, fps, count, count == 6) for n, fps in videos for count in (32, 6, 16)],
        "linspace_segment": [
            segment(n, fps, count, start, end)
            for n, fps in videos[3:7]
            for count, start, end in (
                (32, "00:00:00.5", "00:00:02.75"), (8, "00:00:01", "00:00:01"), (16, "00:00:03", "00:00:01"),
                (32, "00:00:00", "01:00:00"), (4, "00:45:00", "00:50:00"),
            )
        ],
        "videorefer_midpoints": [midpoints(n, count) for n, _ in videos for count in (32, 6, 16)],
        "torchcodec_v1": [
            strided(n, fps, int(rng.integers(0, max(n - 31 * (n // 32), 1)))) for n, fps in videos for _ in range(2)
        ],
        "torchcodec_v2": [],
    }
    for n, fps in videos[2:7]:
        for start_s, end_s in ((0.0, n / fps), (0.2 * n / fps, 0.7 * n / fps)):
            offset = start_s + float(rng.random()) * (end_s - start_s) / 32
            rows["torchcodec_v2"].append(clipped(n, fps, start_s, end_s, offset))
    common.write_json(folder / "sampling.json", rows, indent=None)
    common.write_json(folder / "records.json", {"records": [record(rng, n) for n in range(6)]}, indent=None)
    common.readme(
        folder, "Frame sampling of the strefer family",
        "`linspace_whole`, `linspace_segment`: both ends included, truncated. `videorefer_midpoints`: middles of equal segments.\n"
        "`torchcodec_v1`: 32 frames a stride apart from `start`. `torchcodec_v2`: one frame an interval from `offset_s`.",
        SEED, "Python float64, " + common.versions("numpy"),
        "Our own rules, which agree with the reference's recorded rows.", "indices equal, durations equal to 1e-12.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

"""Scores of QVHighlights (arXiv 2107.09609) as its own evaluator prints them.

A second implementation of `strefer_eval::qvhighlights`, in numpy and float64, as plain as it can be.
"""

import numpy as np

THRESHOLDS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
SUBSETS = {"short": (0, 10), "middle": (10, 30), "long": (30, 150), "full": None}
LEVELS = {"Fair": 2, "Good": 3, "VeryGood": 4}
MOST_WINDOWS = 10


def percent(share):
    return float(f"{100 * share:.2f}")


def overlap(a, b):
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))


def iou(a, b):
    union = (a[1] - a[0]) + (b[1] - b[0]) - overlap(a, b)
    return overlap(a, b) / union if union > 0 else 0.0


def window_ap(predicted, truth, threshold):
    free, hits, points = set(range(len(truth))), 0, [(0.0, 0.0)]
    for rank, window in enumerate(sorted(predicted[:MOST_WINDOWS], key=lambda window: -window[2]), 1):
        nearest_first = sorted(free, key=lambda at: (iou(window, truth[at]), at), reverse=True)
        if nearest_first and iou(window, truth[nearest_first[0]]) >= threshold:
            free.remove(nearest_first[0])
            hits += 1
        points.append((hits / len(truth), hits / rank))
    points.append((1.0, 0.0))
    best = [max(precision for _, precision in points[at:]) for at in range(len(points))]
    return sum((points[at][0] - points[at - 1][0]) * best[at] for at in range(1, len(points)))


def first_hit_iou(predicted, truth):
    if not predicted:
        return -1.0
    first = predicted[0]
    nearest = truth[int(np.argmax([iou(first, window) for window in truth]))]
    hull = max(first[1], nearest[1]) - min(first[0], nearest[0])
    return overlap(first, nearest) / hull if hull > 0 else 0.0


def moments(queries, bounds):
    """Average precision and recall at 1 of every query that has windows of this length."""
    ap, reached = [], []
    for truth, predicted in queries:
        windows = truth["relevant_windows"]
        if bounds:
            windows = [window for window in windows if bounds[0] < window[1] - window[0] <= bounds[1]]
        if windows:
            found = predicted.get("pred_relevant_windows", [])
            ap.append([window_ap(found, windows, threshold) for threshold in THRESHOLDS])
            reached.append(first_hit_iou(found, windows))
    if not ap:
        return {"MR-mAP": {**{str(t): None for t in THRESHOLDS}, "average": None}, "MR-R1": {str(t): None for t in THRESHOLDS}}
    by_threshold = np.mean(ap, axis=0)
    return {
        "MR-mAP": {
            **{str(t): percent(value) for t, value in zip(THRESHOLDS, by_threshold)},
            "average": percent(np.mean(by_threshold)),
        },
        "MR-R1": {str(t): percent(np.mean(np.array(reached) >= t)) for t in THRESHOLDS},
    }


def clip_ap(labels, scores):
    if labels.all() or not labels.any():
        return float(labels.all())
    precision, recall = [], []
    for threshold in np.unique(scores):
        chosen = scores >= threshold
        precision.append(labels[chosen].mean())
        recall.append(labels[chosen].sum() / labels.sum())
    precision = np.maximum.accumulate(precision)
    return precision[np.diff(recall + [0.0]) != 0].mean()


def highlights(queries, level):
    ap, hits = [], []
    for truth, predicted in queries:
        n_clips = int(truth["duration"] / 2)
        ratings = np.zeros((n_clips, 3))
        ratings[truth["relevant_clip_ids"]] = truth["saliency_scores"]
        labels, scores = ratings >= level, predicted.get("pred_saliency_scores", [])
        best = int(np.argmax(scores)) if scores else n_clips
        hits.append(best < n_clips and labels[best].any())
        padded = np.array((scores + [0.0] * n_clips)[:n_clips])
        ap.extend(clip_ap(labels[:, annotator], padded) if scores else 0.0 for annotator in range(3))
    return {"HL-mAP": percent(np.mean(ap)), "HL-Hit1": percent(np.mean(hits))}


def metrics(annotations, predictions):
    by_qid = {record["qid"]: record for record in predictions}
    queries = [(truth, by_qid[truth["qid"]]) for truth in annotations]
    parts = {name: moments(queries, bounds) for name, bounds in SUBSETS.items()}
    parts |= {f"HL-min-{name}": highlights(queries, level) for name, level in LEVELS.items()}
    brief = {f"MR-full-R1@{t}": parts["full"]["MR-R1"][t] for t in ("0.5", "0.7")}
    brief |= {f"MR-full-mAP@{t}": parts["full"]["MR-mAP"][t] for t in ("0.5", "0.75")}
    brief |= {f"MR-{name}-mAP": parts[name]["MR-mAP"]["average"] for name in SUBSETS}
    for name in LEVELS:
        brief |= {f"HL-min-{name}-{short}": parts[f"HL-min-{name}"][f"HL-{short}"] for short in ("mAP", "Hit1")}
    return {"brief": brief, **parts}

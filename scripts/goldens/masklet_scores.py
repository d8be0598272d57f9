"""Overlap and agreement of boundaries of drawn masks, as DAVIS defines them (Perazzi et al., CVPR 2016)."""

import math

import numpy as np

import common
import masklets_rules as rules

SEED = 3330
FAMILY = "masklet_scores"


def boundary(mask):
    """Where a pixel differs from its right, lower or lower right neighbour; those of the last row and column are itself."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    own, right, below, across = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (own != right) | (own != below) | (own != across)


def widened(edge, radius):
    """Everything within a disc round a pixel of the boundary."""
    wide = np.zeros_like(edge)
    for y, x in np.argwhere(edge):
        rows, columns = np.ogrid[: edge.shape[0], : edge.shape[1]]
        wide |= (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return wide


def f_measure(found, truth):
    radius = math.ceil(0.008 * math.hypot(*truth.shape))
    own, known = boundary(found), boundary(truth)
    if not own.any() or not known.any():
        return float(own.any() == known.any())
    precision = (own & widened(known, radius)).sum() / own.sum()
    recall = (known & widened(own, radius)).sum() / known.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0


def jaccard(found, truth):
    union = (found | truth).sum()
    return float((found & truth).sum() / union) if union else 1.0


def blob(rng, shape):
    """Some ellipses and boxes, possibly none, cut at the edges."""
    mask = np.zeros(shape, dtype=bool)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for _ in range(rng.integers(0, 4)):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        h, w = rng.uniform(2, shape[0] / 3), rng.uniform(2, shape[1] / 3)
        if rng.random() < 0.5:
            mask |= ((rows - y) / h) ** 2 + ((columns - x) / w) ** 2 <= 1
        else:
            mask |= (abs(rows - y) <= h) & (abs(columns - x) <= w)
    return mask


def main():
    rng = common.seeded(SEED)
    cases = []
    for k in range(40):
        shape = tuple(int(side) for side in rng.integers(8, [140, 180][k % 2], 2))
        truth = blob(rng, shape)
        found = np.roll(truth, tuple(rng.integers(-3, 4, 2)), (0, 1)) if rng.random() < 0.6 else blob(rng, shape)
        if rng.random() < 0.3:
            found = found ^ (rng.random(shape) < 0.01)
        text = lambda mask: rules.compressed(rules.runs(mask.tolist()))
        cases.append({
            "size": list(shape), "found": text(found), "truth": text(truth),
            "J": jaccard(found, truth), "F": f_measure(found, truth),
        })
    folder = common.out_dir(FAMILY)
    common.write_json(folder / "pairs.json", cases, indent=None)
    common.readme(
        folder, "Scores of masks", "`pairs`: two masks of one size as COCO writes them, their overlap (J) and the agreement of their boundaries (F).",
        SEED, "Python float64, " + common.versions("numpy"), "Our own (`masklet_scores.py`), written from the definition; not checked against DAVIS' own program.",
        "1e-9.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

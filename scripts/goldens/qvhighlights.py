"""QVHighlights: moment retrieval and highlight detection, invented queries in the benchmark's files."""

import json

import common
import qvhighlights_rules as rules

SEED = 4809
FAMILY = "qvhighlights"


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def check(folder):
    """Stops where our rules leave the reference."""
    count = 0
    for truth in sorted(folder.glob("*_gt.jsonl")):
        name = truth.name.removesuffix("_gt.jsonl")
        ours = rules.metrics(read_lines(truth), read_lines(folder / f"{name}_preds.jsonl"))
        assert ours == common.read_json(folder / f"{name}_metrics.json"), name
        count += len(read_lines(truth))
    assert count, "no set among the fixtures"
    print(f"{FAMILY}: our rules agree on {count} queries")


def annotation(rng, qid, duration, windows):
    clips = [clip for start, end in windows for clip in range(start // 2, end // 2)]
    ratings = [[int(min(4, max(0, rating))) for rating in rng.normal(2.8, 1.2, 3).round()] for _ in clips]
    return {
        "qid": qid, "query": f"query {qid}", "duration": duration, "vid": f"invented{qid:03}_0.0_{duration}.0",
        "relevant_windows": windows, "relevant_clip_ids": clips, "saliency_scores": ratings,
    }


def windows(rng, duration):
    """One to three disjoint windows on the grid of clips."""
    bounds = sorted(rng.choice(duration // 2 + 1, 2 * int(rng.integers(1, 4)), replace=False) * 2)
    return [[int(start), int(end)] for start, end in zip(bounds[::2], bounds[1::2])]


def prediction(rng, truth):
    """Some windows near the true ones, some anywhere; saliency that leans towards the true clips."""
    duration, found = truth["duration"], []
    for start, end in truth["relevant_windows"] * 2 + windows(rng, duration):
        around = sorted(max(0.0, min(duration, bound)) for bound in (start + rng.normal(0, 4), end + rng.normal(0, 4)))
        found.append([round(bound, 2) for bound in around] + [round(float(rng.uniform()), 1)])
    rng.shuffle(found)
    saliency = rng.normal(0, 0.5, duration // 2)
    saliency[truth["relevant_clip_ids"]] += 0.7
    return {
        "qid": truth["qid"], "vid": truth["vid"], "pred_relevant_windows": found,
        "pred_saliency_scores": saliency.round(2).tolist(),
    }


def drawn(rng):
    truths = []
    for qid in range(40):
        duration = int(rng.choice([150, 150, 126, 60]))
        truths.append(annotation(rng, qid, duration, windows(rng, duration)))
    return truths, [prediction(rng, truth) for truth in truths]


def edges(rng):
    """Cases of the rules, one query each."""
    best = [0.0] * 74 + [1.0]
    cases = [
        ("twelve windows, the best one last", [[20, 40]], [[100, 110, 0.1]] * 11 + [[20, 40, 0.9]], best),
        ("equal scores keep the order of the file", [[20, 40], [60, 70]], [[20, 40, 0.5], [0, 9, 0.5], [60, 70, 0.5]], best),
        ("one window found twice", [[20, 40], [60, 70]], [[20, 40, 0.9], [20, 40, 0.8], [60, 70, 0.7]], best),
        ("IoU exactly at a threshold", [[0, 40]], [[0, 20, 1.0]], best),
        ("windows that only touch", [[40, 60]], [[20, 40, 1.0]], best),
        ("a window of no length", [[40, 60]], [[50, 50, 1.0]], best),
        ("the first window is not the best", [[40, 60]], [[0, 10, 0.1], [40, 60, 0.9]], best),
        ("saliency all equal", [[40, 60]], [[40, 60, 1.0]], [0.25] * 75),
        ("saliency shorter than the video, below zero", [[140, 150]], [[140, 150, 1.0]], [-1.0] * 40),
        ("saliency longer than the video, largest behind its end", [[40, 60]], [[40, 60, 1.0]], [0.0] * 80 + [9.0]),
        ("the whole video", [[0, 150]], [[0, 150, 1.0]], best),
        ("the middle and the long border", [[0, 30], [32, 62]], [[0, 30, 0.5], [30, 64, 0.6]], best),
    ]
    truths, predictions = [], []
    for at, (what, true_windows, found, saliency) in enumerate(cases):
        truth = annotation(rng, 100 + at, 150, true_windows) | {"query": what}
        truths.append(truth)
        predictions.append({
            "qid": truth["qid"], "vid": truth["vid"], "pred_relevant_windows": found, "pred_saliency_scores": saliency,
        })
    return truths, predictions[::-1]


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures(FAMILY)
    if reference:
        check(reference)
    folder = common.out_dir(FAMILY)
    for name, make in {"drawn": drawn, "edges": edges}.items():
        truths, predictions = make(rng)
        write_lines(folder / f"{name}_gt.jsonl", truths)
        write_lines(folder / f"{name}_preds.jsonl", predictions)
        common.write_json(folder / f"{name}_metrics.json", rules.metrics(truths, predictions))
    common.readme(
        folder, "Moments and highlights (QVHighlights)",
        "`<set>_gt.jsonl` and `<set>_preds.jsonl` in the benchmark's formats, `<set>_metrics.json` as its evaluator prints them.\n"
        "`drawn`: 40 random queries. `edges`: a case of the rules each, named in its query. All invented.",
        SEED, common.versions("numpy"),
        "Our own rules (`qvhighlights_rules.py`); they agree with the evaluator's recorded output on the validation set.",
        "none, equal to the last printed digit.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

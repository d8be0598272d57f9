"""The logic of the referring masklet generator: order of frames, start frame, matching, merging, answers, assignment."""

import common
import masklets_rules as rules

SEED = 5121
FAMILY = "masklets"
REFERENCE = "rexseek_modules"


def assignment(case):
    """What our rules make of a case's record with its canned answers."""
    answers = {call["referring"]: call["answer"] for call in case["rexseek_calls"]}
    parts = rules.partitions(case["input"])
    results, calls = zip(*[rules.resolve(part, answers.get) for part in parts]) if parts else ((), ())
    return {
        "partitions": parts, "partition_results": list(results), "merged": rules.merge(results),
        "rexseek_calls": [call for part in calls for call in part],
    }


def matched(case):
    """A case of boxes with its overlaps and the least cost."""
    try:
        table = [[rules.giou(a, b) for b in case["target_boxes"]] for a in case["pred_boxes"]]
    except AssertionError:
        return {"error": "AssertionError"}
    if any(value is None for row in table for value in row):
        return {"giou": table, "error": "ValueError"}
    total, pairs = rules.least_cost([[-value for value in row] for row in table])
    return {"giou": table, "matching": {str(row): column for row, column in pairs}, "total_cost": total}


def check(folder):
    """Stops where our rules leave the reference."""
    read = lambda name: common.read_json(folder / f"{name}.json")
    count = 0
    for n, order in read("bfs_order").items():
        assert rules.middle_out(int(n)) == order, n
        count += 1
    for case in read("start_frame"):
        visited, start, found = rules.start_frame(case["policy"], case["n_frames"], case["num_expressions"], case["detections"])
        assert visited == case["visited_frames"] and start == case["start_frame"], case["name"]
        assert [d["label"] for d in found] == case["labels"], case["name"]
        assert case["upstream_aborts_no_box"] == (not found), case["name"]
        count += 1
    for case in read("hungarian_giou"):
        ours = matched(case)
        assert ours.get("error") == case.get("error"), case["note"]
        for row, other in zip(ours.get("giou", []), case.get("giou", [])):
            assert all(a is b is None or abs(a - b) < 1e-5 for a, b in zip(row, other)), case["note"]
        if "total_cost" in case:
            assert abs(ours["total_cost"] - case["total_cost"]) < 1e-5 and ours["matching"] == case["matching"], case["note"]
        count += 1
    for case in read("bidirectional_merge")["cases"]:
        ours = rules.merged_frames(case["n_frames"], case["start_frame"], case["objects"], case["matching_backward_to_forward"])
        assert ours == case["merged"]
        count += 1
    for case in read("answer_parser"):
        assert rules.groups(case["text"]) == case["answer_strefer"], case["text"]
        assert all(rules.indices(case["text"], int(n)) == found for n, found in case["indices"].items()), case["text"]
        count += 1
    for case in read("assignment"):
        if case["partition_order_ascending"]:
            for key, value in assignment(case).items():
                assert value == case[key], f"{case['name']}: {key}"
            count += 1
    for case in read("rle"):
        assert rules.compressed(case["uncompressed_counts"]) == case["counts"], case["counts"]
        count += 1
    print(f"{FAMILY}: our rules agree with {count} cases")


def box(rng, side=100.0):
    low, size = rng.uniform(0, side * 0.7, 2), rng.uniform(side * 0.03, side * 0.3, 2)
    return [round(float(value), 1) for value in (*low, *(low + size))]


def start_frames(rng):
    cases = []
    for k in range(20):
        n = int(rng.choice([1, 5, 8, 16, 32]))
        detections = {}
        for frame in range(n):
            found = [
                {"score": round(float(rng.uniform(0.3, 0.9)), 3), "label": str(rng.choice(["person", "dog", ""], p=[0.5, 0.4, 0.1])), "box": box(rng)}
                for _ in range(rng.integers(0, 4))
            ]
            if found and rng.random() < 0.6:
                detections[str(frame)] = found
        case = {
            "name": f"drawn_{k}", "policy": str(rng.choice(["heuristic", "heuristic", "first", "end"])), "n_frames": n,
            "num_expressions": int(rng.integers(1, 5)), "detections": detections,
        }
        visited, start, found = rules.start_frame(case["policy"], n, case["num_expressions"], detections)
        case |= {"visited_frames": visited, "start_frame": start, "upstream_aborts_no_box": not found}
        case |= {"labels": [d["label"] for d in found], "scores": [d["score"] for d in found], "boxes": [d["box"] for d in found]}
        cases.append(case)
    return cases


def matchings(rng):
    cases = []
    for k in range(12):
        rows, columns = int(rng.integers(1, 7)), int(rng.integers(1, 7))
        case = {"pred_boxes": [box(rng) for _ in range(rows)], "target_boxes": [box(rng) for _ in range(columns)], "note": f"drawn {k}"}
        if k == 0:
            case["pred_boxes"][0] = case["target_boxes"][0] = [7.0] * 4
        if k == 1:
            case["pred_boxes"][0] = [5.0, 0.0, 2.0, 9.0]
        cases.append({**case, **matched(case)})
    return cases


def merges(rng):
    cases = []
    for n in (1, 4, 9, 32):
        objects, start = int(rng.integers(1, 5)), int(rng.integers(0, n))
        matching = {str(i + 1): int(other) + 1 for i, other in enumerate(rng.permutation(objects))}
        case = {"n_frames": n, "start_frame": start, "objects": objects, "matching_backward_to_forward": matching}
        cases.append({**case, "merged": rules.merged_frames(n, start, objects, matching)})
    return {"note": "mask names: B<frame>.<backward id>, F<frame>.<forward id>", "cases": cases}


def answer(rng, phrase, n_boxes):
    groups = []
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        tags = "".join(f"<obj{rng.integers(0, n_boxes + 2)}>" for _ in range(rng.choice([0, 1, 1, 1, 2, 3])))
        name = str(rng.choice([phrase, "the other"]))
        groups.append(f"<ground>{name}</ground><objects>{tags}</objects>")
    return str(rng.choice(["", " and ", "\n"])).join(groups)


def answers(rng):
    texts = [answer(rng, str(rng.choice(["man", " a dog "])), 4) for _ in range(30)]
    texts += [
        "<ground>a\nb</ground><objects><obj1></objects><ground>c</ground><objects><obj2></objects>",
        "<ground>a</ground><objects><obj1>\n</objects><ground>c</ground><objects><obj2></objects>",
        "<ground>a</ground> <ground>b</ground><objects><obj0></objects>", "<ground><ground></ground><objects><obj00></objects></objects>",
        "<ground>é</ground><objects><obj2>, <obj><obj1x><obj3></objects>", "<ground>a</ground><objects><obj1>",
        "<ground>a</ground><objects><obj99999999999999999999><obj1></objects>",
    ]
    sizes = [1, 3, 100]
    return [
        {"text": text, "answer_strefer": rules.groups(text), "indices": {str(n): rules.indices(text, n) for n in sizes}}
        for text in texts
    ]


def assignments(rng):
    cases = []
    for k in range(40):
        n_boxes, n_expressions = int(rng.integers(1, 8)), int(rng.integers(1, 6))
        labels = [str(rng.choice(["person", "dog", "person dog", "cup"], p=[0.5, 0.3, 0.1, 0.1])) for _ in range(n_boxes)]
        nouns = [str(rng.choice(["person", "dog", "cup"], p=[0.6, 0.3, 0.1])) for _ in range(n_expressions)]
        phrases = [noun if rng.random() < 0.2 else str(rng.choice(["tall", "short", "left", "old", "fast"])) + f" {noun}" for noun in nouns]
        masklets = {str(f): {str(i + 1): [f"rle_f{f}_o{i}"] for i in range(n_boxes)} for f in range(2)}
        record = {
            "masklets": masklets, "object_box_names": labels, "object_box_gdinoscores": [round(0.5 + 0.01 * i, 2) for i in range(n_boxes)],
            "object_box_on_the_start_tracking_frame": [box(rng) for _ in range(n_boxes)], "start_tracking_frame_idx": 1,
            "referrings": phrases, "generalized_nouns": nouns,
        }
        calls = [{"referring": phrase, "num_boxes": 0, "answer": answer(rng, phrase, n_boxes)} for phrase in dict.fromkeys(phrases)]
        case = {"name": f"drawn_{k}", "note": "", "input": record, "rexseek_calls": calls, "partition_order_ascending": True}
        cases.append({**case, **assignment(case)})
    return cases


def masks(rng):
    cases = []
    for k in range(8):
        height, width = (int(side) for side in rng.integers(1, 40, 2))
        mask = rng.random((height, width)) < [0.0, 1.1, 0.5, 0.1][k % 4]
        if k >= 4:
            mask[height // 3 :, width // 4 : width // 2 + 1] = True
        counts = rules.runs(mask.tolist())
        cases.append({
            "size": [height, width], "counts": rules.compressed(counts), "uncompressed_counts": counts,
            "area": int(mask.sum()), "bbox_xywh": rules.outline(mask.tolist()),
        })
    return cases


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures(REFERENCE)
    if reference:
        check(reference)
    folder = common.out_dir(FAMILY)
    common.write_json(folder / "bfs_order.json", {str(n): rules.middle_out(n) for n in (*range(1, 36), 100)}, indent=None)
    for name, make in {
        "start_frame": start_frames, "hungarian_giou": matchings, "bidirectional_merge": merges, "answer_parser": answers,
        "assignment": assignments, "rle": masks,
    }.items():
        common.write_json(folder / f"{name}.json", make(rng), indent=None)
    common.readme(
        folder, "Referring masklets without networks (Strefer)",
        "`bfs_order`: order of frames. `start_frame`: boxes of a detector, where tracking begins. `hungarian_giou`: boxes matched by\n"
        "generalised overlap. `bidirectional_merge`: two passes under one numbering. `answer_parser`: RexSeek's answers read.\n"
        "`assignment`: a record with canned answers, its partitions, what each gives, all together (-1: nothing).\n"
        "`rle`: masks as COCO writes them.",
        SEED, "Python float64, " + common.versions("numpy"),
        "Our own rules (`masklets_rules.py`), written from a description; they agree with all cases recorded from the original\n"
        "  code except those whose order follows that of a set of small integers in CPython.",
        "overlaps to 1e-5, everything else equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

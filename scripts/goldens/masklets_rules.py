"""The logic of Strefer's referring masklet generator, without its networks, in float64.

A second implementation of `strefer_engine::masklets::published`, as plain as it can be.
"""

import re
from functools import lru_cache


def middle_out(n):
    """Breadth first over the middles of ever smaller halves."""
    order, level = [], [(0, n - 1)]
    while level:
        following = []
        for low, high in level:
            if low <= high:
                middle = (low + high) // 2
                order.append(middle)
                following += [(low, middle - 1), (middle + 1, high)]
        level = following
    return order


def visiting(policy, n):
    return {"heuristic": middle_out(n), "first": list(range(n)), "end": list(range(n))[::-1]}[policy]


def start_frame(policy, n, enough, detections):
    """Visited frames, the chosen one, and the boxes that are kept there."""
    best, visited = None, []
    for frame in visiting(policy, n):
        found = [d for d in detections.get(str(frame), []) if d["score"] >= 0.5 and d["label"]]
        visited.append(frame)
        if best is None or len(found) > len(best[1]):
            best = (frame, found)
        if len(found) >= enough:
            break
    return visited, best[0], best[1]


def giou(a, b):
    """Nothing for boxes without an inside at one place, an error for a box that ends before it begins."""
    assert all(box[0] <= box[2] and box[1] <= box[3] for box in (a, b)), "inverted"
    size = lambda box: max(box[2] - box[0], 0) * max(box[3] - box[1], 0)
    both = size([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    union = size(a) + size(b) - both
    hull = size([min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])])
    return both / union - (hull - union) / hull if union > 0 and hull > 0 else None


def least_cost(costs):
    """The least sum of costs, and who is matched with whom, by trying all subsets of columns."""
    rows, columns = len(costs), len(costs[0])
    if rows > columns:
        total, pairs = least_cost([list(column) for column in zip(*costs)])
        return total, sorted((row, column) for column, row in pairs)

    @lru_cache(maxsize=None)
    def best(row, used):
        if row == rows:
            return 0.0, ()
        return min(
            (costs[row][column] + rest[0], ((row, column), *rest[1]))
            for column in range(columns) if not used >> column & 1
            for rest in [best(row + 1, used | 1 << column)]
        )

    return best(0, 0)


def merged_frames(n, start, objects, matching):
    """Names of masks, B for the backward pass and F for the forward one, by frame and object."""
    frames = {}
    for frame in range(n):
        way = {i: f"B{frame}.{i}" for i in range(1, objects + 1)}
        if frame >= start:
            way = {i: f"F{frame}.{matching[str(i)]}" for i in range(1, objects + 1)}
        frames[str(frame)] = {str(i): name for i, name in way.items()}
    return frames


GROUP = re.compile(r"<ground>(.*?)</ground><objects>(.*?)</objects>")


def groups(text):
    found, seen = {}, set()
    for phrase, objects in GROUP.findall(text):
        tags = re.findall(r"<obj[0-9]+>", objects)
        fresh = [tag for tag in tags if tag not in seen]
        seen.update(tags)
        if fresh:
            found.setdefault(phrase.strip(), tags)
    return [[phrase, tags] for phrase, tags in found.items()]


def indices(text, n_boxes):
    numbers = [int(tag[4:-1]) for _, tags in groups(text) for tag in tags]
    return [number for number in numbers if number < n_boxes]


LISTS = ("object_box_names", "object_box_gdinoscores", "object_box_on_the_start_tracking_frame")


def pick(record, expressions, boxes, renumber):
    """Parts of a record. `renumber` gives the new name of each object that stays."""
    kept = {key: [record[key][box] for box in boxes] for key in LISTS}
    kept["masklets"] = {
        frame: {str(new): objects[str(old + 1)] for old, new in renumber.items()} for frame, objects in record["masklets"].items()
    }
    kept["start_tracking_frame_idx"] = record["start_tracking_frame_idx"]
    for key in ("referrings", "generalized_nouns"):
        kept[key] = [record[key][at] for at in expressions]
    return kept


def partitions(record):
    groups_of = {}
    for at, noun in enumerate(record["generalized_nouns"]):
        boxes = tuple(i for i, name in enumerate(record["object_box_names"]) if name == noun)
        if boxes:
            groups_of.setdefault(boxes, []).append(at)
    return [
        pick(record, expressions, boxes, {box: new + 1 for new, box in enumerate(boxes)})
        for boxes, expressions in groups_of.items()
    ]


def resolve(part, ask):
    """A partition after its questions, or -1; and what was asked."""
    said, boxes = part["referrings"], len(part["object_box_names"])
    if said == part["generalized_nouns"] or (len(said), boxes) == (1, 1):
        return part, []
    calls = [{"referring": phrase, "num_boxes": boxes, "answer": ask(phrase)} for phrase in said]
    answers = {call["referring"]: indices(call["answer"], boxes) for call in calls}
    single = {phrase: found[0] for phrase, found in answers.items() if len(found) == 1}
    if len(set(single.values())) < len(single):
        return -1, calls
    chosen = dict(single)
    for phrase, found in answers.items():
        free = [index for index in found if index not in chosen.values()]
        if len(found) > 1 and free:
            chosen[phrase] = free[0]
    kept = [at for at, phrase in enumerate(said) if phrase in chosen]
    if not kept:
        return -1, calls
    names = [said[at] for at in kept]
    # Expressions that read the same have the number of the first.
    renumber = {chosen[name]: names.index(name) + 1 for name in names}
    return pick(part, kept, [chosen[name] for name in names], renumber), calls


def merge(parts):
    parts = [part for part in parts if part != -1]
    if not parts:
        return -1
    whole = {key: [] for key in (*LISTS, "referrings", "generalized_nouns")}
    whole["masklets"] = {frame: {} for frame in parts[0]["masklets"]}
    for part in parts:
        before = len(whole["referrings"])
        for frame, objects in part["masklets"].items():
            whole["masklets"][frame].update({str(int(i) + before): mask for i, mask in objects.items()})
        for key in (*LISTS, "referrings", "generalized_nouns"):
            whole[key] += part[key]
    whole["start_tracking_frame_idx"] = parts[0]["start_tracking_frame_idx"]
    return whole


def runs(mask):
    """Lengths of runs along columns, outside first."""
    counts, inside, run = [], 0, 0
    for pixel in (int(row[x]) for x in range(len(mask[0])) for row in mask):
        if pixel != inside:
            counts.append(run)
            inside, run = pixel, 0
        run += 1
    return [*counts, run]


def compressed(counts):
    """COCO's text: differences to the run before the last, five bits a character, the lowest first."""
    text = ""
    for at, count in enumerate(counts):
        rest, more = count - (counts[at - 2] if at > 2 else 0), True
        while more:
            bits, rest = rest & 31, rest >> 5
            more = rest != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
    return text


def outline(mask):
    """Left, top, width and height; zeros of an empty mask."""
    rows = [y for y, row in enumerate(mask) if any(row)]
    columns = [x for x in range(len(mask[0])) if any(row[x] for row in mask)]
    if not rows:
        return [0.0] * 4
    return [float(v) for v in (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)]

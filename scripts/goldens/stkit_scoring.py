"""STKit-Bench: answers read out of sentences, right or wrong, means by task."""

import re

import common

SEED = 4810
FAMILY = "stkit_scoring"
NUMBER = r"(?<![\w.:,])(\d{1,3}(?:,\d{3})+(?![\d])|\d+)?(\.\d+)?"
TIME = r"(?:s|ms|secs?\w*|seconds?|min|mins|minutes?|h|hrs?|hours?)\b"
AN_HOUR, A_SECOND = r"\s*(?:/|per\b|an?\b)\s*(?:h|hrs?|hours?)\b", r"\s*(?:/|per\b|an?\b)\s*(?:s|sec\w*)\b"
LENGTHS = [(r"(?:kms?|kilomet\w*)\b", 1000.0), (r"(?:cms?|centimet\w*)\b", 0.01), (r"(?:m|met(?:er|re)s?)\b", 1.0), (r"(?:ft|feet|foot)\b", 0.3048)]
SPEEDS = [
    (r"(?:kmh|kph|kmph)\b", 1.0), (r"mph\b", 1.609344), (r"mps\b", 3.6), (r"(?:kms?|kilomet\w*)" + AN_HOUR, 1.0),
    (r"(?:m|met\w*)" + A_SECOND, 3.6), (r"(?:mi|mile\w*)" + AN_HOUR, 1.609344),
]
HOURS = "one two three four five six seven eight nine ten eleven twelve".split()
COMPARISONS = ("traveled_distance_comparison", "traveling_speed_comparison")


def plain(text):
    return re.sub("[\u2010-\u2015\u2212]", "-", re.sub("[\u2018\u2019]", "'", text.lower()))


def numbers(text):
    """(value, is whole, what follows) of every number."""
    found = []
    for match in re.finditer(NUMBER, text):
        if match.group():
            value = float(match.group().replace(",", ""))
            found.append((value, match.group(2) is None, text[match.end():].lstrip()))
    return found


def unit(after, units):
    return next((worth for pattern, worth in units if re.match(pattern, after)), None)


def length(after):
    worth = unit(after, LENGTHS)
    spoilt = any(re.match(pattern + over, after) for pattern, _ in LENGTHS for over in (AN_HOUR, A_SECOND))
    return None if spoilt else worth


def speed(after):
    return unit(after, SPEEDS)


def measure(text, kind):
    found = numbers(text)
    with_unit = [value * kind(after) for value, _, after in found if kind(after) is not None]
    if with_unit:
        return with_unit[0]
    if len(found) != 1:
        return None
    value, _, after = found[0]
    return None if length(after) or speed(after) or re.match(TIME, after) else value


def clock(text):
    before = re.search(r"(?<![\w.])(\d+|" + "|".join(HOURS) + r")\s*o'?clock\b", text)
    if before:
        hour = HOURS.index(before.group(1)) + 1 if before.group(1) in HOURS else int(before.group(1))
        return None if hour > 12 else hour or 12
    whole = [int(value) for value, is_whole, _ in numbers(text) if is_whole]
    return whole[0] if len(whole) == 1 and 1 <= whole[0] <= 12 else None


def interval(text):
    seconds = r"(\d+(?:\.\d+)?)\s*(?:s\w*)?"
    pair = re.search(r"(?<![\w.])" + seconds + r"\s*(?:-|\b(?:to|and|until|through)\b)\s*" + seconds, text)
    times = [float(part) for part in pair.groups()] if pair else [value for value, *_ in numbers(text)]
    return sorted(times) if len(times) == 2 else None


def same_way(text):
    if re.match(r"\W*(yes|no)\b", text):
        return re.match(r"\W*(yes|no)\b", text).group(1)
    same = re.search(r"\bsame\s+direction", text)
    if re.search(r"\b(different|opposite)\s+direction", text):
        return "no"
    if same:
        return "no" if re.search(r"\bnot\b|n't\b", text[: same.start()]) else "yes"
    return None


def parse(task, text, options):
    text = plain(text)
    if task in COMPARISONS:
        places = [(match.start(), option) for option in options for match in re.finditer(rf"\b{option}\b", text)]
        return min(places)[1] if places else None
    if task == "traveled_distance":
        return measure(text, length)
    if task == "traveling_speed":
        return measure(text, speed)
    return {"movement_direction": clock, "direction_timestamp": interval, "movement_direction_comparison": same_way}[task](text)


def iou(a, b):
    both = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    either = (a[1] - a[0]) + (b[1] - b[0]) - both
    return both / either if either > 0 else 0.0


def judge(task, label, said):
    if task == "direction_timestamp":
        value = iou(label, said) if said else 0.0
        return {"correct": value >= 0.5, "error": value}
    if said is None:
        return {"correct": False, "error": None}
    if task == "movement_direction":
        apart = abs(label - said)
        return {"correct": apart == 0, "error": min(apart, 12 - apart)}
    if isinstance(label, str):
        return {"correct": label == said, "error": None}
    return {"correct": 0.75 * label <= said <= 1.25 * label, "error": abs(label - said)}


def summary(items):
    """Means by task, in the order in which tasks first come."""
    means = {}
    for task in dict.fromkeys(item["task"] for item in items):
        own = [item for item in items if item["task"] == task]
        verdicts = [judge(task, item["label"], item["prediction"]) for item in own]
        errors = [verdict["error"] for verdict in verdicts if verdict["error"] is not None]
        means[task] = {
            "n": len(own), "accuracy_pct": 100.0 * sum(verdict["correct"] for verdict in verdicts) / len(own),
            "unparsed": sum(item["prediction"] is None for item in own),
        }
        if errors:
            means[task]["mean_iou" if task == "direction_timestamp" else "mae"] = sum(errors) / len(errors)
    accuracies = [task["accuracy_pct"] for task in means.values()]
    return means | {"average_accuracy_pct": sum(accuracies) / 7 if len(accuracies) == 7 else None}


def close(a, b):
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(close(a[key], b[key]) for key in b)
    return abs(a - b) <= 1e-9 * abs(b) if isinstance(a, float) and isinstance(b, float) else a == b


def check(folder):
    """Stops where our rules leave the reference."""
    cases = common.read_json(folder / "parse.json")
    for case in cases:
        found = parse(case["task"], case["text"], case["options"])
        assert close(found, case["expected"]), (case, found)
    scorer = common.read_json(folder / "scorer.json")
    for item in scorer["items"]:
        assert close(judge(item["task"], item["label"], item["prediction"]), item["expected"]), item
    assert close(summary(scorer["items"]), scorer["expected_summary"])
    print(f"{FAMILY}: our rules agree with {len(cases)} sentences and {len(scorer['items'])} verdicts")


TEXTS = {
    "traveled_distance": [
        "It drove 18.5 m in 4 seconds.", "After 4 s: 18.5 metres", "0.45 kilometers overall", "about 120 feet", "90cm",
        "Some 1,204 meters at 36 km/h", "At 10 m/s it covers 55 m", "7.25", "7 or 8", "around 12 steps", "in 8 seconds",
        "The answer is 12.", "It moved 3 meters per second", "twenty meters", "", ".5 km", "12 km per hour",
    ],
    "traveling_speed": [
        "50 kph", "50 KM/H", "13.9 meters per second", "8 m / s", "20 miles an hour", "25 kilometres an hour", "25.5",
        "25 m", "it takes 3 s at 12.5 km/h", "3 seconds", "60 or 70", "0 km/h", "15 kilometers per hour (4.2 m/s)", "slow",
    ],
    "movement_direction": [
        "Four o'clock.", "0 o'clock", "12 o\u2019clock, not 6 o'clock", "13 o'clock, or 1 o'clock", "It faces 5.",
        "2.5 o'clock", "at 3 and at 4", "0", "In 4.5 seconds it turns to 9", "north", "twelve o'clock", "13",
    ],
    "direction_timestamp": [
        "1.5 to 4.0", "from 2s until 7.5s", "12 through 3", "[0.5, 2.5]", "3.0 \u2013 4.5 seconds", "starts at 2, ends at 5.5",
        "at 1, 2 and 3.5", "after 4 seconds", "never", "1 - 2 and 5 - 6", "2 seconds and 4 seconds",
    ],
    "traveled_distance_comparison": ["Red, not blue", "the BLUE one", "reddish", "purple", "", "It is 'blue'."],
    "traveling_speed_comparison": ["red!", "faster: blue", "the other", "not red but blue"],
    "movement_direction_comparison": [
        "yes", "NO!", "They don't go in the same direction.", "Not the same direction", "the same direction",
        "In opposite directions, yes", "I cannot say", "They go the same way", "Nobody knows", "different directions",
    ],
}


def sentences():
    cases = []
    for task, texts in TEXTS.items():
        options = ["blue", "red"] if task in COMPARISONS else None
        cases += [{"task": task, "text": text, "options": options, "expected": parse(task, text, options)} for text in texts]
    return cases


def item(rng, task):
    unread = rng.uniform() < 0.1
    if task in ("traveled_distance", "traveling_speed"):
        label = round(float(rng.uniform(0, 80)), 1)
        said = round(label * float(rng.choice([0.75, 1.25, rng.uniform(0.5, 1.5)])), 2)
    elif task == "movement_direction":
        label, said = (int(hour) for hour in rng.integers(1, 13, 2))
        said = label if rng.uniform() < 0.4 else said
    elif task == "direction_timestamp":
        label = sorted(round(float(bound), 1) for bound in rng.uniform(0, 12, 2))
        said = sorted(round(bound + float(rng.normal(0, 1.5)), 1) for bound in label)
    else:
        words = ["yes", "no"] if task.startswith("movement") else ["red", "blue"]
        label, said = (words[int(at)] for at in rng.integers(0, 2, 2))
    said = None if unread else said
    return {"task": task, "label": label, "prediction": said, "expected": judge(task, label, said)}


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures("stkit")
    if reference:
        check(reference)
    folder = common.out_dir(FAMILY)
    items = [item(rng, task) for task in TEXTS for _ in range(12)]
    common.write_json(folder / "parse.json", sentences())
    common.write_json(folder / "scorer.json", {"items": items, "expected_summary": summary(items)}, indent=None)
    common.readme(
        folder, "Reading and scoring answers about motion (STKit-Bench)",
        "`parse`: a sentence and the answer in it, null where there is none. `scorer`: label and prediction, right or wrong, how\n"
        "far off (for an interval its IoU), and the means by task.",
        SEED, common.versions("numpy"),
        "Our own rules where ST-VLM asks a language model; they agree with the reference's recorded cases.",
        "numbers to 1e-9 of themselves, everything else equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

"""Answers of RexSeek as Python's regular expressions read them: groups, objects and indices, from texts of random pieces."""

import re

import common

SEED = 4151
FAMILY = "rexseek_answers"
GROUP = re.compile(r"<ground>(.*?)</ground><objects>(.*?)</objects>")
TAG = re.compile(r"<obj\d+>", re.ASCII)
PIECES = ["<ground>", "</ground>", "<objects>", "</objects>", "</ground><objects>", "<obj0>", "<obj1>", "<obj2>", "<obj12>", "<obj007>",
          "<obj7>", "<obj 3>", "<obj-1>", "a dog", " cat ", "\n", "x", "", "é", "<|im_end|>"]


def read(text, unique):
    """Pairs of phrase and tags; the first of equal phrases counts. `unique`: groups that name nothing new are left out."""
    seen, found = set(), {}
    for phrase, objects in GROUP.findall(text):
        tags = TAG.findall(objects)
        new = set(tags) - seen
        seen |= new
        if new or not unique:
            found.setdefault(phrase.strip(), tags)
    return [[phrase, tags] for phrase, tags in found.items()]


def case(text):
    groups = read(text, True)
    numbers = [int(tag[4:-1]) for _, tags in groups for tag in tags]
    return {"text": text, "answer_strefer": groups, "answer_eval": read(text, False),
            "indices": {str(n): [i for i in numbers if i < n] for n in (3, 6, 100)}}


def check():
    folder = common.fixtures("rexseek_modules")
    if folder is None:
        return
    cases = common.read_json(folder / "answer_parser.json")
    assert all(case(recorded["text"]) == recorded for recorded in cases), "an answer is read otherwise"
    print(f"{FAMILY}: agrees with the fixtures")


def random_text(rng):
    """Groups, whole and broken."""
    text = ""
    for _ in range(rng.integers(1, 5)):
        if rng.random() < 0.6:
            tags = "".join(rng.choice(PIECES[5:13], rng.integers(0, 4)))
            text += f"<ground>{rng.choice(PIECES[13:])}</ground><objects>{tags}{rng.choice(PIECES[13:])}</objects>"
        else:
            text += "".join(rng.choice(PIECES, rng.integers(1, 6)))
    return text


def main():
    check()
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    cases = [case(random_text(rng)) for _ in range(250)]
    common.write_json(folder / "answer_parser.json", cases, None)
    common.readme(
        folder, "Answers of RexSeek",
        "Texts of random pieces with the groups that Strefer reads (`answer_strefer`), those that RexSeek's evaluation reads\n"
        "(`answer_eval`), and the indices below 3, 6 and 100.",
        SEED, "CPython", "Reference: Python's `re`, by our own rules, checked against answers recorded from upstream.", "equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

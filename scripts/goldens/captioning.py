"""Captions beside references: tokens, BLEU, ROUGE-L, CIDEr and METEOR of the COCO caption toolkit (needs Java)."""

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

import common

SEED = 4811
FAMILY = "captioning"

WHO = [
    "The man", "A woman in red", "Two dogs", "He", "The girl's friend", "A 30-year-old man", "The boys'", "Mr. Brown", "Dr. Lee",
    "The U.S. team", "A well-dressed man", "The player (in red)", "The T-shirt seller", "An old lady", "They",
]
DOES = [
    "walks past", "doesn't touch", "can't lift", "is running to", "won't leave", "isn't holding", "'s got", "has 3 cups of",
    "is gonna eat", "cannot see", "meets, at 7:30 p.m.,", "buys 1,250 of", "pays $5.99 for", "waits 2.5 seconds for",
    "jumps 1/2 m over", "says \"hi\" to", "says 'stop' to", "drives 60km/h past", "looks at", "rock'n'rolls on",
]
WHAT = [
    "the car", "a dog's bowl", "the red/white flag", "the No. 5 bus", "the 1990s car", "an e-mail", "the X-ray",
    "some food, e.g. rice", "apples, pears, etc.", "St. Mary's church", "a 10-foot pole", "five o'clock tea", "50% of it",
    "the boss's chair", "his mother-in-law", "the 2nd-floor window", "his 5'10\" friend", "the café", "the [left] door",
    "plan b", "@home", "a 3D TV", "AT&T", "3 1/2 cakes",
]
JOINS = [". Then ", " and ", "; ", ", while ", " - ", " -- ", "... ", "! ", "? ", ": ", " \u2014 ", ".", " and/or "]
ENDS = [".", ".", ".", "", "!", "?!", "...", " .", ".\"", "\u2026"]


def clause(rng):
    return " ".join(str(rng.choice(part)) for part in (WHO, DOES, WHAT))


def caption(rng):
    text = clause(rng)
    while rng.uniform() < 0.4:
        text += str(rng.choice(JOINS)) + clause(rng)
    return text + str(rng.choice(ENDS))


def said_differently(rng, text):
    """Some words left out, doubled or in another place."""
    words = text.split(" ")
    for _ in range(int(rng.integers(0, 4))):
        at = int(rng.integers(0, len(words)))
        kept = words[:at] + words[at + 1 :]
        how = int(rng.integers(0, 3))
        words = kept if how == 0 and kept else words[: at + 1] + words[at:] if how == 1 else kept[::-1][:2] + kept
    return " ".join(words)


def drawn(rng):
    items = []
    for number in range(40):
        prediction = caption(rng)
        references = [said_differently(rng, prediction) for _ in range(int(rng.integers(1, 4)))]
        if rng.uniform() < 0.3:
            references[0] = caption(rng)
        items.append({"id": number, "prediction": prediction, "references": references})
    return items


def scores(items):
    ids = [item["id"] for item in items]
    tokens = PTBTokenizer()
    said = tokens.tokenize({item["id"]: [{"caption": item["prediction"]}] for item in items})
    truth = tokens.tokenize({item["id"]: [{"caption": text} for text in item["references"]] for item in items})
    corpus, per_item = {}, {}
    bleu, bleu_items = Bleu(4).compute_score(truth, said, verbose=0)
    for name, of_all, of_each in [
        *[(f"Bleu_{n + 1}", bleu[n], bleu_items[n]) for n in range(4)],
        ("ROUGE_L", *Rouge().compute_score(truth, said)),
        ("CIDEr", *Cider().compute_score(truth, said)),
        ("METEOR", *Meteor().compute_score(truth, said)),
    ]:
        corpus[name], per_item[name] = float(of_all), [float(value) for value in of_each]
    tokenized = {"references": [truth[key] for key in ids], "predictions": [said[key][0] for key in ids]}
    return {"corpus": corpus, "per_item": per_item, "tokenized": tokenized}


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    items = drawn(rng)
    common.write_json(folder / "drawn.json", items)
    common.write_json(folder / "drawn_expected.json", scores(items))
    common.readme(
        folder, "Captions beside references",
        "`drawn`: 40 invented captions, their tokens (`tokenized`), and the scores of all (`corpus`) and of each (`per_item`).",
        SEED, common.versions("pycocoevalcap"),
        "Tokens by the Stanford tokenizer 3.4.1 and METEOR 1.5 as they come with that package, through Java.",
        "1e-9; tokens equal. METEOR is compared where its program is, in a test that is ignored elsewhere.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

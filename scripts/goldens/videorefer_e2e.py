"""A whole tiny VideoRefer: tower and Qwen2 from transformers, connectors and splice our own, checked first."""

import torch
import torch.nn.functional as F
from transformers import Qwen2Config, Qwen2Model

import common
import connectors
import regions
import whole
from region_connector import blobs

SEED = 5212
FAMILY = "videorefer_e2e"
CONFIG = {
    "architectures": ["VideoReferQwen2ForCausalLM"], "model_type": "videorefer_qwen2", "vocab_size": 60,
    "max_position_embeddings": 256, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "tie_word_embeddings": False, "pad_token_id": 50, "eos_token_id": 52, "mm_hidden_size": 10,
    "mm_projector_type": "stc_connector_v35", "mm_region_encoder_type": "pooling", "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch", "image_aspect_ratio": "square", "num_frames": 4,
    "vision_config": {
        "hidden_size": 10, "intermediate_size": 18, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 18,
        "patch_size": 4, "layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh",
    },
    "region_token_id": 53,
}
VISION = "model.vision_tower.vision_tower.vision_model."
PLACEHOLDERS = (-200, -201)
LIMIT = 4


def build(config):
    keys = {
        key: config[key]
        for key in ("vocab_size", "max_position_embeddings", "hidden_size", "intermediate_size", "num_hidden_layers",
                    "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "rope_theta")
    }
    return Qwen2Model(Qwen2Config(**keys, attn_implementation="eager")).eval()


class Model:
    """The forward pass of one set of weights."""

    def __init__(self, config, w):
        self.config, self.w = config, w
        self.decoder = build(config)
        names = self.decoder.state_dict()
        self.own = {name: w["model." + name] for name in names}

    def embed(self, ids):
        return F.embedding(ids, self.own["embed_tokens.weight"])

    def logits(self, embeds, mask):
        return F.linear(whole.decode(self.decoder, self.own, embeds, mask)[-1], self.w["lm_head.weight"])

    def features(self, frames):
        """`(f, 3, h, w)` to `(f, n, dv)`, frozen."""
        with torch.no_grad():
            return whole.see(self.config["vision_config"], self.w, VISION, frames, self.config["mm_vision_select_layer"])

    def splice(self, ids, labels, images, frames, masks, objects):
        """Rows are lists; `objects` count frames over the whole batch, as the reference's collation does."""
        count = self.config["num_frames"]
        videos = [image if image.dim() == 4 else image.expand(count, -1, -1, -1) for image in images]
        feats = torch.stack([self.features(video) for video in videos])
        tokens = connectors.stc(feats, self.w, "model.mm_projector.", 0)["y"]
        seen = self.features(torch.cat(frames))
        merged, counts = [], []
        for sample_masks, rows_of in zip(masks, objects):
            _, _, own, own_counts = regions.encode_sample(seen, sample_masks, rows_of, LIMIT)
            merged.append(own)
            counts.append(own_counts)
        mask_feats = regions.mlp(torch.cat(merged), self.w, "model.region_encoder.")
        rows, targets = [], []
        per_sample = mask_feats.split([sum(own) for own in counts])
        for row, (own_ids, own_labels) in enumerate(zip(ids, labels)):
            places = [at for at, id in enumerate(own_ids.tolist()) if id in PLACEHOLDERS]
            visual = [(at, tokens[row]) for at in places]
            objects_at = (own_ids == self.config["region_token_id"]).nonzero().flatten().tolist()
            if objects_at:
                visual += zip(objects_at, per_sample[row].split(counts[row]), strict=True)
            embeds, target = whole.splice_row(own_ids, own_labels, self.embed, visual)
            rows.append(embeds)
            targets.append(target)
        return rows, targets, {"vision_features": feats, "mm_features": tokens, "mask_feats": mask_feats}, counts


def listed(tensors, name):
    found = []
    while f"{name}.{len(found)}" in tensors:
        found.append(tensors[f"{name}.{len(found)}"])
    return found


def frozen(name):
    return name.startswith("model.vision_tower.")


def run(config, weights, inputs, objects):
    """One batch with its loss; weights get gradients."""
    w = whole.learning(weights, frozen)
    model = Model(config, w)
    pad, lengths = config["pad_token_id"], inputs["attention_mask"].sum(1)
    rows, targets, out, counts = model.splice(
        inputs["input_ids"], inputs["labels"], listed(inputs, "images"), listed(inputs, "frames"), listed(inputs, "masks"), objects
    )
    width = max(map(len, rows))
    kept = [len(row) - inputs["input_ids"].shape[1] + int(length) for row, length in zip(rows, lengths)]
    mask = torch.arange(width)[None] < torch.tensor(kept)[:, None]
    assert (inputs["input_ids"] == pad).sum() + lengths.sum() == inputs["input_ids"].numel()
    embeds, labels = whole.stack(rows, width, 0.0), whole.stack(targets, width, -100)
    logits = model.logits(embeds, mask.long())
    loss = whole.loss_of(logits, labels)
    loss.backward()
    out |= {"inputs_embeds": embeds, "attention_mask": mask, "labels": labels, "logits": logits, "loss": loss[None]}
    grads = {f"grad.{name}": grad for name, grad in whole.gradients(w).items()}
    return out, grads, [count for own in counts for count in own]


@torch.no_grad()
def infer(config, weights, inputs, ids, objects, steps):
    """The first sample alone: the prompt, its last logits, and greedy tokens for two repetition penalties."""
    model = Model(config, weights)
    first = lambda name: listed(inputs, name)[:1]
    rows, _, _, _ = model.splice(ids, torch.full_like(ids, -100), first("images"), first("frames"), first("masks"), objects)
    prompt = rows[0][None]
    ones = lambda embeds: torch.ones(embeds.shape[:2], dtype=torch.long)
    logits_of = lambda embeds: model.logits(embeds, ones(embeds))
    tokens, gaps = {}, []
    for penalty in (1.0, 1.3):
        tokens[str(penalty)], _, gap = whole.greedy(prompt, steps, logits_of, model.embed, penalty=penalty)
        gaps.append(gap)
    out = {"input_ids": ids, "inputs_embeds": prompt, "attention_mask": ones(prompt).bool(), "logits_last": logits_of(prompt)[:, -1]}
    return out, tokens, min(gaps)


def check(folder):
    """The reference's batch with its gradients, and its answer."""
    config = common.read_json(folder / "e2e_config.json")
    cases = common.read_json(folder / "e2e_cases.json")
    weights = common.load(folder / "e2e_weights.safetensors")
    inputs = common.load(folder / "e2e_batch_inputs.safetensors")
    ours, grads, counts = run(config, weights, inputs, cases["ann_indices_offset"])
    assert counts == cases["region_token_nums"]
    theirs = common.load(folder / "e2e_batch_outputs.safetensors")
    mask = theirs["attention_mask"]
    for key, value in theirs.items():
        per_position = value.shape[:2] == mask.shape and key != "attention_mask"
        whole.check(key, ours[key], value, mask if per_position else None)
    for key, value in common.load(folder / "e2e_batch_grads.safetensors").items():
        whole.check(key, grads[key], value, tolerance=1e-4)
    theirs = common.load(folder / "e2e_infer_outputs.safetensors")
    case = cases["infer"]
    ours, tokens, _ = infer(config, weights, inputs, theirs["input_ids"], case["ann_indices"], case["max_new_tokens"])
    for key, value in theirs.items():
        whole.check(key, ours[key], value)
    assert tokens == case["greedy_new_tokens_by_repetition_penalty"], tokens
    print(f"{FAMILY}: our implementation agrees with the reference's batch and answer")


def shapes():
    vision, dim, out = CONFIG["vision_config"], CONFIG["mm_hidden_size"], CONFIG["hidden_size"]
    found = whole.shapes_of(whole.tower(vision), VISION, "vision_model.")
    found |= {"model.mm_projector." + name: shape for name, shape in connectors.stc_shapes(dim, out, 4).items()}
    for layer, width in (("0", dim), ("2", out)):
        p = f"model.region_encoder.feat_linear.{layer}."
        found |= {p + "weight": (out, width), p + "bias": (out,)}
    found |= whole.shapes_of(build(CONFIG), "model.")
    return found | {"lm_head.weight": (CONFIG["vocab_size"], out)}


# Text of every row: words, `v` a video, `i` an image, `r` an object, `|` where the answer begins.
ROWS = [
    "31 8 v 22 5 r 17 r 13 9 | 11 8 21 35 25 2",
    "19 33 34 v 7 14 | 20 38 35",
    "40 i 6 r 12 | 10 27 20 2 44",
    "26 11 24 | 45 3",
]
# Of every row the frames of its objects, counted over the batch; rows without any have an empty mask.
OBJECTS = [[[1], [0, 1, 2, 3, 4, 5]], [[6]], [[7]], [[8]]]
FRAMES = [6, 1, 1, 1]


def batch(rng):
    words = {"v": -201, "i": -200, "r": CONFIG["region_token_id"]}
    ids_of = lambda text: [words[t] if t in words else int(t) for t in text.split()]
    split = [row.split("|") for row in ROWS]
    rows = [torch.tensor(ids_of(question) + ids_of(answer)) for question, answer in split]
    width = max(map(len, rows))
    ids = whole.stack(rows, width, CONFIG["pad_token_id"])
    starts = torch.tensor([len(question.split()) for question, _ in split])
    columns, lengths = torch.arange(width)[None], torch.tensor([len(row) for row in rows])
    learnt = (columns >= starts[:, None]) & (columns < lengths[:, None])
    side = CONFIG["vision_config"]["image_size"]
    pixels = lambda *lead: torch.from_numpy(rng.standard_normal((*lead, 3, side, side))).float()
    image = pixels()
    inputs = {
        "input_ids": ids, "attention_mask": columns < lengths[:, None], "labels": torch.where(learnt, ids, -100),
        "images.0": pixels(4), "images.1": pixels(4), "images.2": image, "images.3": torch.zeros(3, side, side),
        "frames.0": pixels(6), "frames.1": pixels(1), "frames.2": image[None], "frames.3": torch.zeros(1, 3, side, side),
        "masks.0": blobs(rng, 7, 12, 18), "masks.2": blobs(rng, 1, 13, 9),
    }
    return inputs | {f"masks.{row}": torch.zeros((1, 12, 12), dtype=torch.uint8) for row in (1, 3)}


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures("videorefer")
    if reference:
        check(reference)
    folder = common.out_dir(FAMILY)
    weights = whole.draw_like(rng, shapes(), 0.35)
    inputs = batch(rng)
    outputs, grads, counts = run(CONFIG, weights, inputs, OBJECTS)
    ids = inputs["input_ids"][:1, : len(ROWS[0].split("|")[0].split())]
    answer, tokens, gap = infer(CONFIG, weights, inputs, ids, OBJECTS[:1], 12)
    assert gap > 1e-3, f"greedy choice too close: {gap}"
    for name, tensors in (("weights", weights), ("batch_inputs", inputs), ("batch_outputs", outputs), ("batch_grads", grads),
                          ("infer_outputs", answer)):
        common.save(folder, f"e2e_{name}", tensors)
    for part in ("mm_projector", "region_encoder"):
        torch.save({name: weight for name, weight in weights.items() if part in name}, folder / f"{part}.bin")
    common.write_json(folder / "e2e_config.json", CONFIG)
    common.write_json(folder / "e2e_cases.json", {
        "ann_indices_offset": OBJECTS, "frame_nums": FRAMES, "region_token_nums": counts,
        "infer": {
            "uses": "sample 0", "ann_indices": OBJECTS[:1], "max_new_tokens": 12,
            "greedy_new_tokens_by_repetition_penalty": tokens, "min_top1_top2_margin": gap,
        },
    })
    common.readme(
        folder, "A whole tiny VideoRefer",
        "`e2e_weights`: checkpoint names, with the tower's last layer, final norm and head that no step uses. A batch of a video with two\n"
        "objects, a video without, an image with one, and text alone: `e2e_batch_inputs` (`-201` and `-200` stand for video and image),\n"
        "`e2e_batch_outputs`, `e2e_batch_grads` of everything but the tower. `e2e_infer_outputs` and `e2e_cases.json`: the first sample\n"
        "alone and its greedy tokens for two repetition penalties. `*.bin`: parts of the weights as training scripts save them.",
        SEED, common.versions("torch", "transformers"),
        "Tower and decoder of transformers, the rest our own (`scripts/goldens/whole.py` and what it names), which agrees with the\n"
        "  reference's recorded numbers, gradients and tokens included.",
        "1e-5 relative to the largest value (1e-4 from the decoder on and for gradients), counts and tokens equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

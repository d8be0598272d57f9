"""A whole tiny BLIP-3-Strefer: tower and Phi-3 from transformers, connectors, splice and head our own, checked first."""

import torch
import torch.nn.functional as F

import common
import connectors
import phi3_extra_rows
import regions
import whole
from region_connector import blobs

SEED = 5111
FAMILY = "strefer_e2e"
CONFIG = {
    "vision_config": {
        "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 14,
        "patch_size": 4, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
    },
    "perceiver": {"depth": 2, "dim_head": 4, "heads": 3, "num_latents": 5},
    "gttm": {"process_size": 5, "memory_size_per_group": 3, "num_layers": 1, "num_heads": 2},
    "region": {"region_token_num": 4},
    "text_config": {
        "model_type": "phi3", "vocab_size_original_rows": 46, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5, "max_position_embeddings": 256, "sliding_window": 255, "hidden_act": "silu",
    },
    "initial_tokenizer_len": 40, "pad_token_id": 39, "bos_token_id": 1, "num_timestamp_tokens": 6, "num_frames": 3, "seed": SEED,
}
ADDED = ["<image>", "<image placeholder>", "<|endofchunk|>", *(f"<{k}>" for k in range(6)), "<region>"]
CONFIG["special_tokens"] = {token: 40 + at for at, token in enumerate(ADDED)}
TOKENIZER, LANGUAGE = "vision_tokenizer.", "lang_model."


def frozen(name):
    return name.startswith("vision_encoder.") or "read_layer" in name or name.endswith("inv_freq")


class Model:
    """The forward pass of one set of weights."""

    def __init__(self, config, w):
        self.config, self.w = config, w
        self.first = config["initial_tokenizer_len"]
        self.decoder = phi3_extra_rows.build(config["text_config"])
        self.own = whole.below(w, LANGUAGE + "model.")
        added = self.own.pop("embed_tokens.additional_embedding.weight")
        self.table = torch.cat([self.own["embed_tokens.weight"][: self.first], added])

    def embed(self, ids):
        return F.embedding(ids, self.table)

    def logits(self, hidden):
        head = whole.below(self.w, LANGUAGE + "lm_head.")
        old = F.linear(hidden, head["weight"], head["bias"])[..., : self.first]
        return torch.cat([old, F.linear(hidden, head["additional_fc.weight"], head["additional_fc.bias"])], -1)

    def features(self, frames):
        """`(.., 3, h, w)` to `(.., n, dv)`, frozen."""
        with torch.no_grad():
            feats = whole.see(self.config["vision_config"], self.w, "vision_encoder.", frames.flatten(0, -4))
        return feats.unflatten(0, frames.shape[:-3])

    def splice(self, ids, labels, vision_x, mask_frames, masks, objects):
        """Embeddings and labels of every row, and what was computed on the way; a row without objects has None."""
        heads, temporal = self.config["perceiver"]["heads"], self.config["gttm"]["num_heads"]
        feats = self.features(vision_x)
        latents, _ = connectors.resample(feats, self.w, TOKENIZER, heads)
        video = connectors.perceiver(feats, self.w, TOKENIZER, heads, temporal)
        steps = {"vision_features": feats, "perceiver_latents": latents, "gttm_out": video["inter.temporal_out"],
                 "vision_tokens": video["output"]}
        rows, targets, region_id = [], [], self.config["special_tokens"]["<region>"]
        for row, rows_of in enumerate(objects):
            image = (ids[row] == self.config["special_tokens"]["<image>"]).nonzero().item()
            visual = [(image, video["output"][row, 0])]
            if rows_of is not None:
                seen = self.features(mask_frames[row])[:, 0]
                limit = self.config["region"]["region_token_num"]
                _, _, tokens, counts = regions.encode_sample(seen, masks[row], rows_of, limit)
                tokens = regions.mlp(tokens, self.w, "region_encoder.")
                at = len([key for key in steps if key.startswith("region_tokens")])
                steps |= {f"region_frame_features.{at}": seen, f"region_tokens.{at}": tokens}
                places = (ids[row] == region_id).nonzero().flatten().tolist()
                visual += zip(places, tokens.split(counts), strict=True)
            embeds, target = whole.splice_row(ids[row], labels[row], self.embed, visual)
            rows.append(embeds)
            targets.append(target)
        return rows, targets, steps


def run(config, weights, inputs, objects):
    """One batch with its loss; weights get gradients."""
    w = whole.learning(weights, frozen)
    model = Model(config, w)
    frames = {row: inputs.get(f"mask_frames.{row}") for row in range(len(objects))}
    masks = {row: inputs.get(f"masks.{row}") for row in range(len(objects))}
    rows, targets, out = model.splice(inputs["input_ids"], inputs["labels"], inputs["vision_x"], frames, masks, objects)
    width, pad = max(map(len, rows)), config["pad_token_id"]
    lengths = [len(row) - int((ids == pad).sum()) for row, ids in zip(rows, inputs["input_ids"])]
    mask = (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()
    embeds, labels = whole.stack(rows, width, float(pad)), whole.stack(targets, width, -100)
    states = whole.decode(model.decoder, model.own, embeds, mask)
    logits = model.logits(states[-1])
    loss = whole.loss_of(logits, labels)
    loss.backward()
    out |= {"inputs_embeds": embeds, "spliced_attention_mask": mask, "spliced_labels": labels,
            "decoder_layer0_out": states[1], "final_norm_out": states[-1], "logits": logits, "loss": loss}
    return out, whole.gradients(w)


@torch.no_grad()
def generate(config, weights, inputs, objects, steps, ends):
    model = Model(config, weights)
    ids = inputs["input_ids"]
    rows, _, _ = model.splice(
        ids, torch.full_like(ids, -100), inputs["vision_x"], [inputs.get("mask_frames")], [inputs.get("masks")], [objects]
    )
    prompt = rows[0][None]
    logits_of = lambda embeds: model.logits(
        whole.decode(model.decoder, model.own, embeds, torch.ones(embeds.shape[:2], dtype=torch.long))[-1]
    )
    sequence, logits, gap = whole.greedy(prompt, steps, logits_of, model.embed, ends)
    return {"prompt_embeds": prompt, "sequence": torch.tensor(sequence), "step_logits": logits}, gap


def splice_case(case, facts):
    """One-wide embeddings of equal value: what stands where. Rows take the region tokens one after the other."""
    column = lambda values: torch.tensor(values, dtype=torch.float32)[:, None]
    left, rows, lengths = list(facts["region_tokens"]), [], []
    for ids, counts in zip(case["input_ids"], case["region_token_nums"]):
        ids = torch.tensor(ids)
        visual = [(int(at), column(facts["vision_tokens_per_video"])) for at in (ids == facts["media_token_id"]).nonzero()]
        if counts != [0]:
            places = (ids == facts["region_token_id"]).nonzero().flatten().tolist()
            for at, count in zip(places, counts, strict=True):
                visual.append((at, column([left.pop(0) for _ in range(count)])))
        row, _ = whole.splice_row(ids, ids, lambda own: own.float()[:, None], visual)
        rows.append(row)
        lengths.append(len(row) - int((ids == facts["pad_token_id"]).sum()))
    width = max(map(len, rows))
    mask = (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()
    return {"spliced": whole.stack(rows, width, float(facts["pad_token_id"]))[..., 0].tolist(), "attention_mask": mask.tolist()}


def check_splice(path):
    """The reference's cases, save those in which it puts tokens where they do not belong, or fails."""
    facts, done = common.read_json(path), 0
    for case in facts["cases"]:
        if "quirk" not in case["note"] and "error" not in case:
            ours = splice_case(case, facts)
            assert ours == {key: case[key] for key in ours}, case["note"]
            done += 1
    print(f"{FAMILY}: our splice agrees with {done} reference cases")


def record_splice(folder):
    facts = {
        "media_token_id": 80, "region_token_id": 81, "pad_token_id": 7, "padding": "right",
        "vision_tokens_per_video": [400.0, 401.0, 402.0], "region_tokens": [float(value) for value in range(501, 511)],
    }
    cases = [
        ("two objects and one", [[1, 80, 81, 5, 6, 81], [1, 80, 81, 5, 7, 7]], [[2, 1], [4]]),
        ("no object; its <region> stays text", [[1, 80, 81, 5, 6], [1, 2, 80, 81, 7]], [[0], [3]]),
        ("side by side", [[1, 80, 81, 81, 6], [80, 5, 81, 7, 7]], [[1, 4], [2]]),
        ("text alone", [[1, 80, 81, 5], [1, 5, 6, 7]], [[2], [0]]),
    ]
    listed = [{"note": note, "input_ids": ids, "region_token_nums": counts} for note, ids, counts in cases]
    listed = [case | splice_case(case, facts) for case in listed]
    more = {"note": "more <region> than objects", "input_ids": [[1, 80, 81, 81]], "region_token_nums": [[2]], "error": "refused"}
    common.write_json(folder / "splice_cases.json", facts | {"cases": [*listed, more]}, indent=None)


def check(folder):
    """Every case of the reference: all outputs, gradients, greedy tokens."""
    config = common.read_json(folder / "config.json")
    weights = common.load(folder / "weights.safetensors")
    for name, case in config["cases"].items():
        if name.startswith("generate"):
            theirs = common.load(folder / f"{name}.safetensors")
            ours, _ = generate(config, weights, theirs, case["ann_indices"], case["max_new_tokens"], case["eos_token_id"] or ())
            for key, value in ours.items():
                whole.check(f"{name} {key}", value, theirs[key])
            continue
        ours, grads = run(config, weights, common.load(folder / f"{name}_inputs.safetensors"), case["ann_indices"])
        theirs = common.load(folder / f"{name}_outputs.safetensors")
        mask = theirs["spliced_attention_mask"]
        for key, value in theirs.items():
            if key != "returned_logits":
                per_position = value.shape[:2] == mask.shape and key != "spliced_attention_mask"
                whole.check(f"{name} {key}", ours[key], value, mask if per_position else None)
        theirs = common.load(folder / f"{name}_grads.safetensors")
        assert set(theirs) == set(grads), set(theirs) ^ set(grads)
        for key, value in theirs.items():
            whole.check(f"{name} gradient of {key}", grads[key], value, tolerance=1e-4)
    print(f"{FAMILY}: our implementation agrees with {len(config['cases'])} reference cases")


def shapes():
    vision, text, perceiver, gttm = (CONFIG[part] for part in ("vision_config", "text_config", "perceiver", "gttm"))
    dim, out, added = vision["hidden_size"], text["hidden_size"], len(ADDED)
    inner, latents, memory = perceiver["heads"] * perceiver["dim_head"], perceiver["num_latents"], gttm["memory_size_per_group"]
    found = whole.shapes_of(whole.tower(vision), "vision_encoder.", "vision_model.")
    found |= connectors.perceiver_shapes(TOKENIZER, dim, out, perceiver["depth"], inner, latents)
    temporal = TOKENIZER + "temporal_encoder."
    found |= connectors.gttm_shapes(temporal, dim, latents, memory, gttm["num_layers"])
    # In checkpoints, and never used.
    read = temporal + "ttm_unit.read_layer."
    found |= connectors.norm_shapes(read + "norm.", dim) | connectors.norm_shapes(read + "mlp.0.", dim)
    found |= {read + "mlp.1.weight": (2 * latents, dim), read + "mlp.3.weight": (latents, 2 * latents)}
    found |= {temporal + "pos_emb.inv_freq": (dim // 2,)}
    for layer, width in (("0", dim), ("2", out)):
        found |= {f"region_encoder.feat_linear.{layer}.weight": (out, width), f"region_encoder.feat_linear.{layer}.bias": (out,)}
    decoder = phi3_extra_rows.build(text)
    found |= whole.shapes_of(decoder, LANGUAGE + "model.")
    found |= {LANGUAGE + "model.embed_tokens.additional_embedding.weight": (added, out)}
    head, rows = LANGUAGE + "lm_head.", text["vocab_size_original_rows"]
    found |= {head + "weight": (rows, out), head + "bias": (rows,)}
    return found | {head + "additional_fc.weight": (added, out), head + "additional_fc.bias": (added,)}


def frames(rng, *lead):
    side = CONFIG["vision_config"]["image_size"]
    return torch.from_numpy(rng.standard_normal((*lead, 1, 3, side, side))).float()


# Text of every row: words, `v` the video, `r` an object, `t` a temporal token, `|` where the answer begins.
ROWS = {
    "two": "1 8 v 10 5 r 17 13 r 31 t 28 t 9 | 11 8 21 t 35 25 2",
    "one": "1 33 34 v 19 r 14 t 7 | 20 38 35 2",
    "none": "1 26 v 11 24 12 | 10 27 20 2",
}
OBJECTS = {"two": [[2], [0, 1, 2, 3, 4, 5]], "one": [[0, 1, 2, 3, 4]], "none": None}
FRAMES = {"two": 6, "one": 5}


def ids_of(text, rng):
    special, first = CONFIG["special_tokens"], CONFIG["special_tokens"]["<0>"]
    word = {"v": special["<image>"], "r": special["<region>"]}
    return [word[t] if t in word else int(first + rng.integers(6)) if t == "t" else int(t) for t in text.split()]


def batch(rng, names):
    """Inputs and objects of rows, padded on the right; added tokens are never learnt."""
    questions, rows = [], []
    for name in names:
        question, answer = (ids_of(part, rng) for part in ROWS[name].split("|"))
        questions.append(len(question))
        rows.append(torch.tensor(question + answer))
    width, pad = max(map(len, rows)), CONFIG["pad_token_id"]
    ids = whole.stack(rows, width, pad)
    answers = torch.where(torch.arange(width)[None] >= torch.tensor(questions)[:, None], ids, -100)
    answers[ids == pad] = -100
    inputs = {
        "input_ids": ids, "attention_mask": (ids != pad).to(torch.uint8), "labels_before_special_mask": answers,
        "labels": torch.where(ids >= CONFIG["initial_tokenizer_len"], -100, answers),
        "vision_x": frames(rng, len(names), CONFIG["num_frames"]),
    }
    for row, name in enumerate(names):
        if OBJECTS[name] is not None:
            inputs[f"mask_frames.{row}"] = frames(rng, FRAMES[name])
            inputs[f"masks.{row}"] = blobs(rng, sum(map(len, OBJECTS[name])), 11, 16)
    return inputs, [OBJECTS[name] for name in names]


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures(FAMILY)
    if reference:
        check(reference)
        check_splice(reference / "splice_cases.json")
    folder = common.out_dir(FAMILY)
    weights = whole.draw_like(rng, shapes(), 0.35)
    common.save(folder, "weights", weights)
    # As the training script saves them: wrapped, under an older spelling.
    wrapped = {"module." + name.replace(".temporal_encoder.", ".gttm."): weight for name, weight in weights.items()}
    torch.save({"model_state_dict": wrapped, "epoch": 1}, folder / "checkpoint_0.pt")
    cases = {}
    for name, rows in (("batch", ["two", "one"]), ("batch_mixed", ["none", "one"])):
        inputs, objects = batch(rng, rows)
        outputs, grads = run(CONFIG, weights, inputs, objects)
        common.save(folder, f"{name}_inputs", inputs)
        common.save(folder, f"{name}_outputs", outputs)
        common.save(folder, f"{name}_grads", grads)
        without = [key for key in weights if key not in grads and not key.startswith("vision_encoder.")]
        cases[name] = {"ann_indices": objects, "loss": outputs["loss"].item(), "weights_without_grad": without}
    for name, row, end in (("generate", "two", None), ("generate_eos", "two", 4), ("generate_nomask", "none", None)):
        if name != "generate_eos":
            inputs, objects = batch(rng, [row])
            question = len(ROWS[row].split("|")[0].split())
            inputs = {"input_ids": inputs["input_ids"][:, :question], "vision_x": inputs["vision_x"]} | {
                key: inputs[f"{key}.0"] for key in ("mask_frames", "masks") if f"{key}.0" in inputs
            }
        else:
            # The fifth token of the case before ends this one.
            end = cases["generate"]["sequence"][end]
        outputs, gap = generate(CONFIG, weights, inputs, objects[0], 10, () if end is None else (end,))
        assert gap > 1e-3, f"{name}: greedy choice too close: {gap}"
        common.save(folder, name, inputs | outputs)
        cases[name] = {
            "ann_indices": objects[0], "eos_token_id": None if end is None else [end], "max_new_tokens": 10,
            "sequence": outputs["sequence"].tolist(), "min_top1_top2_margin": gap,
        }
    common.write_json(folder / "config.json", CONFIG | {"cases": cases})
    record_splice(folder)
    common.readme(
        folder, "A whole tiny BLIP-3-Strefer",
        "`weights`: checkpoint names; rows of `lang_model` matrices from `initial_tokenizer_len` on are never used, nor are the pooling\n"
        "head and the read layer. `batch` (two objects and one, of one and of several frames) and `batch_mixed` (none and one):\n"
        "`*_inputs`, `*_outputs` from vision features to logits and loss, `*_grads` of everything but the tower. `generate*`: greedy\n"
        "tokens and their logits. What lies behind a row's end (`spliced_attention_mask` 0) means nothing. `checkpoint_0.pt`: the weights as\n"
        "the training script saves them. `splice_cases.json`: the splice alone, every token one wide.",
        SEED, common.versions("torch", "transformers"),
        "Tower and decoder of transformers, the rest our own (`scripts/goldens/whole.py` and what it names), which agrees with the\n"
        "  reference's recorded numbers, gradients and tokens included.",
        "1e-5 relative to the largest value (1e-4 from the decoder on and for gradients), tokens equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

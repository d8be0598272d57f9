"""A whole tiny LLaVA-OneVision, from transformers: videos, images in tiles, loss, gradients of all weights, greedy tokens."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import (
    LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, LlavaOnevisionImageProcessor, LlavaOnevisionProcessor,
)
from transformers.image_processing_utils import select_best_resolution

import common
import whole

SEED = 5313
FAMILY = "llava_onevision"
VOCAB, IMAGE, VIDEO, PAD = 58, 51, 52, 48
VISION = {
    "model_type": "siglip_vision_model", "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2,
    "num_attention_heads": 3, "image_size": 22, "patch_size": 4, "vision_use_head": False,
}
TEXT = {
    "model_type": "qwen2", "vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "rope_theta": 1e6,
    "rms_norm_eps": 1e-6, "pad_token_id": PAD, "eos_token_id": 50,
}
SIDE = VISION["image_size"] // VISION["patch_size"]
FRAMES = 3
TOKENS = FRAMES * ((SIDE + 1) // 2) ** 2 + 1
ASPECT = "anyres_max_9"


def pinpoints(size):
    """Up to six by six squares, as published."""
    return [[rows * size, columns * size] for rows in range(1, 7) for columns in range(1, 7)]


def build(tied):
    config = LlavaOnevisionConfig(
        vision_config=VISION, text_config=TEXT | {"tie_word_embeddings": tied}, image_token_index=IMAGE, video_token_index=VIDEO,
        vision_feature_layer=-1, vision_feature_select_strategy="full", tie_word_embeddings=tied,
        image_grid_pinpoints=pinpoints(VISION["image_size"]), vision_aspect_ratio=ASPECT, attn_implementation="eager",
    )
    return LlavaOnevisionForConditionalGeneration(config).eval()


def pixels(rng, b):
    side = VISION["image_size"]
    return torch.from_numpy(rng.standard_normal((b, FRAMES, 3, side, side))).float()


# Words around the video or image, and the answer behind them.
ROWS = [([4, 31, 8], [22, 5, 17, 9], [11, 8, 21, 35, 50]), ([19, 33], [7, 14, 40], [20, 38, 50])]
# A third row, for images.
MORE = ([6], [12, 30], [44, 27, 50])


def prompts(rows, visual, counts):
    """Rows of words in which `visual` stands once for each token of what is shown."""
    answers = [answer for _, _, answer in rows]
    rows = [torch.tensor([*before, *[visual] * n, *after, *answer]) for (before, after, answer), n in zip(rows, counts)]
    width = max(map(len, rows))
    ids = whole.stack(rows, width, PAD)
    ends = torch.tensor([len(row) for row in rows])[:, None]
    starts = ends - torch.tensor([len(answer) for answer in answers])[:, None]
    columns = torch.arange(width)[None]
    return {
        "in.input_ids": ids, "in.attention_mask": (columns < ends).long(),
        "in.labels": torch.where((columns >= starts) & (columns < ends), ids, -100),
    }


def batch(rng):
    return prompts(ROWS, VIDEO, [TOKENS] * len(ROWS)) | {"in.pixel_values_videos": pixels(rng, len(ROWS))}


def stored_name(name):
    """The name under which transformers stores what it calls otherwise in memory."""
    if name.startswith("model.language_model."):
        return "language_model.model." + name.removeprefix("model.language_model.")
    return "language_model." + name if name.startswith("lm_head.") else name.removeprefix("model.")


def learn(model, inputs, shared=frozenset()):
    """What the model makes of a batch, and gradients by stored names."""
    model.zero_grad(set_to_none=True)
    out = model(**inputs, use_cache=False, output_hidden_states=True)
    out.loss.backward()
    grads = {f"grad.{stored_name(n)}": w.grad for n, w in model.named_parameters() if w.grad is not None and n not in shared}
    return {"out.inputs_embeds": out.hidden_states[0], "out.logits": out.logits, "out.loss": out.loss}, grads


# Height and width in pixels, by case. `large` has more patches than nine tiles, and is therefore resized.
IMAGES = {"shapes": [(26, 44), (61, 20), (15, 15)], "large": [(105, 48)]}


def picture(rng, height, width):
    """Waves and noise, bytes."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(x / (4 + channel) + channel) * np.cos(y / (7 - channel)) for channel in range(3)]
    return np.clip(np.stack(waves, -1) + 25 * rng.standard_normal((height, width, 3)), 0, 255).astype(np.uint8)


def record_images(folder, model, rng, case, sizes):
    """A batch of one image each. What is behind the tiles of an image with fewer than the others is zero."""
    side = VISION["image_size"]
    images = [picture(rng, height, width) for height, width in sizes]
    processor = LlavaOnevisionImageProcessor(
        size={"height": side, "width": side}, image_grid_pinpoints=pinpoints(side), image_mean=[0.5] * 3, image_std=[0.5] * 3,
    )
    seen = processor(images, return_tensors="pt")
    shown = {"in.pixel_values": seen["pixel_values"], "in.image_sizes": seen["image_sizes"]}
    with torch.no_grad():
        tokens = model.model.get_image_features(seen["pixel_values"], seen["image_sizes"], -1, "full")
        features = model.model.vision_tower(seen["pixel_values"].flatten(0, 1), output_hidden_states=True).hidden_states[-1]
    features = features.unflatten(0, seen["pixel_values"].shape[:2])
    counts = [1 + tiles_of(size, side) for size in sizes]
    inputs = prompts([*ROWS[::-1], MORE][:len(sizes)], IMAGE, map(len, tokens)) | shown
    made, grads = learn(model, {key.removeprefix("in."): value for key, value in inputs.items()})
    common.save(folder, f"images_{case}", inputs | made | grads | {
        "out.features": torch.cat([own[:count] for own, count in zip(features, counts)]), "out.image_features": torch.cat(tokens),
        **{f"in.image.{row}": torch.from_numpy(image) for row, image in enumerate(images)},
    })
    return {"sizes": sizes, "tokens": [len(own) for own in tokens]}


def tiles_of(size, side):
    height, width = select_best_resolution(size, pinpoints(side))
    return height // side * (width // side)


def tilings(rng, count=60):
    """Height, width, resolution chosen and tokens of images of any size, for the published tower."""
    side, grid = 384, 27
    processor = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=pinpoints(side)), num_image_tokens=grid**2, vision_aspect_ratio=ASPECT,
    )
    processor._get_unpadded_features = lambda *sizes: LlavaOnevisionProcessor._get_unpadded_features(processor, *sizes)
    listed = []
    for height, width in [(384, 384), (480, 640), (1080, 1920), *np.exp(rng.uniform(3.5, 8.5, (count, 2))).astype(int).tolist()]:
        best = select_best_resolution((height, width), pinpoints(side))
        tokens = LlavaOnevisionProcessor._get_number_of_features(processor, height, width, side, side)
        listed.append([height, width, *best, tokens])
    return listed


def record(folder, model, rng, suffix):
    """Weights, a batch with loss and gradients, and a greedy answer; file names end in `suffix`."""
    common.randomise(model, rng, 0.3)
    shared = {"lm_head.weight"} if model.config.text_config.tie_word_embeddings else set()
    weights = {name: weight for name, weight in model.state_dict().items() if name not in shared}
    with tempfile.TemporaryDirectory() as stored:
        model.save_pretrained(stored)
        tensors = common.load(Path(stored, "model.safetensors"))
        common.write_json(folder / f"config{suffix}.json", common.read_json(Path(stored, "config.json")))
    assert set(tensors) == {stored_name(name) for name in weights}, "transformers stores other names"
    common.save(folder, f"weights{suffix}", tensors)
    inputs = batch(rng)
    keys = {key.removeprefix("in."): value for key, value in inputs.items()}
    features = torch.stack(list(model.model.get_video_features(keys["pixel_values_videos"], -1, "full")))
    made, grads = learn(model, keys, shared)
    newline = model.model.image_newline.expand(len(features), 1, -1)
    common.save(folder, f"batch{suffix}", inputs | {"out.video_features": torch.cat([features, newline], 1), **made, **grads})
    before, after, _ = ROWS[0]
    ids = torch.tensor([[*before, *[VIDEO] * TOKENS, *after]])
    videos = pixels(rng, 1)
    with torch.no_grad():
        generated = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values_videos=videos, max_new_tokens=10,
            do_sample=False, eos_token_id=None, pad_token_id=PAD, output_logits=True, return_dict_in_generate=True,
        )
    logits = torch.stack(generated.logits, 1)
    top = logits.topk(2, -1).values
    gap = (top[..., 0] - top[..., 1]).min().item()
    assert gap > 1e-3, f"greedy choice too close: {gap}"
    common.save(folder, f"greedy{suffix}", {
        "in.input_ids": ids, "in.pixel_values_videos": videos, "out.tokens": generated.sequences[:, ids.shape[1]:],
        "out.step_logits": logits,
    })
    return {"min_top1_top2_gap": gap, "weights_without_grad": [n for n in weights if f"grad.{stored_name(n)}" not in grads]}


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    manifest = {"video_tokens": TOKENS, "frames": FRAMES}
    models = {suffix: build(tied) for suffix, tied in (("", False), ("_tied", True))}
    for suffix, model in models.items():
        manifest[f"model{suffix}"] = record(folder, model, rng, suffix)
    manifest["images"] = {case: record_images(folder, models[""], rng, case, sizes) for case, sizes in IMAGES.items()}
    common.write_json(folder / "tilings.json", tilings(rng), indent=None)
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "A whole tiny LLaVA-OneVision",
        "`weights`, `config.json`: as transformers stores them; `*_tied`: a model whose head is its embedding. `batch`: two videos with\n"
        "questions and answers of different length; `out.video_features` are a video's tokens with the newline token behind them;\n"
        "loss and gradients of all weights, the tower's included. `greedy`: ten tokens and their logits. In `in.input_ids` the video's\n"
        f"id {VIDEO} is repeated for each of its tokens. `images_*`: rows of one image each, which the image processor of transformers\n"
        f"(with PIL) cut into tiles; the image's id is {IMAGE}. `tilings.json`: height, width, resolution chosen (height, width) and\n"
        "tokens of images of other sizes, for towers of 384 pixels and 27 by 27 patches.",
        SEED, common.versions("torch", "transformers"),
        "Reference: `LlavaOnevisionForConditionalGeneration` of transformers, eager attention, random weights.",
        "1e-5 relative to the largest value (1e-4 from the decoder on and for gradients), tokens equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

"""A whole tiny LLaVA-OneVision, from transformers: videos, loss, gradients of all weights, greedy tokens."""

import tempfile
from pathlib import Path

import torch
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

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


def build(tied):
    config = LlavaOnevisionConfig(
        vision_config=VISION, text_config=TEXT | {"tie_word_embeddings": tied}, image_token_index=IMAGE, video_token_index=VIDEO,
        vision_feature_layer=-1, vision_feature_select_strategy="full", tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    return LlavaOnevisionForConditionalGeneration(config).eval()


def pixels(rng, b):
    side = VISION["image_size"]
    return torch.from_numpy(rng.standard_normal((b, FRAMES, 3, side, side))).float()


# Words around the video, and the answer behind them.
ROWS = [([4, 31, 8], [22, 5, 17, 9], [11, 8, 21, 35, 50]), ([19, 33], [7, 14, 40], [20, 38, 50])]


def batch(rng):
    rows = [torch.tensor([*before, *[VIDEO] * TOKENS, *after, *answer]) for before, after, answer in ROWS]
    width = max(map(len, rows))
    ids = whole.stack(rows, width, PAD)
    ends = torch.tensor([len(row) for row in rows])[:, None]
    starts = ends - torch.tensor([len(answer) for _, _, answer in ROWS])[:, None]
    columns = torch.arange(width)[None]
    return {
        "in.input_ids": ids, "in.attention_mask": (columns < ends).long(), "in.pixel_values_videos": pixels(rng, len(rows)),
        "in.labels": torch.where((columns >= starts) & (columns < ends), ids, -100),
    }


def stored_name(name):
    """The name under which transformers stores what it calls otherwise in memory."""
    if name.startswith("model.language_model."):
        return "language_model.model." + name.removeprefix("model.language_model.")
    return "language_model." + name if name.startswith("lm_head.") else name.removeprefix("model.")


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
    out = model(**keys, use_cache=False, output_hidden_states=True)
    out.loss.backward()
    newline = model.model.image_newline.expand(len(features), 1, -1)
    grads = {f"grad.{stored_name(n)}": w.grad for n, w in model.named_parameters() if w.grad is not None and n not in shared}
    common.save(folder, f"batch{suffix}", inputs | {
        "out.video_features": torch.cat([features, newline], 1), "out.inputs_embeds": out.hidden_states[0],
        "out.logits": out.logits, "out.loss": out.loss, **grads,
    })
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
    for suffix, tied in (("", False), ("_tied", True)):
        manifest[f"model{suffix}"] = record(folder, build(tied), rng, suffix)
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "A whole tiny LLaVA-OneVision",
        "`weights`, `config.json`: as transformers stores them; `*_tied`: a model whose head is its embedding. `batch`: two videos with\n"
        "questions and answers of different length; `out.video_features` are a video's tokens with the newline token behind them;\n"
        "loss and gradients of all weights, the tower's included. `greedy`: ten tokens and their logits. In `in.input_ids` the video's\n"
        f"id {VIDEO} is repeated for each of its tokens.",
        SEED, common.versions("torch", "transformers"),
        "Reference: `LlavaOnevisionForConditionalGeneration` of transformers, eager attention, random weights.",
        "1e-5 relative to the largest value (1e-4 from the decoder on and for gradients), tokens equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

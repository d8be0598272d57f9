"""CLIP vision tower, from transformers: forward, and gradients below the last layer."""

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

import common

SEED = 4145
FAMILY = "clip_vision"
CONFIG = {
    "model_type": "clip_vision_model",
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 30,
    "patch_size": 10,
    "num_channels": 3,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    model = CLIPVisionModel(CLIPVisionConfig(**CONFIG, attn_implementation="eager")).eval()
    common.randomise(model, rng, 0.15)
    common.write_json(folder / "config.json", CONFIG)
    common.save(folder, "weights", {k: v for k, v in model.state_dict().items() if "position_ids" not in k})
    size = CONFIG["image_size"]
    pixels = torch.from_numpy(rng.standard_normal((2, 3, size, size)).astype("float32"))
    out = model(pixels, output_hidden_states=True)
    manifest = {"forward": common.save(folder, "forward", {
        "in.pixel_values": pixels,
        "out.last_hidden_state": out.last_hidden_state,
        "out.pooler_output": out.pooler_output,
        "out.select_layer_-2_patch": out.hidden_states[-2][:, 1:],
        **{f"out.hidden_states.{i}": state for i, state in enumerate(out.hidden_states)},
    })}

    pixels = pixels.clone().requires_grad_()
    selected = model(pixels, output_hidden_states=True).hidden_states[-2]
    coef = torch.from_numpy(rng.standard_normal(tuple(selected.shape)).astype("float32"))
    loss = (selected * coef).sum()
    loss.backward()
    grads = {f"grad.{name}": w.grad for name, w in model.named_parameters() if w.grad is not None}
    manifest["gradients_select_layer_-2"] = common.save(folder, "gradients_select_layer_-2", {
        "in.pixel_values": pixels, "in.coef": coef, "loss": loss, **grads, "grad.pixel_values": pixels.grad,
    })
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "CLIP vision tower",
        "Two images forward, gradients of `sum(hidden_states[-2] * in.coef)`. The class token comes first.\n"
        "`in.*` inputs, `out.*` results; `manifest.json` lists tensors and shapes.",
        SEED, common.versions("torch", "transformers"), "Reference: `CLIPVisionModel` of transformers, random weights.",
        "1e-5 relative forward, 1e-4 for gradients.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

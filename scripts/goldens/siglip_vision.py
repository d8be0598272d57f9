"""SigLIP vision tower, from transformers: forward, interpolated positions, gradients below the last layer."""

import torch
from transformers import SiglipVisionConfig, SiglipVisionModel

import common

SEED = 4101
FAMILY = "siglip_vision"
CONFIG = {
    "model_type": "siglip_vision_model",
    "hidden_size": 24,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 38,
    "patch_size": 9,
    "num_channels": 3,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "attention_dropout": 0.0,
}


def images(rng, count, height, width):
    return torch.from_numpy(rng.integers(0, 256, (count, 3, height, width), dtype="uint8"))


def normalised(images_u8):
    return (images_u8.float() / 255 - 0.5) / 0.5


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    model = SiglipVisionModel(SiglipVisionConfig(**CONFIG, attn_implementation="eager")).eval()
    common.randomise(model, rng, 0.15)
    common.write_json(folder / "config.json", CONFIG)
    common.save(folder, "weights", dict(model.state_dict()))
    manifest = {}

    raw = images(rng, 2, CONFIG["image_size"], CONFIG["image_size"])
    out = model(normalised(raw), output_hidden_states=True)
    manifest["forward"] = common.save(folder, "forward", {
        "in.image_u8": raw,
        "in.pixel_values": normalised(raw),
        "out.last_hidden_state": out.last_hidden_state,
        "out.pooler_output": out.pooler_output,
        "out.select_layer_-2": out.hidden_states[-2],
        **{f"out.hidden_states.{i}": state for i, state in enumerate(out.hidden_states)},
    })

    pixels = normalised(images(rng, 1, 50, 66))
    out = model(pixels, output_hidden_states=True, interpolate_pos_encoding=True)
    manifest["interpolate_pos"] = common.save(folder, "interpolate_pos", {
        "in.pixel_values": pixels,
        "out.embeddings": out.hidden_states[0],
        "out.last_hidden_state": out.last_hidden_state,
        "out.select_layer_-2": out.hidden_states[-2],
    })

    pixels = normalised(images(rng, 2, CONFIG["image_size"], CONFIG["image_size"])).requires_grad_()
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
        folder, "SigLIP vision tower",
        "Two images forward, one wider image with interpolated positions, gradients of `sum(hidden_states[-2] * in.coef)`.\n"
        "`in.*` inputs, `out.*` results; `manifest.json` lists tensors and shapes. The image is no multiple of the patch.",
        SEED, common.versions("torch", "transformers"), "Reference: `SiglipVisionModel` of transformers, random weights.",
        "1e-4 absolute forward, 1e-3 relative for gradients.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

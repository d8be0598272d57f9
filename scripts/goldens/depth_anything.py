"""Depth Anything V2 in its metric form, from transformers: depth in metres."""

import torch
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

import common

SEED = 4159
FAMILY = "depth_anything"
CONFIG = {
    "model_type": "depth_anything",
    "backbone_config": {
        "model_type": "dinov2",
        "hidden_size": 24,
        "num_hidden_layers": 5,
        "num_attention_heads": 3,
        "mlp_ratio": 2,
        "image_size": 56,
        "patch_size": 14,
        "out_features": ["stage1", "stage2", "stage4", "stage5"],
        "out_indices": [1, 2, 4, 5],
        "reshape_hidden_states": False,
        "apply_layernorm": True,
    },
    "reassemble_hidden_size": 24,
    "fusion_hidden_size": 12,
    "neck_hidden_sizes": [6, 8, 10, 12],
    "reassemble_factors": [4, 2, 1, 0.5],
    "head_hidden_size": 5,
    "head_in_index": -1,
    "patch_size": 14,
    "depth_estimation_type": "metric",
    "max_depth": 80,
}


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    model = DepthAnythingForDepthEstimation(DepthAnythingConfig(**CONFIG)).eval()
    common.randomise(model, rng, 0.15)
    common.write_json(folder / "config.json", CONFIG)
    common.save(folder, "weights", dict(model.state_dict()))
    manifest = {}
    # The grid that positions were learnt for, and one that is neither square nor even.
    for name, size in {"square": (1, 3, 56, 56), "wide": (2, 3, 42, 98)}.items():
        pixels = torch.from_numpy(rng.standard_normal(size).astype("float32"))
        depth = model(pixels).predicted_depth
        manifest[name] = common.save(folder, name, {"in.pixel_values": pixels, "out.predicted_depth": depth})
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "Depth Anything V2, metric",
        "Pictures forward, a square and two wide ones: depth in metres.\n"
        "`in.*` inputs, `out.*` results; `manifest.json` lists tensors and shapes.",
        SEED, common.versions("torch", "transformers"),
        "Reference: `DepthAnythingForDepthEstimation` of transformers, random weights.",
        "1e-5 relative.",
    )
    common.report(folder)


if __name__ == "__main__":
    with torch.no_grad():
        main()

"""ConvNeXt, from transformers: the map of every stage."""

import torch
from transformers import ConvNextConfig, ConvNextModel

import common

SEED = 4146
FAMILY = "convnext"
CONFIG = {
    "model_type": "convnext",
    "depths": [1, 2, 1, 1],
    "hidden_sizes": [8, 12, 20, 28],
    "num_channels": 3,
    "patch_size": 4,
    "num_stages": 4,
    "hidden_act": "gelu",
}


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    model = ConvNextModel(ConvNextConfig(**CONFIG)).eval()
    common.randomise(model, rng, 0.3)
    common.write_json(folder / "config.json", CONFIG)
    common.save(folder, "weights", dict(model.state_dict()))
    # Neither side is a multiple of the last stage's 32 pixels.
    pixels = torch.from_numpy(rng.standard_normal((2, 3, 52, 72)).astype("float32"))
    out = model(pixels, output_hidden_states=True)
    manifest = {"forward": common.save(folder, "forward", {
        "in.pixel_values": pixels,
        "out.last_hidden_state": out.last_hidden_state,
        **{f"out.hidden_states.{i}": state for i, state in enumerate(out.hidden_states)},
    })}
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "ConvNeXt",
        "Two images forward: normed patches, then the map of every stage. Sides leave a rest at the coarser stages.\n"
        "`in.*` inputs, `out.*` results; `manifest.json` lists tensors and shapes.",
        SEED, common.versions("torch", "transformers"), "Reference: `ConvNextModel` of transformers, random weights.",
        "1e-5 relative.",
    )
    common.report(folder)


if __name__ == "__main__":
    with torch.no_grad():
        main()

"""Grouped Token Turing Machine of the strefer family: our own PyTorch implementation, checked against the reference."""

import torch

import common
import connectors

SEED = 4909
FAMILY = "gttm"
PREFIX = "vision_tokenizer.temporal_encoder."
DIM, GROUPS, MEMORY, LAYERS, HEADS = 12, 5, 3, 2, 4


def run_case(weights, x, coefficients, heads):
    return connectors.with_gradients(lambda w, x: connectors.gttm(x, w, PREFIX, heads), weights, x, coefficients)


def check(folder):
    """Every case of the reference."""
    config = common.read_json(folder / "config.json")
    weights = common.load(folder / "weights.safetensors")
    for name in config["cases"]:
        theirs = common.load(folder / f"case_{name}.safetensors")
        connectors.check(name, run_case(weights, theirs["x"], theirs["loss_weight"], config["num_heads"]), theirs)
    print(f"{FAMILY}: our implementation agrees with {len(config['cases'])} reference cases")


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures(FAMILY)
    if reference:
        check(reference)
    folder = common.out_dir(FAMILY)
    weights = connectors.draw(rng, connectors.gttm_shapes(PREFIX, DIM, GROUPS, MEMORY, LAYERS))
    common.save(folder, "weights", weights)
    cases = {"video": (2, 4), "one_step": (1, 1), "t32": (1, 32)}
    for name, (b, t) in cases.items():
        x = torch.from_numpy(rng.standard_normal((b, t, GROUPS, DIM))).float()
        coefficients = torch.from_numpy(rng.standard_normal((b, 1, GROUPS, DIM))).float()
        common.save(folder, f"case_{name}", run_case(weights, x, coefficients, HEADS))
    common.write_json(folder / "config.json", {
        "dim": DIM, "process_size": GROUPS, "memory_size_per_group": MEMORY, "num_layers": LAYERS, "num_heads": HEADS,
        "seed": SEED, "ff_mult": 4, "layer_norm_eps": connectors.EPS, "pos_base": 10000, "weights_without_grad": [],
        "cases": list(cases),
    })
    common.readme(
        folder, "Grouped Token Turing Machine",
        "`weights`: checkpoint names, without the read layer that is never used. `case_*`: `x` `(b, t, n, d)`, `pos_emb`, `memory_steps`\n"
        "`(t, b, n, memory, d)`, `processed_steps`, `write_logits_steps`, `output` `(b, 1, n, d)`, `loss = sum(output * loss_weight)`\n"
        "and all gradients.",
        SEED, common.versions("torch"),
        "Our own PyTorch implementation (`scripts/goldens/connectors.py`), which agrees with the reference's recorded numbers.",
        "1e-5 relative to the largest value (1e-4 after 32 steps), 1e-4 for gradients.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

"""Perceiver resampler of the strefer family, alone and with its temporal encoder: our own, checked first."""

import torch

import common
import connectors

SEED = 4808
FAMILY = "perceiver"
PREFIX = "vision_tokenizer."
DIM, OUT, LAYERS, HEADS, HEAD_DIM, LATENTS = 18, 14, 2, 3, 5, 4
MEMORY, TEMPORAL_LAYERS, TEMPORAL_HEADS = 3, 2, 2


def run_case(weights, x, coefficients, heads, temporal_heads=None):
    run = lambda w, x: connectors.perceiver(x, w, PREFIX, heads, temporal_heads)
    return connectors.with_gradients(run, weights, x, coefficients)


def check(folder):
    """Every case of the resampler alone."""
    config = common.read_json(folder / "config.json")
    weights = common.load(folder / "weights.safetensors")
    for name in config["cases"]:
        theirs = common.load(folder / f"case_{name}.safetensors")
        ours = run_case(weights, theirs["x"], theirs["loss_weight"], config["heads"])
        connectors.check(name, ours, theirs)
    print(f"{FAMILY}: our implementation agrees with {len(config['cases'])} reference cases")


def check_whole(folder):
    """The resampler with its temporal encoder, inside the reference's whole model."""
    config = common.read_json(folder / "config.json")
    weights = common.load(folder / "weights.safetensors")
    done = 0
    for path in sorted(folder.glob("batch*_outputs.safetensors")):
        theirs = common.load(path)
        heads, temporal = config["perceiver"]["heads"], config["gttm"]["num_heads"]
        latents, _ = connectors.resample(theirs["vision_features"], weights, PREFIX, heads)
        ours = connectors.perceiver(theirs["vision_features"], weights, PREFIX, heads, temporal)
        common.agree("perceiver_latents", latents, theirs["perceiver_latents"])
        common.agree("gttm_out", ours["inter.temporal_out"], theirs["gttm_out"])
        common.agree("vision_tokens", ours["output"], theirs["vision_tokens"])
        done += 1
    assert done > 0
    print(f"{FAMILY}: with its temporal encoder, our implementation agrees with {done} reference batches")


def main():
    rng = common.seeded(SEED)
    reference, whole = common.fixtures(FAMILY), common.fixtures("strefer_e2e")
    if reference:
        check(reference)
    if whole:
        check_whole(whole)
    folder = common.out_dir(FAMILY)
    shapes = connectors.perceiver_shapes(PREFIX, DIM, OUT, LAYERS, HEADS * HEAD_DIM, LATENTS)
    shapes |= connectors.gttm_shapes(PREFIX + "temporal_encoder.", DIM, LATENTS, MEMORY, TEMPORAL_LAYERS)
    weights = connectors.draw(rng, shapes)
    alone = {name: weight for name, weight in weights.items() if "temporal_encoder" not in name}
    common.save(folder, "weights", weights)

    def normal(*shape):
        return torch.from_numpy(rng.standard_normal(shape)).float()

    cases = {
        "video": (2, 3, 9, 1.0, False),
        "single_frame": (1, 1, 16, 1.0, False),
        "large_logits": (1, 2, 9, 30.0, False),
        "temporal_video": (2, 4, 9, 1.0, True),
        "temporal_single_frame": (1, 1, 9, 1.0, True),
    }
    for name, (b, t, n, scale, temporal) in cases.items():
        tokens = LATENTS if temporal else t * LATENTS
        tensors = run_case(
            weights if temporal else alone, scale * normal(b, t, 1, n, DIM), normal(b, 1, tokens, OUT), HEADS,
            TEMPORAL_HEADS if temporal else None,
        )
        common.save(folder, f"case_{name}", tensors)
    common.write_json(folder / "config.json", {
        "dim": DIM, "dim_out": OUT, "depth": LAYERS, "dim_head": HEAD_DIM, "heads": HEADS, "num_latents": LATENTS,
        "ff_mult": 4, "layer_norm_eps": connectors.EPS, "gelu": "exact (erf)", "temporal_encoder": "raw",
        "gttm": {"memory_size_per_group": MEMORY, "num_layers": TEMPORAL_LAYERS, "num_heads": TEMPORAL_HEADS},
        "seed": SEED,
        "cases": [name for name, case in cases.items() if not case[-1]],
        "gttm_cases": [name for name, case in cases.items() if case[-1]],
    })
    common.readme(
        folder, "Perceiver resampler",
        "`weights`: checkpoint names. `case_*`: `x` `(b, t, 1, n, dv)`, what each layer adds (`inter.layer<i>.*`), after the temporal\n"
        "encoder (`inter.temporal_out`), after the norm (`inter.norm_out`), `output`, `loss = sum(output * loss_weight)` and all\n"
        "gradients. `cases` of `config.json` are without a temporal encoder, `gttm_cases` with a Grouped Token Turing Machine.",
        SEED, common.versions("torch"),
        "Our own PyTorch implementation (`scripts/goldens/connectors.py`), which agrees with the reference's recorded numbers.",
        "1e-5 relative to the largest value, 1e-4 for gradients.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

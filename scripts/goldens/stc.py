"""Spatial-temporal convolution of the videorefer family, v3.5 and plain: our own, v3.5 checked against the reference."""

import torch

import common
import connectors

SEED = 5010
FAMILY = "stc"
# A quarter of either width is no whole number: 2.5 and 3.5 round to the even 2 and 4.
DIM, OUT, BLOCKS = 10, 14, 2


def run_case(weights, x, coefficients, padding):
    run = lambda w, x: connectors.stc(x, w, "", padding)
    return connectors.with_gradients(run, weights, x, coefficients, "coef")


def check(folder):
    """Every case of the reference, which recorded v3.5 only."""
    weights = common.load(folder / "stc_v35_weights.safetensors")
    entries = common.read_json(folder / "manifest.json")["stc_v35"]
    for entry in entries:
        theirs = common.load(folder / entry["file"])
        if theirs["x"].dtype == torch.bfloat16:
            half = {name: weight.bfloat16() for name, weight in weights.items()}
            connectors.check(entry["name"], {"x": theirs["x"], **connectors.stc(theirs["x"], half, "", 0)}, theirs, 5e-2)
        else:
            ours = run_case(weights, theirs["x"], theirs.get("coef", torch.ones_like(theirs["y"])), 0)
            connectors.check(entry["name"], ours, theirs)
    print(f"{FAMILY}: our implementation agrees with {len(entries)} reference cases of v3.5")


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures("videorefer")
    if reference:
        check(reference)
    folder = common.out_dir(FAMILY)
    weights = connectors.draw(rng, connectors.stc_shapes(DIM, OUT, BLOCKS))
    common.save(folder, "stc_v35_weights", weights)
    cases = {
        "t4_grid4": ((1, 4, 16, DIM), "even sizes"),
        "t3_grid5_odd": ((1, 3, 25, DIM), "odd sizes: v3.5 drops the last frame, row and column"),
        "b2_t2_5d_nonsquare": ((2, 2, 4, 3, DIM), "5-d input b,t,h,w,d"),
    }
    manifest = {"generator": {"versions": common.versions("torch"), "seed": SEED, "device": "cpu"}}
    for variant, padding in {"stc_v35": 0, "stc": 1}.items():
        listed = []
        for name, (shape, note) in cases.items():
            x = torch.from_numpy(rng.standard_normal(shape)).float()
            tokens = connectors.stc(x, weights, "", padding)["y"]
            coefficients = torch.from_numpy(rng.standard_normal(tuple(tokens.shape))).float()
            file = f"{variant}_{name}.safetensors"
            shapes = common.save(folder, file.removesuffix(".safetensors"), run_case(weights, x, coefficients, padding))
            listed.append({"name": name, "file": file, "note": note, "x_shape": shapes["x"], "y_shape": shapes["y"]})
        manifest[variant] = listed
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "Spatial-temporal convolution",
        "`stc_v35_weights`: checkpoint names, for both variants. Cases `stc_v35_*` have no padding in the sampler, cases `stc_*` (the\n"
        "plain connector) one on every side. `x`, maps after the first block (`after_s1_b1`), the stages and the sampler, `y`,\n"
        "`loss = sum(y * coef)` and all gradients.",
        SEED, common.versions("torch"),
        "Our own PyTorch implementation (`scripts/goldens/connectors.py`). v3.5 agrees with the reference's recorded numbers; of the "
        "plain\n  connector there are none, it differs from v3.5 in the padding alone and is unchecked.",
        "1e-5 relative to the largest value, 1e-4 for gradients.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

"""Region connector of the strefer family: our own PyTorch implementation, checked against the reference first."""

import numpy as np
import torch

import common
import regions

SEED = 4404
FAMILY = "region_connector"
DIM, HIDDEN, LIMIT, GRID = 11, 14, 4, 5
PREFIX = "region_encoder."


def run_case(weights, feats, masks, objects, limit, loss_weight=None):
    """Everything a case file holds, gradients included."""
    weights = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    feats = feats.clone().requires_grad_()
    small, pooled, merged, counts = regions.encode_sample(feats, masks, objects, limit)
    output = regions.mlp(merged, weights, PREFIX)
    if loss_weight is None:
        loss_weight = torch.randn(output.shape)
    loss = (output * loss_weight).sum()
    loss.backward()
    tensors = {
        "feats": feats, "masks": masks, "grid_masks": small.to(torch.uint8), "pooled": pooled, "merged": merged,
        "output": output, "loss": loss, "loss_weight": loss_weight, "grad.feats": feats.grad,
        **{f"grad.{name}": weight.grad for name, weight in weights.items()},
    }
    bounds = np.cumsum([0] + [len(rows) for rows in objects])
    similarities = [
        regions.adjacent_similarities(pooled[a:b]).tolist() if b - a > 1 else [] for a, b in zip(bounds, bounds[1:])
    ]
    return tensors, {"ann_indices": objects, "region_token_nums": counts, "adjacent_similarities": similarities}


def check(folder):
    """Every regular case of the reference."""
    limit = common.read_json(folder / "config.json")["region_token_num"]
    weights = common.load(folder / "weights.safetensors")
    done = 0
    for name, case in common.read_json(folder / "cases.json").items():
        if name.startswith("quirk_"):
            continue
        theirs = common.load(folder / f"case_{name}.safetensors")
        ours, facts = run_case(weights, theirs["feats"], theirs["masks"], case["ann_indices"], limit, theirs["loss_weight"])
        assert facts["region_token_nums"] == case["region_token_nums"], name
        for key, value in theirs.items():
            common.agree(f"{name} {key}", ours[key].detach(), value, 1e-4 if key.startswith("grad") else 1e-5)
        done += 1
    merges = common.load(folder / "token_merge.safetensors")
    for index in range(len(merges) // 2):
        x, y = merges[f"x{index}"][0], merges[f"y{index}"][0]
        common.agree(f"merge {index}", regions.merge(x, x.shape[0] - y.shape[0]), y)
        done += 1
    print(f"{FAMILY}: our implementation agrees with {done} reference cases")


def blob(rng, height, width):
    """An ellipse somewhere in the frame."""
    y, x = np.mgrid[:height, :width]
    cy, cx = rng.uniform(0.25, 0.75) * height, rng.uniform(0.25, 0.75) * width
    ry, rx = rng.uniform(0.12, 0.3) * height, rng.uniform(0.12, 0.3) * width
    return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1


def blobs(rng, count, height, width):
    return torch.from_numpy(np.stack([blob(rng, height, width) for _ in range(count)]).astype("uint8"))


def cases(rng):
    """name -> (feats, masks, objects, note)"""
    def feats(count, grid=GRID):
        return torch.from_numpy(rng.standard_normal((count, grid * grid, DIM)).astype("float32"))

    def masks(count, height=18, width=26):
        return blobs(rng, count, height, width)

    def span(count):
        return list(range(count))

    yield "one_object_one_frame", feats(1), masks(1), [[0]], "one object in one frame"
    yield "frames_4", feats(4), masks(4), [span(4)], "as many frames as tokens: nothing is merged"
    yield "frames_6", feats(6), masks(6), [span(6)], "one object in 6 frames"
    yield "frames_13", feats(13), masks(13), [span(13)], "one object in 13 frames"
    pixel = masks(2, 40, 40)
    pixel[0] = 0
    pixel[0, 0, 0] = 1
    yield "vanishing_mask", feats(2), pixel, [[0, 1]], "the first mask is one pixel between the sample points"
    yield "all_zero_mask", feats(1), torch.zeros((1, 18, 26), dtype=torch.uint8), [[0]], "an empty mask: MLP of zeros"
    yield "full_mask", feats(1), torch.ones((1, 18, 26), dtype=torch.uint8), [[0]], "the mean of the grid"
    yield "grid_sized_mask", feats(1), masks(1, GRID, GRID), [[0]], "no interpolation"
    yield "upsampled_mask", feats(1), torch.tensor([[[0, 1, 0], [0, 0, 0]]], dtype=torch.uint8), [[0]], "smaller than the grid"
    same = feats(1).repeat(7, 1, 1)
    yield "ties_all_identical", same, masks(1).repeat(7, 1, 1), [span(7)], "identical frames: one token"
    pair = feats(3)
    yield "ties_alternating", pair[[0, 1, 0, 1, 0, 1, 2]], masks(1).repeat(7, 1, 1), [span(7)], "five equal similarities"
    yield "all_vanish_5_frames", feats(5), torch.zeros((5, 18, 26), dtype=torch.uint8), [span(5)], "one zero token"
    some = masks(6)
    some[[1, 4]] = 0
    yield "some_vanish_6_frames", feats(6), some, [span(6)], "two of six masks are empty"
    objects = [[0], [0, 1, 2, 3, 4, 5], [1, 4], [0, 2, 3, 4, 5]]
    yield "four_objects_shared_frames", feats(6), masks(14), objects, "objects share frames"
    yield "three_objects_single_frame_each", feats(4), masks(3), [[3], [3], [0]], "frame 1 and 2 are used by nobody"
    yield "grid27", feats(1, 27), masks(2, 60, 47), [[0], [0]], "the real grid"


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures(FAMILY)
    if reference:
        check(reference)
    torch.manual_seed(SEED)
    folder = common.out_dir(FAMILY)
    shapes = {"0.weight": (HIDDEN, DIM), "0.bias": (HIDDEN,), "2.weight": (HIDDEN, HIDDEN), "2.bias": (HIDDEN,)}
    weights = {
        f"{PREFIX}feat_linear.{name}": torch.from_numpy(0.3 * rng.standard_normal(shape)).float()
        for name, shape in shapes.items()
    }
    common.save(folder, "weights", weights)
    facts = {}
    for name, feats, masks, objects, note in cases(rng):
        tensors, facts[name] = run_case(weights, feats, masks, objects, LIMIT)
        facts[name]["note"] = note
        common.save(folder, f"case_{name}", tensors)
    common.write_json(folder / "cases.json", facts)

    merges, listed = {}, []
    for index, (count, remove) in enumerate([(5, 1), (7, 3), (11, 7), (20, 16), (6, 5)]):
        x = torch.from_numpy(rng.standard_normal((count, DIM)).astype("float32"))
        y = regions.merge(x, remove)
        merges |= {f"x{index}": x[None], f"y{index}": y[None]}
        listed.append({"n": count, "r": remove, "out": y.shape[0]})
    common.save(folder, "token_merge", merges)
    common.write_json(folder / "config.json", {
        "mm_hidden_size": DIM, "hidden_size": HIDDEN, "depth": 2, "region_token_num": LIMIT, "grid": GRID,
        "seed": SEED, "token_merge": listed,
    })
    common.readme(
        folder, "Region connector",
        "`case_*`: `feats` `(f, p, dv)`, `masks` `(n, H, W)` object by object, `grid_masks` after resizing, `pooled`, `merged`,\n"
        "`output`, `loss = sum(output * loss_weight)` and all gradients. `cases.json`: frames and tokens of every object and\n"
        "the similarities that decide the merge. `token_merge`: merging `x<i>` by `r` gives `y<i>`.",
        SEED, common.versions("torch"),
        "Our own PyTorch implementation (`scripts/goldens/regions.py`), which agrees with the reference's recorded numbers.",
        "1e-5 relative to the largest value, 1e-4 for gradients; token counts and grid masks equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

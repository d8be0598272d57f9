"""The object encoder and token merge cases of the videorefer family."""

import numpy as np
import torch

import common
import regions
from region_connector import blobs

DIM, HIDDEN, GRID = 8, 18, 5


def encode(weights, feats, masks, objects, limit, pad):
    """A batch: `masks` and `objects` per sample, rows of `feats` counted over the whole batch."""
    smalls, pooleds, tokens, counts = [], [], [], []
    for sample_masks, sample_objects in zip(masks, objects):
        small, pooled, merged, count = regions.encode_sample(feats, sample_masks, sample_objects, limit, pad)
        smalls.append(small)
        pooleds.append(pooled)
        tokens.append(merged)
        counts += count
    tokens = torch.cat(tokens).to(feats.dtype)
    return regions.mlp(tokens, weights, ""), smalls, pooleds, counts


def check(folder):
    """Every object encoder and merge case of the reference."""
    weights = common.load(folder / "object_encoder_weights.safetensors")
    manifest = common.read_json(folder / "manifest.json")
    for case in manifest["object_encoder"]:
        theirs = common.load(folder / case["file"])
        masks = [theirs[f"masks.{i}"] for i in range(len(case["ann_indices"]))]
        pad = case["image_aspect_ratio"] == "pad"
        is_grad = case["name"] == "grad"
        feats = theirs["feats"].clone().requires_grad_(is_grad)
        mine = {name: weight.clone().requires_grad_(is_grad) for name, weight in weights.items()}
        out, smalls, pooleds, counts = encode(mine, feats, masks, case["ann_indices"], case["union_u"], pad)
        assert counts == case["region_token_nums"], case["name"]
        tolerance = 2e-2 if case.get("dtype") == "bfloat16" else 1e-5
        common.agree(case["name"], out.detach().float(), theirs["out"].float(), tolerance)
        for i, (small, pooled) in enumerate(zip(smalls, pooleds)):
            if f"pooled.{i}" in theirs:
                common.agree(f"{case['name']} grid {i}", small, theirs[f"grid_mask.{i}"].float(), 0)
                common.agree(f"{case['name']} pooled {i}", pooled, theirs[f"pooled.{i}"])
        if is_grad:
            (out * theirs["coef"]).sum().backward()
            common.agree("grad feats", feats.grad, theirs["grad.feats"], 1e-4)
            for name, weight in mine.items():
                common.agree(f"grad {name}", weight.grad, theirs[f"grad.{name}"], 1e-4)
    merges = common.load(folder / "token_merge.safetensors")
    for case in manifest["token_merge"]["cases"]:
        i = case["case"]
        common.agree(f"merge {i}", regions.merge(merges[f"{i}.x"][0], case["remove"]), merges[f"{i}.y"][0])
        common.agree(f"similarity {i}", regions.adjacent_similarities(merges[f"{i}.x"][0]), merges[f"{i}.sim"][0])
    total = len(manifest["object_encoder"]) + len(manifest["token_merge"]["cases"])
    print(f"videorefer: our implementation agrees with {total} reference cases")


def cases(rng):
    """name -> (feats, masks per sample, objects per sample, u, pad, note)"""
    def feats(count, grid=GRID):
        return torch.from_numpy(rng.standard_normal((count, grid * grid, DIM)).astype("float32"))

    def masks(count, height=30, width=42):
        return blobs(rng, count, height, width)

    def span(count):
        return list(range(count))

    empty = torch.zeros
    yield "single_frame_one_object", feats(1), [masks(1)], [[[0]]], 4, False, "one token"
    yield "single_frame_two_objects", feats(1), [masks(2)], [[[0], [0]]], 4, False, "two objects share a frame"
    yield "multi_k_lt_u", feats(2), [masks(2)], [[span(2)]], 4, False, "fewer frames than u"
    yield "multi_k_eq_u", feats(4), [masks(4)], [[span(4)]], 4, False, "as many frames as u"
    yield "multi_k_u_plus_1", feats(5), [masks(5)], [[span(5)]], 4, False, "one merge"
    yield "multi_k_gt_u", feats(11), [masks(11)], [[span(11)]], 4, False, "seven merges"
    some = masks(6)
    some[[2, 3]] = 0
    yield "some_frames_empty", feats(6), [some], [[span(6)]], 4, False, "pairs with an empty frame have similarity 0"
    yield "all_empty_single", feats(1), [empty((1, 30, 42), dtype=torch.uint8)], [[[0]]], 4, False, "MLP of zeros"
    yield "all_empty_multi", feats(5), [empty((5, 30, 42), dtype=torch.uint8)], [[span(5)]], 4, False, "everything ties: one token"
    pair = feats(4)
    one = masks(1)
    yield "exact_ties", pair[[0, 0, 1, 1, 2, 2, 3, 3]], [one.repeat(8, 1, 1)], [[span(8)]], 4, False, "pairs of equal frames"
    yield "all_identical_frames", feats(1).repeat(6, 1, 1), [one.repeat(6, 1, 1)], [[span(6)]], 4, False, "one token"
    yield "ragged_objects", feats(7), [masks(9)], [[[0, 2, 3, 4, 6], [5], [0, 1, 2]]], 4, False, "5, 1 and 3 frames of one list"
    yield "unordered_frame_list", feats(5), [masks(5)], [[[4, 1, 0, 3, 2]]], 4, False, "annotation order, not sorted"
    yield (
        "batch_two_samples", feats(7), [masks(3), masks(5, 22, 31)], [[[0], [1, 0]], [[2, 3, 4, 5, 6]]], 4, False,
        "the second sample's rows come after the first sample's",
    )
    thin = empty((2, 90, 121), dtype=torch.uint8)
    thin[0, 40, :] = 1
    thin[1, :, 17:19] = 1
    yield "thin_masks", feats(2), [thin], [[[0], [1]]], 4, False, "lines one and two pixels wide"
    yield "mask_upsample", feats(1), [torch.tensor([[[1, 0], [0, 0], [0, 1]]], dtype=torch.uint8)], [[[0]]], 4, False, "smaller than the grid"
    yield "mask_same_as_grid", feats(2), [masks(2, GRID, GRID)], [[span(2)]], 4, False, "no interpolation"
    yield "aspect_pad_wide", feats(1), [masks(1, 21, 40)], [[[0]]], 4, True, "odd padding, the rest below"
    yield "aspect_pad_tall", feats(1), [masks(1, 40, 23)], [[[0]]], 4, True, "odd padding, the rest to the right"
    yield "no_masks_given", feats(1), [empty((0, 30, 42), dtype=torch.uint8)], [[[0]]], 4, False, "an empty list counts as one empty mask"
    yield "u1", feats(5), [masks(5)], [[span(5)]], 1, False, "one averaged token"
    yield "u6", feats(9), [masks(9)], [[span(9)]], 6, False, "another limit"
    yield "full_grid27", feats(1, 27), [masks(1, 80, 143)], [[[0]]], 4, False, "the real grid"
    yield "bf16", feats(7).bfloat16(), [masks(7)], [[span(7)]], 4, False, "pooling and merging in float32, then bf16"
    yield "grad", feats(6), [masks(6)], [[span(6)]], 4, False, "loss = sum(out * coef)"


def record(folder, rng):
    """The manifest's entries `object_encoder` and `token_merge`."""
    shapes = {"0.weight": (HIDDEN, DIM), "0.bias": (HIDDEN,), "2.weight": (HIDDEN, HIDDEN), "2.bias": (HIDDEN,)}
    weights = {f"feat_linear.{n}": torch.from_numpy(0.3 * rng.standard_normal(s)).float() for n, s in shapes.items()}
    common.save(folder, "object_encoder_weights", weights)
    encoder = []
    for name, feats, masks, objects, limit, pad, note in cases(rng):
        mine = {key: weight.clone().requires_grad_() for key, weight in weights.items()}
        feats = feats.clone().requires_grad_()
        out, smalls, pooleds, counts = encode(mine, feats, masks, objects, limit, pad)
        tensors = {"feats": feats, "out": out} | {f"masks.{i}": mask for i, mask in enumerate(masks)}
        entry = {
            "name": name, "file": f"object_encoder_{name}.safetensors", "union_u": limit,
            "image_aspect_ratio": "pad" if pad else "square", "ann_indices": objects, "region_token_nums": counts,
        }
        if name == "grad":
            coef = torch.from_numpy(rng.standard_normal(tuple(out.shape)).astype("float32"))
            loss = (out * coef).sum()
            loss.backward()
            tensors |= {"coef": coef, "loss": loss[None], "grad.feats": feats.grad}
            tensors |= {f"grad.{key}": weight.grad for key, weight in mine.items()}
        else:
            for i, (small, pooled) in enumerate(zip(smalls, pooleds)):
                tensors |= {f"grid_mask.{i}": small.to(torch.uint8), f"pooled.{i}": pooled}
            entry |= {
                "feats_shape": list(feats.shape), "mask_shapes": [list(mask.shape) for mask in masks],
                "out_shape": list(out.shape), "dtype": str(feats.dtype).removeprefix("torch."),
            }
        common.save(folder, f"object_encoder_{name}", tensors)
        encoder.append(entry | {"note": note})

    merges, listed = {}, []
    for i, (count, limit) in enumerate([(5, 4), (8, 4), (14, 4), (6, 1), (13, 6)]):
        x = torch.from_numpy(rng.standard_normal((count, DIM)).astype("float32"))
        y = regions.merge(x, count - limit)
        merges |= {f"{i}.x": x[None], f"{i}.sim": regions.adjacent_similarities(x)[None], f"{i}.y": y[None]}
        listed.append({"case": i, "k": count, "remove": count - limit, "u": limit, "out_tokens": y.shape[0]})
    common.save(folder, "token_merge", merges)
    return {"object_encoder": encoder, "token_merge": {"file": "token_merge.safetensors", "cases": listed}}

"""Masks, frame choice and pixels of the videorefer family."""

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco
from transformers import SiglipImageProcessor

import common
from region_connector import blob


# Masks, by pycocotools.

def uncompressed(mask):
    """Runs along columns, zeros first."""
    flat = np.concatenate([[0], mask.astype(np.uint8).flatten(order="F")])
    ends = np.flatnonzero(np.diff(flat.astype(np.int8)) != 0)
    bounds = np.concatenate([[0], ends, [mask.size]])
    return np.diff(bounds).astype(int).tolist()


def decode(segmentation, height, width):
    if isinstance(segmentation, list):
        return coco.decode(coco.merge(coco.frPyObjects(segmentation, height, width)))
    if isinstance(segmentation["counts"], list):
        return coco.decode(coco.frPyObjects(segmentation, *segmentation["size"]))
    return coco.decode(segmentation)


def segmentation_cases(rng):
    masks = {
        "blob": blob(rng, 44, 71),
        "noise": rng.random((17, 29)) < 0.5,
        "all_one": np.ones((6, 13)),
        "all_zero": np.zeros((5, 16)),
        "first_pixel_set": np.eye(9, 14),
        "last_pixel_set": np.flip(np.eye(9, 14)),
        "large": blob(rng, 90, 160) | blob(rng, 90, 160),
    }
    for name, mask in masks.items():
        mask = np.asfortranarray(mask.astype(np.uint8))
        size = list(mask.shape)
        text = coco.encode(mask)["counts"].decode()
        yield f"compressed_{name}", {"size": size, "counts": text}, None, None
        yield f"uncompressed_{name}", {"size": size, "counts": uncompressed(mask)}, *size
    polygons = {
        "triangle": [[3.5, 2.25, 33.0, 9.5, 12.0, 29.0]],
        "two_parts": [[1, 1, 11, 1, 11, 14, 1, 14], [20.25, 6.5, 45, 8, 33, 31.5]],
        "overlapping": [[2, 3, 25, 3, 25, 22, 2, 22], [15, 12, 44, 12, 44, 30, 15, 30]],
        "out_of_bounds": [[-7, -4, 30, 6, 61, 44, 5, 50]],
        "thin": [[2, 2, 40, 2.4, 40, 3.1, 2, 2.6]],
    }
    for name, polygon in polygons.items():
        yield f"polygon_{name}", polygon, 34, 49


def record_segmentation(folder, rng):
    cases, masks = [], {}
    for name, segmentation, height, width in segmentation_cases(rng):
        mask = decode(segmentation, height, width)
        masks[name] = torch.from_numpy(np.ascontiguousarray(mask))
        cases.append({"name": name, "segmentation": segmentation, "height": height, "width": width, "area": int(mask.sum())})
    common.save(folder, "segmentation_masks", masks)
    common.write_json(folder / "segmentation_cases.json", cases, indent=None)
    return {"segmentation": {"masks": "segmentation_masks.safetensors", "cases": "segmentation_cases.json"}}


# Frame choice, by our own arithmetic.

def uniform(n, count):
    middle = ((n - 1) / count) * (np.arange(count) + 0.5) + 1e-6
    return {"mode": "uniform", "frames_in_range": n, "num_frames": count, "indices": np.round(middle).astype(int).tolist()}


def by_fps(n, fps):
    step = min(int(fps // 1), n)
    return {"mode": "fps", "frames_in_range": n, "fps": fps, "indices": list(range(step // 2, n, step))}


def record_sampling(folder):
    rows = [uniform(n, count) for n in (1, 3, 6, 10, 25, 32, 75, 301, 4000) for count in (4, 8, 12, 16)]
    rows += [by_fps(n, fps) for n, fps in ((50, 25.0), (91, 29.97), (6, 24.0), (33, 12.5), (240, 59.94))]
    common.write_json(folder / "frame_sampling_cases.json", rows, indent=None)
    return {"frame_sampling": "frame_sampling_cases.json"}


# Pixels, by transformers' image processor on PIL images.

def pad_to_square(image):
    side = max(image.size)
    canvas = Image.new("RGB", (side, side), (127, 127, 127))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas


def preprocess(array, size, pad):
    image = Image.fromarray(array)
    processor = SiglipImageProcessor(size={"height": size, "width": size})
    return processor(pad_to_square(image) if pad else image, return_tensors="pt")["pixel_values"][0]


def scene(rng, height, width):
    """Gradients, an edge and noise: smooth parts and sharp ones."""
    y, x = np.mgrid[:height, :width]
    base = np.stack([255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 3 + y / 5)], -1)
    base[blob(rng, height, width)] = rng.integers(0, 256, 3)
    return np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


def record_pixels(folder, rng):
    cases, tensors = [], {}
    for name, height, width, size, pad in (
        ("down_square", 46, 61, 28, False), ("down_pad_wide", 33, 52, 28, True), ("down_pad_tall", 53, 32, 28, True),
        ("up_square", 15, 22, 28, False), ("same_size", 28, 28, 28, False), ("stored_as_u8", 56, 96, 70, False),
    ):
        array = scene(rng, height, width)
        pixels = preprocess(array, size, pad)
        tensors[f"{name}.image"] = torch.from_numpy(array)
        if name == "stored_as_u8":
            tensors[f"{name}.resized_u8"] = ((pixels * 0.5 + 0.5) * 255).round().to(torch.uint8)
        else:
            tensors[f"{name}.pixel_values"] = pixels
        cases.append({"name": name, "size": size, "pad_to_square": pad, "image_hwc": [height, width, 3]})
    common.save(folder, "image_preprocess", tensors)
    note = "SiglipImageProcessor: PIL bicubic (antialiased) on uint8, x/255, (x-0.5)/0.5"
    return {"image_preprocess": {"file": "image_preprocess.safetensors", "cases": cases, "note": note}}


def check(folder):
    """All three against the reference's recorded numbers."""
    masks = common.load(folder / "segmentation_masks.safetensors")
    cases = common.read_json(folder / "segmentation_cases.json")
    for case in cases:
        mask = torch.from_numpy(decode(case["segmentation"], case["height"], case["width"]).copy())
        common.agree(case["name"], mask, masks[case["name"]], 0)
        assert int(mask.sum()) == case["area"]
        if case["name"].startswith("uncompressed"):
            assert uncompressed(mask.numpy()) == case["segmentation"]["counts"], case["name"]
    rows = common.read_json(folder / "frame_sampling_cases.json")
    for row in rows:
        is_uniform = row["mode"] == "uniform"
        n = row["frames_in_range"]
        ours = uniform(n, row["num_frames"]) if is_uniform else by_fps(n, row["fps"])
        assert row == ours, (row, ours)
    pixels = common.load(folder / "image_preprocess.safetensors")
    images = common.read_json(folder / "manifest.json")["image_preprocess"]["cases"]
    for case in images:
        ours = preprocess(pixels[f"{case['name']}.image"].numpy(), case["size"], case["pad_to_square"])
        if f"{case['name']}.resized_u8" in pixels:
            ours = ((ours * 0.5 + 0.5) * 255).round()
            common.agree(case["name"], ours, pixels[f"{case['name']}.resized_u8"].float(), 0)
        else:
            common.agree(case["name"], ours, pixels[f"{case['name']}.pixel_values"], 1e-6)
    print(f"videorefer: masks, sampling and pixels agree with {len(cases) + len(rows) + len(images)} reference cases")

"""RexSeek's high-resolution tower under its own names, from transformers, and what it says about boxes, by our own code,
which is checked against recorded numbers first: maps brought to the size of the first, RoIAlign, sine positions."""

import math

import torch
from transformers import ConvNextConfig, ConvNextModel

import common

SEED = 4147
FAMILY = "rexseek_modules"
CONFIG = {"convnext": {"dims": [8, 12, 16, 24], "depths": [1, 1, 2, 1]}, "canvas": 64}
BINS, SCALE = 7, 0.25
NAMES = [
    ("embeddings.patch_embeddings.", "vision_stem.0."),
    ("embeddings.layernorm.", "vision_stem.1."),
    ("encoder.stages.", "vision_stages."),
    (".downsampling_layer.", ".downsample."),
    (".layers.", ".blocks."),
    (".dwconv.", ".conv_dw."),
    (".layernorm.", ".norm."),
    (".pwconv1.", ".mlp.fc1."),
    (".pwconv2.", ".mlp.fc2."),
    (".layer_scale_parameter", ".ramma"),
]


def sample(plane, y, x):
    """One bilinear sample of `(c, h, w)`; a place more than one cell outside is zero."""
    _, h, w = plane.shape
    if y < -1 or y > h or x < -1 or x > w:
        return torch.zeros(plane.shape[0])
    y, x = max(y, 0.0), max(x, 0.0)
    low_y, low_x = int(y), int(x)
    if low_y >= h - 1:
        low_y = y = h - 1
    if low_x >= w - 1:
        low_x = x = w - 1
    high_y, high_x = min(low_y + 1, h - 1), min(low_x + 1, w - 1)
    ty, tx = y - low_y, x - low_x
    return (
        (1 - ty) * (1 - tx) * plane[:, low_y, low_x] + (1 - ty) * tx * plane[:, low_y, high_x]
        + ty * (1 - tx) * plane[:, high_y, low_x] + ty * tx * plane[:, high_y, high_x]
    )


def roi_mean(maps, boxes):
    """The mean of 7 by 7 bins of every box over all maps, resized to the first and one behind the other."""
    size = maps[0].shape[-2:]
    resize = lambda m: torch.nn.functional.interpolate(m, size, mode="bilinear", align_corners=False)
    plane = torch.cat([resize(m) for m in maps], 1)[0]
    rows = []
    for left, top, right, bottom in (boxes * SCALE).tolist():
        width, height = max(right - left, 1.0), max(bottom - top, 1.0)
        across, down = math.ceil(width / BINS), math.ceil(height / BINS)
        total = torch.zeros(plane.shape[0])
        for i in range(BINS * down):
            for j in range(BINS * across):
                y = top + (i // down) * height / BINS + (i % down + 0.5) * height / BINS / down
                x = left + (j // across) * width / BINS + (j % across + 0.5) * width / BINS / across
                total += sample(plane, y, x)
        rows.append(total / (BINS * BINS * down * across))
    return torch.stack(rows)


def positions(boxes, canvas, width):
    left, top, right, bottom = (boxes / canvas).unbind(-1)
    numbers = [(top + bottom) / 2, (left + right) / 2, right - left, bottom - top]
    each = width // 4
    at = torch.arange(each)
    waves = 10000.0 ** (2 * (at // 2) / each)
    encode = lambda n: torch.where(at % 2 == 0, (n[:, None] * 2 * math.pi / waves).sin(), (n[:, None] * 2 * math.pi / waves).cos())
    return torch.cat([encode(n) for n in numbers], -1)


def check():
    folder = common.fixtures(FAMILY)
    if folder is None:
        return
    images, objects = common.load(folder / "encode_images.safetensors"), common.load(folder / "encode_objects.safetensors")
    canvas = common.read_json(folder / "config.json")["canvas"]
    maps = [images[f"stage_{at}"] for at in range(4)]
    boxes = objects["f32.boxes"]
    common.agree("roi_mean", roi_mean(maps, boxes), objects["f32.roi_mean"])
    width = objects["f32.pos_embed"].shape[-1]
    common.agree("pos_embed", positions(boxes, canvas, width), objects["f32.pos_embed"])
    print(f"{FAMILY}: agrees with the fixtures")


def renamed(name):
    for ours, theirs in NAMES:
        name = name.replace(ours, theirs, 1)
    return f"vision_tower_aux.{name}"


def main():
    check()
    rng = common.seeded(SEED)
    torch.use_deterministic_algorithms(False)
    folder = common.out_dir(FAMILY)
    cfg, canvas = CONFIG["convnext"], CONFIG["canvas"]
    model = ConvNextModel(ConvNextConfig(hidden_sizes=cfg["dims"], depths=cfg["depths"])).eval()
    common.randomise(model, rng, 0.3)
    common.write_json(folder / "config.json", CONFIG)
    weights = {renamed(k): v for k, v in model.state_dict().items() if not k.startswith("layernorm.")}
    common.save(folder, "weights", weights)
    pixels = torch.from_numpy(rng.standard_normal((1, 3, canvas, canvas)).astype("float32"))
    states = model(pixels, output_hidden_states=True).hidden_states
    maps = states[1:]
    manifest = {"encode_images": common.save(folder, "encode_images", {
        "pixel_values_aux": pixels, "stem": states[0], **{f"stage_{at}": m for at, m in enumerate(maps)},
    })}
    corners = torch.from_numpy(rng.uniform(0, canvas, (6, 2, 2)).astype("float32")).sort(1).values.flatten(1)
    odd = torch.tensor([[20.0, 30.0, 20.0, 30.0], [-30.0, -10.0, 20.0, 90.0], [0.0, 0.0, canvas, canvas]])
    boxes = torch.cat([corners, odd])
    means = roi_mean(maps, boxes)
    places = positions(boxes, canvas, means.shape[-1])
    manifest["encode_objects"] = common.save(folder, "encode_objects", {
        "f32.boxes": boxes, "f32.roi_mean": means, "f32.pos_embed": places, "f32.object_features": means + places,
    })
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "RexSeek's high-resolution tower and boxes",
        "The maps of ConvNeXt under RexSeek's names, and for boxes (left, top, right, bottom; one without area, one that leaves\n"
        "the canvas) the mean of all maps, positions and their sum. `manifest.json` lists tensors and shapes.",
        SEED, common.versions("torch", "transformers"),
        "Reference: `ConvNextModel` of transformers, random weights; boxes by our own code, checked against numbers recorded from RexSeek.",
        "1e-5 relative.",
    )
    common.report(folder)


if __name__ == "__main__":
    with torch.no_grad():
        main()

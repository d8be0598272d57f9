"""What is left of pictures after PIL wrote them as JPEG and read them again, as Strefer's masklet generator does."""

import io

import numpy as np
import torch
from PIL import Image

import common

SEED = 4191
FAMILY = "jpeg"


def picture(rng, height, width):
    """Slow colours, an edge and a little noise."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([3 * x, 255 - 4 * y, 128 + 60 * np.sin(x / 7) * np.cos(y / 5)], -1).astype(float)
    base[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2] = [220, 40, 30]
    return (base + rng.normal(0, 4, base.shape)).clip(0, 255).astype("uint8")


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    tensors = {}
    for name, size in {"even": (48, 64), "odd": (37, 51)}.items():
        pixels = picture(rng, *size)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        tensors[f"in.{name}"] = torch.from_numpy(pixels)
        tensors[f"out.{name}"] = torch.from_numpy(np.array(Image.open(file).convert("RGB")))
    common.write_json(folder / "manifest.json", {"pictures": common.save(folder, "pictures", tensors)})
    common.readme(
        folder, "Pictures through JPEG", "`in.*` pictures, `out.*` what PIL reads of what it wrote with its usual quality.",
        SEED, common.versions("pillow", "numpy"), "Reference: PIL, which uses libjpeg-turbo.",
        "a mean of 0.6 levels: the decoder rounds otherwise.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

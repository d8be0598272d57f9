"""What the recording scripts share: where goldens go, where reference fixtures are, and how files are written."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2] / "tests" / "goldens"


def out_dir(family):
    """The folder of a family, emptied of what an earlier run recorded."""
    folder = ROOT / family
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    return folder


def fixtures(family):
    """Reference numbers recorded from the original code, or None with a note when there are none here."""
    root = os.environ.get("STREFER_FIXTURES")
    folder = Path(root, family) if root else None
    if folder is None or not folder.is_dir():
        print(f"{family}: STREFER_FIXTURES has no such folder, our own implementation is recorded UNCHECKED")
        return None
    return folder


def seeded(seed):
    """Exact repetition: one thread, one generator."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return np.random.default_rng(seed)


def save(folder, name, tensors):
    """One safetensors file; booleans as uint8. Returns the shapes for the manifest."""
    tensors = {
        key: (value.to(torch.uint8) if value.dtype == torch.bool else value).detach().clone().contiguous()
        for key, value in tensors.items()
    }
    path = folder / f"{name}.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)
    return {key: list(value.shape) for key, value in tensors.items()}


def load(path):
    """All tensors of a safetensors file."""
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}


def write_json(path, value, indent=1):
    path.write_text(json.dumps(value, indent=indent) + "\n")


def read_json(path):
    return json.loads(Path(path).read_text())


def agree(name, ours, theirs, tolerance=1e-5):
    """Stops the recording where our implementation leaves the reference."""
    ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
    assert ours.shape == theirs.shape, f"{name}: {tuple(ours.shape)} instead of {tuple(theirs.shape)}"
    if theirs.numel() == 0:
        return
    scale = max(1.0, theirs.double().abs().max().item())
    gap = (ours.double() - theirs.double()).abs().max().item() / scale
    assert gap <= tolerance, f"{name}: differs from the reference by {gap:.2e}"


def randomise(model, rng, scale):
    """Weights larger than a usual initialisation, so that every branch matters."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.from_numpy(rng.standard_normal(tuple(weight.shape)).astype(np.float32))
            is_norm = "norm" in name and name.endswith("weight")
            weight.copy_(1.0 + 0.2 * noise if is_norm else scale * noise)


README = """# {title}

{what}

- Recorded by `scripts/goldens/record {family}` (seed {seed}), on the CPU, {versions}.
- {origin}
- Tolerance: {tolerance}
"""


def readme(folder, title, what, seed, versions, origin, tolerance):
    text = README.format(
        family=folder.name, title=title, what=what.strip(), seed=seed, versions=versions, origin=origin, tolerance=tolerance
    )
    (folder / "README.md").write_text(text)


def versions(*names):
    """`name version` of every package, from the packages themselves."""
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in names)


def report(folder):
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder.name}: {len(list(folder.iterdir()))} files, {size / 1000:.0f} kB")

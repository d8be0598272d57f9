"""Our own region encoder in PyTorch: mask pooling, temporal token merge, two-layer MLP.

Written from the published description of VideoRefer's object encoder (arXiv 2501.00599): no package carries it. The
recording scripts check it against reference numbers before they record anything.
"""

import torch
import torch.nn.functional as F


def adjacent_similarities(tokens):
    """Cosine of neighbouring rows: `(k, d)` -> `(k - 1,)`."""
    unit = F.normalize(tokens, dim=-1, eps=1e-12)
    return (unit[:-1] * unit[1:]).sum(-1)


def merge(tokens, remove):
    """Averages runs of similar neighbours: a run ends where the similarity lies below the `remove`-th largest."""
    similarities = adjacent_similarities(tokens)
    threshold = similarities.sort(descending=True).values[remove - 1]
    runs, start = [], 0
    for end, similarity in enumerate(similarities.tolist(), start=1):
        if similarity < threshold.item():
            runs.append(tokens[start:end].mean(0))
            start = end
    runs.append(tokens[start:].mean(0))
    return torch.stack(runs)


def grid_masks(masks, grid, pad=False):
    """`(n, H, W)` of 0 and 1 -> `(n, grid, grid)`: bilinear without antialiasing, everything above zero counts."""
    masks = masks.float()
    height, width = masks.shape[-2:]
    if pad and height != width:
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        masks = F.pad(masks, (left, side - width - left, top, side - height - top))
    if masks.shape[-2:] != (grid, grid):
        masks = F.interpolate(masks[:, None], size=(grid, grid), mode="bilinear", align_corners=False)[:, 0]
    return (masks > 0).float()


def pool(rows, grid_mask):
    """Mean feature inside each mask, zeros where it is empty: `(n, p, d)`, `(n, g, g)` -> `(n, d)`."""
    flat = grid_mask.flatten(1)[..., None]
    return (rows * (flat / (flat.sum(1, keepdim=True) + 1e-8))).sum(1)


def mlp(tokens, weights, prefix):
    """Linear, exact GELU, linear."""
    w = lambda name: weights[prefix + name].to(tokens.dtype)
    hidden = F.gelu(F.linear(tokens, w("feat_linear.0.weight"), w("feat_linear.0.bias")))
    return F.linear(hidden, w("feat_linear.2.weight"), w("feat_linear.2.bias"))


def encode_sample(feats, masks, objects, limit, pad=False):
    """One sample's objects: grid masks, pooled rows, merged tokens and the number of tokens of every object.

    `feats`: `(f, p, d)`; `masks`: `(n, H, W)` object by object; `objects`: positions in `feats` of every object.
    """
    grid = int(feats.shape[1] ** 0.5)
    if masks.shape[0] == 0:
        masks = torch.zeros((1, 336, 336))
    small = grid_masks(masks, grid, pad)
    pooled = pool(feats[[row for rows in objects for row in rows]].float(), small)
    tokens, counts, start = [], [], 0
    for rows in objects:
        mine = pooled[start:start + len(rows)]
        start += len(rows)
        mine = merge(mine, len(rows) - limit) if len(rows) > limit else mine
        tokens.append(mine)
        counts.append(mine.shape[0])
    return small, pooled, torch.cat(tokens), counts

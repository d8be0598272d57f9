"""What whole models share: vision tower and language model from transformers, connectors and splice our own.

Weights are a dict by checkpoint name; those that are to get gradients are leaves. `p` is the prefix of a module.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call
from transformers import SiglipVisionConfig, SiglipVisionModel

import common


def below(w, p, back=""):
    """The weights below a prefix, with `back` in its place."""
    return {back + name[len(p):]: weight for name, weight in w.items() if name.startswith(p)}


def learning(w, frozen):
    """The weights as leaves; those for whose name `frozen` holds get no gradient."""
    return {name: weight.clone().requires_grad_(not frozen(name)) for name, weight in w.items()}


def gradients(w):
    return {name: weight.grad for name, weight in w.items() if weight.grad is not None}


def tower(config):
    keys = {key: value for key, value in config.items() if key != "model_type"}
    return SiglipVisionModel(SiglipVisionConfig(**keys, attn_implementation="eager")).eval()


def see(config, w, p, pixels, select=None):
    """Patch features `(f, n, dv)`: a state between layers, or the last one normed. `p` leads to the transformer."""
    weights = below(w, p, "vision_model.")
    out = functional_call(tower(config), weights, (pixels,), {"output_hidden_states": True})
    return out.last_hidden_state if select is None else out.hidden_states[select]


def decode(model, w, embeds, mask):
    """All states of a decoder without its head, positions counted from the left; `w` holds its own names."""
    positions = torch.arange(embeds.shape[1])[None].expand(embeds.shape[0], -1)
    keys = {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": positions}
    return functional_call(model, w, (), keys | {"use_cache": False, "output_hidden_states": True}).hidden_states


def loss_of(logits, labels):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def splice_row(ids, labels, embed, visual):
    """One row: each id in its own embedding, except where `visual` (a list of `(position, tokens)`) says otherwise."""
    at, parts, targets = 0, [], []
    for position, tokens in visual:
        parts += [embed(ids[at:position]), tokens]
        targets += [labels[at:position], labels.new_full((tokens.shape[0],), -100)]
        at = position + 1
    return torch.cat([*parts, embed(ids[at:])]), torch.cat([*targets, labels[at:]])


def stack(rows, width, fill):
    """Rows of one width, filled on the right."""
    return torch.stack([torch.cat([row, row.new_full((width - len(row), *row.shape[1:]), fill)]) for row in rows])


def penalised(logits, drawn, penalty):
    """The repetition penalty of tokens that were generated before."""
    seen = sorted(set(drawn))
    scores = logits.clone()
    scores[seen] = torch.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
    return scores


@torch.no_grad()
def greedy(prompt, steps, logits_of, embed, ends=(), penalty=1.0):
    """New tokens, the logits of each step, and the smallest gap between its best two. Every step is a full pass."""
    embeds, drawn, logits, gaps = prompt, [], [], []
    while len(drawn) < steps and not (drawn and drawn[-1] in ends):
        last = logits_of(embeds)[0, -1]
        scores = penalised(last, drawn, penalty)
        best = scores.topk(2).values
        gaps.append((best[0] - best[1]).item())
        logits.append(last)
        drawn.append(int(scores.argmax()))
        embeds = torch.cat([embeds, embed(torch.tensor([[drawn[-1]]]))], 1)
    return drawn, torch.stack(logits), min(gaps)


def draw_like(rng, shapes, scale=0.3):
    """Weights larger than a usual initialisation; those of norms lie around one."""
    weights = {}
    for name, shape in shapes.items():
        noise = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
        is_norm = "norm" in name and name.endswith("weight") and len(shape) == 1
        weights[name] = 1 + 0.2 * noise if is_norm else scale * noise
    return weights


def shapes_of(model, p, drop=""):
    """Names and shapes of a module's parameters, below `p`."""
    return {p + name.removeprefix(drop): tuple(weight.shape) for name, weight in model.state_dict().items()}


def check(name, ours, theirs, mask=None, tolerance=1e-5):
    """Stops where a recorded tensor is not ours; of rows and columns only those that `mask` keeps are compared."""
    keep = (lambda xs: xs[mask.bool()]) if mask is not None else (lambda xs: xs)
    common.agree(name, keep(ours.detach()), keep(theirs), tolerance)

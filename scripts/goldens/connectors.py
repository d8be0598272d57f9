"""Our own video connectors in PyTorch: Perceiver resampler, Grouped Token Turing Machine, spatial-temporal convolution.

Written from the published descriptions (arXiv 2204.14198, 2211.09119, 2406.07476) and the layouts of the released
checkpoints: no package carries them. The recording scripts check them against reference numbers before they record.
Weights are a dict by checkpoint name; `p` is the prefix of the module.
"""

import torch
import torch.nn.functional as F

import common

EPS = 1e-5


def norm(xs, w, p):
    return F.layer_norm(xs, xs.shape[-1:], w[p + "weight"], w[p + "bias"], EPS)


def feed_forward(xs, w, p):
    """Layer norm, four times as wide, exact GELU, back; no biases."""
    hidden = F.gelu(F.linear(norm(xs, w, p + "0."), w[p + "1.weight"]))
    return F.linear(hidden, w[p + "3.weight"])


def attend(q, k, v, heads):
    """Heads side by side: `(.., s, heads * hd)` against `(.., t, heads * hd)`."""
    split = lambda xs: xs.unflatten(-1, (heads, -1)).transpose(-2, -3)
    q, k, v = split(q), split(k), split(v)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return (scores.softmax(-1) @ v).transpose(-2, -3).flatten(-2)


def depth(w, p):
    """How many numbered modules lie below `p`."""
    return len({name[len(p):].split(".")[0] for name in w if name.startswith(p)})


def resample(media, w, p, heads):
    """`(b, t, 1, n, dv)` to the latents of every frame `(b, t, latents, dv)`, and what the layers added on the way."""
    b, t, _, _, _ = media.shape
    media = media[:, :, 0]
    latents = w[p + "latents"].expand(b, t, -1, -1)
    steps = {}
    for i in range(depth(w, p + "layers.")):
        a = f"{p}layers.{i}.0."
        seen, asking = norm(media, w, a + "norm_media."), norm(latents, w, a + "norm_latents.")
        q = F.linear(asking, w[a + "to_q.weight"])
        k, v = F.linear(torch.cat([seen, asking], -2), w[a + "to_kv.weight"]).chunk(2, -1)
        added = F.linear(attend(q, k, v, heads), w[a + "to_out.weight"])
        latents = latents + added
        widened = feed_forward(latents, w, f"{p}layers.{i}.1.")
        latents = latents + widened
        steps |= {f"inter.layer{i}.attn_out": added, f"inter.layer{i}.ff_out": widened}
    return latents, steps


def perceiver(media, w, p, heads, temporal_heads=None):
    """Frames resampled, remembered by the temporal encoder if there is one, normed and projected."""
    latents, steps = resample(media, w, p, heads)
    if temporal_heads is None:
        temporal = latents.flatten(1, 2)[:, None]
    else:
        temporal = gttm(latents, w, p + "temporal_encoder.", temporal_heads)["output"]
    normed = norm(temporal, w, p + "norm.")
    output = F.linear(normed, w[p + "projection.weight"], w[p + "projection.bias"])
    return steps | {"inter.temporal_out": temporal, "inter.norm_out": normed, "output": output}


def positions(count, dim):
    """Sine and cosine in turn, one pair a frequency: `(count, dim)`."""
    frequencies = 1.0 / 10000 ** (torch.arange(0, dim, 2).float() / dim)
    angles = torch.arange(count).float()[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[:, :dim]


def gttm(xs, w, p, heads):
    """`(b, t, n, d)` to `(b, 1, n, d)`: each of the `n` tokens of a frame has a memory of its own."""
    b, count, n, d = xs.shape
    pos = positions(count, d)
    memory = w[p + "initial_memory"].expand(b, -1, -1, -1).flatten(0, 1)
    unit = p + "ttm_unit."
    memories, processed, logits = [], [], []
    for step in range(count):
        tokens = torch.cat([memory, (xs[:, step] + pos[step]).reshape(b * n, 1, d)], 1)
        for i in range(depth(w, unit + "process_layers.")):
            a = f"{unit}process_layers.{i}.0."
            normed = norm(tokens, w, a + "norm.")
            q, k, v = (F.linear(normed, w[f"{a}to_{part}.weight"]) for part in "qkv")
            tokens = tokens + attend(q, k, v, heads)
            tokens = tokens + feed_forward(tokens, w, f"{unit}process_layers.{i}.1.")
        both = torch.cat([memory, tokens], 1)
        write = unit + "write_layer."
        hidden = norm(norm(both, w, write + "norm."), w, write + "mlp.0.")
        shares = F.linear(F.gelu(F.linear(hidden, w[write + "mlp.1.weight"])), w[write + "mlp.3.weight"])
        memory = shares.softmax(-2).transpose(-1, -2) @ both
        memories.append(memory.unflatten(0, (b, n)))
        processed.append(tokens)
        logits.append(shares)
    return {
        "pos_emb": pos, "memory_steps": torch.stack(memories), "processed_steps": torch.stack(processed),
        "write_logits_steps": torch.stack(logits), "output": memories[-1].mean(2)[:, None],
    }


def channel_norm(xs, w, p):
    """Layer norm over the channels of every pixel of `(b, c, h, w)`."""
    return norm(xs.movedim(1, -1), w, p).movedim(-1, 1)


def reg_block(xs, w, p):
    """1x1, depthwise 3x3, squeeze and excitation, 1x1, and the input added."""
    ys = F.silu(channel_norm(F.conv2d(xs, w[p + "conv1.conv.weight"]), w, p + "conv1.bn."))
    ys = F.conv2d(ys, w[p + "conv2.conv.weight"], padding=1, groups=ys.shape[1])
    ys = F.silu(channel_norm(ys, w, p + "conv2.bn."))
    mean = ys.mean((2, 3), keepdim=True)
    small = F.silu(F.conv2d(mean, w[p + "se.fc1.weight"], w[p + "se.fc1.bias"]))
    ys = ys * F.conv2d(small, w[p + "se.fc2.weight"], w[p + "se.fc2.bias"]).sigmoid()
    ys = channel_norm(F.conv2d(ys, w[p + "conv3.conv.weight"]), w, p + "conv3.bn.")
    if p + "downsample.conv.weight" in w:
        xs = channel_norm(F.conv2d(xs, w[p + "downsample.conv.weight"]), w, p + "downsample.bn.")
    return F.silu(ys + xs)


def stc(xs, w, p, padding):
    """`(b, t, l, d)` or `(b, t, h, w, d)` to tokens, time before rows before columns, with the maps between stages."""
    b, count = xs.shape[:2]
    if xs.dim() == 4:
        side = round(xs.shape[2] ** 0.5)
        xs = xs.unflatten(2, (side, side))
    maps = xs.flatten(0, 1).movedim(-1, 1)
    steps = {}
    for i in range(1, depth(w, p + "s1.") + 1):
        maps = reg_block(maps, w, f"{p}s1.b{i}.")
        steps.setdefault("after_s1_b1", maps)
    steps["after_s1"] = maps
    volume = maps.unflatten(0, (b, count)).transpose(1, 2)
    volume = F.silu(F.conv3d(volume, w[p + "sampler.0.weight"], w[p + "sampler.0.bias"], stride=2, padding=padding))
    steps["after_sampler"] = volume
    maps = volume.transpose(1, 2).flatten(0, 1)
    for i in range(1, depth(w, p + "s2.") + 1):
        maps = reg_block(maps, w, f"{p}s2.b{i}.")
    steps["after_s2"] = maps
    tokens = maps.unflatten(0, (b, -1)).movedim(2, -1).flatten(1, 3)
    hidden = F.gelu(F.linear(tokens, w[p + "readout.0.weight"], w[p + "readout.0.bias"]))
    return steps | {"y": F.linear(hidden, w[p + "readout.2.weight"], w[p + "readout.2.bias"])}


def with_gradients(run, w, x, coefficients, called="loss_weight"):
    """All that `run(w, x)` computes, the output last, and gradients of `sum(output * coefficients)`; weights that are
    not used have none."""
    w = {name: weight.clone().requires_grad_() for name, weight in w.items()}
    x = x.clone().requires_grad_()
    steps = run(w, x)
    output = list(steps.values())[-1]
    loss = (output * coefficients).sum()
    loss.backward()
    grads = {f"grad.{name}": weight.grad for name, weight in w.items() if weight.grad is not None}
    return {"x": x, **steps, "loss": loss, called: coefficients, "grad.x": x.grad, **grads}


def check(name, ours, theirs, tolerance=1e-5):
    """Everything the reference recorded of a case; gradients may be ten times as far off."""
    for key, value in theirs.items():
        found = ours[key].detach().reshape(value.shape)
        common.agree(f"{name} {key}", found, value, 10 * tolerance if key.startswith("grad") else tolerance)


def draw(rng, shapes, scale=0.3):
    """Weights larger than a usual initialisation; those of norms lie around one."""
    weights = {}
    for name, shape in shapes.items():
        noise = torch.from_numpy(rng.standard_normal(shape)).float()
        is_norm = name.endswith("weight") and len(shape) == 1
        weights[name] = 1 + 0.2 * noise if is_norm else scale * noise
    return weights


def norm_shapes(p, dim):
    return {p + "weight": (dim,), p + "bias": (dim,)}


def feed_forward_shapes(p, dim):
    return {**norm_shapes(p + "0.", dim), p + "1.weight": (4 * dim, dim), p + "3.weight": (dim, 4 * dim)}


def perceiver_shapes(p, dim, out, layers, inner, latents):
    shapes = {p + "latents": (latents, dim), **norm_shapes(p + "norm.", dim)}
    shapes |= {p + "projection.weight": (out, dim), p + "projection.bias": (out,)}
    for i in range(layers):
        a = f"{p}layers.{i}.0."
        shapes |= {**norm_shapes(a + "norm_media.", dim), **norm_shapes(a + "norm_latents.", dim)}
        shapes |= {a + "to_q.weight": (inner, dim), a + "to_kv.weight": (2 * inner, dim), a + "to_out.weight": (dim, inner)}
        shapes |= feed_forward_shapes(f"{p}layers.{i}.1.", dim)
    return shapes


def gttm_shapes(p, dim, groups, memory, layers):
    """Without the read layer, which is in checkpoints and not used."""
    shapes = {p + "initial_memory": (groups, memory, dim)}
    for i in range(layers):
        a = f"{p}ttm_unit.process_layers.{i}.0."
        shapes |= norm_shapes(a + "norm.", dim) | {f"{a}to_{part}.weight": (dim, dim) for part in "qkv"}
        shapes |= feed_forward_shapes(f"{p}ttm_unit.process_layers.{i}.1.", dim)
    write = p + "ttm_unit.write_layer."
    shapes |= norm_shapes(write + "norm.", dim) | norm_shapes(write + "mlp.0.", dim)
    return shapes | {write + "mlp.1.weight": (2 * memory, dim), write + "mlp.3.weight": (memory, 2 * memory)}


def stc_shapes(dim, out, blocks):
    shapes = {}
    for stage in ("s1", "s2"):
        for i in range(1, blocks + 1):
            p, inputs = f"{stage}.b{i}.", dim if (stage, i) == ("s1", 1) else out
            small = round(inputs * 0.25)
            shapes |= {p + "conv1.conv.weight": (out, inputs, 1, 1), p + "conv2.conv.weight": (out, 1, 3, 3)}
            shapes |= {p + "conv3.conv.weight": (out, out, 1, 1)}
            shapes |= {p + "se.fc1.weight": (small, out, 1, 1), p + "se.fc1.bias": (small,)}
            shapes |= {p + "se.fc2.weight": (out, small, 1, 1), p + "se.fc2.bias": (out,)}
            for conv in ("conv1", "conv2", "conv3"):
                shapes |= norm_shapes(f"{p}{conv}.bn.", out)
            if inputs != out:
                shapes |= {p + "downsample.conv.weight": (out, inputs, 1, 1), **norm_shapes(p + "downsample.bn.", out)}
    shapes |= {"sampler.0.weight": (out, out, 2, 2, 2), "sampler.0.bias": (out,)}
    for layer in ("readout.0", "readout.2"):
        shapes |= {f"{layer}.weight": (out, out), f"{layer}.bias": (out,)}
    return shapes

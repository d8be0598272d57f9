"""The same models in PyTorch, plain modules with its fused attention."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


class VisionLayer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        d, inner = cfg["hidden_size"], cfg["intermediate_size"]
        self.heads = cfg["num_attention_heads"]
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d, d) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(d, inner), nn.Linear(inner, d)

    def forward(self, xs):
        b, n, d = xs.shape
        ys = self.layer_norm1(xs)
        q, k, v = (
            proj(ys).view(b, n, self.heads, -1).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        ys = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d)
        xs = xs + self.out_proj(ys)
        return xs + self.fc2(F.gelu(self.fc1(self.layer_norm2(xs)), approximate="tanh"))


class Vision(nn.Module):
    """`(f, 3, h, w)` to `(f, n, d)`."""

    def __init__(self, cfg):
        super().__init__()
        d, patch = cfg["hidden_size"], cfg["patch_size"]
        side = cfg["image_size"] // patch
        self.patch_embedding = nn.Conv2d(3, d, patch, patch)
        self.position_embedding = nn.Parameter(torch.randn(side * side, d))
        self.layers = nn.ModuleList(VisionLayer(cfg) for _ in range(cfg["num_hidden_layers"]))
        self.post_layernorm = nn.LayerNorm(d, eps=1e-6)

    def forward(self, pixels):
        xs = self.patch_embedding(pixels).flatten(2).transpose(1, 2) + self.position_embedding
        for layer in self.layers:
            xs = layer(xs)
        return self.post_layernorm(xs)


def rotate(xs, cos, sin):
    """`xs`: `(b, nh, s, hd)`; `cos`, `sin`: `(s, hd)`."""
    one, two = xs.chunk(2, -1)
    return xs * cos + torch.cat([-two, one], -1) * sin


class Layer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        d, inner = cfg["hidden_size"], cfg["intermediate_size"]
        self.nh, self.nkv = cfg["num_attention_heads"], cfg["num_key_value_heads"]
        self.hd = d // self.nh
        self.input_layernorm = nn.RMSNorm(d, eps=cfg["rms_norm_eps"])
        self.post_attention_layernorm = nn.RMSNorm(d, eps=cfg["rms_norm_eps"])
        self.q_proj = nn.Linear(d, self.nh * self.hd)
        self.k_proj, self.v_proj = (nn.Linear(d, self.nkv * self.hd) for _ in range(2))
        self.o_proj = nn.Linear(self.nh * self.hd, d, bias=False)
        self.gate_proj, self.up_proj = (nn.Linear(d, inner, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(inner, d, bias=False)

    def forward(self, xs, tables):
        b, s, d = xs.shape
        ys = self.input_layernorm(xs)
        q = self.q_proj(ys).view(b, s, self.nh, self.hd).transpose(1, 2)
        k = self.k_proj(ys).view(b, s, self.nkv, self.hd).transpose(1, 2)
        v = self.v_proj(ys).view(b, s, self.nkv, self.hd).transpose(1, 2)
        q, k = rotate(q, *tables), rotate(k, *tables)
        # Heads are copied for their group: that keeps the fused attention, which `enable_gqa` leaves on a CPU.
        group = self.nh // self.nkv
        if group > 1:
            k, v = (xs[:, :, None].expand(b, self.nkv, group, s, self.hd).flatten(1, 2) for xs in (k, v))
        ys = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        xs = xs + self.o_proj(ys.transpose(1, 2).reshape(b, s, d))
        ys = self.post_attention_layernorm(xs)
        return xs + self.down_proj(F.silu(self.gate_proj(ys)) * self.up_proj(ys))


class Decoder(nn.Module):
    """States after the final norm; the head is the embedding's matrix. With `recompute` layers run again in the backward."""

    def __init__(self, cfg, recompute=False):
        super().__init__()
        self.cfg, self.recompute = cfg, recompute
        d = cfg["hidden_size"]
        self.embed_tokens = nn.Embedding(cfg["vocab_size"], d)
        self.layers = nn.ModuleList(Layer(cfg) for _ in range(cfg["num_hidden_layers"]))
        self.norm = nn.RMSNorm(d, eps=cfg["rms_norm_eps"])
        nn.init.normal_(self.embed_tokens.weight, std=0.02)

    def forward(self, embeds):
        s, hd = embeds.shape[1], self.layers[0].hd
        inverse = self.cfg["rope_theta"] ** (-torch.arange(0, hd, 2) / hd)
        angles = torch.arange(s)[:, None] * inverse
        angles = torch.cat([angles, angles], -1)
        tables = (angles.cos().to(embeds.dtype), angles.sin().to(embeds.dtype))
        xs = embeds
        for layer in self.layers:
            again = self.recompute and torch.is_grad_enabled()
            xs = checkpoint(layer, xs, tables, use_reentrant=False) if again else layer(xs, tables)
        return self.norm(xs)

    def logits(self, hidden):
        return F.linear(hidden, self.embed_tokens.weight)

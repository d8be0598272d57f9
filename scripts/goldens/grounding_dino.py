"""Grounding DINO, from transformers: two images of different size with texts of different length, one image alone, every
step on the way, and which boxes and tokens are kept."""

import numpy as np
import torch
from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection
from transformers.models.grounding_dino import modeling_grounding_dino as reference

import bert
import common

SEED = 4144
FAMILY = "grounding_dino"
CONFIG = {
    "model_type": "grounding-dino",
    "backbone_config": {
        "model_type": "swin",
        "image_size": 64,
        "embed_dim": 8,
        "depths": [2, 1, 2, 1],
        "num_heads": [1, 2, 4, 2],
        "window_size": 3,
        "out_features": ["stage2", "stage3", "stage4"],
        "out_indices": [2, 3, 4],
    },
    "text_config": {**bert.CONFIG, "num_hidden_layers": 1},
    "d_model": 32,
    "num_queries": 9,
    "encoder_layers": 2,
    "encoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_layers": 2,
    "decoder_ffn_dim": 40,
    "decoder_attention_heads": 4,
    "max_text_len": 24,
}
TEXTS = [[101, 300, 301, 1012, 302, 1012, 303, 304, 1012, 102], [101, 400, 401, 1012, 402, 1012, 102, 0, 0, 0]]
SIZES = [(76, 92), (64, 70)]
TARGETS = [(480, 640), (300, 200)]


def remember(model):
    """Hooks that keep what modules say, by name."""
    kept, inner = {}, model.model

    def keep(name, pick=lambda out: out):
        return lambda _module, _inputs, out: kept.__setitem__(name, pick(out))

    inner.backbone.conv_encoder.register_forward_hook(
        keep("swin", lambda out: [feature for feature, _mask in out])
    )
    inner.text_backbone.register_forward_hook(keep("bert.last_hidden_state", lambda out: out[0]))
    inner.text_projection.register_forward_hook(keep("text_features"))
    for at, projection in enumerate(inner.input_proj_vision):
        projection.register_forward_hook(keep(f"input_proj.{at}"))
    for at, layer in enumerate(inner.encoder.layers):
        layer.fusion_layer.register_forward_hook(keep(f"{at}.fusion"))
        layer.text_enhancer_layer.register_forward_hook(keep(f"encoder.{at}.text_enhancer", lambda out: out[0]))
        layer.deformable_layer.self_attn.register_forward_hook(keep(f"encoder.{at}.deformable_attn", lambda out: out[0]))
        layer.register_forward_hook(keep(f"{at}.layer", lambda out: out[0]))
    for at, layer in enumerate(inner.decoder.layers):
        layer.register_forward_hook(keep(f"decoder.{at}.hidden", lambda out: out[0]))
        layer.register_forward_pre_hook(
            lambda _module, _inputs, given, at=at: kept.__setitem__(f"decoder.{at}.query_pos", given["position_embeddings"]),
            with_kwargs=True,
        )
    return kept


def steps(kept):
    plain = {k: v for k, v in kept.items() if isinstance(v, torch.Tensor)}
    for at, feature in enumerate(kept["swin"]):
        plain[f"swin.feature_maps.{at}"] = feature
    for name, value in kept.items():
        if name.endswith(".fusion"):
            (image, _), (text, _) = value
            plain[f"encoder.{name}.vision"], plain[f"encoder.{name}.text"] = image, text
        if name.endswith(".layer"):
            at = name.split(".")[0]
            plain[f"encoder.{at}.vision"], plain[f"encoder.{at}.text"] = value
    return plain


def record(model, folder, name, rows, rng_pixels):
    ids = torch.tensor([TEXTS[row] for row in rows])
    valid = (ids != 0).long()
    longest = int(valid.sum(1).max())
    ids, valid = ids[:, :longest], valid[:, :longest]
    height, width = max(SIZES[row][0] for row in rows), max(SIZES[row][1] for row in rows)
    pixels, mask = torch.zeros(len(rows), 3, height, width), torch.zeros(len(rows), height, width, dtype=torch.long)
    for at, row in enumerate(rows):
        h, w = SIZES[row]
        pixels[at, :, :h, :w], mask[at, :h, :w] = rng_pixels[row], 1
    chosen = {}
    topk = torch.topk
    torch.topk = lambda *a, **k: chosen.setdefault("topk", topk(*a, **k))
    out = model(pixels, ids, attention_mask=valid, token_type_ids=torch.zeros_like(ids), pixel_mask=mask)
    torch.topk = topk
    masks, places = reference.generate_masks_with_special_tokens_and_transfer_map(ids)
    shapes = common.save(folder, name, {
        "in.pixel_values": pixels, "in.pixel_mask": mask.bool(), "in.input_ids": ids, "in.attention_mask": valid,
        "text_self_attention_mask": masks, "text_position_ids": places,
        "out.logits": out.logits, "out.pred_boxes": out.pred_boxes,
        "init_reference_points": out.init_reference_points,
        "intermediate_hidden_states": out.intermediate_hidden_states,
        "intermediate_reference_points": out.intermediate_reference_points,
        "encoder_last_hidden_state_text": out.encoder_last_hidden_state_text,
        "encoder_last_hidden_state_vision": out.encoder_last_hidden_state_vision,
        "enc_outputs_class": out.enc_outputs_class,
        "enc_outputs_coord_logits": out.enc_outputs_coord_logits,
        "topk_proposals": chosen["topk"][1],
    })
    keep(folder, name, out, ids, [TARGETS[row] for row in rows])
    return shapes


def keep(folder, name, out, ids, targets):
    """The rule by which boxes and tokens are kept, with thresholds in the widest gaps nearby."""
    chances = out.logits.sigmoid()
    scores = chances.max(-1).values

    def between(values, wanted):
        values = np.sort(values[np.isfinite(values)])
        near = values[np.abs(values - wanted) < 0.2]
        gaps = np.diff(near)
        return float(near[gaps.argmax()] + gaps.max() / 2), float(gaps.max() / 2)

    threshold, margin = between(scores.flatten().numpy(), float(scores.median()))
    token_threshold, token_margin = between(chances[chances > 0].flatten().numpy(), 0.5)
    results = []
    for row, (height, width) in enumerate(targets):
        kept = [q for q in range(scores.shape[1]) if scores[row, q] > threshold]
        x, y, w, h = out.pred_boxes[row, kept].unbind(-1)
        corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1) * torch.tensor([width, height, width, height])
        words = []
        for q in kept:
            columns = (chances[row, q] > token_threshold).nonzero().flatten().tolist()
            words.append([int(ids[row, c]) for c in columns if 0 < c < chances.shape[-1] - 1])
        results.append({
            "query_indices": kept, "scores": scores[row, kept].tolist(), "boxes": corners.tolist(), "phrase_token_ids": words,
        })
    common.write_json(folder / f"{name}_postprocess.json", {
        "threshold": threshold, "text_threshold": token_threshold, "target_sizes_hw": targets,
        "margins": [margin, token_margin], "results": results,
    })


def deformable_core(model, rng):
    sizes = [(4, 6), (2, 3), (1, 2)]
    heads, points, hd, queries = 3, 4, 5, 7
    normal = lambda *shape: torch.from_numpy(rng.standard_normal(shape).astype("float32"))
    cells = sum(h * w for h, w in sizes)
    values, weights = normal(2, cells, heads, hd), normal(2, queries, heads, len(sizes), points)
    places = normal(2, queries, heads, len(sizes), points, 2) * 0.5 + 0.5
    shapes = torch.tensor(sizes)
    core = model.model.encoder.layers[0].deformable_layer.self_attn.attn
    starts = torch.tensor([0] + [h * w for h, w in sizes[:-1]]).cumsum(0)
    out = core(values, shapes, sizes, starts, places, weights, 64)
    return {
        "in.value": values, "in.spatial_shapes": shapes, "in.sampling_locations": places,
        "in.attention_weights": weights, "out": out,
    }


def main():
    rng = common.seeded(SEED)
    torch.use_deterministic_algorithms(False)
    folder = common.out_dir(FAMILY)
    model = GroundingDinoForObjectDetection(GroundingDinoConfig(**CONFIG, attn_implementation="eager")).eval()
    common.randomise(model, rng, 0.15)
    # Scores away from 0 and 1.
    model.model.decoder.layer_norm.weight.mul_(0.2)
    model.model.decoder.layer_norm.bias.mul_(0.2)
    # Stored in half the space, and the reference runs with what is stored.
    for weight in model.parameters():
        weight.copy_(weight.to(torch.bfloat16).float())
    common.write_json(folder / "config.json", CONFIG)
    unread = ("relative_position_index", "pooler", "position_ids", "model.decoder.bbox_embed", "swin.layernorm")
    weights = {
        k: v.to(torch.bfloat16) for k, v in model.state_dict().items()
        if not any(part in k for part in unread) and not (k.startswith("bbox_embed.") and not k.startswith("bbox_embed.0."))
    }
    common.save(folder, "weights", weights)
    manifest = {"text_mask": "hide"}
    pixels = [torch.from_numpy(rng.standard_normal((3, h, w)).astype("float32")) for h, w in SIZES]
    kept = remember(model)
    manifest["batch2"] = record(model, folder, "batch2", [0, 1], pixels)
    manifest["batch2_intermediate"] = common.save(folder, "batch2_intermediate", steps(kept))
    manifest["single"] = record(model, folder, "single", [1], pixels)
    manifest["deformable_core"] = common.save(folder, "deformable_core", deformable_core(model, rng))
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "Grounding DINO",
        "Two images of different size with texts of different length (`batch2`, every step in `batch2_intermediate`), the second\n"
        "alone (`single`), deformable attention alone, weights in bfloat16, and what is kept (`*_postprocess.json`). `out.logits` are minus infinity\n"
        "outside the text, `enc_outputs_coord_logits` infinite at cells that are no place to look. `text_mask`: see `bert`.",
        SEED, common.versions("torch", "transformers"), "Reference: `GroundingDinoForObjectDetection` of transformers, random weights.",
        "2e-5 relative.",
    )
    common.report(folder)


if __name__ == "__main__":
    with torch.no_grad():
        main()

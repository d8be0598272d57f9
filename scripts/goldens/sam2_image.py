"""SAM 2.1 on single images, from transformers: the maps of the encoder, and what every kind of prompt gives."""

import torch
from transformers import Sam2Config, Sam2Model

import common
import sam2_config

SEED = 4141
FAMILY = "sam2_image"
WIDTH, SIZE = 32, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
POST = (30, 44)


def normalised(raw):
    channel = lambda values: torch.tensor(values).view(1, 3, 1, 1)
    return (raw.float() / 255 - channel(MEAN)) / channel(STD)


def prompts(rng):
    """Name, inputs, several masks, and the threshold of stability."""
    points = lambda *shape: torch.from_numpy(rng.uniform(2, SIZE - 2, (2, *shape, 2)).astype("float32"))
    labels = lambda row: torch.tensor(row).expand(2, 2, -1)
    corner = points(2)
    boxes = torch.cat([corner, corner + 9.5], -1)
    masks = torch.from_numpy(rng.standard_normal((2, 1, SIZE // 4, SIZE // 4)).astype("float32")) * 3
    large = torch.from_numpy(rng.standard_normal((2, 1, SIZE, SIZE)).astype("float32")) * 3
    two = {"input_points": points(2, 2), "input_labels": labels([1, 0])}
    return [
        ("point_multi", {"input_points": points(2, 1), "input_labels": labels([1])}, True, 0.98),
        ("points_single", two, False, 0.98),
        ("points_single__thresh_low", two, False, 0.1),
        ("points_pad_multi", {"input_points": points(2, 3), "input_labels": labels([0, 1, -10])}, True, 0.98),
        ("box_single", {"input_boxes": boxes}, False, 0.98),
        ("points_box_multi", {**two, "input_boxes": boxes}, True, 0.98),
        ("mask_lowres_multi", {"input_masks": masks}, True, 0.98),
        ("mask_fullres_single", {"input_masks": large}, False, 0.98),
        ("no_prompt_multi", {}, True, 0.98),
    ]


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    cfg = sam2_config.image(WIDTH, SIZE)
    model = Sam2Model(Sam2Config(**cfg, attn_implementation="eager")).eval()
    common.randomise(model, rng, 0.15)
    model.prompt_encoder.shared_embedding = model.shared_image_embedding
    common.write_json(folder / "config.json", cfg)
    unread = "prompt_encoder.shared_embedding.positional_embedding"
    common.save(folder, "weights", {k: v for k, v in model.state_dict().items() if k != unread})
    manifest = {}

    raw = torch.from_numpy(rng.integers(0, 256, (2, 3, SIZE, SIZE), dtype="uint8"))
    pixels = normalised(raw)
    backbone = model.vision_encoder.backbone
    patches = backbone.patch_embed(pixels)
    maps = model.vision_encoder(pixels)
    stages = backbone(pixels).intermediate_hidden_states
    embeddings = model.get_image_embeddings(pixels)
    manifest["encoder"] = common.save(folder, "encoder", {
        "in.pixel_values": pixels,
        "backbone.patch_embed": patches,
        "backbone.pos_embed": backbone._get_pos_embed(patches.shape[1:3]),
        **{f"backbone.stage{i}": stage for i, stage in enumerate(stages)},
        **{f"fpn.{i}": level for i, level in enumerate(maps.fpn_hidden_states)},
        **{f"image_embeddings.{i}": level for i, level in enumerate(embeddings)},
        "dense_pe": model.get_image_wide_positional_embeddings(),
    })

    for name, inputs, several, threshold in prompts(rng):
        seen = {}
        decoder = model.mask_decoder
        decoder.dynamic_multimask_stability_thresh = threshold
        hooks = [
            model.prompt_encoder.register_forward_hook(lambda _m, _i, out: seen.update(prompt=out)),
            decoder.transformer.register_forward_hook(lambda _m, _i, out: seen.update(transformer=out)),
            decoder.iou_prediction_head.register_forward_hook(lambda _m, _i, out: seen.update(iou=out)),
        ]
        stability = decoder._get_stability_scores
        decoder._get_stability_scores = lambda logits: seen.setdefault("stability", stability(logits))
        # The model moves boxes in place.
        out = model(pixels, multimask_output=several, **{k: v.clone() for k, v in inputs.items()})
        decoder._get_stability_scores = stability
        for hook in hooks:
            hook.remove()
        tensors = {
            **{f"in.{key}": value for key, value in inputs.items()},
            "sparse_embeddings": seen["prompt"][0],
            "transformer.queries": seen["transformer"][0],
            "out.pred_masks": out.pred_masks,
            "out.iou_scores": out.iou_scores,
            "out.object_score_logits": out.object_score_logits,
        }
        if "input_masks" in inputs:
            tensors["dense_embeddings"] = seen["prompt"][1]
        if name == "point_multi":
            tensors["transformer.keys"] = seen["transformer"][1]
        if not several:
            tensors["stability_scores"] = seen["stability"]
            tensors["all_iou_scores"] = seen["iou"]
        if name in ("point_multi", "box_single"):
            large = torch.nn.functional.interpolate(out.pred_masks[0], POST, mode="bilinear", align_corners=False)
            tensors[f"post.resized_logits_h{POST[0]}_w{POST[1]}"] = large[None]
            tensors[f"post.binary_h{POST[0]}_w{POST[1]}"] = large[None] > 0
        shapes = common.save(folder, name, tensors)
        manifest[name] = {**shapes, "multimask_output": several, "stability_thresh": threshold}

    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "SAM 2.1 on single images",
        "Two images; for each kind of prompt the embedded prompt, the tokens after the transformer, masks, estimates and scores.\n"
        "Prompts are in pixels of the square image. `in.*` inputs, `out.*` results, `post.*` masks in another size;\n"
        "`manifest.json` lists tensors and shapes, whether several masks were asked for, and the threshold of stability.",
        SEED, common.versions("torch", "transformers"), "Reference: `Sam2Model` of transformers, random weights.",
        "2e-5 relative for masks, 1e-5 elsewhere.",
    )
    common.report(folder)


if __name__ == "__main__":
    with torch.no_grad():
        main()

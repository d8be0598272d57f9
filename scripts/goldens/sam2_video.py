"""SAM 2.1 on videos, from transformers: scripts of prompts and passes, and two parts of the memory alone.

Where transformers leaves the original code (mask prompts, a second prompt on a frame) the Rust code can follow either; what
is recorded here is transformers' reading. Memories are kept in float32 except in one script."""

from unittest import mock

import torch
from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

import common
import sam2_config
from sam2_image import normalised

SEED = 4142
FAMILY = "sam2_video"
WIDTH, SIZE, FRAMES = 64, 64, 5
# The bias of the object score, so that objects are hidden on some frames of one script.
SCORE, SOMETIMES_HIDDEN = 0.5, -0.546875
VIDEO = (40, 56)


def add(frame, *objects):
    return {"op": "add", "frame": frame, "objects": [dict(zip(("id", "kind", "data"), o)) for o in objects]}


def run(start, reverse=False):
    return {"op": "propagate", "reverse": reverse, "start_frame": start}


LEFT = ("box", [6.0, 8.5, 26.0, 24.0])
RIGHT = ("box", [30.5, 12.0, 50.0, 33.0])
CLICK = ("points", [[[14.0, 15.5]], [1]])
CLICKS = ("points", [[[40.0, 22.0], [12.0, 30.0]], [1, 0]])
SCRIPTS = {
    "boxes_both_ways": ("f32", [add(2, (1, *LEFT), (2, *RIGHT)), run(2), run(2, reverse=True)]),
    "boxes_bf16": ("bf16", [add(0, (1, *LEFT)), run(0)]),
    "late_object": ("f32", [add(0, (1, *CLICK)), add(3, (1, *LEFT)), run(None), add(1, (2, *CLICKS)), run(1), run(3, True)]),
    "occlusion": ("f32", [add(1, (1, *LEFT), (2, *RIGHT)), run(1)]),
    "mask_prompts": ("f32", [add(1, (7, "mask", None), (3, "mask", None)), run(None)]),
}


def session_of(frames):
    return Sam2VideoInferenceSession(video=frames, video_height=VIDEO[0], video_width=VIDEO[1], dtype=torch.float32)


def prompt(session, frame, obj, rng, tensors, at):
    idx = session.obj_id_to_idx(obj["id"])
    if obj["kind"] == "mask":
        mask = torch.zeros(VIDEO)
        y, x = int(rng.integers(2, 15)), int(rng.integers(2, 30))
        mask[y : y + 13, x : x + 17] = 1
        tensors[f"{at}.obj{obj['id']}.mask_original"] = mask.to(torch.uint8)
        resize = dict(size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        model_mask = torch.nn.functional.interpolate(mask[None, None], **resize) >= 0.5
        session.add_mask_inputs(idx, frame, model_mask.float())
    else:
        if obj["kind"] == "points":
            places, labels = obj["data"]
        else:
            left, top, right, bottom = obj["data"]
            places, labels = [[left, top], [right, bottom]], [2, 3]
        scale = torch.tensor([SIZE / VIDEO[1], SIZE / VIDEO[0]])
        coords = torch.tensor(places) * scale
        session.add_point_inputs(idx, frame, {
            "point_coords": coords[None, None], "point_labels": torch.tensor(labels, dtype=torch.int32)[None, None],
        })
    session.obj_with_new_inputs.append(obj["id"])


def record(session, out, frame, at, tensors):
    masks = out.pred_masks.view(-1, 1, *out.pred_masks.shape[-2:])
    tensors[f"{at}.frame{frame}.low_res_logits"] = masks
    scores = []
    for idx in range(len(session.obj_ids)):
        stored = session.output_dict_per_obj[idx]
        entry = stored["cond_frame_outputs"].get(frame) or stored["non_cond_frame_outputs"][frame]
        scores.append(entry["object_score_logits"].reshape(()))
    tensors[f"{at}.frame{frame}.object_score_logits"] = torch.stack(scores)
    large = torch.nn.functional.interpolate(masks, VIDEO, mode="bilinear", align_corners=False)
    tensors[f"{at}.frame{frame}.video_res_mask"] = large > 0


def script(model, raw, steps, rng):
    session = session_of(normalised(raw))
    tensors = {}
    done = []
    for number, step in enumerate(steps):
        at = f"step{number}"
        if step["op"] == "add":
            for obj in step["objects"]:
                prompt(session, step["frame"], obj, rng, tensors, at)
            # One object after the other: transformers makes one decision for all of a frame's objects.
            out = model(session, frame_idx=step["frame"])
            record(session, out, step["frame"], at, tensors)
            done.append({"step": number, **step, "object_ids_in_output": list(session.obj_ids)})
            continue
        order = []
        passes = model.propagate_in_video_iterator(session, start_frame_idx=step["start_frame"], reverse=step["reverse"])
        for out in passes:
            order.append(out.frame_idx)
            record(session, out, out.frame_idx, at, tensors)
        done.append({"step": number, **step, "order": order})
    for idx in range(len(session.obj_ids)):
        for kind, name in (("cond", "cond_frame_outputs"), ("noncond", "non_cond_frame_outputs")):
            for frame, entry in session.output_dict_per_obj[idx][name].items():
                tensors[f"bank.obj{idx}.{kind}.frame{frame}.object_pointer"] = entry["object_pointer"].reshape(-1)
    return done, tensors


def parts(model, raw, rng):
    normal = lambda *shape: torch.from_numpy(rng.standard_normal(shape).astype("float32"))
    cells = (SIZE // 16) ** 2
    pixels = normalised(raw[:1])
    features, places, _, _ = model.get_image_features(pixels)
    side = SIZE // 16
    planes = lambda xs: xs.permute(1, 2, 0).reshape(1, -1, side, side)
    current, current_pos = normal(cells, 1, WIDTH), normal(cells, 1, WIDTH)
    memory, memory_pos = normal(2 * cells + 4, 1, WIDTH // 2), normal(2 * cells + 4, 1, WIDTH // 2)
    attended = model.memory_attention(
        current_vision_features=current, current_vision_position_embeddings=current_pos, memory=memory,
        memory_posision_embeddings=memory_pos, num_object_pointer_tokens=4,
    )
    top, masks = normal(2, WIDTH, side, side), normal(2, 1, SIZE, SIZE) * 10
    encoded, encoded_pos = model.memory_encoder(top, masks)
    return {
        "in.frame0_pixel_values": pixels,
        "features.2": planes(features[-1]),
        "top_pos_enc": planes(places[-1]),
        "memattn.in.current": current, "memattn.in.current_pos": current_pos,
        "memattn.in.memory": memory, "memattn.in.memory_pos": memory_pos,
        "memattn.in.num_pointer_tokens": torch.tensor([4]),
        "memattn.out": attended.reshape(cells, WIDTH),
        "memenc.in.features": top, "memenc.in.masks": masks,
        "memenc.out.features": encoded, "memenc.out.pos_enc": encoded_pos[:1],
    }


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    cfg = sam2_config.video(WIDTH, SIZE)
    model = Sam2VideoModel(Sam2VideoConfig(**cfg, attn_implementation="eager")).eval()
    # transformers takes 64 channels of memory for given here, whatever its configuration says.
    for layer in model.memory_attention.layers:
        layer.cross_attn_image.k_proj = torch.nn.Linear(WIDTH // 2, WIDTH)
        layer.cross_attn_image.v_proj = torch.nn.Linear(WIDTH // 2, WIDTH)
    common.randomise(model, rng, 0.12)
    # Stored in half the space, and the reference runs with what is stored.
    for weight in model.parameters():
        weight.copy_(weight.to(torch.bfloat16).float())
    shared = model.shared_image_embedding.positional_embedding
    shared.copy_(shared.to(torch.bfloat16).float())
    model.prompt_encoder.shared_embedding = model.shared_image_embedding
    bias = model.mask_decoder.pred_obj_score_head.proj_out.bias
    bias.fill_(SCORE)
    common.write_json(folder / "config.json", cfg)
    unread = ("prompt_encoder.shared_embedding.positional_embedding", "no_memory_positional_encoding")
    weights = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items() if k not in unread}
    common.save(folder, "weights", weights)
    raw = torch.from_numpy(rng.integers(0, 256, (FRAMES, 3, SIZE, SIZE), dtype="uint8"))
    # Frames of a video are alike.
    raw = (raw[:1].float() * 0.7 + raw.float() * 0.3).to(torch.uint8)
    manifest = {"frames": common.save(folder, "frames", {"in.frames_u8": raw})}
    for name, (memory, steps) in SCRIPTS.items():
        keep = torch.bfloat16 if memory == "bf16" else torch.float32
        bias.fill_(SOMETIMES_HIDDEN if name == "occlusion" else SCORE)
        with mock.patch.object(torch, "bfloat16", keep):
            done, tensors = script(model, raw, steps, rng)
        scores = [v for k, t in tensors.items() if "object_score" in k for v in t.tolist()]
        assert min(map(abs, scores)) > 1e-3, f"{name}: a score decides by rounding"
        manifest[name] = {"steps": done, "memory_dtype": memory, "tensors": common.save(folder, name, tensors)}
        if name == "occlusion":
            assert any(score < 0 for score in scores) and any(score > 0 for score in scores)
            manifest[name]["override_weights"] = {"mask_decoder.pred_obj_score_head.proj_out.bias": bias.tolist()}
    bias.fill_(SCORE)
    manifest["parts"] = common.save(folder, "parts", parts(model, raw, rng))
    common.write_json(folder / "manifest.json", manifest, indent=None)
    common.readme(
        folder, "SAM 2.1 on videos",
        "Scripts of prompts (in pixels of the video) and passes: low-resolution logits, scores and full-size masks of every object\n"
        "on every frame, object pointers at the end (`bank.*`); `parts` holds memory attention and memory encoder alone.\n"
        "Frames have the model's size already; weights are bfloat16. `manifest.json` lists the steps.",
        SEED, common.versions("torch", "transformers"), "Reference: `Sam2VideoModel` of transformers, random weights.",
        "2e-5 relative, 2e-2 where memories are kept in bfloat16.",
    )
    common.report(folder)


if __name__ == "__main__":
    with torch.no_grad():
        main()

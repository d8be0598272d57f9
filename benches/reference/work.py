"""Every kind of work in PyTorch: makes a function that does it once, and counts parameters."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from fastest import by_backends, fastest
from models import Decoder, Vision
from torch import nn


def count(*modules):
    return sum(value.numel() for module in modules for value in module.parameters())


def token_ids(b, s, vocab):
    return (torch.arange(b * s) * 7919 % vocab).view(b, s)


def vision(case, _data):
    """The tower of transformers, states of the last layer before the final norm."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    cfg = case["siglip"]
    tower = SiglipVisionModel(SiglipVisionConfig(**cfg, vision_use_head=False, attn_implementation="sdpa")).eval()
    tower.vision_model.post_layernorm = nn.Identity()
    pixels = torch.rand(case["frames"], 3, cfg["image_size"], cfg["image_size"]) * 2 - 1

    @torch.inference_mode()
    def work(run=tower):
        run(pixels)

    if not pixels.is_cuda:
        return work, count(tower)
    compiled = torch.compile(tower)
    return fastest({"its layers": work, "torch.compile": lambda: work(compiled)}), count(tower)


def connector(case, _data):
    """The formulas of the recordings, with PyTorch's fused attention."""
    # What it takes from the recordings' own `common` is not used here: it gets ours, which is imported already.
    sys.path.append(str(Path(__file__).parents[2] / "scripts/goldens"))
    import connectors

    split = lambda xs, heads: xs.unflatten(-1, (heads, -1)).transpose(-2, -3)
    attend = lambda q, k, v, heads: F.scaled_dot_product_attention(*(split(xs, heads) for xs in (q, k, v)))
    connectors.attend = lambda q, k, v, heads: attend(q, k, v, heads).transpose(-2, -3).flatten(-2)
    cfg, dim, out = case["connector"], case["vision_dim"], case["text_dim"]
    if cfg["kind"] == "stc":
        shapes = connectors.stc_shapes(dim, out, cfg["blocks"])
        run = lambda xs, w: connectors.stc(xs, w, "", cfg["sampler_padding"])
    else:
        memory, inner = cfg["temporal"], cfg["heads"] * cfg["head_dim"]
        shapes = connectors.perceiver_shapes("", dim, out, cfg["layers"], inner, cfg["latents"])
        shapes |= connectors.gttm_shapes("temporal_encoder.", dim, cfg["latents"], memory["memory"], memory["layers"])
        run = lambda xs, w: connectors.perceiver(xs[:, :, None], w, "", cfg["heads"], memory["heads"])
    weights = {name: torch.randn(shape) * 0.02 for name, shape in shapes.items()}
    feats = torch.randn(1, case["frames"], case["patches"], dim)

    @torch.inference_mode()
    def work():
        run(feats, weights)

    return work, sum(weight.numel() for weight in weights.values())


class Video(nn.Module):
    """Tower and two-layer connector, after which neighbouring patches are averaged."""

    def __init__(self, part, d):
        super().__init__()
        self.tower = Vision(part["siglip"])
        self.fc1, self.fc2 = nn.Linear(part["siglip"]["hidden_size"], d), nn.Linear(d, d)
        self.side = part["pooled_side"]

    def forward(self, pixels, b):
        xs = self.fc2(F.gelu(self.fc1(self.tower(pixels))))
        f, n, d = xs.shape
        cell = int(n**0.5) // self.side
        xs = xs.view(f, self.side, cell, self.side, cell, d).mean((2, 4))
        return xs.reshape(b, -1, d)


def train(case, _data):
    cfg, b, part = case["decoder"], case["batch"], case.get("video")
    decoder = Decoder(cfg, case.get("recompute", False))
    modules = [decoder]
    ids = labels = token_ids(b, case["text_tokens"], cfg["vocab_size"])
    if part:
        video = Video(part, cfg["hidden_size"])
        modules.append(video)
        size = part["siglip"]["image_size"]
        pixels = torch.rand(b * part["frames"], 3, size, size) * 2 - 1
        shown = part["frames"] * part["pooled_side"] ** 2
        labels = torch.cat([torch.full((b, shown), -100), labels], 1)
    values = [value for module in modules for value in module.parameters()]
    optimizer = torch.optim.AdamW(values, lr=1e-4, weight_decay=0.01, fused=True)

    def work():
        embeds = decoder.embed_tokens(ids)
        if part:
            embeds = torch.cat([video(pixels, b), embeds], 1)
        logits = decoder.logits(decoder(embeds)[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return work, count(*modules)


def sft(case, _data):
    """A step as its users take it: transformers, its checkpointing, peft; all weights learn from f32 masters under autocast."""
    model = language_model(case).train()
    if lora := case["decoder"].get("lora"):
        from peft import LoraConfig, get_peft_model

        model.enable_input_require_grads()
        model = get_peft_model(
            model, LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], target_modules=lora["modules"], task_type="CAUSAL_LM")
        )
    else:
        model.float()
    if case.get("recompute"):
        model.gradient_checkpointing_enable({"use_reentrant": False})
    learn = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learn, lr=1e-4, weight_decay=0.01, fused=True)
    ids = token_ids(case["batch"], case["text_tokens"], case["decoder"]["vocab_size"])

    def work():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()

    return work, count(model)


def attention(case, _data):
    b, s, hd = case["batch"], case["tokens"], case["head_dim"]
    # Heads side by side, as linear layers leave them.
    drawn = lambda heads: torch.randn(b, s, heads, hd).requires_grad_(case["backward"])
    q, k, v, grad = (drawn(heads) for heads in (case["heads"], case["key_heads"], case["key_heads"], case["heads"]))

    def work():
        grouped = case["heads"] != case["key_heads"]
        turned = (xs.transpose(1, 2) for xs in (q, k, v))
        out = F.scaled_dot_product_attention(*turned, is_causal=case["causal"], enable_gqa=grouped).transpose(1, 2)
        if case["backward"]:
            torch.autograd.grad(out, (q, k, v), grad.detach())

    return fastest(by_backends(work)) if q.is_cuda else work, 0


def product(case, _data):
    a, b = (torch.randn(case["side"], case["side"]) for _ in range(2))
    return lambda: a @ b, 0


def linear(case, _data):
    xs, weight = torch.randn(case["rows"], case["input"]), torch.randn(case["output"], case["input"])

    @torch.inference_mode()
    def work():
        for _ in range(case["times"]):
            F.linear(xs, weight)

    return work, 0


@torch.inference_mode()
def read(model, cache, ids):
    """The best tokens after the last ones, by the logits that generation of transformers asks for."""
    return model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits.argmax(-1).tolist()


def language_model(case):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    cfg = {key: value for key, value in case["decoder"].items() if key not in ("layout", "lora")}
    return Qwen2ForCausalLM(Qwen2Config(**cfg, attn_implementation="sdpa")).eval()


def prefill(case, _data):
    from transformers import DynamicCache

    model = language_model(case)
    ids = token_ids(case.get("batch", 1), case["tokens"], case["decoder"]["vocab_size"])
    return lambda: read(model, DynamicCache(), ids), count(model)


def decode(case, _data):
    from transformers import DynamicCache

    model, cache = language_model(case), DynamicCache()
    read(model, cache, token_ids(case.get("batch", 1), case["tokens"], case["decoder"]["vocab_size"]))
    following = torch.full((case.get("batch", 1), 1), 11)

    def work():
        cache.crop(case["tokens"])
        read(model, cache, following)

    return work, count(model)


def memory(case, _data):
    values = torch.ones(case["mib"] << 18)
    return values.sum, 0


def video(case, data):
    import numpy
    from common import THREADS
    from torchcodec.decoders import VideoDecoder

    path, n, size = data / case["file"], case["frames"], case["size"]

    def work():
        decoder = VideoDecoder(path, num_ffmpeg_threads=THREADS)
        indices = numpy.linspace(0, decoder.metadata.num_frames - 1, n).astype(int).tolist()
        frames = decoder.get_frames_at(indices).data
        frames = F.interpolate(frames, (size, size), mode="bicubic", antialias=True)
        pixels = (frames.float() / 255 - 0.5) / 0.5
        assert pixels.shape == (n, 3, size, size)

    return work, 0


def loader(case, data):
    """Frames as they are, decoded by as many workers as the loader has readers."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy
    from torchcodec.decoders import VideoDecoder

    path, n = data / case["file"], case["frames"]

    def decode(_):
        decoder = VideoDecoder(path, num_ffmpeg_threads=1)
        indices = numpy.linspace(0, decoder.metadata.num_frames - 1, n).astype(int).tolist()
        frames = decoder.get_frames_at(indices).data
        assert frames.shape[0] == n
        return n

    def work():
        with ThreadPoolExecutor(case["readers"]) as workers:
            assert sum(workers.map(decode, range(case["samples"]))) == n * case["samples"]

    return work, 0


SAM_LARGE = {
    "blocks_per_stage": [2, 6, 36, 4],
    "embed_dim_per_stage": [144, 288, 576, 1152],
    "num_attention_heads_per_stage": [2, 4, 8, 16],
    "window_size_per_stage": [8, 4, 16, 8],
    "global_attention_blocks": [23, 33, 43],
    "hidden_size": 144,
}


def sam_config(case, kind):
    """The size of a case; the usual one of transformers is tiny."""
    if case["size"] == "tiny":
        return kind(attn_implementation="sdpa")
    vision = {"backbone_config": SAM_LARGE, "backbone_channel_list": [1152, 576, 288, 144]}
    return kind(vision_config={"model_type": "sam2_vision_model", **vision}, attn_implementation="sdpa")


def sam_image(case, _data):
    from transformers import Sam2Config, Sam2Model

    model = Sam2Model(sam_config(case, Sam2Config)).eval()
    pixels = torch.rand(1, 3, 1024, 1024) * 4 - 2

    @torch.inference_mode()
    def work():
        model.get_image_embeddings(pixels)

    # The matrix of positions, which transformers keeps as a buffer, is counted on our side.
    return work, count(model) + model.shared_image_embedding.positional_embedding.numel()


def sam_memory(case, _data):
    from transformers import Sam2VideoConfig, Sam2VideoModel

    model = Sam2VideoModel(sam_config(case, Sam2VideoConfig)).eval()
    cells, pointers = 64 * 64, 4 * case["pointers"]
    t = case["memories"] * cells + pointers
    inputs = {
        "current_vision_features": torch.randn(cells, 1, 256),
        "current_vision_position_embeddings": torch.randn(cells, 1, 256),
        "memory": torch.randn(t, 1, 64),
        "memory_posision_embeddings": torch.randn(t, 1, 64),
        "num_object_pointer_tokens": pointers,
    }

    @torch.inference_mode()
    def work():
        model.memory_attention(**inputs)

    return work, count(model)


def sam_video(case, _data):
    from transformers import Sam2VideoConfig, Sam2VideoModel
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    model = Sam2VideoModel(sam_config(case, Sam2VideoConfig)).eval()
    pixels = torch.rand(3, 1024, 1024) * 4 - 2
    frames = [pixels * (1 - 0.01 * (at % 20)) for at in range(case["frames"])]
    corners = torch.tensor([[300.0, 200.0], [700.0, 600.0]]) * torch.tensor([1024 / 1280, 1024 / 720])

    @torch.inference_mode()
    def work():
        session = Sam2VideoInferenceSession(
            video=torch.stack(frames), video_height=720, video_width=1280, dtype=torch.float32
        )
        session.add_point_inputs(session.obj_id_to_idx(1), 0, {
            "point_coords": corners[None, None], "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
        })
        session.obj_with_new_inputs.append(1)
        model(session, frame_idx=0)
        seen = sum(1 for _ in model.propagate_in_video_iterator(session, start_frame_idx=0))
        assert seen == case["frames"]

    return work, count(model)


def dino(case, _data):
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    backbone = SwinConfig(
        window_size=7, image_size=224, embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24],
        out_indices=[2, 3, 4],
    )
    model = GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=backbone)).eval()
    pixels = torch.randn(1, 3, case["height"], case["width"])
    ids = torch.tensor([case["ids"]])

    @torch.inference_mode()
    def work():
        model(pixels, ids, attention_mask=torch.ones_like(ids), token_type_ids=torch.zeros_like(ids))

    return work, count(model)


KINDS = {
    "vision": vision,
    "connector": connector,
    "train": train,
    "sft": sft,
    "attention": attention,
    "product": product,
    "linear": linear,
    "prefill": prefill,
    "decode": decode,
    "memory": memory,
    "video": video,
    "loader": loader,
    "sam_image": sam_image,
    "sam_memory": sam_memory,
    "sam_video": sam_video,
    "dino": dino,
}

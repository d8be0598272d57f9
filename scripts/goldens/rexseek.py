"""RexSeek end to end, tiny: image and boxes, prompt embeddings, logits and greedy answers. Towers and language model are those
of transformers, put together here; the language model learns its few answers first, so that they are answers."""

import numpy as np
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, ConvNextConfig, ConvNextModel, Qwen2Config, Qwen2ForCausalLM,
)

import common
import rexseek_modules as modules

SEED = 4150
FAMILY = "rexseek"
OBJECTS, CANVAS, SELECT = 6, 96, -2
CLIP = {"hidden_size": 20, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 42,
        "patch_size": 14, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
AUX = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
LLM = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
       "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": True}
QUESTION = "Please detect [OBJ] in this image. Answer the question with object indexes."
SCENES = [((71, 50), [[4.5, 3.2, 40.1, 30.9], [20.0, 10.0, 20.0, 10.0], [33.3, 5.0, 80.0, 60.0]]),
          ((40, 64), [[1.0, 2.0, 30.0, 60.0], [10.7, 20.3, 25.1, 33.9]])]
ASKED = [("first", [0]), ("the last two", [-2, -1]), ("nothing", [])]


def build_tokenizer():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: at for at, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<obj{i}>" for i in range(OBJECTS)]
    special += ["<ground>", "</ground>", "<objects>", "</objects>"]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


class Projector(torch.nn.Sequential):
    def __init__(self, width, hidden):
        super().__init__(torch.nn.Linear(width, hidden), torch.nn.GELU(), torch.nn.Linear(hidden, hidden))


class Model(torch.nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.clip = CLIPVisionModel(CLIPVisionConfig(**CLIP, attn_implementation="eager"))
        self.aux = ConvNextModel(ConvNextConfig(**AUX))
        self.llm = Qwen2ForCausalLM(Qwen2Config(vocab_size=vocab, **LLM, attn_implementation="eager"))
        self.mm_projector = Projector(CLIP["hidden_size"] + AUX["hidden_sizes"][-1], LLM["hidden_size"])
        self.mm_object_projector = Projector(sum(AUX["hidden_sizes"]), LLM["hidden_size"])

    def see(self, image, boxes):
        width, height = image.size
        side = max(width, height)
        processor = CLIPImageProcessor(size={"shortest_edge": CANVAS}, crop_size=CANVAS, resample=3)
        square = Image.new("RGB", (side, side), tuple(int(255 * x) for x in processor.image_mean))
        left, top = (side - width) // 2, (side - height) // 2
        square.paste(image, (left, top))
        canvas = processor(square, return_tensors="pt")["pixel_values"]
        small = torch.nn.functional.interpolate(canvas, (CLIP["image_size"],) * 2, mode="bilinear", align_corners=False)
        boxes = torch.tensor(boxes)
        scale = np.float32(CANVAS / side)
        corner = (boxes[:, :2] + torch.tensor([left, top])) * scale
        placed = torch.cat([corner, corner + (boxes[:, 2:] - boxes[:, :2]) * scale], 1).half().float()
        maps = self.aux(canvas, output_hidden_states=True).hidden_states[1:]
        coarse = self.clip(small, output_hidden_states=True).hidden_states[SELECT][:, 1:]
        tokens = self.mm_projector(torch.cat([coarse, maps[-1].flatten(2).transpose(1, 2)], -1))
        means = modules.roi_mean(maps, placed)
        objects = self.mm_object_projector(means + modules.positions(placed, CANVAS, means.shape[-1]))
        return canvas, small, placed, tokens[0], objects

    def prompt(self, tokenizer, tokens, objects, expression):
        embed = lambda text: self.llm.model.embed_tokens(torch.tensor(tokenizer.encode(text).ids))
        parts = [embed("<|im_start|>user\n"), tokens]
        for at, token in enumerate(objects):
            parts += [embed(("" if at else "\n") + f"<obj{at}>"), token[None]]
        question = QUESTION.replace("[OBJ]", expression)
        return torch.cat([*parts, embed(f"\n{question}<|im_end|>\n<|im_start|>assistant\n")])


def answer(expression, wanted, count):
    tags = "".join(f"<obj{at % count}>" for at in wanted)
    return (f"<ground>{expression}</ground><objects>{tags}</objects>" if wanted else "None.") + "<|im_end|>"


def learn(model, tokenizer, images):
    """The language model and both projectors learn the answers."""
    parts = [model.llm, model.mm_projector, model.mm_object_projector]
    optimiser = torch.optim.Adam([p for part in parts for p in part.parameters()], 3e-3)
    for step in range(400):
        loss = 0
        for image, (_, boxes) in zip(images, SCENES):
            _, _, _, tokens, objects = model.see(image, boxes)
            for expression, wanted in ASKED:
                target = torch.tensor(tokenizer.encode(answer(expression, wanted, len(boxes))).ids)
                prompt = model.prompt(tokenizer, tokens, objects, expression)
                embeds = torch.cat([prompt, model.llm.model.embed_tokens(target)])
                logits = model.llm(inputs_embeds=embeds[None]).logits[0, len(prompt) - 1:-1]
                loss = loss + torch.nn.functional.cross_entropy(logits, target)
        if loss.item() < 0.05:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"{FAMILY}: learnt in {step} steps, loss {loss.item():.3f}")


@torch.no_grad()
def greedy(model, prompt, end):
    tokens, scores, first = [], [], None
    while len(tokens) < 60:
        embeds = torch.cat([prompt, model.llm.model.embed_tokens(torch.tensor(tokens, dtype=torch.long))])
        logits = model.llm(inputs_embeds=embeds[None], use_cache=False).logits[0, -1]
        first = logits if first is None else first
        top = logits.topk(2)
        assert top.values[0] - top.values[1] > 1e-2, "greedy choice too close"
        tokens.append(top.indices[0].item())
        scores.append(logits.log_softmax(-1)[tokens[-1]].item())
        if tokens[-1] == end:
            break
    ours = model.llm.generate(inputs_embeds=prompt[None], max_new_tokens=60, do_sample=False, eos_token_id=end, pad_token_id=end)
    assert ours[0].tolist() == tokens, "the library's generation differs"
    return tokens, scores, first


def published(model):
    """All weights under the published names, the state dict of a release."""
    weights = {}
    for name, value in model.state_dict().items():
        if name.startswith("clip."):
            if "position_ids" not in name:
                weights["vision_tower.vision_tower." + name.removeprefix("clip.")] = value
        elif name.startswith("aux."):
            if not name.startswith("aux.layernorm."):
                weights[modules.renamed(name.removeprefix("aux."))] = value
        elif name != "llm.lm_head.weight":
            weights[name.removeprefix("llm.")] = value
    return {name: value.detach().clone().contiguous() for name, value in weights.items()}


def main():
    rng = common.seeded(SEED)
    torch.use_deterministic_algorithms(False)
    folder = common.out_dir(FAMILY)
    tokenizer = build_tokenizer()
    model = Model(tokenizer.get_vocab_size()).eval()
    common.randomise(model.clip, rng, 0.15)
    common.randomise(model.aux, rng, 0.3)
    images = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for (w, h), _ in SCENES]
    learn(model, tokenizer, images)
    config = {
        "model_type": "rexseek_qwen", "architectures": ["RexSeekQwenForCausalLM"], "vocab_size": tokenizer.get_vocab_size(), **LLM,
        "mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_vision_select_layer": SELECT,
        "mm_vision_select_feature": "patch", "mm_projector_type": "mlp2x_gelu",
        "vision_config": CLIP, "vision_aux_config": AUX, "image_size_aux": CANVAS, "max_num_objects": OBJECTS,
    }
    common.write_json(folder / "config.json", config)
    (folder / "tokenizer.json").write_text(tokenizer.to_str() + "\n")
    common.save(folder, "model", published(model))
    end = tokenizer.token_to_id("<|im_end|>")
    cases, manifest = [], {}
    for at, (image, (_, boxes)) in enumerate(zip(images, SCENES)):
        with torch.no_grad():
            canvas, small, placed, tokens, objects = model.see(image, boxes)
        tensors = {"image": torch.from_numpy(np.array(image)), "boxes": torch.tensor(boxes), "canvas": canvas, "small": small,
                   "placed": placed, "image_tokens": tokens, "object_tokens": objects}
        asked = []
        for nth, (expression, wanted) in enumerate(ASKED):
            with torch.no_grad():
                prompt = model.prompt(tokenizer, tokens, objects, expression)
            ids, scores, first = greedy(model, prompt, end)
            text = tokenizer.decode(ids[:-1], skip_special_tokens=False)
            expected = answer(expression, wanted, len(boxes)).removesuffix("<|im_end|>")
            assert text == expected, f"{text!r} instead of {expected!r}"
            tensors |= {f"{nth}.prompt": prompt, f"{nth}.logits": first}
            asked.append({"expression": expression, "ids": ids, "log_probabilities": scores, "text": text,
                          "indices": [at % len(boxes) for at in wanted]})
        cases.append(asked)
        manifest[f"scene_{at}"] = common.save(folder, f"scene_{at}", tensors)
    common.write_json(folder / "answers.json", cases)
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "RexSeek, a tiny one",
        "A whole folder of the published form (`config.json`, `tokenizer.json`, `model.safetensors`), which learnt its few answers,\n"
        "and two scenes: image, boxes, prompt embeddings, logits behind the prompt; `answers.json` has the greedy ids with the\n"
        "logarithms of their probabilities. `manifest.json` lists tensors and shapes.",
        SEED, common.versions("torch", "transformers", "tokenizers"),
        "Reference: `CLIPVisionModel`, `ConvNextModel` and `Qwen2ForCausalLM` of transformers, put together by our own code; boxes as in\n"
        "  `rexseek_modules`.",
        "pixels 2e-5, boxes equal, prompts and logits 1e-4 relative, probabilities 1e-3, ids equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

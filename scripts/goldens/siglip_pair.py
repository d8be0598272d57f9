"""Both towers of SigLIP, from transformers: states and vectors of texts, logits of texts and images."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import SiglipConfig, SiglipModel

import common

SEED = 4177
FAMILY = "siglip_pair"
TOWER = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3}
TEXT = {**TOWER, "vocab_size": 29, "max_position_embeddings": 9, "pad_token_id": 1, "projection_size": 24}
VISION = {**TOWER, "image_size": 20, "patch_size": 6}
TEXTS = ["A red car, driving!", "the dog", "THE \"small\" dog left of a red car and a tree: by the house"]


def tokenizer():
    """Whole words, an end behind each text; real ones are made of pieces."""
    words = "a the red car driving dog small left right of and tree by house woman man in blue".split()
    vocab = {word: at for at, word in enumerate(["<unk>", "</s>", *words])}
    made = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return made


def ids(tokens, length):
    found = tokens if len(tokens) <= length else tokens[: length - 1] + tokens[-1:]
    return found + [TEXT["pad_token_id"]] * (length - len(found))


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    model = SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION, attn_implementation="eager")).eval()
    common.randomise(model, rng, 0.15)
    common.write_json(folder / "config.json", {"model_type": "siglip", "text_config": TEXT, "vision_config": VISION})
    common.save(folder, "model", dict(model.state_dict()))
    words = tokenizer()
    words.save(str(folder / "tokenizer.json"))
    # What transformers' own tokenizer does to a text first: small letters, no punctuation.
    plain = ["a red car driving", "the dog", "the small dog left of a red car and a tree by the house"]
    tokens = torch.tensor([ids(words.encode(text).ids, TEXT["max_position_embeddings"]) for text in plain])
    raw = torch.from_numpy(rng.integers(0, 256, (2, 3, VISION["image_size"], VISION["image_size"]), dtype="uint8"))
    pixels = (raw.float() / 255 - 0.5) / 0.5
    out = model(input_ids=tokens, pixel_values=pixels)
    manifest = {"forward": common.save(folder, "forward", {
        "in.input_ids": tokens.to(torch.uint32),
        "in.pixel_values": pixels,
        "out.text_states": out.text_model_output.last_hidden_state,
        "out.text_pooled": out.text_model_output.pooler_output,
        "out.text_embeds": out.text_embeds,
        "out.image_embeds": out.image_embeds,
        "out.logits_per_text": out.logits_per_text,
    })}
    common.write_json(folder / "manifest.json", manifest)
    common.write_json(folder / "texts.json", TEXTS)
    common.readme(
        folder, "SigLIP, both towers",
        "Three texts (`texts.json`, `in.input_ids`; the longest is cut) and two images: states and vectors of texts, logits.\n"
        "The tokenizer knows whole words only and was made for this.",
        SEED, common.versions("torch", "transformers", "tokenizers"),
        "Reference: `SiglipModel` of transformers, random weights.", "1e-5 of the largest number.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()

"""Phi-3 with added token rows (BLIP-3-Strefer's decoupled embedding and head): the decoder from transformers, the head
our own, checked first against the reference recording of the family strefer_e2e."""

import torch
from transformers import Phi3Config, Phi3Model

import common

SEED = 4404
FAMILY = "phi3_extra_rows"
FIRST_ID, ROWS, ADDED = 40, 46, 9
TEXT = {
    "model_type": "phi3", "vocab_size_original_rows": ROWS, "hidden_size": 16, "intermediate_size": 28,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5, "max_position_embeddings": 128, "sliding_window": None, "hidden_act": "silu",
}


def build(text):
    keys = {k: v for k, v in text.items() if k not in ("model_type", "vocab_size_original_rows")}
    keys |= {"vocab_size": text["vocab_size_original_rows"], "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    keys |= {"original_max_position_embeddings": keys["max_position_embeddings"]}
    return Phi3Model(Phi3Config(**keys, attn_implementation="eager")).eval()


def run(model, head, first, embeds, mask):
    """States after the final norm and logits: `first` rows of the old head, then the added one."""
    positions = torch.arange(embeds.shape[1])[None].expand(embeds.shape[0], -1)
    hidden = model(inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False).last_hidden_state
    old = (hidden @ head["weight"].T + head["bias"])[..., :first]
    return hidden, torch.cat([old, hidden @ head["additional_fc.weight"].T + head["additional_fc.bias"]], -1)


def loss_of(logits, labels):
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def check():
    folder = common.fixtures("strefer_e2e")
    if folder is None:
        return
    import json

    config = json.loads((folder / "config.json").read_text())
    weights = {k.removeprefix("lang_model."): v for k, v in common.load(folder / "weights.safetensors").items()}
    model = build(config["text_config"])
    own = {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.") and "additional" not in k}
    model.load_state_dict(own)
    head = {k.removeprefix("lm_head."): v for k, v in weights.items() if k.startswith("lm_head.")}
    for name in ("batch", "batch_mixed"):
        case = common.load(folder / f"{name}_outputs.safetensors")
        mask = case["spliced_attention_mask"]
        _, logits = run(model, head, config["initial_tokenizer_len"], case["inputs_embeds"], mask)
        common.agree(f"{name} logits", logits[mask == 1], case["logits"][mask == 1])
        common.agree(f"{name} loss", loss_of(logits, case["spliced_labels"]), case["loss"])


def main():
    rng = common.seeded(SEED)
    check()
    folder = common.out_dir(FAMILY)
    model = build(TEXT)
    width = TEXT["hidden_size"]
    draw = lambda *shape: torch.from_numpy(rng.standard_normal(shape).astype("float32"))
    for weight in model.parameters():
        weight.data = draw(*weight.shape) * 0.3 if weight.dim() > 1 else 1 + 0.1 * draw(*weight.shape)
    head = {
        "weight": 0.5 * draw(ROWS, width), "bias": 0.2 * draw(ROWS),
        "additional_fc.weight": 0.5 * draw(ADDED, width), "additional_fc.bias": 0.2 * draw(ADDED),
    }
    head = {name: weight.requires_grad_() for name, weight in head.items()}
    weights = {f"lang_model.model.{k}": v for k, v in model.state_dict().items()}
    weights["lang_model.model.embed_tokens.additional_embedding.weight"] = draw(ADDED, width)
    weights |= {f"lang_model.lm_head.{k}": v for k, v in head.items()}
    common.save(folder, "weights", weights)
    common.write_json(folder / "config.json", {"text_config": TEXT, "initial_tokenizer_len": FIRST_ID, "seed": SEED})
    for name, lengths in (("batch", [11, 8]), ("batch_mixed", [6, 12])):
        s = max(lengths)
        embeds = 0.5 * draw(2, s, width)
        mask = (torch.arange(s)[None] < torch.tensor(lengths)[:, None]).long()
        labels = torch.from_numpy(rng.integers(0, FIRST_ID + ADDED, (2, s)))
        labels[(mask == 0) | torch.from_numpy(rng.random((2, s)) < 0.4)] = -100
        model.zero_grad()
        for weight in head.values():
            weight.grad = None
        hidden, logits = run(model, head, FIRST_ID, embeds, mask)
        loss = loss_of(logits, labels)
        loss.backward()
        common.save(folder, f"{name}_outputs", {
            "spliced_attention_mask": mask, "inputs_embeds": embeds, "spliced_labels": labels,
            "final_norm_out": hidden, "logits": logits, "loss": loss,
        })
        grads = {f"grad.lang_model.model.{k}": w.grad for k, w in model.named_parameters() if w.grad is not None}
        common.save(folder, f"{name}_grads", grads | {f"grad.lang_model.lm_head.{k}": w.grad for k, w in head.items()})
    tables = [weights["lang_model.model.embed_tokens.weight"][:FIRST_ID],
              weights["lang_model.model.embed_tokens.additional_embedding.weight"]]
    for name, length in (("generate", 9), ("generate_nomask", 5)):
        prompt = 0.5 * draw(1, length, width)
        embeds, sequence = prompt, []
        with torch.no_grad():
            for _ in range(8):
                _, logits = run(model, head, FIRST_ID, embeds, torch.ones(embeds.shape[:2], dtype=torch.long))
                sequence.append(int(logits[0, -1].argmax()))
                embeds = torch.cat([embeds, torch.cat(tables)[sequence[-1]][None, None]], 1)
        common.save(folder, name, {"prompt_embeds": prompt, "sequence": torch.tensor(sequence)})
    (folder / "README.md").write_text(
        "# Phi-3 with added token rows\n\nRecorded by `scripts/goldens/phi3_extra_rows.py` (seed "
        f"{SEED}, torch {torch.__version__}): decoder from transformers, head our own, checked against the reference "
        "recording of `strefer_e2e`. Tensor names as there. Tolerance: logits 1e-4, loss 1e-5, gradients 1e-4 relative,\n"
        "tokens equal.\n"
    )
    print(f"{FAMILY}: {len(list(folder.iterdir()))} files")


if __name__ == "__main__":
    main()

"""BERT without its pooling head, from transformers: a padded batch, and phrases that do not see each other."""

import torch
from transformers import BertConfig, BertModel

import common

SEED = 4143
FAMILY = "bert"
CONFIG = {
    "model_type": "bert",
    "vocab_size": 1040,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
SEPARATORS = (101, 102, 1012, 1029)


def phrases(ids):
    """The mask between tokens of one phrase, and places that start again in each."""
    count = len(ids)
    mask, places = torch.eye(count, dtype=torch.bool), torch.zeros(count, dtype=torch.long)
    begin = 1
    for column, token in enumerate(ids):
        if token not in SEPARATORS:
            continue
        if column not in (0, count - 1):
            mask[begin : column + 1, begin : column + 1] = True
            places[begin : column + 1] = torch.arange(column + 1 - begin)
        begin = column + 1
    return mask, places


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    model = BertModel(BertConfig(**CONFIG, attn_implementation="eager"), add_pooling_layer=False).eval()
    common.randomise(model, rng, 0.2)
    common.write_json(folder / "config.json", CONFIG)
    common.save(folder, "weights", {k: v for k, v in model.state_dict().items() if "position_ids" not in k})
    # transformers 4 hides what the flags of a three-dimensional mask leave out.
    manifest = {"text_mask": "hide"}

    ids = torch.from_numpy(rng.integers(200, 1000, (2, 9)))
    valid = torch.ones_like(ids)
    valid[1, 6:] = 0
    types = torch.from_numpy(rng.integers(0, 2, (2, 9)))
    out = model(ids, attention_mask=valid, token_type_ids=types, output_hidden_states=True)
    states = lambda out: {f"out.hidden_states.{i}": state for i, state in enumerate(out.hidden_states)}
    manifest["padding_mask"] = common.save(folder, "padding_mask", {
        "in.input_ids": ids, "in.attention_mask": valid, "in.token_type_ids": types,
        "out.last_hidden_state": out.last_hidden_state, **states(out),
    })

    rows = [[101, 300, 301, 1012, 302, 1029, 303, 1012, 102], [101, 400, 1012, 102, 0, 0, 0, 0, 0]]
    ids = torch.tensor(rows)
    masks, places = zip(*map(phrases, rows))
    mask, places = torch.stack(masks), torch.stack(places)
    types = torch.zeros_like(ids)
    out = model(ids, attention_mask=mask, token_type_ids=types, position_ids=places, output_hidden_states=True)
    manifest["sub_sentence_mask"] = common.save(folder, "sub_sentence_mask", {
        "in.input_ids": ids, "in.attention_mask_3d": mask, "in.position_ids": places, "in.token_type_ids": types,
        "out.last_hidden_state": out.last_hidden_state, **states(out),
    })

    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "BERT encoder",
        "States of all layers for a padded batch, and for texts whose phrases do not see each other and count places anew.\n"
        "`in.*` inputs, `out.*` results; `manifest.json` lists tensors and shapes. `text_mask` says that other phrases are hidden;\n"
        "plain attention of transformers 5 adds one to the scores of a phrase's own tokens instead.",
        SEED, common.versions("torch", "transformers"), "Reference: `BertModel` of transformers, random weights.",
        "1e-5 relative.",
    )
    common.report(folder)


if __name__ == "__main__":
    with torch.no_grad():
        main()

"""Qwen2 decoder with tied embeddings, plain and with scaled rotary frequencies, from transformers."""

from transformers import Qwen2Config, Qwen2ForCausalLM

import common
import decoder

SEED = 4202
FAMILY = "qwen2"
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "torch_dtype": "float32",
    "hidden_size": 24,
    "intermediate_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "rope_theta": 50000.0,
    "vocab_size": 53,
    "hidden_act": "silu",
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "use_sliding_window": False,
    "sliding_window": None,
    "max_window_layers": 28,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.02,
    "use_cache": True,
    "pad_token_id": None,
}

SCALINGS = {
    "linear2": {"rope_type": "linear", "factor": 2.0},
    "yarn4": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
}


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    model = Qwen2ForCausalLM(Qwen2Config(**CONFIG, attn_implementation="eager")).eval()
    common.randomise(model, rng, 0.25)
    common.write_json(folder / "config.json", CONFIG)
    common.save(folder, "weights", {name: weight for name, weight in model.named_parameters()})
    decoder.record(folder, model, rng)
    state = {name: weight.clone() for name, weight in model.state_dict().items()}
    for name, scaling in SCALINGS.items():
        scaled = CONFIG | {"rope_scaling": scaling}
        model = Qwen2ForCausalLM(Qwen2Config(**scaled, attn_implementation="eager")).eval()
        model.load_state_dict(state)
        common.write_json(folder / f"config_{name}.json", scaled)
        decoder.record(folder, model, common.seeded(SEED), f"_{name}")
    common.readme(
        folder, "Qwen2 decoder, tied embeddings",
        decoder.WHAT.format(what="6 query heads over 2 key/value heads. The head is the embedding: no `lm_head.weight`, and the\n"
                                 "gradient of `model.embed_tokens.weight` is the sum of both uses.\n"
                                 f"`*_{'`, `*_'.join(SCALINGS)}`: the same weights, rotary frequencies scaled as the config says."),
        SEED, common.versions("torch", "transformers"), "Reference: `Qwen2ForCausalLM` of transformers, eager attention, random weights.",
        decoder.TOLERANCE,
    )
    common.report(folder)


if __name__ == "__main__":
    main()

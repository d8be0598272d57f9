"""Phi-3 decoder, plain, with a sliding window and with LongRoPE, from transformers."""

from transformers import Phi3Config, Phi3ForCausalLM

import common
import decoder

SEED = 4303
FAMILY = "phi3"
WINDOW = 6
# Longest short sequence: of all-long batches, and of short batches with a greedy answer that grows beyond it.
SHORTEST, CROSSED = 3, 10
LONGROPE = {"type": "longrope", "short_factor": [1.0, 1.3], "long_factor": [1.7, 3.1]}
CONFIG = {
    "architectures": ["Phi3ForCausalLM"],
    "model_type": "phi3",
    "torch_dtype": "float32",
    "hidden_size": 16,
    "intermediate_size": 28,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "sliding_window": None,
    "max_position_embeddings": 48,
    "original_max_position_embeddings": 48,
    "vocab_size": 47,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "attention_dropout": 0.0,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.02,
    "use_cache": True,
}


def main():
    rng = common.seeded(SEED)
    folder = common.out_dir(FAMILY)
    model = Phi3ForCausalLM(Phi3Config(**CONFIG, attn_implementation="eager")).eval()
    common.randomise(model, rng, 0.3)
    state = {name: weight.clone() for name, weight in model.state_dict().items()}
    common.save(folder, "weights", state)
    common.write_json(folder / "config.json", CONFIG)
    decoder.record(folder, model, rng)

    sliding = CONFIG | {"sliding_window": WINDOW}
    suffix = f"_sliding{WINDOW}"
    model = Phi3ForCausalLM(Phi3Config(**sliding, attn_implementation="eager")).eval()
    model.load_state_dict(state)
    common.write_json(folder / f"config{suffix}.json", sliding)
    decoder.record(folder, model, common.seeded(SEED), suffix)
    for longest, decoding in [(SHORTEST, ("greedy_12", [9, 5, 6], True)), (CROSSED, ("cross_12", [6], False))]:
        long = CONFIG | {"rope_scaling": LONGROPE, "original_max_position_embeddings": longest}
        suffix = f"_longrope{longest}"
        model = Phi3ForCausalLM(Phi3Config(**long, attn_implementation="eager")).eval()
        model.load_state_dict(state)
        common.write_json(folder / f"config{suffix}.json", long)
        decoder.record(folder, model, common.seeded(SEED), suffix, decoding)

    common.readme(
        folder, "Phi-3 decoder",
        decoder.WHAT.format(what="Fused `qkv_proj` (4 query heads over 2 key/value heads) and `gate_up_proj`.\n"
                                 f"`*_sliding{WINDOW}`: the same weights, a query sees itself and the {WINDOW - 1} columns before it.\n"
                                 f"`*_longrope{SHORTEST}`, `*_longrope{CROSSED}`: the same weights with LongRoPE; sequences of more than {SHORTEST} or {CROSSED}\n"
                                 f"positions take the long factors. `cross_12`: one greedy answer that grows beyond {CROSSED}, every step\n"
                                 "from a full pass (cached generation of that library differs there)."),
        SEED, common.versions("torch", "transformers"), "Reference: `Phi3ForCausalLM` of transformers, eager attention, random weights.",
        decoder.TOLERANCE,
    )
    common.report(folder)


if __name__ == "__main__":
    main()

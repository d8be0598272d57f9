"""Activations of a LLaVA-OneVision folder as transformers computes them, for `strefer verify`.

Usage: activations.py MODEL_DIR OUT.safetensors [FRAMES]. Frames are noise: what counts is that both sides see the same.
The file's form is documented in crates/strefer-model/src/recording.rs.
"""

import sys

import torch
from safetensors.torch import save_file
from transformers import LlavaOnevisionForConditionalGeneration

SEED = 20
# Any ids do; what they mean does not matter.
BEFORE, AFTER = [4, 31, 8], [22, 5, 17, 9]


def main():
    folder, out, *rest = sys.argv[1:]
    count = int(rest[0]) if rest else 4
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    config = model.config
    side = config.vision_config.image_size
    frames = torch.randn(1, count, 3, side, side, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        layer, strategy = config.vision_feature_layer, config.vision_feature_select_strategy
        features = torch.stack(list(model.model.get_video_features(frames, layer, strategy)))
        videos = torch.cat([features, model.model.image_newline.expand(1, 1, -1)], 1)
        ids = torch.tensor([[*BEFORE, *[config.video_token_index] * videos.shape[1], *AFTER]])
        made = model(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values_videos=frames, use_cache=False,
            output_hidden_states=True,
        )
    row = {
        "frames": frames[0], "shown": torch.arange(count), "tokens": torch.tensor([*BEFORE, -1, *AFTER]), "videos": videos[0],
        "embeds": made.hidden_states[0][0], "logits": made.logits[0],
    }
    save_file({f"row.0.{name}": tensor.float().contiguous() if tensor.is_floating_point() else tensor for name, tensor in row.items()}, out)


if __name__ == "__main__":
    main()

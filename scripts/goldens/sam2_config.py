"""A tiny SAM 2.1, as images and videos share it."""


def vision(width, size):
    return {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 8,
            "image_size": [size, size],
            "window_positional_embedding_background_size": [3, 3],
            "blocks_per_stage": [1, 2, 2, 1],
            "embed_dim_per_stage": [8, 16, 24, 32],
            "num_attention_heads_per_stage": [1, 2, 3, 4],
            "window_size_per_stage": [4, 4, 6, 3],
            "global_attention_blocks": [4],
        },
        "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": [[size // 4] * 2, [size // 8] * 2, [size // 16] * 2],
        "fpn_hidden_size": width,
    }


def image(width, size):
    return {
        "vision_config": {"model_type": "sam2_vision_model", **vision(width, size)},
        "prompt_encoder_config": {"hidden_size": width, "image_size": size},
        "mask_decoder_config": {
            "hidden_size": width,
            "mlp_dim": 40,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": 24,
        },
    }


def video(width, size):
    return {
        **image(width, size),
        "image_size": size,
        "memory_attention_hidden_size": width,
        "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 48,
        "memory_attention_rope_feat_sizes": [size // 16] * 2,
        "memory_encoder_hidden_size": width,
        "memory_encoder_output_channels": width // 2,
        "mask_downsampler_embed_dim": width,
        "memory_fuser_embed_dim": width,
        "memory_fuser_intermediate_dim": 40,
    }

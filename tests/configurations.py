"""Configurations of small models that have weights of more than `SMALL_ELEMENTS`: what an export without weights leaves zeros."""

from typing import Any

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 320, "n_layer": 2, "n_head": 4, "vocab_size": 300, "n_positions": 64},
    "llama": {
        "hidden_size": 320,
        "intermediate_size": 400,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
    },
    "vit": {  # transformers 5 has other names for its modules than checkpoints have
        "hidden_size": 320,
        "intermediate_size": 400,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 16,
    },
}

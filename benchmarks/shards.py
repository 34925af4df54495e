"""Folders of safetensors of any size, for benchmarks: holes, or numbers that cost no time to make."""

import json
from pathlib import Path

import numpy as np
import torch

SHARD_BYTES = 2 << 30


def write_shards(folder: Path, module: torch.nn.Module, *, numbers: bool) -> int:
    """Write weights as `save_pretrained` does, one tensor at a time; return their size in bytes."""
    shards: list[dict[str, torch.Tensor]] = [{}]
    for name, tensor in module.named_parameters():
        if sum(one.nbytes for one in shards[-1].values()) > SHARD_BYTES:
            shards.append({})
        shards[-1][name] = tensor
    places: dict[str, str] = {}
    tile = np.random.default_rng(0).normal(0, 0.02, 1 << 20).astype(np.float32).tobytes()
    for number, tensors in enumerate(shards, 1):
        file, end = f"model-{number:05}-of-{len(shards):05}.safetensors", 0
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        for name, tensor in tensors.items():
            header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + tensor.nbytes]}
            end += tensor.nbytes
            places[name] = file
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with (folder / file).open("wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for _ in range(0, end if numbers else 0, len(tile)):
                out.write(tile)
            out.truncate(8 + len(text) + end)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return sum(tensor.nbytes for tensor in module.parameters())

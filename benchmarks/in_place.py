"""Exports whose weights stay in their safetensors files: `uv run python benchmarks/in_place.py [--gigabytes N]`.

Makes folders of about N GB, with holes for weights or with numbers, exports them in place and cuts a layer out. The table
goes to stdout and, with 8 GB, to docs/benchmarks/in-place.md. Linux; about N GB of disk.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
import transformers
from measuring import HERE, Row, machine, on_disk, run, table
from shards import write_shards

LIMIT_MB = 2000
LLAMA = {"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32, "vocab_size": 32000}
GPT2 = {"n_embd": 4096, "n_head": 32}
MODELS = {
    "GPT-2, holes": ("gpt2", GPT2, "n_layer", 8.05e8, "h.0", False),
    "Llama, holes": ("llama", LLAMA, "num_hidden_layers", 8.1e8, "layers.0", False),
    "Llama, numbers, half the size": ("llama", LLAMA, "num_hidden_layers", 1.62e9, "layers.0", True),
}
"""Architecture, settings, the name and size in bytes of a layer, its module, and whether the weights are numbers."""

TEXT = """# Weights that stay where they are

`hx export FOLDER --weights in-place`, of float32 models. {machine} Made by `benchmarks/in_place.py`.

Memory is the peak of anonymous memory (`RssAnon`, looked at every 20 ms): what is mapped from files the kernel can take back at any time.
The limit is {limit} MB. *Beside* is what the data file of the model takes on the disk: weights that the exporter transposed, which are
those of a `Linear` without bias. Holes of a file are zeros, transposed too: a model refers to them. The first tensor of
a shard shares a page with the header, and is no hole.

{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8)
    gigabytes = parser.parse_args().gigabytes
    rows: list[Row] = []
    for what, (arch, settings, layers, layer_bytes, layer, numbers) in MODELS.items():
        with tempfile.TemporaryDirectory(dir=HERE) as name:
            folder = Path(name) / "model"
            config = transformers.AutoConfig.for_model(
                arch, **settings, **{layers: round(gigabytes * 1e9 / layer_bytes)}, dtype="float32"
            )
            config.save_pretrained(folder)
            with torch.device("meta"):
                size = write_shards(folder, transformers.AutoModel.from_config(config), numbers=numbers)
            for command in (
                "export model --weights in-place --no-verify",
                f"extract model/model.onnx --module {layer} -o layer.onnx --no-verify",
            ):
                seconds, peak, _ = run(command, Path(name))
                if peak > LIMIT_MB * 1e6:
                    raise SystemExit(f"hx {command} took {peak / 1e6:.0f} MB, more than {LIMIT_MB}.")
                data = Path(name) / ("model/model.onnx.data" if command.startswith("export") else "layer.onnx.data")
                beside = data.stat().st_blocks * 512 if data.exists() else 0
                row = f"{seconds:.1f} s", f"{peak / 1e6:.0f} MB", f"{beside / 1e6:.1f} MB"
                rows.append((what, f"{size / 1e9:.1f} GB", f"`hx {command}`", *row))
                print(*rows[-1], f"{on_disk(Path(name)) / 1e9:.1f} GB", flush=True)
    done = table(("model", "weights", "command", "processor time", "memory", "beside"), rows)
    text = TEXT.format(machine=machine(), limit=LIMIT_MB, rows=done)
    print(text)
    if gigabytes == 8:
        (HERE.parent / "docs" / "benchmarks" / "in-place.md").write_text(text)


if __name__ == "__main__":
    main()

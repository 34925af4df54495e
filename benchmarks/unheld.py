"""A model of 70 billion parameters that no machine here holds: `uv run python benchmarks/unheld.py [--layers N]`.

Exports a configuration without weights, and does with the export what needs none. The table goes to stdout and, with all
80 layers, to docs/benchmarks/unheld.md. Linux; 20 MB of disk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import torch
import transformers
from measuring import HERE, Row, machine, on_disk, run, table
from shards import write_shards

LIMIT_MB = 2000
COMMANDS = {
    "export": "export llama --random-weights -o model.onnx",
    "tree": "tree model.onnx --depth 1",
    "cost": "analyze model.onnx --depth 1",
    "validate": "validate model.onnx",
    "compare": "compare model.onnx model.onnx",
    "one layer": "extract model.onnx --module layers.17 -o layer.onnx",
    "with its weights": "extract model.onnx --module layers.17 --weights-from llama -o real.onnx",
    "functions": "functionize model.onnx -o functions.onnx",
    "four stages": "split model.onnx --into 4 -o stages",
}
SHOWN = ("tree", "cost")

TEXT = """# A model that no machine holds

A configuration of Llama with {layers} layers of 8192, float32: {size:.0f} GB of weights, on a machine of {memory:.0f} GiB.
{machine}
Nothing is downloaded, and no weight is made: see [Larger than memory](../cli.md#larger-than-memory). Made by
`benchmarks/unheld.py`.

Processor time is user and system time of the whole process. Memory is the peak of anonymous memory (`RssAnon`, looked at every
20 ms): what is mapped from files the kernel can take back at any time. The limit is {limit} MB. On the disk is what files take there, which
is far less than they are long.

{rows}

```text
{shown}
```
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=80)
    layers = parser.parse_args().layers
    rows: list[Row] = []
    shown: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = transformers.LlamaConfig(
            hidden_size=8192,
            intermediate_size=28672,
            num_hidden_layers=layers,
            num_attention_heads=64,
            num_key_value_heads=8,
            vocab_size=128256,
        )
        config.save_pretrained(folder / "llama")
        with torch.device("meta"):
            write_shards(folder / "llama", transformers.AutoModelForCausalLM.from_config(config), numbers=False)
        for what, command in COMMANDS.items():
            written = on_disk(folder)
            seconds, peak, text = run(command.replace("17", str(min(17, layers - 1))), folder)
            if peak > LIMIT_MB * 1e6:
                raise SystemExit(f"hx {command} took {peak / 1e6:.0f} MB, more than {LIMIT_MB}.")
            written = max(on_disk(folder) - written, 0)
            rows.append(
                (what, f"`hx {command}`", f"{seconds:.1f} s", f"{peak / 1e6:.0f} MB", f"{written / 1e6:.1f} MB")
            )
            shown += [f"$ hx {command}", text.strip(), ""] if what in SHOWN else []
            print(*rows[-1], flush=True)
        size = (folder / "model.onnx.data").stat().st_size / 1e9
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    done = table(("what", "command", "processor time", "memory", "on the disk"), rows)
    text = TEXT.format(
        layers=layers,
        size=size,
        memory=memory,
        machine=machine(),
        limit=LIMIT_MB,
        rows=done,
        shown="\n".join(shown).strip(),
    )
    print(text)
    if layers == 80:
        (HERE.parent / "docs" / "benchmarks" / "unheld.md").write_text(text)


if __name__ == "__main__":
    main()

"""Verification of a model that is larger than the machine's memory: `uv run python benchmarks/window.py [--layers N]`.

The table goes to stdout and, with all layers, to docs/benchmarks/window.md. Linux; 3 GB of disk, and a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from measuring import HERE, Row, machine, run, table
from shards import write_shards

from hx_graph import stored_tensors

LAYERS = 16
WINDOW = "2GB"
SMALL_WINDOW = "100MB"
BLOCK = 64
"""Rows and columns of a large weight that are not zero: the others take no disk."""

TEXT = """# Verification in a window

Two models in float32, beside PyTorch, on a machine of {memory:.0f} GiB. {machine}
Made by `benchmarks/window.py`; see [Larger than memory](../cli.md#larger-than-memory).

* *large*: GPT-2 with {layers} layers of 4096, inside 54000: {large:.1f} GB. Its safetensors are sparse: but for a block of {block} by {block}, each
  large weight is zeros, which both runtimes read like any others. The ONNX model refers into the same files.
* *small*: Llama with 4 layers of 1024, inside 24576: {small:.2f} GB of random weights, and a data file of that size.

Processor time is user and system time of the whole process, one thread. Memory is the peak of anonymous memory (`RssAnon`, looked at every
20 ms), imports of torch and transformers included, about 0.3 GB: what is mapped from files the kernel takes back when it needs it.

{rows}

Without a window, ONNX Runtime copies all weights of the large model. Of the small model, {same} of {calls} calls have the same local
error in the window to the last bit, and the others one that differs by at most {largest:.1e} of the largest value: ONNX Runtime
computes these with weights as they lie in the file. Verdicts, limits and reasons are the same.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS)
    layers = parser.parse_args().layers
    transformers.logging.set_verbosity_error()
    os.environ["OMP_NUM_THREADS"] = "1"
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = save_small(folder / "small")
        run("export small --no-verify -o small.onnx", folder)
        reports = [verified("small", options, folder, rows) for options in ("", f" --memory {SMALL_WINDOW}")]
        same, largest = compared(*reports)
        large = save_sparse(folder / "large", layers)
        run("export large --weights in-place --no-verify", folder)
        report = verified("large", f" --memory {WINDOW}", folder, rows, "large/large.onnx")
        if report["failed"] or report["refusal"]:
            raise SystemExit("The large model is not equal to PyTorch's.")
    text = TEXT.format(
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        machine=machine(),
        layers=layers,
        large=large / 1e9,
        small=small / 1e9,
        block=BLOCK,
        rows=table(("command", "weights", "calls compared", "processor time", "memory", "largest local error"), rows),
        same=same,
        calls=reports[0]["compared"],
        largest=largest,
    )
    print(text)
    if layers == LAYERS:
        (HERE.parent / "docs" / "benchmarks" / "window.md").write_text(text)


def verified(name: str, options: str, folder: Path, rows: list[Row], model: str | None = None) -> dict[str, Any]:
    """Verify a model in a process of its own; return the record, and add a row of what it took."""
    command = f"verify {model or name + '.onnx'} --against {name}{options}"
    seconds, peak, text = run(f"{command} --json", folder)
    report = json.loads(text[text.index("{") :])
    size = sum(path.stat().st_size for path in (folder / name).glob("*.safetensors"))
    worst = max(entry["local"]["relative_error"] for entry in report["calls"] if entry["local"])
    numbers = f"{size / 1e9:.2f} GB", f"{report['compared']}", f"{seconds:.0f} s", f"{peak / 1e6:.0f} MB"
    rows.append((f"`hx {command}`", *numbers, f"{worst:.1e}"))
    print(*rows[-1], file=sys.stderr, flush=True)
    return report


def compared(ordinary: dict[str, Any], window: dict[str, Any]) -> tuple[int, float]:
    """Return how many compared calls have equal local errors in two records, and the largest difference of the others."""
    if ordinary["culprit"] != window["culprit"] or ordinary["compared"] != window["compared"]:
        raise SystemExit("The verdict in the window is another.")
    differences: list[float] = []
    for one, other in zip(ordinary["calls"], window["calls"], strict=True):
        if any(one[name] != other[name] for name in ("fqn", "call", "status", "reason", "wrong", "limit")):
            raise SystemExit(f"{one['fqn']!r} is another in the window.")
        if one["local"]:
            differences.append(abs(one["local"]["relative_error"] - other["local"]["relative_error"]))
    return differences.count(0.0), max(differences)


def save_small(folder: Path) -> int:
    """Save a model with random weights; return their bytes."""
    config = transformers.LlamaConfig(
        hidden_size=1024,
        intermediate_size=24576,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=8,
        vocab_size=1000,
        max_position_embeddings=128,
    )
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config)
    model.save_pretrained(folder)
    return sum(parameter.nbytes for parameter in model.parameters())


def save_sparse(folder: Path, layers: int) -> int:
    """Save a model whose shards are sparse; return the bytes of its weights."""
    config = transformers.GPT2Config(
        n_embd=4096,
        n_inner=54000,
        n_layer=layers,
        n_head=32,
        vocab_size=1000,
        n_positions=128,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    config.save_pretrained(folder)
    with torch.device("meta"):
        size = write_shards(folder, transformers.AutoModel.from_config(config), numbers=False)
    random = np.random.default_rng(0)
    for name, tensor in stored_tensors(folder).items():
        numbers = np.memmap(tensor.path, "<f4", "r+", tensor.offset, tensor.shape)
        block = numbers[:BLOCK, :BLOCK] if numbers.ndim == 2 else numbers
        block[:] = random.normal(size=block.shape) * 0.1 + name.endswith(("ln_1.weight", "ln_2.weight"))
    return size


if __name__ == "__main__":
    main()

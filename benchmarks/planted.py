"""Planted errors: `uv run python benchmarks/planted.py`. Does `hx verify` name the call that is wrong?

A BERT of 12 layers, with random weights, is exported once. Then one Linear at a time is made wrong in the ONNX file: its
whole weight by 1 %, or only its largest weight by 1 %. The same files are also converted to float16 and quantised to
int8. The tables go to stdout and docs/planted-errors.md; exit code 1 if a wrong call of an export was not named, or a
right one was.
"""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import hx
from hx.records.verify import VerifyReport

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "planted-errors.md"
SPEC = f"{Path(__file__).resolve()}:bert"
LAYERS = 12
CALLS = [
    "encoder.layer.0.attention.self.query",
    "encoder.layer.1.intermediate.dense",
    "encoder.layer.2.attention.self.key",
    "encoder.layer.3.output.dense",
    "encoder.layer.5.attention.self.value",
    "encoder.layer.6.attention.output.dense",
    "encoder.layer.8.intermediate.dense",
    "encoder.layer.9.attention.self.query",
    "encoder.layer.11.output.dense",
    "pooler.dense",
]
KINDS = {"weight": "whole weight × 1.01", "element": "largest weight × 1.01", "half": "whole weight × 1.5"}  # noqa: RUF001
FORMS = ["as exported", "float16", "int8 (dynamic)"]
HEAD = "| planted in | what | named | its local error | next-worst | limit | error at the model's output |"


def bert() -> Any:
    """Return the model and its inputs; `hx.export` and `hx.verify` call this."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=128,
        vocab_size=512,
        max_position_embeddings=64,
    )
    ids = torch.randint(0, config.vocab_size, (2, 16))
    return BertModel(config).eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def plant(export: Path, fqn: str, kind: str, target: Path) -> None:
    """Write an export, and its sidecar, with one Linear made wrong.

    Args:
        export: What `hx export` wrote.
        fqn: The Linear, which is called once.
        kind: A key of `KINDS`.
        target: Where to.
    """
    weights = hx.load(export)[fqn].extract().model.graph.initializers.values()
    (name,) = [value.name for value in weights if value.shape is not None and len(value.shape) == 2]
    model = onnx.load(export)
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    array = numpy_helper.to_array(tensor).copy()
    if kind == "element":
        array[np.unravel_index(np.abs(array).argmax(), array.shape)] *= 1.01
    else:
        array *= 1.01 if kind == "weight" else 1.5
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, target)
    shutil.copy(_sidecar(export), _sidecar(target))


def transform(source: Path, form: str, target: Path) -> None:
    """Write a model in another precision, as people do it: without any sidecar."""
    if form == "float16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)
    else:
        from onnxruntime.quantization import quantize_dynamic

        logging.disable(logging.WARNING)  # it recommends a step that changes the graph
        quantize_dynamic(source, target)
        logging.disable(logging.NOTSET)


def named(report: VerifyReport) -> str | None:
    """Return the name of the module that is said to be wrong."""
    return None if report.culprit is None else report.calls[report.culprit].fqn


def line_of(report: VerifyReport, fqn: str, kind: str) -> str:
    """Return a line of the table; `next-worst` is of any call that the planted error is not inside of."""
    calls = report.calls
    position: int | None = next(index for index, call in enumerate(calls) if call.fqn == fqn)
    planted, around = calls[position], set()
    while position is not None:
        around.add(position)
        position = calls[position].parent
    found = named(report)
    cells = (
        f"`{fqn}`",
        KINDS[kind],
        f"`{found}`" if found else "none",
        f"{planted.local.relative_error:.1e}",
        f"{worst(report, around):.1e}",
        f"{planted.limit:.0e}",
        f"{calls[0].accumulated.relative_error:.1e}",
    )
    return f"| {' | '.join(cells)} |"


def worst(report: VerifyReport, around: Collection[int] = ()) -> float:
    """Return the largest local error of all calls but some."""
    return max(
        call.local.relative_error for index, call in enumerate(report.calls) if call.local and index not in around
    )


def main() -> int:
    started = time.perf_counter()
    lines: list[str] = []
    right: Counter[tuple[str, str]] = Counter()
    untouched: dict[str, VerifyReport] = {}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        export, planted, other = folder / "bert.onnx", folder / "planted.onnx", folder / "other.onnx"
        hx.export(SPEC, f=export)
        for form in FORMS:
            untouched[form] = _verified(export, form, export, other)
        for kind in KINDS:
            for fqn in CALLS:
                plant(export, fqn, kind, planted)
                for form in FORMS:
                    report = _verified(planted, form, export, other)
                    right[form, kind] += report.failed and named(report) == fqn
                    if form == FORMS[0] and kind != "half":
                        lines.append(line_of(report, fqn, kind))
                        print(lines[-1], flush=True)
    PAGE.write_text(_page(untouched, right, lines), encoding="utf-8")
    summary = ", ".join(f"{form}, {KINDS[kind]}: {count}" for (form, kind), count in right.items())
    print(f"Named rightly, of {len(CALLS)}: {summary} ({time.perf_counter() - started:.0f} s)")
    clean = not any(report.failed for report in untouched.values())
    return 0 if clean and all(right[FORMS[0], kind] == len(CALLS) for kind in KINDS) else 1


def _verified(source: Path, form: str, export: Path, target: Path) -> VerifyReport:
    if form == FORMS[0]:
        return hx.verify(source, SPEC)
    transform(source, form, target)
    return hx.verify(target, SPEC, original=export)


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.stem}_hierarchy.json")


def _page(untouched: dict[str, VerifyReport], right: Counter[tuple[str, str]], lines: list[str]) -> str:
    packages = ("torch", "transformers", "onnx", "onnxruntime")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    kinds = "|".join(f" {KINDS[kind]} " for kind in KINDS)
    rows = [f"| file | untouched |{kinds}| limit |", "|---" * (len(KINDS) + 3) + "|"]
    for form in FORMS:
        counts = "|".join(f" {right[form, kind]} of {len(CALLS)} " for kind in KINDS)
        found = named(untouched[form]) or "none named"
        rows.append(f"| {form} | {found} |{counts}| {untouched[form].calls[0].limit:.0e} |")
    export = untouched[FORMS[0]]
    return f"""# Planted errors

{versions}; made by `benchmarks/planted.py`.

A BERT of {LAYERS} layers (hidden size 64, 4 heads, random weights) is exported once. One Linear at a time is made
wrong in the ONNX file, and `hx verify --against` the untouched PyTorch model must name exactly that call, out of
{export.compared} that it compares. The same files are then converted to float16 (`onnxruntime.transformers.float16`)
and quantised (`onnxruntime.quantization.quantize_dynamic`), and verified with `--from` the untouched export.

Named rightly:

{chr(10).join(rows)}

An error can be told from a model's precision only where it is much larger. *Limit* is the error beyond which a call is
wrong: ten times what is ordinary in the model, and at least five roundings of its element type. 1 % is what int8 loses
everywhere; one weight by 1 % is off by less than five roundings of float16.

## As exported

On the untouched export the largest local error of any call is {worst(export):.1e}. Errors are the largest error of an output
divided by its largest magnitude. *Local* is the call alone on PyTorch's own inputs; *next-worst* is the largest local
error of all calls that the planted one is not inside of. Some of these errors are hardly seen at the model's output.

{HEAD}
{"|---" * HEAD.count(" | ")}|---|
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    sys.exit(main())

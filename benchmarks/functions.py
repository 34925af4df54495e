"""Functions for module calls, on forty models: `uv run python benchmarks/functions.py [MODEL ...]`.

Each model is exported, gets functions for all its calls, and is held against itself: topology once functions are inlined, numbers in ONNX
Runtime, owners after its extended optimisation. The table goes to stdout and docs/benchmarks/functions.md.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from measuring import HERE, machine, table
from transformers import BertConfig, BertModel

import hx
from hx_graph import drawing_nodes, nodes_in

sys.path.insert(0, str(HERE.parent / "tests"))
import test_bodies
import test_hard_modules

TINY = (
    "albert",
    "bart",
    "clip",
    "convnext",
    "deberta-v2",
    "distilbert",
    "llama",
    "mamba",
    "resnet",
    "swin",
    "t5",
    "vit",
    "wav2vec2",
    "whisper",
)
DYNAMIC = ("gpt2", "llama", "t5")
FACTORIES = ("lstm", "gru", "shared")
LARGE = "3 GB"


def bert12() -> tuple[torch.nn.Module, dict[str, Any]]:
    """A BERT of twelve layers, its weights all different."""
    config = BertConfig(num_hidden_layers=12, hidden_size=64, num_attention_heads=4, intermediate_size=128)
    model = BertModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model, {"input_ids": torch.randint(0, 1000, (2, 16)), "attention_mask": torch.ones(2, 16, dtype=torch.int64)}


class Wide(torch.nn.Module):
    """Twelve layers of 268 MB."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(8192, 8192) for _ in range(12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x through all layers."""
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


def exported(make: Callable[[], tuple[Any, ...]]) -> Callable[[], hx.Export]:
    """Return a maker of the export of what a factory returns."""

    def export() -> hx.Export:
        module, inputs, *_ = make()
        return hx.export(module.eval(), kwargs=inputs, verify=False)

    return export


MODELS: dict[str, Callable[[], hx.Export]] = {
    "bert, 12 layers": exported(bert12),
    **{make.__name__: exported(make) for make in (*test_hard_modules.CASES, *test_bodies.CASES)},
    **{f"tiny:{name}": lambda name=name: hx.export(f"tiny:{name}", verify=False) for name in TINY},
    **{f"tiny:{n}, dynamic": lambda n=n: hx.export(f"tiny:{n}", dynamic=True, verify=False) for n in DYNAMIC},
    **{name: lambda n=name: hx.export(f"{HERE / 'factories.py'}:{n}", verify=False) for name in FACTORIES},
    LARGE: exported(lambda: (Wide(), {"x": torch.randn(1, 8192)})),
}


def run(path: Path, feeds: dict[str, Any], optimised: Path | None = None, **entries: str) -> list[Any]:
    """Run a model without optimisation; or write what extended optimisation makes of it."""
    options = ort.SessionOptions()
    level = "ORT_DISABLE_ALL" if optimised is None else "ORT_ENABLE_EXTENDED"
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.log_severity_level = 3
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    for name, value in entries.items():
        options.add_session_config_entry(f"session.{name}", value)
    session = ort.InferenceSession(path, options)
    return [] if optimised is not None else session.run(None, feeds)


def graph_bytes(path: Path) -> int:
    """Return the bytes of a file without weights."""
    proto = onnx.load(path, load_external_data=False)
    for weight in proto.graph.initializer:
        weight.ClearField("raw_data")
    return proto.ByteSize()


def row(name: str, folder: Path) -> tuple[str, ...]:
    """Make functions of one model, and judge them."""
    torch.manual_seed(0)
    model = MODELS[name]()
    before, after = folder / "before.onnx", folder / "after.onnx"
    model.save(before, verify=False)
    report = hx.functionize(before, after)
    found = hx.load(after)
    same = hx.compare(before, found).same
    feeds = model.example_inputs()
    draws = bool(drawing_nodes(node for _, node in nodes_in(model.model.graph)))
    equal = "draws"
    if not draws:
        sides = [run(path, feeds) for path in (before, after)]
        sides.append(run(after, feeds, disable_aot_function_inlining="1"))
        if name != LARGE:
            hx.inline(after, folder / "flat.onnx")
            sides.append(run(folder / "flat.onnx", feeds))
        kinds = [
            all(np.array_equal(*pair, equal_nan=True) for pair in zip(sides[0], side, strict=True)) for side in sides
        ]
        equal = "yes" if all(kinds) else "NO"
    exact = ["", ""]
    if name != LARGE:
        for index, path in enumerate((before, after)):
            run(path, feeds, folder / "optimised.onnx")
            exact[index] = f"{hx.relink(folder / 'optimised.onnx', path, overwrite=True).exact_percent:g}"
    return (
        name,
        f"{report.inlined_nodes:,}",
        str(report.nodes),
        str(len(report.functions)),
        str(sum(len(one.calls) for one in report.functions)),
        str(len(report.left)),
        f"{graph_bytes(after) / graph_bytes(before):.2f}",
        "yes" if same else "NO",
        equal,
        *exact,
    )


def main() -> None:
    """Print the table and write it."""
    names = sys.argv[1:] or list(MODELS)
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    rows: list[tuple[str, ...]] = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="hx-functions-") as work:
            rows.append(row(name, Path(work)))
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    head = ("model", "nodes", "main", "functions", "calls", "left", "bytes", "same", "equal", "flat exact %", "exact %")
    text = f"""# Functions for module calls

{machine()[:-1]}. `benchmarks/functions.py` makes this page.

`hx functionize` on {len(rows)} models, all calls. Of each

* `nodes` of the main graph before, and `main` after; `functions` for so many `calls`; calls that could be none are `left`;
* `bytes`: the file without the contents of weights, beside the same of the export;
* `same`: the topology once functions are inlined, as `hx compare` says;
* `equal`: the outputs in ONNX Runtime bit for bit, of the file with functions, with and without its inlining ahead of time, and of what `hx inline`
  writes (not of the model of 3 GB). A model that draws random numbers has other ones in every run;
* nodes that are owned exactly after ONNX Runtime's extended optimisation, of the export (`flat exact %`) and of the file with functions (`exact %`).

{table(head, rows)}
"""
    print(text)
    if len(rows) == len(MODELS):
        (HERE.parent / "docs" / "benchmarks" / "functions.md").write_text(text)


if __name__ == "__main__":
    main()

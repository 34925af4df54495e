"""Ten models in 2 to 6 stages: are they the model, and how even are they? `uv run python benchmarks/split.py`.

Stages are chained in ONNX Runtime without optimisation, by what `stages.json` says, and compared bit for bit; all cuts between
calls are tried where these are not too many. The table goes to stdout and to docs/benchmarks/split.md.
"""

from __future__ import annotations

import json
import math
import platform
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from measuring import HERE, Row, table
from torch import nn

import hx
from hx_surgery import Plan

MOST_CUTS = 100_000
MODELS: dict[str, dict[str, Any]] = {
    "tiny:bert": {"dynamic": True},
    "tiny:gpt2": {},
    "tiny:t5": {},
    "tiny:llama": {"dynamic": True},
    "tiny:whisper": {},
    "tiny:vit": {},
    "tiny:resnet": {},
    "tiny:albert": {"dynamic": True},
    "tiny:distilbert": {"dynamic": True, "strategy": "htp"},
    "recurrent": {},
}


class Recurrent(nn.Module):
    """Two recurrent networks, and what calls one module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.lstm = nn.GRU(64, 64, batch_first=True), nn.LSTM(64, 64, batch_first=True)
        self.head = nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.head(self.lstm(self.gru(x)[0])[0]).relu())


def main() -> None:
    """Split, chain, join; write the table."""
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        for name, options in MODELS.items():
            path = Path(temporary) / f"{name.rpartition(':')[2]}.onnx"
            if name == "recurrent":
                torch.manual_seed(0)
                hx.export(Recurrent().eval(), (torch.randn(2, 5, 64),), path, **options)
            else:
                hx.export(name, f=path, **options)
            rows.append(_row(name, path, wrong))
            print(*rows[-1], flush=True)
    heads = (
        "model",
        "nodes",
        "steps",
        "equal bit for bit",
        "joined is the model",
        "bytes of the whole's",
        "largest stage of the best's",
    )
    page = f"""# `hx split` on ten models

{table(heads, rows)}

Each model was cut into 2, 3, 4, 5 and 6 stages with weights balanced; numbers are the worst of the five. Stages ran one after the other in ONNX Runtime without
optimisation, connected by what `stages.json` says. *Bytes* are of the models and their data, without sidecars. *Steps* are between what the model can be cut; the best
cut was found by trying all of them, up to {MOST_CUTS:,} for a number of stages. `hx split` allows 5 % more than the best, where less goes over the borders then.
Python {platform.python_version()}, onnxruntime {version("onnxruntime")}, torch {version("torch")}. Made by `benchmarks/split.py`.
"""
    (HERE.parent / "docs" / "benchmarks" / "split.md").write_text(page)
    print(page)
    if wrong:
        raise SystemExit("; ".join(wrong))


def _row(name: str, path: Path, wrong: list[str]) -> Row:
    model = hx.load(path)
    plan = Plan(model)
    examples = model.example_inputs()
    expected = _run(path, examples)
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    equal = same = done = 0
    ratio = worst = 0.0
    for stages in range(2, 7):
        if stages > len(plan.timeline.taken):
            continue
        done += 1
        folder = path.parent / f"{path.stem}_{stages}"
        report = hx.split(path, stages, folder, verify=False)
        values: dict[str, Any] = dict(examples)
        for stage in json.loads((folder / "stages.json").read_text())["stages"]:
            values |= _run(folder / stage["file"], values)
        equal += all(array.tobytes() == values[output].tobytes() for output, array in expected.items())
        same += hx.join(folder, folder / "whole.onnx").same and hx.compare(path, folder / "whole.onnx").same
        ratio = max(ratio, report.size_bytes / size)
        if math.comb(len(plan.timeline.taken) - 1, stages - 1) <= MOST_CUTS:
            worst = max(worst, max(stage.weight_bytes for stage in report.stages) / _best(plan, stages))
    if (equal, same) != (done, done) or ratio > 1.01 or worst > 1.15:
        wrong.append(name)
    steps = str(len(plan.timeline.taken))
    nodes = str(len(model.model.graph))
    return name, nodes, steps, f"{equal} of {done}", f"{same} of {done}", f"{ratio:.4f}", f"{worst:.3f}"


def _best(plan: Plan, stages: int) -> int:
    """Return the weights of the largest stage of the best cut, by trying all."""
    steps: dict[int, dict[str, int]] = {step: {} for step in plan.timeline.taken}
    for step, weights in zip(plan.timeline.steps, plan.weights, strict=True):
        steps[step] |= weights
    loads = list(steps.values())
    sums = {
        (a, b): sum({name: size for row in loads[a:b] for name, size in row.items()}.values())
        for a, b in combinations(range(len(loads) + 1), 2)
    }
    cuts = combinations(range(1, len(loads)), stages - 1)
    return min(max(sums[pair] for pair in pairwise((0, *cut, len(loads)))) for cut in cuts)


def _run(path: Path, feeds: Mapping[str, Any]) -> dict[str, Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options)
    names = [out.name for out in session.get_outputs()]
    return dict(zip(names, session.run(names, {i.name: feeds[i.name] for i in session.get_inputs()}), strict=True))


if __name__ == "__main__":
    main()

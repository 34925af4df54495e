"""Strategies compared: `uv run python benchmarks/strategies.py [--results FILE] [MODEL ...]`.

Every model is exported with every strategy, each in a process of its own. Owners are judged by the
exporter's record and by the values of an eager run (judging.py); every extractable call is cut out and run beside the
module itself. The tables go to stdout and, where no models are named, to docs/strategies.md. With --results, rows are
kept in a file of JSON lines, and those that it has are not run again, unless they crashed.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from strategies_page import RENAMED, Row, cells, line, offences, page, renamed, summary

from hx_sidecar_schema import STRATEGIES, HxError, Strategy

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "strategies.md"
FAMILIES = {
    "Text": ["bert", "gpt2", "llama", "albert", "t5"],
    "Vision": ["vit", "resnet", "swin", "convnext"],
    "Audio": ["whisper", "wav2vec2"],
    "State space": ["mamba"],
    "Recurrent": ["gru", "lstm"],
    "Multimodal": ["clip"],
    "Plain modules": ["mlp", "cnn", "residual", "shared"],
}
FACTORIES = {*FAMILIES["Recurrent"], *FAMILIES["Plain modules"]}
"""In factories.py; the others are architectures of transformers."""
ROUNDS = 3
LIMIT_S = 1200


def examine_row(model: str, strategy: Strategy, tell: Callable[[Row], None]) -> None:
    """Examine one model with one strategy.

    Args:
        model: One of `FAMILIES`, or another architecture.
        strategy: How to export and attribute.
        tell: Takes the row, each time that it is more complete.
    """
    sys.path.insert(0, str(HERE.parent / "tests"))
    import torch
    import truth
    from judging import judge, records_of

    import hx
    import hx_tracer

    torch.manual_seed(0)
    with truth.quiet():
        spec = f"{HERE / 'factories.py'}:{model}" if model in FACTORIES else f"tiny:{model}"
        loaded = hx.ModelSpec(spec).load()
        inputs = hx_tracer.example_inputs(loaded.module, example=loaded.example)
    row: Row = {"model": model, "strategy": strategy.name, "class_name": type(loaded.module).__name__}

    def exported(name: str = strategy.name, **options: bool) -> hx.Export:
        return hx.export(loaded.module, inputs.args, kwargs=inputs.kwargs, strategy=name, **options, verify=False)

    try:
        verdict = truth.examine(loaded.module, loaded.example, dynamic=False, strategy=strategy.name)
        made, ratio = _timed(exported, lambda: _plain_export(strategy, loaded.module, inputs))
    except HxError as error:
        tell({**row, "refused": f"{error.code}: {' '.join(error.message.split())[:200]}"})
        return
    # The same graph with all that can be known of it.
    observing = next(name for name, other in STRATEGIES.items() if other.exporter == strategy.exporter)
    watched = exported(observing, cross_check=True)
    records = records_of(watched)
    row |= {
        "nodes": verdict.nodes,
        "exact": verdict.exact_percent,
        "covered": verdict.covered_percent,
        "extractable": verdict.statuses.get("extractable", 0),
        "equal": verdict.extracted,
        "ratio": ratio,
        "statuses": verdict.statuses,
        "reasons": verdict.reasons,
        "problems": verdict.problems,
        **{record.name: judge(made.sidecar, record, {})._asdict() for record in records},
    }
    tell(row)
    if strategy.name in RENAMED:
        found: dict[str, Any] = {"static": without_names(watched)}
        try:
            dynamic = exported(observing, cross_check=True, dynamic=True)
        except HxError as error:
            found["dynamic"] = {"refused": error.message}
        else:
            found["dynamic"] = without_names(dynamic)
        tell({**row, "renamed": found})


def without_names(exported: Any) -> Row:
    """Rename everything in an export, attribute it by its values, and judge that by what the exporter knows.

    Args:
        exported: With the observation of an eager run; is changed.
    """
    from judging import asides, judge, records_of
    from renaming import attribute_without_names

    record, _ = records_of(exported)
    blind, names = attribute_without_names(exported)
    unsure = {node.output for node in blind.nodes if node.confidence != "high"}
    return {
        "nodes": len(blind.nodes),
        "exported": exported.sidecar.summary.exact_percent,
        "exact": blind.summary.exact_percent,
        "covered": blind.summary.covered_percent,
        "unsure": len(unsure),
        "asides": len(unsure & asides(exported.model)),
        **judge(blind, record, names)._asdict(),
    }


def _plain_export(strategy: Strategy, module: Any, inputs: Any) -> None:
    """Export with the strategy's exporter alone."""
    import torch
    import truth

    if strategy.exporter == "dynamo":
        try:
            truth.plain_export(module, inputs.args, inputs.kwargs, {})
        except Exception:  # noqa: BLE001 - whatever the exporter raises: hx then does this
            with torch.no_grad():
                truth.plain_export(module, inputs.args, inputs.kwargs, {})
        return
    leaves, spec = torch.utils._pytree.tree_flatten((inputs.args, dict(inputs.kwargs)))

    class Positional(torch.nn.Module):
        """Takes and returns tensors alone: the exporter does not see the signatures of decorated forwards."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            given = iter(tensors)
            filled = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            args, kwargs = torch.utils._pytree.tree_unflatten(filled, spec)
            found = torch.utils._pytree.tree_leaves(self.inner(*args, **kwargs))
            return tuple(leaf for leaf in found if isinstance(leaf, torch.Tensor))

    tensors = tuple(leaf.clone() for leaf in leaves if isinstance(leaf, torch.Tensor))
    with truth.quiet():
        torch.onnx.export(Positional().eval(), tensors, io.BytesIO(), dynamo=False)


def _timed(attributed: Callable[[], Any], plain: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `attributed` returns, and its time as a multiple of `plain`'s: medians of runs in turn."""
    times: dict[Callable[[], Any], list[float]] = {plain: [], attributed: []}
    result: Any = None
    for _ in range(ROUNDS):
        for run, taken in times.items():
            start = time.perf_counter()
            result = run()
            taken.append(time.perf_counter() - start)
    return result, statistics.median(times[attributed]) / statistics.median(times[plain])


def run(todo: Sequence[tuple[str, str]], results: Path | None) -> list[Row]:
    """Return rows, each examined in a process of its own, or read where an earlier run left them."""
    done: dict[tuple[str, str], Row] = {}
    if results is not None and results.exists():
        rows = [json.loads(text) for text in results.read_text().splitlines()]
        done = {(row["model"], row["strategy"]): row for row in rows if "crash" not in row}
    for key in todo:
        if key not in done:
            done[key] = _in_process(*key)
            if results is not None:
                with results.open("a") as file:
                    file.write(json.dumps(done[key]) + "\n")
        row = done[key]
        print(line(cells(row)), flush=True)
        for text in [row.get("refused"), row.get("crash"), *offences(row)[:3], *row.get("problems", [])]:
            if text:
                print(f"  {text}", flush=True)
    return [done[key] for key in todo]


def _in_process(model: str, strategy: str) -> Row:
    command = [sys.executable, __file__, "--row", model, strategy]
    crash = ""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        printed = ended.stdout
        if ended.returncode:
            crash = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1][:200]
    except subprocess.TimeoutExpired as late:
        printed, crash = (late.stdout or b"").decode(), f"over {LIMIT_S} s"
    found = [text.removeprefix("ROW ") for text in printed.splitlines() if text.startswith("ROW ")]
    row: Row = json.loads(found[-1]) if found else {"model": model, "strategy": strategy}
    return {**row, "crash": crash} if crash else row


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare strategies.")
    parser.add_argument("models", nargs="*", help="default: all, and docs/strategies.md is written")
    parser.add_argument("--results", type=Path, metavar="FILE")
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        model, name = options.models
        examine_row(model, STRATEGIES[name], lambda row: print("ROW", json.dumps(row), flush=True))
        return
    models = options.models or [model for family in FAMILIES.values() for model in family]
    rows = run([(model, name) for model in models for name in STRATEGIES], options.results)
    if options.models:
        print(f"\n{summary(rows)}\n\n{renamed(rows)}")
    else:
        PAGE.write_text(page(rows, FAMILIES), encoding="utf-8")


if __name__ == "__main__":
    main()

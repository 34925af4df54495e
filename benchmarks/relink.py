"""Relinking judged: `uv run python benchmarks/relink.py [MODEL ...]`.

Every model is exported, transformed by every tool (transforming.py) and relinked. The judge is the witness: an eager
run in PyTorch, whose tensors are compared with the values of the transformed graph; relinking knows nothing of it.
The tables go to stdout and, where no models are named, to benchmarks/relink.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "relink.md"
MODELS = ["bert", "gpt2", "llama", "albert", "t5", "vit", "resnet", "swin", "convnext", "whisper", "mamba", "gru"]
FACTORIES = {"gru"}
LOSSY = {"float16": 1e-2, "dynamic quantisation": 5e-2, "static quantisation": 5e-2}
"""How far values may be from PyTorch's and still be the same, of their largest magnitude; else 1e-4."""
PACKAGES = ("torch", "transformers", "onnx", "onnxruntime", "onnxscript", "onnxslim", "onnxsim")

Row = dict[str, Any]


def examine(model: str) -> list[Row]:
    """Return a row for every tool."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.path.insert(0, str(HERE.parent / "tests"))
    import onnx_ir as ir
    import torch
    import truth
    from judging import feeds_of
    from transforming import TRANSFORMATIONS

    import hx_projector
    import hx_tracer
    from hx_extractor import infer_types, read_model
    from hx_sidecar_schema import STRATEGIES

    torch.manual_seed(0)
    spec = f"{HERE / 'factories.py'}:{model}" if model in FACTORIES else f"tiny:{model}"
    with truth.quiet():
        loaded = hx_tracer.load_model(spec)
        inputs = hx_tracer.example_inputs(loaded.module, example=loaded.example)
        exported = hx_tracer.export(
            loaded.module,
            inputs.kwargs,
            args=inputs.args,
            strategy=STRATEGIES["dynamo"].model_copy(update={"observer": "eager"}),
        )
    feeds = feeds_of(exported)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.onnx"
        ir.save(exported.program.model, source)
        original = read_model(source)
        sidecar = hx_projector.project(original, exported.context, file=source.name)
        for tool, transform in TRANSFORMATIONS.items():
            target = Path(folder) / f"{tool.replace(' ', '_')}.onnx"
            row: Row = {"model": model, "tool": tool}
            rows.append(row)
            try:
                with truth.quiet():
                    transform(source, target, feeds)
            except Exception as error:  # noqa: BLE001 - tools raise what they like; the row says it
                row["refused"] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
                continue
            made = read_model(target)
            infer_types(made)
            relinked = hx_projector.relink(made, original, sidecar, file=target.name)
            row |= {
                "nodes": relinked.summary.nodes,
                "owned": sum(n.owner != 0 or n.confidence != "low" for n in relinked.nodes),
                "high": sum(n.confidence == "high" for n in relinked.nodes),
                "spanning": sum(bool(n.covers) for n in relinked.nodes),
                "before": sum(call.status == "extractable" for call in sidecar.calls),
                "extractable": sum(call.status == "extractable" for call in relinked.calls),
                **_judge(made, exported, relinked, feeds, LOSSY.get(tool, 1e-4)),
            }
    return rows


def _judge(
    made: Any, exported: Any, relinked: Any, feeds: Mapping[str, Any], tolerance: float
) -> Row:
    """Compare the owners of a transformed graph with the operations of an eager run whose results are equal."""
    from hx_projector._ties import Ties
    from hx_projector._tree import CallTree
    from hx_projector._values import Values
    from hx_projector._witnessed_graph import WitnessedGraph

    seen = exported.context.observation
    tree = CallTree(exported.context.calls)
    values = Values(made, feeds, tolerance=tolerance)
    values.compare_with(row.value for row in (*seen.operations, *seen.ports))
    ties = Ties(WitnessedGraph(made, values), seen, tree)
    truth = ties.certain()
    nodes = {node.output: node for node in relinked.nodes if not node.graph}
    wrong: list[str] = []
    for output, call in truth.items():
        node = nodes[output]
        # The operation with this result, and those before it that have no value of their own in the graph.
        calls = {call, *ties.covered(output)}
        if node.confidence == "high" and not calls & {node.owner, *node.covers}:
            tags = [relinked.tag(relinked.calls[row]) for row in (node.owner, call)]
            wrong.append(f"{node.op_type} {output}: {tags[0]}, by its value {tags[1]}")
    return {"judged": len(truth), "wrong": wrong}


def table(rows: list[Row]) -> str:
    """Return a line for every tool, over all models."""
    lines = [
        "| tool | models | nodes | owned % | high % | spanning | judged | wrong | calls left % |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for tool in dict.fromkeys(row["tool"] for row in rows):
        own = [row for row in rows if row["tool"] == tool and "nodes" in row]
        if not own:
            continue
        sums = {key: sum(row[key] for row in own) for key in own[0] if key not in ("model", "tool", "wrong")}
        wrong = sum(len(row["wrong"]) for row in own)
        lines.append(
            f"| {tool} | {len(own)} | {sums['nodes']} | {_percent(sums['owned'], sums['nodes'])} | "
            f"{_percent(sums['high'], sums['nodes'])} | {sums['spanning']} | {sums['judged']} | {wrong} | "
            f"{_percent(sums['extractable'], sums['before'])} |"
        )
    return "\n".join(lines)


def by_model(rows: list[Row]) -> str:
    """Return the share of nodes with high confidence, for every model and tool."""
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    lines = [f"| model | {' | '.join(tools)} |", "|---|" + "---:|" * len(tools)]
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = {
            row["tool"]: _percent(row["high"], row["nodes"]) if "nodes" in row else "refused"
            for row in rows
            if row["model"] == model
        }
        lines.append(f"| {model} | {' | '.join(cells[tool] for tool in tools)} |")
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return "100" if part == whole else f"{min(share, 99.9):.1f}"


def page(rows: list[Row]) -> str:
    """Return benchmarks/relink.md."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    refused = [f"- {r['tool']} on {r['model']}: {r['refused']}" for r in rows if "refused" in r]
    wrong = [f"- {r['tool']} on {r['model']}: {text}" for r in rows for text in r.get("wrong", ())]
    parts = [
        "# Relinking, judged",
        "Small models with random weights, static shapes, transformed by every tool and relinked. *Judged* are nodes "
        "whose result equals that of one call's operation in an eager PyTorch run, and of no other; *wrong* those of "
        "them that relinking gives to another call with high confidence. *Spanning* nodes stand for operations of "
        "several calls and name them all. *Calls left* are those that can still be cut out.",
        f"{versions}. Made by `uv run python benchmarks/relink.py`.",
        table(rows),
        "## Nodes with high confidence, in percent",
        by_model(rows),
    ]
    if wrong:
        parts += ["## Wrong", "\n".join(wrong)]
    if refused:
        parts += ["## Refused by the tool itself", "\n".join(refused)]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge relinking.")
    parser.add_argument("models", nargs="*", help="default: all, and benchmarks/relink.md is written")
    parser.add_argument("--rows", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rows:
        print("ROWS", repr(examine(options.models[0])))
        return
    rows: list[Row] = []
    for model in options.models or MODELS:
        ended = subprocess.run(
            [sys.executable, __file__, "--rows", model], capture_output=True, text=True, check=False
        )
        found = [text.removeprefix("ROWS ") for text in ended.stdout.splitlines() if text.startswith("ROWS ")]
        if not found:
            raise SystemExit(f"{model}: {ended.stderr[-2000:]}")
        import ast

        own = ast.literal_eval(found[0])
        rows += own
        print(f"{model}\n{table(own)}", flush=True)
        for row in own:
            for text in (*row.get("wrong", ()), *filter(None, [row.get("refused")])):
                print(f"  {row['tool']}: {text}", flush=True)
    text = page(rows)
    if options.models:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Relinking judged: `uv run python benchmarks/relink.py [MODEL ...]`.

Every model is exported, transformed by every tool (tests/transforming.py) and relinked. The judge is the witness: an eager
run in PyTorch, whose tensors are compared with the values of the transformed graph; relinking knows nothing of it.
The tables go to stdout and, where no models are named, to docs/benchmarks/relink.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks" / "relink.md"
MODELS = ["bert", "gpt2", "llama", "albert", "t5", "vit", "resnet", "swin", "convnext", "whisper", "mamba", "gru"]
FACTORIES = {"gru"}
PACKAGES = ("torch", "transformers", "onnx", "onnxruntime", "onnxscript", "onnxslim", "onnxsim")

Row = dict[str, Any]


def examine(model: str) -> list[Row]:
    """Return a row for every tool."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.path.insert(0, str(HERE.parent / "tests"))
    from relinking import relinked_by_every_tool

    spec = f"{HERE / 'factories.py'}:{model}" if model in FACTORIES else f"tiny:{model}"
    return [{"model": model, **row._asdict()} for row in relinked_by_every_tool(spec)]


def table(rows: list[Row]) -> str:
    """Return a line for every tool, over all models."""
    lines = [
        "| tool | models | nodes | owned % | high % | spanning | judged | wrong | calls left % |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for tool in dict.fromkeys(row["tool"] for row in rows):
        own = [row for row in rows if row["tool"] == tool and not row["refused"]]
        if not own:
            continue
        sums = {key: sum(row[key] for row in own) for key, value in own[0].items() if isinstance(value, int)}
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
            row["tool"]: _percent(row["high"], row["nodes"]) if not row["refused"] else "refused"
            for row in rows
            if row["model"] == model
        }
        lines.append(f"| {model} | {' | '.join(cells[tool] for tool in tools)} |")
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return "100" if part == whole else f"{min(share, 99.9):.1f}"


def page(rows: list[Row]) -> str:
    """Return docs/benchmarks/relink.md."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    refused = [f"- {r['tool']} on {r['model']}: {r['refused']}" for r in rows if r["refused"]]
    wrong = [f"- {r['tool']} on {r['model']}: {text}" for r in rows for text in r["wrong"]]
    parts = [
        "# Relinking, judged",
        "Small models with random weights, static shapes, transformed by every tool and relinked. *Judged* are nodes "
        "whose result equals that of one call's operation in an eager PyTorch run, and of no other; *wrong* those of "
        "them that relinking gives to another call with high confidence. *Spanning* nodes stand for operations of "
        "several calls and name them all. *Calls left* are those that can still be cut out. With 8 bits, and where ONNX "
        "Runtime fuses on top of that, values are too far off to judge by; 16 bits give the same graph with values that are not.",
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
    parser.add_argument("models", nargs="*", help="default: all, and docs/benchmarks/relink.md is written")
    parser.add_argument("--rows", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rows:
        print("ROWS", repr(examine(options.models[0])))
        return
    rows: list[Row] = []
    for model in options.models or MODELS:
        ended = subprocess.run([sys.executable, __file__, "--rows", model], capture_output=True, text=True, check=False)
        found = [text.removeprefix("ROWS ") for text in ended.stdout.splitlines() if text.startswith("ROWS ")]
        if not found:
            raise SystemExit(f"{model}: {ended.stderr[-2000:]}")
        import ast

        own = ast.literal_eval(found[0])
        rows += own
        print(f"{model}\n{table(own)}", flush=True)
        for row in own:
            for text in (*row["wrong"], *filter(None, [row["refused"]])):
                print(f"  {row['tool']}: {text}", flush=True)
    text = page(rows)
    if options.models:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

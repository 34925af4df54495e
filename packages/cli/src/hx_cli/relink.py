"""`hx relink`: its options, and what it shows a person."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hx
from hx.text import size
from hx_cli._options import Overwrite, argument, value
from hx_cli._output import Output
from hx_cli._widgets import boxed, coverage, escape, next_tree

if TYPE_CHECKING:
    from hx.records.relink import RelinkReport


def relink(
    out: Output,
    model: Annotated[Path, argument("OPTIMISED.onnx", "What a tool made of an exported model.")],
    original: Annotated[
        Path, typer.Option("--from", metavar="X.onnx", help="The export that it was made of, with its sidecar.")
    ],
    output: Annotated[
        Path | None, value("OUT.json", "Default: OPTIMISED_hierarchy.json beside it.", "--output", "-o")
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Carry the hierarchy of an export to what a tool made of it: optimised, fused, quantised or converted."""
    with out.progress() as progress:
        report = hx.relink(model, original, output, overwrite=overwrite, progress=progress)
    out.report(report, _show)
    return 0


def _show(report: RelinkReport, output: Output) -> None:
    """Print how much of the transformed model is known, and which nodes span modules."""
    kinds = Counter(node.op_type for node in report.spanning).most_common()
    names = ", ".join(f"{amount} {escape(kind)}" for kind, amount in kinds)
    before, now = (calls.get("extractable", 0) for calls in (report.original_calls, report.calls))
    rows = {
        "made of": f"{escape(report.original)}  [dim]{report.original_nodes} nodes[/]",
        "nodes": coverage(report),
        "spanning": f"[bold]{len(report.spanning)}[/]  stand for several calls: {names}" if names else None,
        "calls": f"[bold]{now}[/]  of {before} can still be cut out",
        "file": f"{escape(report.file.path)}  [dim]{size(report.file.size_bytes)}[/]",
    }
    output.data(boxed(report.model, rows))
    if then := next_tree(report):
        output.note(then)

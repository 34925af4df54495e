"""`hx project`: its options, and what it shows a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import plural, size
from hx_cli._options import InputShape, Loading, MinConfidence, Overwrite, argument, value
from hx_cli._output import Output
from hx_cli._parse import parse_shapes
from hx_cli._widgets import boxed, called, coverage, escape, next_tree

if TYPE_CHECKING:
    from hx.records.project import ProjectReport


def project(
    loading: Loading,
    out: Output,
    model: Annotated[Path, argument("X.onnx", "Any ONNX model.")],
    output: Annotated[Path | None, value("OUT.json", "Default: X_hierarchy.json beside it.", "--output", "-o")] = None,
    against: Annotated[
        str | None, value("MODEL", "The PyTorch model: module tree, ports and values of a run come from it.")
    ] = None,
    inputs: Annotated[Path | None, value("FILE", "Inputs by name to run on: .pt, .npz or .safetensors.")] = None,
    input_shape: InputShape = None,
    min_confidence: MinConfidence = "low",
    overwrite: Overwrite = False,
) -> int:
    """Say which module made every node of a model that was exported elsewhere; without torch, by what the file says."""
    with out.progress() as progress:
        report = hx.project(
            model,
            loading.spec(against) if against else None,
            inputs=inputs,
            input_shapes=parse_shapes(input_shape or []),
            output=output,
            min_confidence=min_confidence,
            overwrite=overwrite,
            progress=progress,
        )
    out.report(report, _show)
    return 0


def _show(report: ProjectReport, output: Output) -> None:
    """Print how much of the model is known, and how."""
    by_count = sorted(report.evidence.items(), key=lambda item: -item[1])
    rows = {
        "written by": escape(report.exporter) or "[dim]unknown[/]",
        "nodes": coverage(report),
        "known by": "; ".join(f"{amount} {escape(how)}" for how, amount in by_count),
        "calls": f"{called(report.calls)}, in {plural(report.modules, 'module')}",
        "file": f"{escape(report.file.path)}  [dim]{size(report.file.size_bytes)}[/]",
    }
    output.data(boxed(report.model, rows))
    for note in report.notes:
        output.warn(note)
    if then := next_tree(report):
        output.note(then)

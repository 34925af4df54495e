"""`hx functionize` and `hx inline`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import plural, size
from hx_cli._options import ModulePattern, OnnxFile, Overwrite, value
from hx_cli._output import Output
from hx_cli._paths import find_model
from hx_cli._widgets import escape, styled, table

if TYPE_CHECKING:
    from hx.records.functionize import FunctionizeReport, InlineReport

ROWS = 40
"""More functions than these are counted, not listed; -v lists them."""


def functionize(
    out: Output,
    model: OnnxFile = None,
    module: ModulePattern = None,
    class_name: Annotated[
        list[str] | None, value("CLASS", "Of the modules that become functions. Repeatable; default: all.", "--class")
    ] = None,
    depth: Annotated[
        int | None, value("N", "Levels of functions below the model or each --module; default: all.", "--depth", min=0)
    ] = None,
    output: Annotated[
        Path | None, value("OUT.onnx", "The new file; default: X_functions.onnx here.", "--output", "-o")
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Make functions of module calls: equal layers become one function, called as often as there are layers."""
    with out.progress() as progress:
        report = hx.functionize(
            find_model(model),
            output,
            modules=module or (),
            classes=class_name or (),
            depth=depth,
            overwrite=overwrite,
            progress=progress,
        )
    out.report(report, _show)
    for tag in report.left[:10]:
        out.warn(f"{tag} is no function: what it reads depends on what it gives.")
    return 0


def _show(report: FunctionizeReport, output: Output) -> None:
    """Print the functions."""
    listed = report.functions if output.verbosity > 0 else report.functions[:ROWS]
    made = table(["function", "calls", "nodes", "takes"])
    for one in listed:
        more = f", … {len(one.inputs) - 4} more" if len(one.inputs) > 5 else ""
        takes = ", ".join(one.inputs[:4] if more else one.inputs) + more
        made.add_row(*map(styled, (one.name, str(len(one.calls)), str(one.nodes), takes)))
    output.data(made)
    if len(listed) < len(report.functions):
        output.data(f"[dim]… and {len(report.functions) - len(listed)} more; -v lists them all.[/]")
    main = f"[bold]{plural(report.nodes, 'node')}[/] in the main graph instead of {report.inlined_nodes}"
    output.data(f"{main}: [bold]{escape(report.file.path)}[/]  [dim]{size(report.file.size_bytes)}[/]")


def inline(
    out: Output,
    model: OnnxFile = None,
    output: Annotated[
        Path | None, value("OUT.onnx", "The new file; default: X_inlined.onnx here.", "--output", "-o")
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Put the nodes of functions that hx made back into the graph."""
    with out.progress() as progress:
        report = hx.inline(find_model(model), output, overwrite=overwrite, progress=progress)
    out.report(report, _show_inlined)
    return 0


def _show_inlined(report: InlineReport, output: Output) -> None:
    done = f"[bold]{plural(report.functions, 'function')}[/] inlined, {plural(report.nodes, 'node')}"
    output.data(f"{done}: [bold]{escape(report.file.path)}[/]  [dim]{size(report.file.size_bytes)}[/]")

"""`hx demo`: the whole way on a small model, with the commands that do it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hx
from hx.text import shape
from hx_cli._options import Common, Quiet, Verbose
from hx_cli._output import Output
from hx_cli.export import show_export
from hx_cli.extract import show_extract
from hx_cli.tree import show_tree

if TYPE_CHECKING:
    from hx.records.demo import DemoReport


def demo(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files.")] = Path(
        "hx-demo"
    ),
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """See it work: export a small BERT, show its tree, cut a self-attention out, run it."""
    out = Common(verbose=verbose, quiet=quiet).output(context)
    with out.progress() as progress:
        report = hx.demo(output, progress=progress)
    _show(report, out)
    return int(not report.passed)


def _show(report: DemoReport, output: Output) -> None:
    model, attention = shlex.quote(report.model), report.extract.modules[0]
    command = f"hx export {report.export.model} --dynamic -o {model}"
    _step(output, 1, "Export a small BERT with random weights, batch and sequence length left free", command)
    show_export(report.export, output, following=False)
    command = f"hx tree {model} --depth {max(call.depth for call in report.tree.calls)}"
    _step(output, 2, "See which module call made how many of its nodes", command)
    show_tree(report.tree, output, collapse=True)
    part = shlex.quote(report.extract.output)
    command = f"hx extract {model} --module {attention.tag} --against {report.export.model} -o {part}"
    _step(output, 3, "Cut one self-attention out, as a model that takes what its forward() takes", command)
    show_extract(report.extract, output)
    given = ", ".join(f"{name} [cyan]{shape(dims)}[/]" for name, dims in report.inputs.items())
    made = ", ".join(f"{name} [cyan]{shape(dims)}[/]" for name, dims in report.outputs.items())
    output.data(
        f"It runs at sizes that the export never saw: {given}\ngives {made}{'' if report.finite else ', not finite'}."
    )

    simple = attention.tag.rsplit("/", 1)[-1].partition(".")[0]
    output.data("\n[bold green]4[/]  [bold]Try next[/]")
    for command, what in (
        (f"hx extract {model} --all", "every module call, with an index.json"),
        (f"hx extract {model} --module {simple} -o attentions", "every self-attention, with a pattern"),
        (f"hx replace {model} --module NAME --with PART.onnx", "a better part in the place of a module"),
        (f"hx tree {model} --all", "down to every torch.nn module"),
        (f"hx report {model}", "the module tree as a page for the browser"),
        (f"hx profile {model}", "time by module, in what ONNX Runtime really runs"),
        ("hx export your/model --dynamic", "a Hub id, a folder, or file.py:factory"),
    ):
        output.data(f"   [cyan]{command}[/]\n     [dim]{what}[/]")


def _step(output: Output, step: int, text: str, command: str) -> None:
    output.data(f"\n[bold green]{step}[/]  [bold]{text}[/]", f"   [dim]$ {command}[/]")

"""`hx demo`: the whole way on a small model, with the commands that do it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hx._export import ExportRequest, export_model
from hx._extract import ExtractRequest, extract_calls
from hx._hierarchy.tree import read_tree
from hx._model_spec import PyTorchModel
from hx._paths import sidecar_path
from hx_cli._text import shape
from hx_cli.export.view import show_export
from hx_cli.extract.view import show_extract
from hx_cli.tree.view import show_tree
from hx_sidecar_schema import HxError

if TYPE_CHECKING:
    from hx.records.reports import TreeEntry
    from hx_cli._output import Output
    from hx_extractor import Extraction

SPEC = "tiny:bert"
WANTED = ("SelfAttention", "Attention")
DEPTH = 4
SIZES = (3, 21, 5, 9)
"""For free dimensions, in the order in which they appear: not those of the export."""


def run_demo(folder: Path, output: Output) -> int:
    """Export a small BERT, show its tree, cut a self-attention out and run it.

    Args:
        folder: For the files; replaced where an earlier demo made it.
        output: Where to.

    Returns:
        1 where a number is not what it should be, else 0.

    Raises:
        HxError: HX402 if the folder holds anything else.
    """
    model = folder / "bert.onnx"
    _check_own(folder, model)
    _head(output, 1, "Export a small BERT with random weights, batch and sequence length left free")
    _command(output, f"hx export {SPEC} --dynamic -o {model}")
    request = ExportRequest(PyTorchModel(SPEC), output=model, dynamic=True, overwrite=True)
    exported = export_model(request, output)
    show_export(exported, output, tables=True, following=False)

    _head(output, 2, "See which module call made how many of its nodes")
    _command(output, f"hx tree {model} --depth {DEPTH}")
    show_tree(
        read_tree(model, patterns=[], depth=DEPTH, everything=False, output=output), output, collapse=True
    )
    whole = read_tree(model, patterns=[], depth=None, everything=False, output=output)

    attention = _attention(whole.calls)
    single = folder / f"{attention.fqn.replace('.', '_')}.onnx"
    _head(output, 3, "Cut one self-attention out, as a model that takes what its forward() takes")
    _command(output, f"hx extract {model} --module {attention.tag} --against {SPEC} -o {single}")
    extract = ExtractRequest(
        model=model, patterns=[attention.tag], output=single, overwrite=True, against=PyTorchModel(SPEC)
    )
    report = extract_calls(extract, output)
    show_extract(report, output, tables=True)
    _run_other_sizes(model, attention.tag, output)
    _try_next(model, attention, output)
    wrong = exported.verification is not None and exported.verification.status == "mismatch"
    return int(wrong or report.mismatches > 0)


def _check_own(folder: Path, model: Path) -> None:
    """A folder is the demo's own where it is empty, or where the export in it names the demo as its command."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        generator: dict[str, Any] = json.loads(sidecar_path(model).read_bytes())["generator"]
        own = str(generator["command"]).startswith("hx demo")
    except (OSError, ValueError, KeyError, TypeError):
        own = False
    if not own:
        raise HxError(
            f"Folder {str(folder)!r} holds files that are not the demo's.",
            code="HX402",
            hint="Name another folder with -o.",
        )


def _attention(calls: Sequence[TreeEntry]) -> TreeEntry:
    """The last self-attention: it needs a mask that other modules made."""
    for word in WANTED:
        found = [call for call in calls if call.status == "extractable" and word in call.class_name]
        if found:
            return found[-1]
    return calls[0]


def _run_other_sizes(model: Path, tag: str, output: Output) -> None:
    import numpy as np

    from hx_extractor import load

    with output.working("Running it"):
        extraction = load(model).extract(tag)
        feeds = _drawn(extraction)
        results = extraction.run(feeds)
    given = ", ".join(f"{name} [cyan]{shape(array.shape)}[/]" for name, array in feeds.items())
    made = ", ".join(f"{name} [cyan]{shape(array.shape)}[/]" for name, array in results.items())
    finite = all(bool(np.isfinite(array).all()) for array in results.values())
    output.data(
        f"It runs at sizes that the export never saw: {given}\ngives {made}{'' if finite else ', not finite'}."
    )


def _drawn(extraction: Extraction) -> dict[str, Any]:
    """Inputs of other sizes than the recorded ones; a mask hides nothing."""
    import numpy as np
    import onnx_ir as ir

    draw = np.random.default_rng(0)
    sizes: dict[str, int] = {}
    feeds: dict[str, Any] = {}
    for port in extraction.inputs:
        free = [dim for dim in port.shape if isinstance(dim, str)]
        sizes |= {dim: SIZES[(len(sizes) + i) % len(SIZES)] for i, dim in enumerate(free) if dim not in sizes}
        dims = [sizes[dim] if isinstance(dim, str) else dim for dim in port.shape]
        dtype = ir.DataType[port.dtype].numpy()
        floating = np.issubdtype(dtype, np.floating)
        feeds[port.name] = (draw.standard_normal(dims) if floating else np.ones(dims)).astype(dtype)
    return feeds


def _head(output: Output, step: int, text: str) -> None:
    output.data(f"\n[bold green]{step}[/]  [bold]{text}[/]")


def _command(output: Output, text: str) -> None:
    output.data(f"   [dim]$ {text}[/]")


def _try_next(model: Path, attention: TreeEntry, output: Output) -> None:
    simple = attention.class_name.rsplit(".", 1)[-1]
    output.data("\n[bold green]4[/]  [bold]Try next[/]")
    for command, what in (
        (f"hx extract {model} --all", "every module call, with an index.json"),
        (f"hx extract {model} --module {simple} -o attentions", "every self-attention, with a pattern"),
        (f"hx tree {model} --all", "down to every torch.nn module"),
        (f"hx profile {model}", "time by module, in what ONNX Runtime really runs"),
        ("hx export your/model --dynamic", "a Hub id, a folder, or file.py:factory"),
    ):
        output.data(f"   [cyan]{command}[/]\n     [dim]{what}[/]")

"""Module calls as functions of the ONNX model, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hx._models import AnyHierarchy, check_loads, name_of, opened
from hx._progress import Progress, silent
from hx.files import model_target
from hx.records.functionize import FunctionEntry, FunctionizeReport, InlineReport
from hx.records.report import File
from hx_extractor import save_model
from hx_graph import INLINED
from hx_sidecar_schema import HxError, depths, find_calls
from hx_surgery import functionize as functionized


def functionize(
    model: AnyHierarchy,
    output: str | Path | None = None,
    *,
    modules: str | Sequence[str] = (),
    classes: str | Sequence[str] = (),
    depth: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> FunctionizeReport:
    """Write a model in which functions stand for module calls: one for every form, called as often as the modules are.

    Functions are nested as modules are, and take weights as inputs: ONNX's functions have none of their own. What reads an ONNX file in
    hx inlines them, so that every function of hx takes the new file as it takes the old one.

    Examples:
        >>> import torch, hx
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
        >>> found = hx.functionize(hx.export(model, (torch.ones(2, 4),)), "functions.onnx", overwrite=True)
        >>> [(function.name, function.calls) for function in found.functions]
        [('Linear', ['/Sequential/Linear.0', '/Sequential/Linear.1'])]

    Args:
        model: An export, or the file of one.
        output: The file. None: `NAME_functions.onnx` in the current folder.
        modules: Patterns: these calls and what is below them; empty for the whole model.
        classes: Patterns of those among them that become functions, as class names; empty for all.
        depth: Levels below each of `modules`, or below the model itself, that become functions; None for all.
        overwrite: Replace files that exist.
        progress: Told what goes on.

    Returns:
        The functions with their calls; the fields are told in `hx.records.functionize`.

    Raises:
        HxError: HX401 if a pattern matches nothing, HX413 if no call becomes a function; HX402, HX408 or HX306 before any work where a
            file could not be written; else as `load`.
    """
    progress(f"Reading {name_of(model)}", 0, 0)
    hierarchy = opened(model)
    sidecar = hierarchy.sidecar
    roots = find_calls(sidecar, modules) or [0]
    level = depths([call.parent for call in sidecar.calls])
    below = {root: range(root, sidecar.subtree_end[root]) for root in roots}
    rows = {row for root in roots for row in below[root] if depth is None or level[row] - level[root] <= depth}
    if classes:
        rows &= {*find_calls(sidecar, classes)}
    target = model_target(hierarchy.name, output, "functions", overwrite=overwrite, read=hierarchy.files())
    progress("Making functions", 0, 0)
    made = functionized(hierarchy.model, sidecar, rows, file=target.name)
    if not made.functions:
        hint = "Name the modules around them; `hx tree` shows how many nodes each has."
        message = "No call of those that are named has nodes that can be a function."
        if made.torn:
            tag = sidecar.tag(sidecar.calls[made.torn[0]])
            message = f"Call {tag!r} cannot be a function: what it reads depends on what it gives."
        raise HxError(message, code="HX413", hint=hint)
    progress("Loading it in ONNX Runtime", 0, 0)
    check_loads(hierarchy, made.model)
    save_model(made.model, made.sidecar, target, "copy", hierarchy.folder)
    return FunctionizeReport(
        model=name_of(model),
        file=File.of(target),
        functions=[
            FunctionEntry(
                domain=one.function.domain,
                name=one.function.name,
                class_name=sidecar.module_of(sidecar.calls[one.calls[0]]).class_name,
                inputs=[str(value.name) for value in one.function.inputs],
                outputs=[str(value.name) for value in one.function.outputs],
                nodes=len(one.function),
                calls=[sidecar.tag(sidecar.calls[row]) for row in sorted(one.calls)],
            )
            for one in sorted(made.functions, key=lambda one: min(one.calls))
        ],
        nodes=len(made.model.graph),
        inlined_nodes=len(hierarchy.model.graph),
        left=[sidecar.tag(sidecar.calls[row]) for row in made.torn],
    )


def inline(
    model: AnyHierarchy, output: str | Path | None = None, *, overwrite: bool = False, progress: Progress = silent
) -> InlineReport:
    """Write a model without the functions that `functionize` made: the flat graph, nodes and values under their own names.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> _ = hx.functionize(exported, "functions.onnx", overwrite=True)
        >>> _ = hx.inline("functions.onnx", "flat.onnx", overwrite=True)
        >>> hx.compare(exported, "flat.onnx").same
        True

    Args:
        model: The file of a model with functions.
        output: The file. None: `NAME_inlined.onnx` in the current folder.
        overwrite: Replace files that exist.
        progress: Told what goes on.

    Returns:
        The file and its size; the fields are told in `hx.records.functionize`.

    Raises:
        HxError: HX413 if the model has no such functions; HX402, HX408 or HX306 before any work where a file could not be written;
            else as `load`.
    """
    progress(f"Reading {name_of(model)}", 0, 0)
    hierarchy = opened(model)
    target = model_target(hierarchy.name, output, "inlined", overwrite=overwrite, read=hierarchy.files())
    functions = hierarchy.model.meta.get(INLINED, 0)
    if not functions:
        message = f"Model {name_of(model)!r} has no functions of module calls."
        raise HxError(message, code="HX413", hint="Name a file that `hx functionize` wrote.")
    save_model(hierarchy.model, hierarchy.sidecar, target, "copy", hierarchy.folder)
    return InlineReport(
        model=name_of(model), file=File.of(target), nodes=len(hierarchy.model.graph), functions=functions
    )

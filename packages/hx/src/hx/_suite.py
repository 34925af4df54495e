"""A library of modules for those who make compilers and runtimes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from hx._file_inputs import tried_inputs
from hx._models import AnyHierarchy, name_of, opened
from hx._progress import Progress, silent
from hx.files import check_writable
from hx.records.suite import SuiteReport
from hx_extractor import Hierarchy
from hx_sidecar_schema import HxError, check_choice
from hx_surgery import SUITE_KINDS, By, SuiteSource, check_folder, write_suite


def suite(
    models: AnyHierarchy | Sequence[AnyHierarchy],
    output: str | Path | None = None,
    *,
    by: By = "call",
    cover: bool = False,
    npz: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SuiteReport:
    """Write every distinct module of some models once, as test cases with inputs and the outputs that they must give.

    Calls have one form that do the same work: operators, attributes, opset, types and sizes are equal; names, numbers of weights
    and which layer it is are no matter. Each form becomes a folder as onnx's backend test runner and ONNX Runtime's
    `onnx_test_runner` load it, with the numbers of a real run. `manifest.json` says who they are.

    A folder that holds a suite is brought up to date: what did not change is not written again, cases that are no part of
    it any more are removed.

    Examples:
        >>> import torch, hx
        >>> layers = [torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()) for _ in range(6)]
        >>> exported = hx.export(torch.nn.Sequential(*layers), (torch.ones(2, 4),))
        >>> found = hx.suite(exported, "suite")
        >>> [(case.class_name, case.calls) for case in found.suite.cases]
        [('Linear', 6), ('ReLU', 6), ('Sequential', 6), ('Sequential', 1)]
        >>> hx.suite(exported, "suite").written
        0

    Args:
        models: Exports, or files of them; one is in memory at once. One that is named twice counts once.
        output: The folder; None for one that is named after the model, in the current folder.
        by: `call`: every call that can be cut out. `block`: entries of lists of modules (ModuleList, Sequential, ModuleDict) that
            call modules themselves, and the outermost calls around these. `operator`: every node of the main graph, as a
            model of its own.
        cover: Only as many of these as hold every operator with its attributes and element types that any of them has: few,
            found greedily, and of these small ones.
        npz: Also write `inputs.npz` and `outputs.npz` beside each model, by the names of its inputs and outputs.
        overwrite: Write into a folder that holds other things, and over files that were changed since.
        progress: Told what goes on.

    Returns:
        A row for each case, and for each form and model that has none, with the reason; the fields are told in
        `hx.records.suite`.

    Raises:
        HxError: HX405 if no model is named, HX406 if there is no such `by`; HX402 or HX306 if the folder cannot be written,
            HX408 if it holds what is read; as `load` if none of the models can be read.
    """
    check_choice("by", by, SUITE_KINDS)
    listed = _once([models] if isinstance(models, Hierarchy | str | Path) else models)
    if not listed:
        raise HxError("No model is named.", code="HX405", hint="Name the models of the suite.", argument="models")
    name = f"{Path(name_of(listed[0])).stem}_suite" if len(listed) == 1 else "suite"
    folder = Path(name if output is None else output)
    check_folder(folder, overwrite=overwrite)
    check_writable(folder)
    paths = [name_of(model) for model in listed]
    named = zip(_names(paths), paths, listed, strict=True)
    sources = [SuiteSource(name, path, partial(_read, model)) for name, path, model in named]
    found = write_suite(sources, folder, by=by, only_cover=cover, npz=npz, overwrite=overwrite, progress=progress)
    return SuiteReport(output=str(folder), **found._asdict())


def _read(model: AnyHierarchy) -> Hierarchy:
    """Read a model; inputs without an example are drawn in sizes on which it runs."""
    hierarchy = opened(model)
    if all(info.example is not None for info in hierarchy.sidecar.model.inputs):
        return hierarchy
    return tried_inputs(hierarchy)[0]


def _names(paths: Sequence[str]) -> list[str]:
    """Return names of models: their paths below the folder that holds all of them, so that no name tells where that is.

    Models that were exported to memory may have one name: from the second on it ends in a number.
    """
    absolute = [Path(path).absolute() for path in paths]
    common = os.path.commonpath([path.parent for path in absolute])
    names = [path.relative_to(common).as_posix() for path in absolute]
    before = [names[:place].count(name) for place, name in enumerate(names)]
    return [f"{name}#{count + 1}" if count else name for name, count in zip(names, before, strict=True)]


def _once(models: Iterable[AnyHierarchy]) -> list[AnyHierarchy]:
    """Return models, each once: the same file may be named twice, as by `*.onnx` and by its name."""
    return list(
        {id(model) if isinstance(model, Hierarchy) else Path(model).resolve(): model for model in models}.values()
    )

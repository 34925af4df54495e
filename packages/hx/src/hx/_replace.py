"""Another model in the place of module calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hx._file_inputs import Shapes, with_inputs
from hx._models import AnyHierarchy, name_of, opened
from hx._progress import Progress, silent
from hx._tensors import Inputs
from hx.files import model_target, sidecar_path
from hx.records.replace import ReplacedCall, ReplaceReport
from hx.records.report import File
from hx_sidecar_schema import MissingKernel, Sidecar, UnavailableValue, file_digest

if TYPE_CHECKING:
    import onnx_ir as ir

    from hx_extractor import Hierarchy, Validation
    from hx_surgery import Part


def replace(
    model: AnyHierarchy,
    modules: str | Sequence[str],
    part: str | Path,
    output: str | Path | None = None,
    *,
    inputs: Inputs | None = None,
    input_shapes: Shapes | None = None,
    verify: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ReplaceReport:
    """Write a model in which another one stands in the place of module calls: optimised, quantised, fused or written by hand.

    Inputs and outputs of the part are the call's ports, by name; `hx.extract` writes a part that has them. Its inputs may
    also be weights of the call, as `hx.extract(weights="none")` makes them: each call's own stand there then.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), (torch.ones(2, 4),))
        >>> _ = hx.extract(exported, "0", "part.onnx", overwrite=True)
        >>> report = hx.replace(exported, "0", "part.onnx", "replaced.onnx", overwrite=True)
        >>> report.relative_error
        0.0

    Args:
        model: An export, or the file of one.
        modules: Patterns of the calls.
        part: The ONNX file that stands for each of them. A sidecar beside it tells what its weights are.
        output: The file. None: `NAME_replaced.onnx` in the current folder.
        inputs: Compare on these arrays or tensors by the names of the model's inputs, or a file of them. None: the recorded
            ones.
        input_shapes: Other sizes of recorded inputs, or sizes of inputs that were not recorded.
        verify: Run both models and say how far their outputs are apart.
        overwrite: Replace files that exist.
        progress: Told what goes on.

    Returns:
        What became of each call, and how far the outputs are apart; the fields are told in `hx.records.replace`.

    Raises:
        HxError: HX401 if a pattern matches nothing, HX205 if a call is not extractable, HX221 if calls hold each other, HX220
            if the part does not fit, HX222 if who reads a call's output is not known, HX223 if the part is of other opsets, HX402,
            HX408 or HX306 before any work where a file could not be written, HX207 if ONNX Runtime does not load the result; else as
            `load`.
    """
    progress(f"Reading {name_of(model)}", 0, 0)
    hierarchy = with_inputs(opened(model), inputs, input_shapes, run=True)
    rows = [call.row for call in hierarchy.calls(modules)]

    from hx_extractor import save_model
    from hx_graph import files_of
    from hx_surgery import replace as replaced

    given = _part(Path(part))
    read = [*hierarchy.files(), *files_of(Path(part), given.model)]
    target = model_target(hierarchy.name, output, "replaced", overwrite=overwrite, read=read)
    progress("Putting the part in", 0, 0)
    found = replaced(hierarchy, rows, given, file=target.name)
    progress("Running both models" if verify else "Loading it in ONNX Runtime", 0, 0)
    numbers, reason = _compared(hierarchy, found.model, run=verify)
    save_model(found.model, found.sidecar, target, "copy", None)
    sidecar = hierarchy.sidecar
    calls = [(sidecar.calls[row], sidecar.module_of(sidecar.calls[row]), done) for row, done in found.calls.items()]
    return ReplaceReport(
        model=name_of(model),
        part=str(part),
        file=File.of(target),
        calls=[
            ReplacedCall(
                fqn=module.fqn,
                call=call.index,
                tag=sidecar.tag(call),
                added=len(done.added),
                removed=len(done.removed),
                weights_added=done.weights_added,
                weights_removed=done.weights_removed,
            )
            for call, module, done in calls
        ],
        nodes=(len(sidecar.nodes), len(found.sidecar.nodes)),
        compared=numbers is not None,
        reason=reason,
        max_abs_error=numbers and numbers.max_abs_error,
        relative_error=numbers and numbers.relative_error,
    )


def _part(path: Path) -> Part:
    from hx_graph import read_model
    from hx_surgery import Part

    model = read_model(path)
    beside = sidecar_path(path)
    sidecar = Sidecar.load(beside) if beside.exists() else None
    digest = file_digest(path)
    if sidecar is not None and sidecar.model.file_digest != digest:
        sidecar = None  # of another file
    return Part(model, path.name, digest, sidecar)


def _compared(before: Hierarchy, model: ir.Model, *, run: bool) -> tuple[Validation | None, str]:
    """Return how far the outputs are apart, or why that is not known; HX207 if ONNX Runtime does not load the new model."""
    from hx_extractor import compare
    from hx_graph import make_session, run_session

    try:
        session = make_session(model, None)
        if not run:
            return None, ""
        feeds = before.example_inputs()
        return compare(before.run(feeds), run_session(session, feeds)), ""
    except MissingKernel as error:
        if not before.lacks_kernel:
            raise
        return None, error.message
    except UnavailableValue as error:  # no inputs are recorded
        return None, error.message

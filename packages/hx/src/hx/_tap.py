"""Results of module calls as outputs of the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hx._models import AnyHierarchy, check_loads, name_of, opened
from hx._progress import Progress, silent
from hx.files import model_target
from hx.records.report import File
from hx.records.tap import LeftOut, TapEntry, TapReport
from hx_sidecar_schema import HxError


def tap(
    model: AnyHierarchy,
    modules: str | Sequence[str],
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> TapReport:
    """Write a model that hands out what module calls return, behind the outputs that it has.

    An output is called after its call and port: `encoder.layer.0.output`.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), (torch.ones(2, 4),))
        >>> [output.name for output in hx.tap(exported, "0", "tapped.onnx", overwrite=True).outputs]
        ['0.output']

    Args:
        model: An export, or the file of one.
        modules: Patterns of the calls.
        output: The file. None: `NAME_tapped.onnx` in the current folder.
        overwrite: Replace files that exist.
        progress: Told what goes on.

    Returns:
        The new outputs, and the calls of which one could not be handed out; the fields are told in `hx.records.tap`.

    Raises:
        HxError: HX401 if a pattern matches nothing, HX412 if nothing of what the patterns name can be handed out, HX402,
            HX408 or HX306 before any work where a file could not be written; else as `load`.
    """
    progress(f"Reading {name_of(model)}", 0, 0)
    hierarchy = opened(model)
    calls = hierarchy.calls(modules)
    target = model_target(hierarchy.name, output, "tapped", overwrite=overwrite, read=hierarchy.files())

    from hx_extractor import save_model
    from hx_graph import dims_of, dtype_name
    from hx_surgery import tap as tapped

    progress("Adding the outputs", 0, 0)
    found = tapped(hierarchy, calls, file=target.name)
    if not found.taps:
        call, reason = found.left_out[0]
        more = f", nor of {len(found.left_out) - 1} more" if len(found.left_out) > 1 else ""
        message = f"Nothing of call {call.tag!r} can be an output of the model{more}: {reason}"
        raise HxError(
            message, code="HX412", hint="Name the module around it; `hx tree --all` shows what became of calls."
        )
    progress("Loading it in ONNX Runtime", 0, 0)
    check_loads(hierarchy, found.model)
    save_model(found.model, found.sidecar, target, "copy", hierarchy.folder)
    values = {str(value.name): value for value in found.model.graph.outputs}
    return TapReport(
        model=name_of(model),
        file=File.of(target),
        outputs=[
            TapEntry(
                name=one.name,
                fqn=one.call.fqn,
                call=one.call.index,
                tag=one.call.tag,
                port=one.port.name,
                value=one.value,
                dtype=dtype_name(values[one.name]),
                shape=dims_of(values[one.name].shape),
            )
            for one in found.taps
        ],
        left_out=[
            LeftOut(fqn=call.fqn, call=call.index, tag=call.tag, reason=reason) for call, reason in found.left_out
        ],
    )

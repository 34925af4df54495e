"""The saved model's numbers beside the PyTorch module's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hx._tensors import ROUNDING_FACTOR, explained, own_rounding, to_numpy
from hx.records.export import Verification
from hx.text import plural
from hx_extractor import difference, tolerance
from hx_graph import all_nodes, drawing_nodes, open_session, read_model, refusal_of
from hx_sidecar_schema import MissingKernel
from hx_tracer import ExampleInputs, Exported, other_structure, outputs_of, record_call_values


def verify_export(path: Path, module: torch.nn.Module, example: ExampleInputs, exported: Exported) -> Verification:
    """Run a saved model on the inputs that its module ran on, as it is, without optimisation; compare every output.

    `mismatch` too where ONNX Runtime refuses the model, or where the module returned other outputs; `not_checked` where
    ONNX Runtime has no kernel for it, or the module does not run.
    """
    if exported.failure:
        return _unchecked(exported.failure)
    inputs = exported.inputs
    try:
        session = open_session(path)
        names = [value.name for value in session.get_inputs()]
        if set(names) != set(inputs):
            return _unchecked(f"the graph has inputs {', '.join(names)}, which are not those of the example")
        outputs = [value.name for value in session.get_outputs()]
        actual = session.run(None, {name: to_numpy(tensor) for name, tensor in inputs.items()})
    except MissingKernel as error:
        return _unchecked(error.message.rstrip("."))
    except Exception as error:  # noqa: BLE001 ONNX Runtime's exceptions are in no public module and share no base class
        return Verification(status="mismatch", reason=f"ONNX Runtime cannot run it: {refusal_of(error)}")
    expected = outputs_of(exported.result, len(actual))
    if len(expected) != len(actual):
        reason = f"the graph has {plural(len(actual), 'output')}, the module returned {plural(len(expected), 'tensor')}"
        return Verification(status="mismatch", reason=reason)
    if other := other_structure(exported.program, exported.result):
        return Verification(status="mismatch", reason=other)
    verification = _compared(outputs, expected, actual)
    if verification.relative_error is None or verification.status == "match":
        return verification
    if drawing := drawing_nodes(node for _, node in all_nodes(read_model(path))):
        return _unchecked(f"{drawing[0].op_type} draws other numbers in every run")
    root = ("", 0)
    again = record_call_values(module, example.args, example.kwargs, {root}, lambda tensor: to_numpy(tensor.clone()))[
        root
    ].outputs.values()
    if len(again) == len(expected) and _compared(outputs, expected, list(again)).status == "mismatch":
        return _unchecked("the module returns other values in every run")
    rounding = own_rounding(module, example.args, example.kwargs, {root})[root]
    return _compared(outputs, expected, actual, rounding=rounding)


def _compared(
    names: Sequence[str], expected: Sequence[torch.Tensor], actual: Sequence[Any], *, rounding: float = 0.0
) -> Verification:
    outputs = zip(names, expected, actual, strict=True)
    found = {name: difference(to_numpy(tensor), array) for name, tensor, array in outputs}
    worst = max(found, key=lambda name: found[name].relative_error, default=None)
    if worst is not None and found[worst].reason:
        return Verification(status="mismatch", reason=f"output {worst!r} has {found[worst].reason}", worst_output=worst)
    usual = tolerance(tensor.dtype for tensor in expected)
    allowed = max(usual, ROUNDING_FACTOR * rounding)
    relative = found[worst].relative_error if worst is not None else 0.0
    reason = f"output {worst!r} differs" if relative > allowed else explained(rounding) if relative > usual else ""
    return Verification(
        status="match" if relative <= allowed else "mismatch",
        reason=reason,
        max_abs_error=max((one.max_abs_error for one in found.values()), default=0.0),
        relative_error=relative,
        tolerance=allowed,
        worst_output=worst,
    )


def _unchecked(reason: str) -> Verification:
    return Verification(status="not_checked", reason=reason)

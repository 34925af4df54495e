"""The saved model's numbers beside the PyTorch module's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hx._tensors import to_numpy
from hx._tolerance import tolerance
from hx.records.export import Verification
from hx_extractor import difference
from hx_graph import open_session
from hx_tracer import tensors_in


def verify_export(path: Path, inputs: Mapping[str, torch.Tensor], result: Any) -> Verification:
    """Run a saved model on the inputs that its module ran on, and compare every output.

    Args:
        path: The ONNX file; ONNX Runtime runs it as it is, without optimisation.
        inputs: The example inputs by their names in the graph; empty where those are not known.
        result: What the module returned for them.

    Returns:
        `mismatch` too where ONNX Runtime refuses the model; `not_checked` where it has no kernel for it.
    """
    try:
        session = open_session(path, package="hx-extractor")
        names = [value.name for value in session.get_inputs()]
        if set(names) != set(inputs):
            return _unchecked(f"the graph has inputs {', '.join(names)}, which are not those of the example")
        outputs = [value.name for value in session.get_outputs()]
        feeds = {name: to_numpy(tensor) for name, tensor in inputs.items()}
        actual = session.run(None, feeds)
    except Exception as error:  # noqa: BLE001 ONNX Runtime's exceptions are in no public module and share no base class
        if type(error).__name__ == "NotImplemented":
            return _unchecked(f"ONNX Runtime lacks a kernel: {first_line(error)}")
        return Verification(status="mismatch", reason=f"ONNX Runtime cannot run it: {first_line(error)}")
    expected = tensors_in(result)
    if len(expected) != len(actual):
        return _unchecked(f"the graph has {len(actual)} outputs, the module {len(expected)} tensors")
    return _compared(outputs, expected, actual)


def _compared(names: list[str], expected: list[torch.Tensor], actual: list[Any]) -> Verification:
    worst_abs, worst_relative, worst_output = 0.0, 0.0, None
    allowed = tolerance(tensor.dtype for tensor in expected)
    for name, tensor, array in zip(names, expected, actual, strict=True):
        if tuple(tensor.shape) != array.shape:
            reason = f"output {name!r} has shape {list(array.shape)} instead of {list(tensor.shape)}"
            return Verification(status="mismatch", reason=reason, worst_output=name)
        found = difference(to_numpy(tensor), array)
        worst_abs = max(worst_abs, found.max_abs_error)
        if worst_output is None or found.relative_error > worst_relative:
            worst_relative, worst_output = found.relative_error, name
    return Verification(
        status="match" if worst_relative <= allowed else "mismatch",
        reason="" if worst_relative <= allowed else f"output {worst_output!r} differs",
        max_abs_error=worst_abs,
        relative_error=worst_relative,
        tolerance=allowed,
        worst_output=worst_output,
    )


def first_line(error: BaseException) -> str:
    """Return what an exception says, in one line of reasonable length."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _unchecked(reason: str) -> Verification:
    return Verification(status="not_checked", reason=reason)

"""What extracted models are compared with: here the whole ONNX model, in `boundaries` the PyTorch module."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from hx._tensors import ROUNDING_FACTOR, explained
from hx_extractor import Call, Extraction, Hierarchy, tolerance
from hx_graph import all_nodes, drawing_nodes
from hx_sidecar_schema import HxError, RuntimeRefusal, UnavailableValue


@dataclass(frozen=True)
class Verdict:
    """How far an extracted model is from its original; None where they could not be compared."""

    max_abs_error: float | None = None
    relative_error: float | None = None
    match: bool = True
    reason: str = ""
    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])
    """What the PyTorch module was given, by the ports of the model that take it; empty where it was not run."""


Reference = Callable[[Extraction], Verdict]
"""Says how far an extracted model is from its original."""


class OnnxReference:
    """The exported model's own values for the recorded inputs; it runs once for all calls that will be compared."""

    def __init__(self, model: Hierarchy, calls: Sequence[Call]) -> None:
        ports = [port for call in calls for port in (*call.inputs, *call.outputs) if not port.unused]
        carriers = dict.fromkeys(port.value or port.initializer for port in ports)
        self._refusal = ""
        try:
            model.compute(name for name in carriers if name and model.holds(name))
        except (RuntimeRefusal, UnavailableValue) as error:  # what can be computed is, when a call needs it
            self._refusal = error.message

    def __call__(self, extraction: Extraction) -> Verdict:
        """Compare an extracted model with the values of the exported one."""
        try:
            refuse_drawing(extraction)
            extraction.example_inputs()
            extraction.parent.compute(port.carrier for port in extraction.outputs)
        except HxError as error:  # the whole model does not run: nothing is known against the part, if it loads
            extraction.session()
            cause = (isinstance(error, RuntimeRefusal) and self._refusal) or error.message  # one for all calls
            return Verdict(reason=f"Not compared: {cause}")
        result = extraction.validate()
        return verdict_of(extraction, result.max_abs_error, result.relative_error)


def refuse_drawing(extraction: Extraction) -> None:
    """Refuse, with HX206, to compare what draws random numbers."""
    if drawing := drawing_nodes(node for _, node in all_nodes(extraction.model)):
        raise UnavailableValue(
            f"{drawing[0].op_type} draws other numbers in every run.", hint="Look at the calls around it."
        )


def verdict_of(extraction: Extraction, absolute: float, relative: float, *, rounding: float = 0.0) -> Verdict:
    """Judge the largest absolute and relative errors of an extraction; the reference is `rounding` off double precision."""
    graph = extraction.model.graph
    # A graph in half precision may end in single: its Casts round what lies between in both runs in other places.
    inside = (value.dtype for value in (*graph.initializers.values(), *(o for n in graph for o in n.outputs)))
    allowed = tolerance((*(port.dtype for port in extraction.outputs), *inside))
    match = relative <= max(allowed, ROUNDING_FACTOR * rounding) and math.isfinite(absolute)
    reason = f"Single precision explains it: {explained(rounding)}." if match and relative > allowed else ""
    if not match:
        reason = f"Differs from its original by {absolute:.1e}, {relative:.1e} of the largest value."
    return Verdict(absolute, relative, match, reason)

"""A call that was cut out, run on what the PyTorch module got and compared with what it gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from hx._verify.boundaries import CallValues
from hx._verify.inputs import Arrays
from hx_extractor import Difference, Extraction, difference
from hx_sidecar_schema import Port


def run_alone(
    extraction: Extraction,
    boundary: CallValues[np.ndarray[Any, Any]],
    borrow: Callable[[Sequence[Port]], Mapping[str, np.ndarray[Any, Any]]],
) -> dict[str, Difference]:
    """Return how far the outputs of a call are from the module's, by port.

    Args:
        extraction: The call.
        boundary: What the module got and gave.
        borrow: Asked for the inputs that were no arguments of the module: implicit ones.

    Raises:
        HxError: HX207 if ONNX Runtime refuses the model; else as `borrow` raises.
    """
    given: Arrays = dict(boundary.inputs)
    missing = [port for port in extraction.inputs if port.name not in given]
    if missing:
        given = {**borrow(missing), **given}
    feeds = {port.name: _as_port(given[port.name], port) for port in extraction.inputs}
    return compare_ports(boundary.outputs, extraction.run(feeds))


def compare_ports(
    expected: Mapping[str, np.ndarray[Any, Any]], actual: Mapping[str, np.ndarray[Any, Any]]
) -> dict[str, Difference]:
    """Compare by port what both have."""
    return {name: difference(expected[name], array) for name, array in actual.items() if name in expected}


def _as_port(array: np.ndarray[Any, Any], port: Port) -> np.ndarray[Any, Any]:
    return array if port.dtype == "UNDEFINED" else array.astype(ir.DataType[port.dtype].numpy(), copy=False)

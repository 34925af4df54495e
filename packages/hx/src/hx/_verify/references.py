"""Comparing an extracted model with the PyTorch module itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hx._verify.boundaries import Boundary, CallKey, copied, pytorch_keys, run_module, why_not_made
from hx._verify.inputs import recorded_inputs
from hx._verify.isolated import run_alone
from hx._verify.judge import Verdict, verdict_of
from hx_extractor import Extraction, Hierarchy
from hx_sidecar_schema import UnavailableValue
from hx_tracer import LoadedModel


class TorchJudge:
    """Compares with the PyTorch module itself, on the tensors that it gets inside its model.

    Args:
        model: The exported model, which recorded its inputs.
        rows: The calls that will be compared.
        loaded: The PyTorch model; it runs once for all calls.
    """

    def __init__(self, model: Hierarchy, rows: Sequence[int], loaded: LoadedModel) -> None:
        keys = pytorch_keys(model.sidecar)
        wanted = {keys[row] for row in rows}
        calls = model.sidecar.calls
        self._keys = {(model.sidecar.module_of(c).fqn, c.index): k for c, k in zip(calls, keys, strict=True)}
        inputs = recorded_inputs(loaded, model.example_inputs())
        self._boundaries: dict[CallKey, Boundary[np.ndarray[Any, Any]]] = run_module(
            loaded, inputs, wanted, copied
        )

    def __call__(self, extraction: Extraction) -> Verdict:
        boundary = self._boundaries.get(self._keys[extraction.module.fqn, extraction.call.index])
        if boundary is None:
            return Verdict(match=extraction.call.in_body, reason=why_not_made(extraction.call))
        try:
            found = run_alone(extraction, boundary, lambda _: extraction.example_inputs())
        except UnavailableValue as error:
            return Verdict(reason=f"Not compared: {error.message}")
        missing = [port.name for port in extraction.outputs if port.name not in found]
        if missing:
            return Verdict(match=False, reason=f"The PyTorch module gave no {missing}.")
        absolute = max((one.max_abs_error for one in found.values()), default=0.0)
        return verdict_of(
            extraction, absolute, max((one.relative_error for one in found.values()), default=0.0)
        )

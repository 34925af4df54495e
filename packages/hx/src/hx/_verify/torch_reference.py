"""Comparing an extracted model with the PyTorch module itself."""

from __future__ import annotations

from collections.abc import Sequence

from hx._verify.boundaries import array_now, pytorch_keys, run_module, why_not_made
from hx._verify.inputs import recorded_inputs
from hx._verify.isolated import run_alone
from hx._verify.references import Verdict, verdict_of
from hx_extractor import Call, Extraction, Hierarchy
from hx_sidecar_schema import UnavailableValue
from hx_tracer import LoadedModel


class TorchReference:
    """The PyTorch modules, on the tensors that they get inside their model; it runs once for all calls."""

    def __init__(self, model: Hierarchy, calls: Sequence[Call], loaded: LoadedModel) -> None:
        """Run the PyTorch model on the recorded inputs, and keep what the calls got and gave."""
        keys = pytorch_keys(model.sidecar)
        self._keys = {(call.fqn, call.index): keys[call.row] for call in calls}
        inputs = recorded_inputs(loaded, model.example_inputs())
        self._boundaries = run_module(loaded, inputs, set(self._keys.values()), array_now)

    def __call__(self, extraction: Extraction) -> Verdict:
        """Compare an extracted model with its module."""
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
        return verdict_of(
            extraction,
            max((one.max_abs_error for one in found.values()), default=0.0),
            max((one.relative_error for one in found.values()), default=0.0),
        )

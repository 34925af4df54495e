"""What to export, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hx._model_spec import ModelSpec
from hx_sidecar_schema import STRATEGIES, Confidence, HxError, Strategy, TorchNN, find_strategy, with_witness

if TYPE_CHECKING:
    import torch

    from hx_tracer import ExampleInputs

DynamicAxes = Mapping[str, Mapping[int, str] | Sequence[int]]
"""Free axes by input, with their symbols or without."""


@dataclass(frozen=True)
class ExportRequest:
    """What to export and how; see `export` for the fields."""

    pytorch: ModelSpec
    args: Any = ()
    kwargs: Mapping[str, Any] | None = None
    input_names: Sequence[str] | None = None
    output_names: Sequence[str] | None = None
    opset_version: int | None = None
    dynamic: bool = False
    dynamic_axes: DynamicAxes | None = None
    dynamic_shapes: Any = None
    input_shapes: Mapping[str, Sequence[int]] | None = None
    strategy: str = "dynamo"
    cross_check: bool = False
    torch_nn: TorchNN = "default"
    min_confidence: Confidence = "low"
    remedies: bool = True

    def strategies(self) -> list[Strategy]:
        """Return the strategies to try; with `cross_check`, the witness is asked too.

        Raises:
            HxError: HX123 if there is none of that name.
        """
        chosen = [*STRATEGIES.values()] if self.strategy == "auto" else [find_strategy(self.strategy)]
        return [with_witness(strategy) for strategy in chosen] if self.cross_check else chosen

    def options(self, module: torch.nn.Module, inputs: ExampleInputs) -> dict[str, Any]:
        """Return the settings that a plain export has too, as arguments of `hx_tracer`'s exports.

        Raises:
            HxError: HX112 if a free axis is given that is none of the inputs'.
        """
        return {
            "args": inputs.args,
            "kwargs": inputs.kwargs,
            "axes": self._axes(module, inputs),
            "dynamic_shapes": self.dynamic_shapes,
            "input_names": self.input_names,
            "output_names": self.output_names,
            "opset": self.opset_version,
            "remedies": self.remedies,
        }

    def _axes(self, module: torch.nn.Module, inputs: ExampleInputs) -> dict[str, dict[int, str]]:
        from hx_tracer import argument_paths, free_axes

        tensors = dict(argument_paths(module, inputs.args, inputs.kwargs))
        axes = free_axes(tensors.items()) if self.dynamic else {}
        renamed = dict(zip(self.input_names or (), tensors, strict=False))
        for given, symbols in (self.dynamic_axes or {}).items():
            name = renamed.get(given, given)
            if name not in tensors and given in (self.output_names or ()):
                continue
            for axis in symbols:
                if name not in tensors or not 0 <= axis < tensors[name].ndim:
                    shapes = ", ".join(f"{path}{list(tensor.shape)}" for path, tensor in tensors.items())
                    raise HxError(
                        f"Dynamic axis {f'{given}:{axis}'!r} is no axis of the inputs, which are {shapes}.",
                        code="HX112",
                        hint="Name an input and one of its axes, counted from 0.",
                        argument="dynamic_axes",
                    )
                symbol = symbols[axis] if isinstance(symbols, Mapping) else f"{given}_{axis}"
                axes.setdefault(name, {})[axis] = symbol
        return axes

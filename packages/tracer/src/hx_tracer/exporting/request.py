"""What an exporter is given, and how `torch.onnx.export` takes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypedDict

import torch

from hx_sidecar_schema import HxError, ModuleContext, TorchNN
from hx_tracer.exporting.errors import runs
from hx_tracer.inputs.arguments import argument_paths, with_tensors
from hx_tracer.inputs.dynamic_axes import Axes, axes_of_shapes, dynamic_shapes

Watched = tuple[torch.onnx.ONNXProgram, ModuleContext, list[str]]
"""A model, what was seen of its export, and notes: what a plain export does differently, or what was not seen."""


class ExportOptions(TypedDict, total=False):
    """The fields of `ExportRequest` that may be left out."""

    args: tuple[Any, ...]
    axes: Mapping[str, Axes] | None
    dynamic_shapes: Any
    input_names: Sequence[str] | None
    output_names: Sequence[str] | None
    opset: int | None
    torch_nn: TorchNN
    remedies: bool
    search: bool
    tell: Callable[[str], object]


@dataclass(frozen=True)
class ExportRequest:
    """A module, its example inputs, and the arguments of `torch.onnx.export`."""

    module: torch.nn.Module
    kwargs: Mapping[str, Any]
    args: tuple[Any, ...] = ()
    """Positional example inputs before `kwargs`."""
    axes: Mapping[str, Axes] | None = None
    """Dynamic axes and their symbols by input path; None means static."""
    dynamic_shapes: Any = None
    """Instead of `axes`, as `torch.onnx.export` takes it. TorchScript takes a name for each axis; those of `Dim.AUTO` and
    `Dim.DYNAMIC` are dynamic there if the model runs with that one axis longer."""
    input_names: Sequence[str] | None = None
    """Names of the graph's first inputs, instead of those after the arguments."""
    output_names: Sequence[str] | None = None
    """Names of the graph's first outputs."""
    opset: int | None = None
    """ONNX opset version; None is the exporter's default."""
    torch_nn: TorchNN = "default"
    """Which `torch.nn` classes give tags of their own."""
    remedies: bool = True
    """Whether a refused export is tried with longer examples of dynamic axes, without gradients, then with other implementations that the model offers, whose
    export is named in the error; the first that is taken ends the search."""
    search: bool = True
    """Whether such implementations are looked for; else the export without gradients is the last that is tried."""
    tell: Callable[[str], object] = str
    """Is called with what goes on."""

    def __post_init__(self) -> None:
        """Raise HX112 if both `axes` and `dynamic_shapes` are given."""
        if self.axes and self.dynamic_shapes is not None:
            raise HxError(
                f"Dynamic axes are given twice: axes={dict(self.axes)!r} and dynamic_shapes={self.dynamic_shapes!r}.",
                code="HX112",
                hint="Give one of the two.",
            )

    @cached_property
    def tensors(self) -> list[tuple[str, torch.Tensor]]:
        """The tensors among the example inputs, with their paths."""
        return argument_paths(self.module, self.args, self.kwargs)

    @cached_property
    def axes_of_one(self) -> list[str]:
        """The axes that shall be dynamic and have the size 1, which exporters may take for fixed, as `PATH:AXIS`."""
        sizes = {f"{path}:{axis}": size for path, tensor in self.tensors for axis, size in enumerate(tensor.shape)}
        asked = [f"{path}:{axis}" for path, axes in self.asked_axes.items() for axis in axes]
        return [name for name in asked if sizes.get(name) == 1]

    def lengthened(self) -> "ExportRequest | None":
        """Return this request with examples that are repeated along `axes_of_one`; None where the module does not run so."""
        longer = [
            tensor.repeat([2 if f"{path}:{axis}" in self.axes_of_one else 1 for axis in range(tensor.ndim)])
            for path, tensor in self.tensors
        ]
        args, kwargs = with_tensors(self.args, self.kwargs, longer)
        return replace(self, args=args, kwargs=kwargs) if runs(self.module, args, kwargs) else None

    @property
    def exporter_args(self) -> tuple[Any, ...]:
        """The `args` argument of `torch.onnx.export`, which takes a dict at their end for `kwargs`."""
        takes_last = self.args and not self.kwargs and isinstance(self.args[-1], dict)
        return (*self.args, {}) if takes_last else self.args

    @property
    def exporter_shapes(self) -> Any:
        """The `dynamic_shapes` argument of `torch.onnx.export`.

        What the caller gave is not changed, but for the order of a dict: torch 2.13 names axes by the position of their
        input, whatever name the dict has it under.
        """
        if self.dynamic_shapes is None:
            return dynamic_shapes(self.module, self.args, self.kwargs, self.axes or {})
        shapes = self.dynamic_shapes
        if not isinstance(shapes, dict) or self.args or shapes.keys() != self.kwargs.keys():
            return shapes
        return {name: shapes[name] for name in self.kwargs}

    @cached_property
    def asked_axes(self) -> Mapping[str, Axes]:
        """The axes that shall be dynamic, by input path."""
        if self.dynamic_shapes is None:
            return self.axes or {}
        return axes_of_shapes(self.module, self.args, self.kwargs, self.dynamic_shapes)

"""The shape of every value of a graph, for given shapes of its inputs.

Three sources, in this order: what the file says of a value, with the symbols of the inputs replaced by numbers; the shape
inference of ONNX, which reads small weights only; for what is left in the main graph, a run, where the caller makes one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from hx_graph import evaluate_dim, values_in
from hx_sidecar_schema import HxError

Shape = tuple[int, ...]
MeasureShapes = Callable[[Sequence[str], Mapping[str, Shape]], Mapping[str, Sequence[int]]]
"""Returns the shapes of named values of the main graph, as far as it can; also given the shapes of the inputs."""


class KnownShapes:
    """Shapes and element types of values, nested graphs included, functions not."""

    def __init__(self, symbols: Mapping[str, int]) -> None:
        """Start without any value, with the sizes of symbolic dimensions."""
        self.shapes: dict[ir.Value, Shape] = {}
        """Of the values whose shape is known."""
        self._dtypes: dict[ir.Value, ir.DataType] = {}
        self._evaluate = cache(partial(evaluate_dim, sizes=symbols))  # expressions repeat from value to value

    def dtype(self, value: ir.Value) -> ir.DataType | None:
        """Return the element type of a value; None where it is unknown."""
        return value.dtype or self._dtypes.get(value)

    def size_bytes(self, value: ir.Value) -> int | None:
        """Return how many bytes a value takes; None where that is unknown, as of strings."""
        shape, dtype = self.shapes.get(value), self.dtype(value)
        if shape is None or dtype is None or dtype in (ir.DataType.STRING, ir.DataType.UNDEFINED):
            return None
        return math.ceil(math.prod(shape) * dtype.itemsize)

    def take(self, value: ir.Value) -> None:
        """Take the type and shape that a value has now; the shape only where it is all numbers and none is known."""
        if value.dtype is not None:
            self._dtypes[value] = value.dtype
        if value in self.shapes:
            return
        shape = value.shape if value.const_value is None else value.const_value.shape
        if shape is not None:
            dims = [dim if isinstance(dim, int) else self._evaluate(str(dim)) for dim in shape]
            sizes = tuple(dim for dim in dims if dim is not None and dim >= 0)
            if len(sizes) == len(dims):
                self.shapes[value] = sizes

    def unknown(self, graph: ir.Graph) -> list[ir.Value]:
        """Return the values of a graph and its bodies whose shapes are not known."""
        return [value for value in values_in(graph) if value.name and value not in self.shapes]

    def infer(self, model: ir.Model) -> None:
        """Let ONNX infer shapes from those that are known; the model is the same again afterwards."""
        before = [(value, value.shape, value.type) for value in values_in(model.graph)]
        try:
            for value, _, _ in before:
                dtype = self.dtype(value)
                if value in self.shapes and value.const_value is None and dtype is not None:
                    value.shape, value.dtype = ir.Shape(self.shapes[value]), dtype
            # onnx_ir (1.1) reads no maps, which ONNX infers behind classifiers: then what is unknown stays so.
            with suppress(ir.serde.SerdeError):
                ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
            for value, _, _ in before:
                self.take(value)
        finally:
            for value, shape, kind in before:
                value.shape, value.type = shape, kind


def known_shapes(
    model: ir.Model,
    given: Mapping[str, Sequence[int]],
    recorded: Mapping[str, Sequence[int]],
    measure_shapes: MeasureShapes | None = None,
) -> KnownShapes:
    """Return the shapes of all values, as far as they can be told; arguments and errors are those of `model_cost`."""
    graph = model.graph
    known = KnownShapes(_sizes_of_symbols(graph, given, recorded))
    for value in values_in(graph):
        known.take(value)
    for value in graph.inputs:
        name = str(value.name)
        if name in given:
            _take_given(value, given[name], known)
        shape = recorded.get(name)
        if shape is not None and (value.shape is None or len(value.shape) == len(shape)):
            known.shapes.setdefault(value, tuple(shape))
    if not known.unknown(graph):
        return known
    known.infer(model)
    missing = {str(value.name): value for value in known.unknown(graph) if value.graph is graph}
    if missing and measure_shapes is not None:
        inputs = {str(value.name): known.shapes[value] for value in graph.inputs if value in known.shapes}
        measured = measure_shapes(list(missing), inputs)
        known.shapes.update((value, tuple(measured[name])) for name, value in missing.items() if name in measured)
        if known.unknown(graph):
            known.infer(model)
    return known


def _is_symbol(dim: object) -> bool:
    """Say whether a dimension is a symbol; torch's exporter writes `None` for one that it does not know."""
    return isinstance(dim, ir.SymbolicDim) and dim.value not in (None, "None")


def _sizes_of_symbols(
    graph: ir.Graph, given: Mapping[str, Sequence[int]], recorded: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """Return the sizes that the symbols of the inputs stand for; given shapes win."""
    inputs = {str(value.name): value for value in graph.inputs if not value.is_initializer()}
    strangers = [name for name in given if name not in inputs]
    if strangers:
        names = ", ".join(map(repr, inputs))
        raise HxError(f"The model has no input {strangers[0]!r}.", code="HX409", hint=f"Its inputs are {names}.")
    symbols: dict[str, int] = {}
    for name, sizes in chain(given.items(), recorded.items()):
        shape = inputs[name].shape if name in inputs else None
        if shape is not None and len(shape) == len(sizes):
            for dim, size in zip(shape, sizes, strict=True):
                if _is_symbol(dim):
                    symbols.setdefault(str(dim), size)
    return symbols


def _take_given(value: ir.Value, given: Sequence[int], known: KnownShapes) -> None:
    """Take the given shape of an input, if it is one that the input can have."""
    dims = None if value.shape is None else list(value.shape)
    if dims is None or (len(dims) == len(given) and not all(isinstance(dim, int) or _is_symbol(dim) for dim in dims)):
        known.shapes.setdefault(value, tuple(given))
    if known.shapes.get(value) != tuple(given):
        shape = "any" if dims is None else str([dim if isinstance(dim, int) else str(dim) for dim in dims])
        raise HxError(
            f"Input {value.name!r} cannot have the shape {list(given)}: the model takes {shape}, and a symbol stands "
            "for one size.",
            code="HX409",
            hint="Give other sizes for symbols only, the same one where inputs share it; an export with dynamic axes has "
            "symbols for sizes.",
        )

"""How large every value of a graph is, for given sizes of its inputs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from hx_graph import values_in
from hx_sidecar_schema import HxError

# Where inference refuses a model, its pass logs a traceback: what stays unknown is reported anyway.
logging.getLogger("onnx_ir.passes.common.shape_inference").addHandler(logging.NullHandler())

Sizes = tuple[int, ...]
MeasureShapes = Callable[[Sequence[str], Mapping[str, Sizes]], Mapping[str, Sequence[int]]]
"""Says how large values of the main graph are, as far as it can: gets their names, and the sizes of the inputs."""


class ValueTypes:
    """Element types and sizes of values, nested graphs included, functions not.

    Attributes:
        sizes: Without the values of unknown size.
    """

    def __init__(self, symbols: Mapping[str, int]) -> None:
        self.sizes: dict[ir.Value, Sizes] = {}
        self._dtypes: dict[ir.Value, ir.DataType] = {}
        self._symbols = symbols
        self._evaluated: dict[str, int | None] = {}  # expressions repeat from value to value

    def dtype(self, value: ir.Value) -> ir.DataType | None:
        """Return a value's element type."""
        return value.dtype or self._dtypes.get(value)

    def size_bytes(self, value: ir.Value) -> int | None:
        """Return how many bytes a value takes; None where that is unknown, as of strings."""
        sizes, dtype = self.sizes.get(value), self.dtype(value)
        if sizes is None or dtype is None or dtype in (ir.DataType.STRING, ir.DataType.UNDEFINED):
            return None
        return math.ceil(math.prod(sizes) * dtype.itemsize)

    def read(self, value: ir.Value) -> None:
        """Take what a value says of itself now."""
        if value.dtype is not None:
            self._dtypes[value] = value.dtype
        if value in self.sizes:
            return
        shape = value.shape if value.const_value is None else value.const_value.shape
        if shape is None:
            return
        dims: list[int] = []
        for dim in shape:
            size = dim if isinstance(dim, int) else self._evaluate(dim)
            if size is None or size < 0:
                return
            dims.append(size)
        self.sizes[value] = tuple(dims)

    def _evaluate(self, dim: object) -> int | None:
        text = str(dim)
        if text not in self._evaluated:
            size = self._symbols.get(text)
            if size is None and isinstance(dim, ir.SymbolicDim) and _named(dim):
                result = dim.evaluate(self._symbols)
                size = result if isinstance(result, int) else None
            self._evaluated[text] = size
        return self._evaluated[text]


def value_types(
    model: ir.Model,
    given: Mapping[str, Sequence[int]],
    recorded: Mapping[str, Sequence[int]],
    measure_shapes: MeasureShapes | None = None,
) -> ValueTypes:
    """Find the sizes of all values for given sizes of the inputs.

    What the file says of a value comes first, with the symbols of the inputs replaced by numbers; then the shape
    inference of ONNX, which reads small weights only; then, for what is left, `measure_shapes`.

    Args:
        model: Not changed.
        given: Shapes of inputs that the user asks for.
        recorded: Shapes of inputs to use where a symbol is not settled by those.
        measure_shapes: Asked once, for what neither file nor inference say.

    Raises:
        HxError: HX409 if a given shape is of no input, or is none that the model takes.
    """
    symbols = _bind(model.graph, given, recorded)
    known = ValueTypes(symbols)
    for value in values_in(model.graph):
        known.read(value)
    for value in model.graph.inputs:
        name = str(value.name)
        _check(value, given.get(name), known)
        shape = recorded.get(name)
        if shape is not None and (value.shape is None or len(value.shape) == len(shape)):
            known.sizes.setdefault(value, tuple(shape))
    if not _unknown(model.graph, known):
        return known
    _infer(model, known)
    missing = [value for value in _unknown(model.graph, known) if value.graph is model.graph]
    if missing and measure_shapes is not None:
        names = [str(value.name) for value in missing]
        inputs = {str(value.name): known.sizes[value] for value in model.graph.inputs if value in known.sizes}
        seen = measure_shapes(names, inputs)
        known.sizes.update(
            (value, tuple(seen[name])) for value, name in zip(missing, names, strict=True) if name in seen
        )
        if _unknown(model.graph, known):
            _infer(model, known)
    return known


def _named(dim: object) -> bool:
    """Say whether a dimension is a symbol; torch's exporter writes `None` for one that it does not know."""
    return isinstance(dim, ir.SymbolicDim) and dim.value not in (None, "None")


def _bind(
    graph: ir.Graph, given: Mapping[str, Sequence[int]], recorded: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """Return the sizes that the symbols of the inputs stand for; given shapes win."""
    inputs = {str(value.name): value for value in graph.inputs if not value.is_initializer()}
    unknown = [name for name in given if name not in inputs]
    if unknown:
        raise HxError(
            f"The model has no input {unknown[0]!r}.",
            code="HX409",
            hint=f"Its inputs are {', '.join(map(repr, inputs))}.",
        )
    symbols: dict[str, int] = {}
    for shapes in (given, recorded):
        for name, sizes in shapes.items():
            value = inputs.get(name)
            if value is None or value.shape is None or len(value.shape) != len(sizes):
                continue
            for dim, size in zip(value.shape, sizes, strict=True):
                if _named(dim):
                    symbols.setdefault(str(dim), size)
    return symbols


def _check(value: ir.Value, given: Sequence[int] | None, known: ValueTypes) -> None:
    """Take the given shape of an input, if it is one that the input can have."""
    if given is None:
        return
    dims = None if value.shape is None else list(value.shape)
    if dims is None or (len(dims) == len(given) and not all(isinstance(d, int) or _named(d) for d in dims)):
        known.sizes.setdefault(value, tuple(given))
    if known.sizes.get(value) != tuple(given):
        shape = "any" if dims is None else str([d if isinstance(d, int) else str(d) for d in dims])
        raise HxError(
            f"Input {value.name!r} cannot have the shape {list(given)}: the model takes {shape}, and a symbol stands "
            "for one size.",
            code="HX409",
            hint="Give other sizes for symbols only, the same one where inputs share it; "
            "`hx export --dynamic` makes symbols of sizes.",
        )


def _unknown(graph: ir.Graph, known: ValueTypes) -> list[ir.Value]:
    return [value for value in values_in(graph) if value.name and value not in known.sizes]


def _infer(model: ir.Model, known: ValueTypes) -> None:
    """Let ONNX infer what is not known yet, from what is; the model is the same again afterwards."""
    said = [(value, value.shape, value.type) for value in values_in(model.graph)]
    try:
        for value, _, _ in said:
            dtype = known.dtype(value)
            if value in known.sizes and value.const_value is None and dtype is not None:
                value.shape, value.dtype = ir.Shape(known.sizes[value]), dtype
        ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
        for value, _, _ in said:
            known.read(value)
    finally:
        for value, shape, kind in said:
            value.shape, value.type = shape, kind

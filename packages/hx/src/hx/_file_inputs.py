"""Other inputs of an ONNX file than the recorded ones: given, or drawn in sizes that are found by trying."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, count, islice, product
from math import prod
from typing import TYPE_CHECKING, Any

from hx._tensors import Inputs, arrays_of
from hx_extractor import Hierarchy
from hx_sidecar_schema import Example, HxError, RuntimeRefusal, TensorInfo

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

    Array = np.ndarray[Any, Any]

Shapes = Mapping[str, Sequence[int | None]]
"""Shapes of inputs by name; None for a size that is not given."""

UNNAMED = ("?", "None")
"""What an unknown dimension is called; the latter by torch's exporter."""
UNITS = (8, 16, 32, 64, 128, 224, 256, 512)
TRIES, SECONDS, ELEMENTS, WEIGHTS = 500, 10.0, 1 << 22, 8
"""Where trying ends: after so many sizes, or so long; inputs of more elements are left out. So many sizes of weights count."""


def with_inputs(
    model: Hierarchy, inputs: Inputs | None = None, shapes: Shapes | None = None, *, run: bool = False
) -> Hierarchy:
    """Return a model with what is given instead of its recorded inputs.

    Arrays go by name, and `shapes` of others. What is not given keeps its recorded numbers, repeated or cut where symbols of
    its axes have other sizes now; where none are recorded, it is drawn in the first sizes that the model runs on.

    Raises:
        HxError: HX110 for a file that cannot be read; HX409 for what is no input, is given twice, or has another type or shape
            than the model takes; HX207 if the model runs on no sizes that were tried, with `run` also on what is given.
    """
    if inputs is None and not shapes:
        return model
    found, refusal = tried_inputs(model, inputs, shapes, run=run)
    if refusal is not None:
        raise refusal
    return found


def tried_inputs(
    model: Hierarchy, inputs: Inputs | None = None, shapes: Shapes | None = None, *, run: bool = False
) -> tuple[Hierarchy, RuntimeRefusal | None]:
    """Return a model as `with_inputs` does; where it runs on no sizes the first ones, and why it does not on these."""
    from hx_graph import make_session, run_session

    missing = {info.name for info in model.sidecar.model.inputs if info.example is None}
    arrays, dims = _given(model, {} if inputs is None else arrays_of(inputs), shapes or {})
    free, choices = _choices(model, arrays, dims)
    first = next(choices)
    found, end, refusal = model.with_inputs(first), time.monotonic() + SECONDS, None
    if not (free or run) or not missing <= first.keys() or model.lacks_weights:
        return found, None  # whoever runs it asks for what is missing
    try:
        session = make_session(model.model, model.folder)
    except RuntimeRefusal as error:
        return found, error
    for choice in chain([first], islice(choices, TRIES if free else 0)):
        if choice is first or max(prod(one.shape) for one in choice.values()) <= ELEMENTS:
            one = model.with_inputs(choice)
            try:
                run_session(session, one.example_inputs())
            except RuntimeRefusal as error:  # the next sizes may be right
                refusal = refusal or error
            else:
                return one, None
        if time.monotonic() > end:
            break
    return found, refusal


def _given(
    model: Hierarchy, arrays: Mapping[str, Array], shapes: Shapes
) -> tuple[dict[str, Array], dict[str, list[int | str]]]:
    """Return given arrays in the types of the model's inputs, and given shapes with the model's own dimensions for None."""
    from hx_graph import can_be_equal

    infos = {info.name: info for info in model.sidecar.model.inputs}
    unranked = _unranked(model)
    for name, sizes in chain(((name, array.shape) for name, array in arrays.items()), shapes.items()):
        argument = "inputs" if name in arrays else "input_shapes"
        if name not in infos:
            message = f"Input {name!r} is none of the model's, which are {', '.join(map(repr, infos))}."
            raise _unfit(message, "Use the names of the ONNX model's inputs.", argument)
        if name in arrays and name in shapes:
            raise _unfit(
                f"Input {name!r} is given twice, by its numbers and by its shape.", "Give each once.", argument
            )
        own = infos[name].shape
        if name not in unranked and not can_be_equal([own if n is None else n for n in sizes], own):
            text = "[" + ", ".join("?" if size is None else str(size) for size in sizes) + "]"
            message = f"Input {name!r} cannot have the shape {text}: the model takes {own}."
            raise _unfit(message, "Give other sizes for symbols only.", argument)
    dims = {
        name: [infos[name].shape[axis] if n is None else n for axis, n in enumerate(s)] for name, s in shapes.items()
    }
    return {name: _cast(infos[name], array) for name, array in arrays.items()}, dims


def _cast(info: TensorInfo, array: Array) -> Array:
    import numpy as np
    import onnx_ir as ir

    cast = array.astype(ir.DataType[info.dtype].numpy(), copy=False)
    if cast.dtype.kind in "iub" and not np.array_equal(cast, array):
        message = f"Input {info.name!r} takes {info.dtype}, and is given other numbers, as {array.dtype.name.upper()}."
        raise _unfit(message, "Give numbers of that type.", "inputs")
    return cast


def _unfit(message: str, hint: str, argument: str) -> HxError:
    return HxError(message, code="HX409", hint=hint, argument=argument)


def _unranked(model: Hierarchy) -> set[str]:
    """Return the inputs of which the model says no rank; their records cannot tell them from numbers."""
    return {str(value.name) for value in model.model.graph.inputs if value.shape is None or not value.dtype}


def _choices(
    model: Hierarchy, arrays: Mapping[str, Array], given: Mapping[str, Sequence[int | str]]
) -> tuple[bool, Iterator[Mapping[str, Array | Example]]]:
    """Say whether any size is free, and yield inputs in one choice of sizes after the other.

    Dimensions without a name are equal at equal axes; expressions over symbols follow from these. Inputs whose rank is not
    known are left out.
    """
    import numpy as np
    import onnx_ir as ir

    from hx_graph import evaluate_dim, example_array

    infos = {info.name: info for info in model.sidecar.model.inputs}
    shapes = {name: list(array.shape) for name, array in arrays.items()} | dict(given)
    recorded = {name: info.example.shape for name, info in infos.items() if info.example}
    told: dict[str, int] = {}
    for name, sizes in chain(recorded.items(), shapes.items()):  # what is given counts
        pairs = zip(infos[name].shape, sizes, strict=False)
        told |= {str(dim): size for dim, size in pairs if isinstance(size, int) and dim not in UNNAMED}
    fixed: dict[str, Array | Example] = dict(arrays)
    for name in recorded.keys() - arrays.keys():
        dims, like = shapes.get(name, infos[name].shape or recorded[name]), recorded[name]
        found = [d if isinstance(d, int) else evaluate_dim(d, told) for d in dims]
        sizes = [like[axis] if size is None else size for axis, size in enumerate(found)]
        if sizes != like:
            fixed[name] = np.resize(example_array(infos[name]), sizes)
    known = recorded.keys() | arrays.keys() | (_unranked(model) - shapes.keys())
    drawn = {
        name: [f"?{axis}" if dim in UNNAMED else dim for axis, dim in enumerate(shapes.get(name, info.shape))]
        for name, info in infos.items()
        if name not in known
    }
    axes: dict[str, int] = {}
    for dim, axis in ((d, axis) for dims in drawn.values() for axis, d in enumerate(dims) if isinstance(d, str)):
        axes[dim] = min(axis, axes.get(dim, axis))
    symbols = told | {dim: 1 for dim in axes if dim.isidentifier()}
    free = {d: n for d, n in axes.items() if d not in told and (d in symbols or evaluate_dim(d, symbols) is None)}
    lows = {name: -1.0 if ir.DataType[infos[name].dtype].is_floating_point() else 0.0 for name in drawn}

    def sized(sizes: Mapping[str, int]) -> Mapping[str, Array | Example]:
        shapes = {n: [d if isinstance(d, int) else evaluate_dim(d, sizes) or 1 for d in drawn[n]] for n in drawn}
        return fixed | {name: Example(shape=shape, low=lows[name], high=1.0) for name, shape in shapes.items()}

    return bool(free), (sized(told | sizes) for sizes in _sizes(free, _sizes_of_weights(model.model.graph)))


def _sizes_of_weights(graph: ir.Graph) -> list[int]:
    """Return sizes of the weights that are read first: an input's features are among them."""
    weights = (value for node in graph for value in node.inputs if value is not None and value.is_initializer())
    sizes = dict.fromkeys(dim for value in weights for dim in value.shape or () if isinstance(dim, int) and dim > 1)
    return [*islice(sizes, WEIGHTS)]


def _sizes(free: Mapping[str, int], weights: Sequence[int]) -> Iterator[dict[str, int]]:
    """Yield sizes of symbols: first all differ, then all but two at most are equal, those at first axes (counts) small."""
    large, small = count(32, 32), count(2, 3)
    yield {symbol: next(large if axis else small) for symbol, axis in free.items()}
    yield {symbol: 2 + 3 * number for number, symbol in enumerate(free)}
    for others, unit in product(range(3 if free else 0), UNITS):
        equal = {symbol: unit if axis else 2 for symbol, axis in free.items()}
        also = weights if others == 1 and unit in UNITS[:3:2] else ()
        for which in combinations(free, others):
            for sizes in product((2 * unit, 3, 2, 1, unit, *also), repeat=others):
                yield equal | dict(zip(which, sizes, strict=True))

"""Inputs that a file made elsewhere runs on: given ones, or drawn ones in sizes that are found by trying."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, combinations, islice, product
from math import prod

import onnx_ir as ir

from hx._tensors import Inputs, arrays_of
from hx_extractor import Hierarchy
from hx_graph import evaluate_dim, example_record, make_session, run_session
from hx_sidecar_schema import Example, RuntimeRefusal, Sidecar

UNITS = (8, 16, 32, 64, 128, 224, 256, 512)
TRIES, SECONDS, ELEMENTS = 500, 10.0, 1 << 22
"""Where trying ends: after so many sizes, or so long; inputs of more elements are left out."""


def with_examples(model: Hierarchy, inputs: Inputs | None, shapes: Mapping[str, Sequence[int]]) -> Sidecar:
    """Return a model's sidecar with examples of its inputs.

    What is given is run; HX207 is raised where that fails. Free axes get the first sizes that the model runs on, small ones
    where it runs on none. Those without a name are equal at equal axes; expressions over symbols follow from these.
    """
    from hx_profiler import feeds_of

    drawn = _drawn(model, shapes)
    first = next(drawn)
    if inputs is not None or shapes:
        arrays = None if inputs is None else arrays_of(inputs)
        feeds = feeds_of(first, arrays, input_shapes=shapes)
        run_session(make_session(model.model, model.folder, package="hx-onnx"), feeds)
        exact = {name: example_record(array) for name, array in feeds.items()}
        return (first if arrays is None else _recorded(model, exact)).sidecar
    infos, end = first.sidecar.model.inputs, time.monotonic() + SECONDS
    if all(info.example for info in infos) and any(not isinstance(dim, int) for info in infos for dim in info.shape):
        with suppress(RuntimeRefusal):
            session = make_session(model.model, model.folder, package="hx-onnx")
            for one in chain([first], islice(drawn, TRIES)):
                sizes = [prod(info.example.shape) for info in one.sidecar.model.inputs if info.example]
                if max(sizes) <= ELEMENTS:
                    with suppress(RuntimeRefusal):  # the next sizes may be right
                        run_session(session, feeds_of(one))
                        return one.sidecar
                if time.monotonic() > end:
                    break
    return first.sidecar


def _drawn(model: Hierarchy, shapes: Mapping[str, Sequence[int]]) -> Iterator[Hierarchy]:
    """Yield the model with random examples in one choice of sizes after the other; inputs without a rank have none."""
    ranked = {v.name for v in model.model.graph.inputs if v.shape is not None and v.dtype} | shapes.keys()
    infos = {info.name: info for info in model.sidecar.model.inputs if info.name in ranked}
    dims = {n: [f"?{axis}" if dim == "?" else dim for axis, dim in enumerate(infos[n].shape)] for n in infos}
    known = {str(dim): size for n in dims for dim, size in zip(dims[n], shapes.get(n, ()), strict=False)}
    dims = {n: shapes.get(n, dims[n]) for n in dims}
    axes = {dim: axis for shape in dims.values() for axis, dim in enumerate(shape) if isinstance(dim, str)}
    told = known | {dim: 1 for dim in axes if dim.isidentifier()}
    free = {d: axis for d, axis in axes.items() if d not in known and (d in told or evaluate_dim(d, told) is None)}
    lows = {n: -1.0 if ir.DataType[infos[n].dtype].is_floating_point() else 0.0 for n in infos}
    for sizes in _sizes(free):
        told = known | sizes
        sized = {n: [d if isinstance(d, int) else evaluate_dim(d, told) or 1 for d in dims[n]] for n in dims}
        yield _recorded(model, {n: Example(shape=sized[n], low=lows[n], high=1.0) for n in sized})


def _recorded(model: Hierarchy, examples: Mapping[str, Example]) -> Hierarchy:
    info = model.sidecar.model
    rows = [row.model_copy(update={"example": examples.get(row.name)}) for row in info.inputs]
    sidecar = model.sidecar.model_copy(update={"model": info.model_copy(update={"inputs": rows})})
    return Hierarchy(model.path, sidecar, model.model)


def _sizes(free: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Yield sizes of symbols: first all differ, then all but two at most are equal, those at first axes (counts) small."""
    yield {symbol: 2 + 3 * number for number, symbol in enumerate(free)}
    for others, unit in product(range(3 if free else 0), UNITS):
        equal = {symbol: unit if axis else 2 for symbol, axis in free.items()}
        for which in combinations(free, others):
            for sizes in product((2 * unit, 3, 2, 1, unit), repeat=others):
                yield equal | dict(zip(which, sizes, strict=True))

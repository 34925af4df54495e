"""Whether what ports, weights and recovered nodes name is in the model, with the recorded types."""

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import onnx_ir as ir

from hx_graph import UNKNOWN_DIMS, can_be_equal, dims_of, initializer_rows, queried_dims
from hx_projector._graph_index import grouped
from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import ModelAndSidecar, listed
from hx_sidecar_schema import Initializer, ModuleCall, Port, RecoveredNode

_SAME_NUMBERS = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")
Type = tuple[str | None, Sequence[int | str] | None]
"""Dtype and shape, each None where the model does not say."""


def ports(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that ports have names of their own, and carriers with their dtype and shape (V30 to V33)."""
    graph, recovered = pair.model.graph, pair.sidecar.recovered
    weights = {*graph.initializers, *(str(value.name) for value in graph.inputs)}
    in_model = {name: [_type(value) for value in found] for name, found in pair.values.items()}
    recovered_anywhere, symbols = _types(recovered), _symbols(graph)
    for row, call in enumerate(pair.sidecar.calls):
        name = pair.call_name(row)
        own = [recovered[number] for number in call.recovered]
        recovered_here = _types(own)
        read = {value for node in own for value in node.inputs}
        for side in (call.inputs, call.outputs):
            for port, amount in Counter(port.name for port in side).items():
                if amount > 1:
                    yield "V33", name, f"{amount} of its ports are called {port!r}."
        for port in (*call.inputs, *call.outputs):
            carrier = port.value or port.initializer
            if carrier is None:
                continue
            found = recovered_here.get(carrier) or in_model.get(carrier) or recovered_anywhere.get(carrier)
            if port.value and port.initializer:
                yield "V30", name, f"Port {port.name!r} is carried by a value and an initializer at once."
            elif found is None and (port.unused or carrier in read):
                continue  # nothing needs it; or the recovered nodes take the port's place in the graph
            elif found is None or (port.initializer and carrier not in weights):
                what = "initializer" if port.initializer else "value"
                yield "V30", name, f"Port {port.name!r} is {what} {carrier!r}, which is not in the model."
            else:
                yield from _type_differences(name, port, carrier, found, symbols)


def _type_differences(
    name: str, port: Port, carrier: str, found: Sequence[Type], symbols: set[str]
) -> Iterator[Problem]:
    """Yield how the type of a port differs from all types of its carrier's name.

    A port without dimensions is a number, or of unknown rank: nodes of a part may tell what those of the whole model do not.
    """
    dtypes = [dtype for dtype, _ in found]
    shapes = [shape for _, shape in found]
    if None not in dtypes and port.dtype not in dtypes and "UNDEFINED" not in (port.dtype, *dtypes):
        there = listed(sorted({str(dtype) for dtype in dtypes}))
        yield "V31", name, f"Port {port.name!r} is {port.dtype}; {carrier!r} in the model is {there}."
    elif port.shape and not any(
        shape is None or (can_be_equal(port.shape, shape) and not _mixes_up(port.shape, shape, symbols))
        for shape in shapes
    ):
        here, there = (f"[{', '.join(map(str, shape or ()))}]" for shape in (port.shape, shapes[0]))
        yield "V32", name, f"Port {port.name!r} is {here}; {carrier!r} in the model is {there}."


def _symbols(graph: ir.Graph) -> set[str]:
    """Return the symbols of the model's inputs: two of them are two sizes."""
    dims = {dim for value in graph.inputs for dim in dims_of(value.shape) if isinstance(dim, str)}
    return dims.difference(UNKNOWN_DIMS)


def _mixes_up(one: Iterable[object], other: Iterable[object], symbols: set[str]) -> bool:
    return any(a != b and {a, b} <= symbols for a, b in zip(one, other, strict=True))


def sizes(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that scalars hold the sizes that they are said to hold, where the graph reads a symbol of the inputs (V06)."""
    symbols = _symbols(pair.model.graph)
    for name, size in pair.sidecar.sizes.items():
        for value in pair.values.get(name, ()):
            dims = _dims_held(value)
            if len(dims) == 1 and dims[0] in symbols and size != dims[0] and (size in symbols or size.isdecimal()):
                yield "V06", f"sizes.{name}", f"It is said to be {size!r}; the graph reads {dims[0]!r} there."


def _dims_held(value: ir.Value) -> Sequence[int | str]:
    """Return the dimensions that a value holds, where a node reads them and others only change the form."""
    node = value.producer()
    while node is not None:
        if (dims := queried_dims(node)) is not None:
            return dims
        source = node.inputs[0] if node.op_type in _SAME_NUMBERS and node.inputs else None
        node = None if source is None else source.producer()
    return ()


def _type(value: ir.Value) -> Type:
    tensor = value.const_value
    dtype = value.dtype or (tensor.dtype if tensor is not None else None)
    shape = value.shape if value.shape is not None else tensor.shape if tensor is not None else None
    return None if dtype is None else dtype.name, None if shape is None else dims_of(shape)


def _types(recovered: Iterable[RecoveredNode]) -> dict[str, list[Type]]:
    rows = (row for node in recovered for row in zip(node.outputs, node.dtypes, node.shapes, strict=False))
    return grouped((output, (dtype, shape)) for output, dtype, shape in rows)


def recovered_nodes(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that recovered nodes can be read, produce what they say, and read what there is (V34)."""
    rows = pair.sidecar.recovered
    known = {*pair.values, *(output for row in rows for output in row.outputs), ""}
    calls = grouped((number, call) for call in pair.sidecar.calls for number in call.recovered)
    for number, row in enumerate(rows):
        if problem := _recovery_problem(row, known, calls.get(number, ())):
            yield "V34", f"recovered {number}", problem


def _recovery_problem(row: RecoveredNode, known: set[str], calls: Sequence[ModuleCall]) -> str:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.NodeProto.FromString(base64.b64decode(row.proto, validate=True))
    except (ValueError, DecodeError) as error:
        return f"Its `proto` cannot be read: {error}."
    if not len(row.outputs) == len(row.dtypes) == len(row.shapes):
        return f"It has {len(row.outputs)} outputs, {len(row.dtypes)} of their dtypes and {len(row.shapes)} shapes."
    for side, recorded, found in (("inputs", row.inputs, proto.input), ("outputs", row.outputs, proto.output)):
        if list(found) != recorded:
            return f"Its {side} are {listed(recorded)}, those of its `proto` {listed(found)}."
    # The inputs of the calls that need it may be in no graph; of what no call needs, all that it reads may be gone.
    arguments = {port.carrier for call in calls for port in call.inputs}
    unknown = [name for name in row.inputs if calls and name not in known and name not in arguments]
    return f"It reads {listed(unknown)}, which nothing makes." if unknown else ""


def initializers(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that weights of the model and rows are one to one, and parameters of a module (V35, V36, V37)."""
    graph = pair.model.graph
    # What was cut out without weights takes them as inputs.
    inputs = {str(value.name) for value in graph.inputs}
    rows = Counter(row.name for row in pair.sidecar.initializers)
    for name, amount in rows.items():
        if amount > 1:
            yield "V35", name, f"It has {amount} rows."
        elif name not in graph.initializers and name not in inputs:
            yield "V35", name, "The model has no such weight."
    for name in graph.initializers:
        if name not in rows:
            yield "V36", name, "No row says which parameter it is."
    if pair.is_part:
        return  # a part also holds weights of modules around it
    for row in pair.sidecar.initializers:
        module = (row.parameter or "").rpartition(".")[0]
        if module not in pair.module_rows:
            yield "V37", row.name, f"It is the parameter {row.parameter!r}; there is no module {module!r}."


def expected_weights(pair: ModelAndSidecar) -> list[Initializer]:
    """Return the rows of weights with sizes and readers as the graph has them; those of format 1.0, without a size, stay."""
    owners = {row.key: row.owner for row in pair.sidecar.nodes}
    rows = initializer_rows(pair.model.graph, pair.sidecar.initializers, owners)
    expected = {row.name: row for row in rows}
    return [row if row.elements is None else expected[row.name] for row in pair.sidecar.initializers]


def weight_readers(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that sizes and readers of weights are those that the graph has (V38)."""
    for row, expected in zip(pair.sidecar.initializers, expected_weights(pair), strict=True):
        if row != expected:
            said, found = (f"{w.elements} elements, read by {pair.call_names(w.readers)}" for w in (row, expected))
            yield "V38", row.name, f"The row says {said}; the model has {found}."

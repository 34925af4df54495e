"""What a sidecar's rows say of each other: checked once, when it is read; who has a sidecar relies on it."""

from collections.abc import Iterable, Iterator, Sequence

from hx_sidecar_schema._records import Contents, ModuleCall

# fmt: off
DTYPES = frozenset([
    "UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16",
    "DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ",
    "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4", "INT4", "FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2", "FLOAT6E2M3",
    "FLOAT6E3M2",
])
# fmt: on
"""Names of ONNX's element types."""


def broken_references(sidecar: Contents) -> Iterator[str]:
    """Yield what rows say of each other that cannot be, in one pass: first the field, then what is wrong with it.

    Behind it rows lead somewhere, calls are in pre-order with one root in front, a module stands behind its parent, and
    no two nodes, or ports on one side of a call, have one name.
    """
    calls, modules = len(sidecar.calls), len(sidecar.modules)
    if not calls or not modules:
        yield "calls: there is no call, or no module"
        return
    for row, module in enumerate(sidecar.modules):
        if module.parent is not None and not 0 <= module.parent < row:
            yield f"modules.{row}.parent: {module.parent} is no row above it"
    yield from _calls(sidecar)
    seen: set[tuple[str, str]] = set()
    for row, node in enumerate(sidecar.nodes):
        yield from _outside(f"nodes.{row}", (node.owner, *node.consumers, *node.covers), "calls", calls)
        if (node.graph, node.output) in seen:
            yield f"nodes.{row}: another row is of the node {node.output!r} too"
        seen.add((node.graph, node.output))
    for row, entry in enumerate(sidecar.disagreements):
        yield from _outside(f"disagreements.{row}", (entry.owner, entry.other), "calls", calls)
    for row, weight in enumerate(sidecar.initializers):
        yield from _outside(f"initializers.{row}.readers", weight.readers, "calls", calls)
    for row, node in enumerate(sidecar.recovered):
        if not len(node.outputs) == len(node.dtypes) == len(node.shapes):
            yield f"recovered.{row}: outputs, dtypes and shapes are not equally many"
        for dtype, shape in zip(node.dtypes, node.shapes, strict=False):
            yield from _type(f"recovered.{row}", dtype, shape)
    for side, infos in (("inputs", sidecar.model.inputs), ("outputs", sidecar.model.outputs)):
        for row, info in enumerate(infos):
            yield from _type(f"model.{side}.{row}", info.dtype, info.shape)
            # No dimensions: a number, or a value of unknown rank.
            if info.example is not None and info.shape and len(info.example.shape) != len(info.shape):
                yield f"model.{side}.{row}.example: it has another rank"


def _calls(sidecar: Contents) -> Iterator[str]:
    above: list[int] = []
    for row, call in enumerate(sidecar.calls):
        where = f"calls.{row}"
        yield from _outside(f"{where}.module", (call.module,), "modules", len(sidecar.modules))
        yield from _outside(f"{where}.recovered", call.recovered, "recovered", len(sidecar.recovered))
        yield from _outside(f"{where}.merged", call.merged, "calls", len(sidecar.calls))
        while above and above[-1] != call.parent:
            above.pop()
        if call.parent is not None and not above:
            yield f"{where}.parent: {call.parent} is no call that row {row} could be made in"
        above.append(row)
        yield from _ports(where, call)
    if sidecar.calls[0].parent is not None:
        yield "calls.0.parent: the first call is the root's"


def _ports(where: str, call: ModuleCall) -> Iterator[str]:
    for side, ports in (("inputs", call.inputs), ("outputs", call.outputs)):
        if len({port.name for port in ports}) < len(ports):
            yield f"{where}.{side}: two ports have one name"
        for port in ports:
            yield from _type(f"{where}.{side}", port.dtype, port.shape)


def _type(where: str, dtype: str, shape: Sequence[int | str]) -> Iterator[str]:
    if dtype not in DTYPES:
        yield f"{where}: {dtype!r} is no element type of ONNX"
    for dim in shape:
        if isinstance(dim, int) and not 0 <= dim < 2**63:
            yield f"{where}: {dim} is no dimension"


def _outside(where: str, rows: Iterable[int], table: str, size: int) -> Iterator[str]:
    for row in rows:
        if not 0 <= row < size:
            yield f"{where}: {row} is no row of `{table}`, which has {size}"

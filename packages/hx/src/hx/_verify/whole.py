"""The outputs of the whole ONNX model beside those of the whole PyTorch model."""

from collections.abc import Collection, Iterator

import onnx_ir as ir

from hx_extractor import Hierarchy
from hx_graph import values_by_name
from hx_sidecar_schema import Sidecar

_COPIES = ("Identity", "Cast")


def is_whole(sidecar: Sidecar) -> bool:
    """Say whether a model takes what its root takes. A stage is a piece of its root, and is so after a tool changed it."""
    return sidecar.cut_from is None and not any(port.is_lost for port in sidecar.calls[0].inputs)


def whole_outputs(model: Hierarchy) -> dict[str, str]:
    """Return the values that are the root's outputs, by port.

    Outputs that no node of the graph computes are those of the graph that no other port is, in their order: where a merged
    node left no value that is known to be an output, the graph has an output all the same. Not so after other tools, which
    add, drop and sort outputs.
    """
    values = values_by_name(model.model.graph)
    outputs = [str(value.name) for value in model.model.graph.outputs]
    ports = [port for port in model.sidecar.calls[0].outputs if not port.unused]
    found = {port.name: port.carrier for port in ports}
    computed = {name for name, value in values.items() if value.producer() is not None}.union(outputs)
    rest = [port.name for port in ports if port.carrier not in computed]
    free = [name for name in outputs if name not in found.values()]
    ordered = len(rest) == len(free) and not model.sidecar.is_relinked
    return found | dict(zip(rest, free, strict=True)) if ordered else found


def added_outputs(model: Hierarchy, returned: Collection[str]) -> set[str]:
    """Return the root's outputs that are copies of outputs of calls and are not among those that PyTorch's root `returned`.

    A tool added them, as `hx tap` does. They are compared where they come from.
    """
    root, *calls = model.sidecar.calls
    values = values_by_name(model.model.graph)
    own = [port for port in root.outputs if port.name in returned]
    others = [*own, *(port for call in calls for port in call.outputs)]
    known = {name for port in others for name in _copied(values.get(port.carrier))}
    seen = root.constants is not None  # else its ports have names of the graph's own
    extra = [port for port in root.outputs if seen and port.name not in returned and not port.unused]
    return {port.name for port in extra if not known.isdisjoint(_copied(values.get(port.carrier)))}


def _copied(value: ir.Value | None) -> Iterator[str]:
    """Yield the name of a value, and of those that it is a copy of."""
    while value is not None:
        yield str(value.name)
        node = value.producer()
        value = node.inputs[0] if node is not None and node.op_type in _COPIES else None

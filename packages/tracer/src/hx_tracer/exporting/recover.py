"""Ports whose values the optimiser removed, recovered by the removed nodes around them.

Between a batch-first GRU and LSTM two transposes cancel, and the value between the modules is gone; a Reshape of a
Reshape becomes one. Each module still computes the same: from its removed input, removed nodes lead down to values that
survive, and from surviving values they lead down to its removed output. Those nodes are written to the context; when the
call is cut out they take the place of the graph's own producers. A constant of at most 16 KiB that was folded with others
into one is written too. A port that needs any other weight that is no longer in the graph is lost: the call was fused
with its neighbour.
"""

import base64
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from hx_graph import dtype_name
from hx_sidecar_schema import RecoveredNode
from hx_tracer.exporting.raw_graph import RawNode
from hx_tracer.exporting.survivors import Survivors
from hx_tracer.watch.calls import TracedCall

SMALL_BYTES = 16 * 1024
"""Constants of up to this size may be written as recovered nodes."""


class _LostError(Exception):
    """A removed value cannot be computed from what the final graph has."""


@dataclass
class _Cut:
    """State of recovering one call."""

    given: set[int]
    """Ids of the values of the call's input ports."""
    rows: dict[int, list[int] | None] = field(default_factory=dict)
    """Rows of a removed node and of those that it needs, by the node's id; None where it is lost."""


class Recovery:
    """Recovered nodes of all calls, each written once."""

    def __init__(self, survivors: Survivors) -> None:
        """Start without any."""
        self.nodes: list[RecoveredNode] = []
        self.survivors = survivors
        self._raw = survivors.raw
        self._rows: dict[str, int] = {}
        """Of the nodes, by their `proto`."""
        self._users: dict[int, list[RawNode]] = {}
        for node in self._raw.nodes:
            for value in node.inputs:
                if value is not None:
                    self._users.setdefault(id(value), []).append(node)

    def of_call(self, row: int, call: TracedCall) -> tuple[list[int], set[str], set[str]]:
        """Recover the removed ports of a call.

        Returns:
            The rows of recovered nodes that the call needs, the names of its lost ports, and those of the input ports
            that no output depends on.
        """
        ports = self._raw.ports
        inputs = {name: ports[key] for name in call.inputs if (key := (row, "inputs", name)) in ports}
        outputs = {name: ports[key] for name in call.outputs if (key := (row, "outputs", name)) in ports}
        live = {name: value for name, value in outputs.items() if id(value) in self._raw.live}
        cut = _Cut({id(value) for value in inputs.values()})
        inside = self._raw.ancestors(live.values(), stop=cut.given)
        unused = {name for name in call.inputs if name not in inputs or id(inputs[name]) not in inside}
        rows: list[int] = []
        lost: set[str] = set()
        for name, value in inputs.items():
            if name not in unused and self.survivors.survivor(value) is None:
                below: list[int] = []
                try:
                    below = self._rows_below(value, inside, cut)
                    self._rows_above(value, _Cut(set()))  # what computes it in the whole model: a run can then give it
                except _LostError:
                    if not below:  # nor does a node of the call hold it, where the call hands it on
                        lost.add(name)
                rows += below
        handed_on = {id(inputs[name]) for name in lost}
        for name, value in live.items():
            if id(value) in handed_on:
                lost.add(name)
            elif self.survivors.survivor(value) is None and id(value) not in cut.given:
                try:
                    rows += self._rows_above(value, cut)
                except _LostError:
                    lost.add(name)
        return list(dict.fromkeys(rows)), lost, unused

    def _rows_below(self, value: ir.Value, inside: set[int], cut: _Cut) -> list[int]:
        """Return the rows of the nodes from a removed value down to the first values that survive."""
        rows: list[int] = []
        pending, seen = [value], set[int]()
        while pending:
            for node in self._users.get(id(pending.pop()), ()):
                is_lost = cut.rows.get(id(node), ()) is None
                if id(node) in seen or is_lost or not any(id(out) in inside for out in node.outputs):
                    continue
                seen.add(id(node))
                rows += self._add(node, cut)  # known already where it reads another input too
                pending += [out for out in node.outputs if id(out) in inside and self.survivors.survivor(out) is None]
        return rows

    def _rows_above(self, value: ir.Value, cut: _Cut, *, folded: bool = True) -> list[int]:
        """Return the rows of the nodes that compute a removed value.

        A weight may be written where its reader was folded into a constant, not fused with a neighbour.
        """
        node = self._raw.producer.get(id(value))
        if node is not None:
            return self._add(node, cut)
        tensor = self._raw.weights.get(id(value)) if folded or id(value) in self._raw.constants else None
        if tensor is None or tensor.nbytes > SMALL_BYTES:
            raise _LostError
        attribute = ir.AttrTensor("value", ir.Tensor(np.asarray(tensor.numpy(), order="C")))
        return [self._write(RawNode("", "Constant", "", None, (), (value,), (attribute,), None))]

    def _add(self, node: RawNode, cut: _Cut) -> list[int]:
        """Return the rows of a removed node and of the removed nodes that its other inputs come from."""
        known = cut.rows.get(id(node), ())
        if known is None or (node.domain, node.op_type, node.overload) in self._raw.functions:
            raise _LostError
        if known:
            return list(known)
        cut.rows[id(node)] = None  # lost, unless all goes well
        rows: list[int] = []
        for value in node.inputs:
            if value is None or id(value) in cut.given or self.survivors.survivor(value) is not None:
                continue
            rows += self._rows_above(value, cut, folded=id(node.outputs[0]) not in self._raw.variable)
        rows = list(dict.fromkeys((*rows, self._write(node))))
        cut.rows[id(node)] = rows
        return rows

    def _write(self, node: RawNode) -> int:
        if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes):
            raise _LostError
        inputs = [None if value is None else self.survivors.name_of(value) for value in node.inputs]
        outputs = [self.survivors.name_of(out) for out in node.outputs]
        written = ir.Node(
            node.domain,
            node.op_type,
            [None if name is None else ir.Value(name=name) for name in inputs],
            node.attributes,
            overload=node.overload,
            outputs=[ir.Value(name=name) for name in outputs],
            version=node.version,
        )
        binary = ir.serde.serialize_node(written).SerializeToString(deterministic=True)
        proto = base64.b64encode(binary).decode()
        if proto not in self._rows:
            self._rows[proto] = len(self.nodes)
            dtypes = [dtype_name(out) if isinstance(out.type, ir.TensorType) else "UNDEFINED" for out in node.outputs]
            shapes = [self.survivors.dims_of(out) for out in node.outputs]
            names = [name or "" for name in inputs]
            self.nodes.append(RecoveredNode(inputs=names, outputs=outputs, proto=proto, dtypes=dtypes, shapes=shapes))
        return self._rows[proto]

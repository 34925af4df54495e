"""Results of calls as outputs of the model."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from hx_extractor import Call, Hierarchy, Source, recovered_sources
from hx_graph import all_graphs, all_nodes, infer_types, output_of, values_by_name, values_in
from hx_sidecar_schema import EMBEDDED, Node, Port, Sidecar, simple_name
from hx_surgery._edited import edited_sidecar

_NEEDS_OPSET = ((ir.SequenceType, 14), (ir.OptionalType, 16))
"""Versions of ONNX since which Identity takes what is no tensor."""


@dataclass(frozen=True)
class Tap:
    """An output of a call that is an output of the model now."""

    name: str
    """Of the new output."""
    call: Call
    port: Port
    value: str
    """The value that it hands out; made by recovered nodes where the model had it no more."""


@dataclass(frozen=True)
class Tapped:
    """A model with more outputs than before."""

    model: ir.Model
    sidecar: Sidecar
    taps: list[Tap]
    left_out: list[tuple[Call, str]]
    """Calls of which an output could not be handed out, and why."""


def tap(hierarchy: Hierarchy, calls: Sequence[Call], *, file: str) -> Tapped:
    """Return a copy of a model in which all outputs of some calls are outputs too, behind those that it has.

    An output is called after its call and port: `encoder.layer.0.output`, with `@1` behind the module's name for a later call,
    and a number at the end where the name is taken. An Identity of the root hands it out, so that every value keeps its name.

    Args:
        hierarchy: The model; not changed.
        calls: What to hand out; two calls with one result give two outputs.
        file: Name of the file that the new model will have.

    Raises:
        HxError: HX202, HX203 or HX204 if the model cannot be read.
    """
    tapping = _Tapping(hierarchy)
    taps: list[Tap] = []
    left_out: list[tuple[Call, str]] = []
    for call in calls:
        ports = [port for port in call.outputs if not port.unused]
        if not ports:
            left_out.append((call, call.reason or "forward() returned no tensor that the graph has."))
        for port in ports:
            found = tapping.value(call, port)
            if isinstance(found, str):
                left_out.append((call, call.reason if call.status == "fused" else found))
            else:
                taps.append(Tap(tapping.hand_out(call, port, found), call, port, str(found.name)))
    sidecar = edited_sidecar(tapping.model, _with_outputs(hierarchy.sidecar, taps), file=file, rows=tapping.rows)
    return Tapped(tapping.model, sidecar, taps, left_out)


def _with_outputs(sidecar: Sidecar, taps: Sequence[Tap]) -> Sidecar:
    """Return a sidecar whose root returns what is handed out too."""
    root, *calls = sidecar.calls
    # A root that handed an argument on, or nothing, hands more out now; what it lost stays lost.
    now = {} if root.status == "fused" else {"status": "extractable", "reason": ""}
    given = [tap.port.model_copy(update={"name": tap.name, "value": tap.name, "initializer": None}) for tap in taps]
    return sidecar.model_copy(
        update={"calls": [root.model_copy(update={**now, "outputs": [*root.outputs, *given]}), *calls]}
    )


class _Tapping:
    """A copy of a model that gets outputs."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.model = hierarchy.model.clone()
        self.model.metadata_props.pop(EMBEDDED, None)  # it is of the model without taps
        infer_types(self.model)
        self._values = values_by_name(self.model.graph)
        self._recovered = recovered_sources(hierarchy.sidecar.recovered, self._values, {})
        graphs = (graph for graph in all_graphs(self.model) if isinstance(graph, ir.Graph))
        self._taken = {value.name for graph in graphs for value in values_in(graph)}
        self._node_names = {node.name for _, node in all_nodes(self.model)}
        self.rows: dict[ir.Node, Node] = {}

    def value(self, call: Call, port: Port) -> ir.Value | str:
        """Return the value of a port, which is made where it was lost; or why it cannot be an output of the model."""
        carrier = port.carrier
        source = self._recovered.get(carrier)
        if carrier not in self._values and source is not None and self._makes(source):
            self._make(source, call)
        value = self._values.get(carrier)
        if value is None:
            return f"{port.name!r} is in the graph no more."
        if value.graph is not self.model.graph and value.producer() not in self.rows:
            return f"{port.name!r}, the value {carrier!r}, is in the body of a control-flow node, which ends there."
        if value.type is None:
            return f"The type of {port.name!r}, the value {carrier!r}, is not known."
        opset = self.model.opset_imports.get("", 0)
        for kind, since in _NEEDS_OPSET:
            if isinstance(value.type, kind) and opset < since:
                return (
                    f"{port.name!r}, the value {carrier!r}, is no tensor: opset {since} can hand it out, not {opset}."
                )
        return value

    def hand_out(self, call: Call, port: Port, value: ir.Value) -> str:
        """Add an output that is a value; return its name."""
        module = call.fqn or simple_name(call.class_name)
        name = _free(f"{module}{f'@{call.index}' if call.index else ''}.{port.name}", self._taken)
        node = ir.node("Identity", [value])
        out = node.outputs[0]
        out.name, out.type, out.shape = name, value.type, None if value.shape is None else value.shape.copy()
        self._append(node, name, owner=0)  # the call itself has ended
        self.model.graph.outputs.append(out)
        self._taken.add(name)
        return name

    def _makes(self, source: Source) -> bool:
        pending, seen = [source], set[int]()
        while pending:
            current = pending.pop()
            seen.add(id(current))
            for read in current.reads:
                if read in self._values:
                    continue
                before = self._recovered.get(read)
                if before is None or before is source:
                    return False
                pending += [before] if id(before) not in seen else []
        return True

    def _make(self, source: Source, call: Call) -> None:
        """Add a recovered node behind those that it reads."""
        pending = [source]
        while pending:
            current = pending[-1]
            missing = [read for read in current.reads if read not in self._values]
            if missing:
                pending.append(self._recovered[missing[0]])
                continue
            pending.pop()
            node = current.node
            if node in self.rows:
                continue
            for index, read in enumerate(node.inputs):
                if read is not None and read.name:
                    node.replace_input_with(index, self._values[read.name])
            self._append(node, f"hx_{current.key}", owner=call.row)
            for out in node.outputs:
                if out.name:
                    self._values[out.name] = out
                    self._taken.add(out.name)

    def _append(self, node: ir.Node, name: str, owner: int) -> None:
        node.name = _free(name, self._node_names)
        self._node_names.add(node.name)
        self.model.graph.append(node)
        self.rows[node] = Node(
            output=output_of(node), op_type=node.op_type, owner=owner, evidence="dataflow", confidence="high"
        )


def _free(name: str, taken: Container[str | None]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}.{number}", number + 1
    return free

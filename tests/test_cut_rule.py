"""The law of statuses: what a status says that a call takes is what the model that is cut out takes, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from hypothesis import HealthCheck, event, given, settings, strategies as st

import hx_extractor
import hx_projector
from hx_graph import dims_of, infer_types
from hx_sidecar_schema import Module, ModuleCall, ModuleContext, Port, Provenance, build_tags, subtree_ends

X = np.array([[1.0, -2.0, 0.5], [4.0, 0.0, -0.75]], dtype=np.float32)
FEEDS = {"x": X, "m": np.array([[3.0], [-1.0]], dtype=np.float32)}
UNARY = ("Relu", "Neg", "Tanh")
BINARY = ("Add", "Mul", "Max")


@dataclass(frozen=True)
class Graph:
    """A graph of small nodes over `[N, 3]` and `[N, 1]` and the calls in it.

    Attributes:
        lines: Nodes, in order; node n makes `vn`.
        owners: Row of each node's call.
        parents: Of each call.
        hidden: Of each call, which of the values that it reads are no arguments.
        unread: Of each call, earlier values that are arguments all the same.
    """

    lines: list[str]
    owners: list[int]
    parents: list[int | None]
    hidden: list[int]
    unread: list[int]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    parents: list[int | None] = [None]
    owners: list[int] = []
    lines: list[str] = []
    open_calls = [0]
    floats, shapes = ["x", "m", "w"], []
    for number in range(draw(st.integers(4, 14))):
        move = draw(st.sampled_from(("stay", "call", "call", "return")))
        if move == "call" and len(parents) < 6:
            parents.append(open_calls[-1])
            open_calls.append(len(parents) - 1)
        elif move == "return" and len(open_calls) > 1:
            open_calls.pop()
        owners.append(open_calls[-1])
        name = f"v{number}"
        kind = draw(st.sampled_from((*UNARY, *BINARY, *("Shape", "Expand") * 3)))
        one = draw(st.sampled_from(floats))
        if kind == "Shape":
            lines.append(f"{name} = Shape({one})")
            shapes.append(name)
            continue
        if kind == "Expand" and shapes:
            lines.append(f"{name} = Expand({one}, {draw(st.sampled_from(shapes))})")
        elif kind in BINARY:
            lines.append(f"{name} = {kind}({one}, {draw(st.sampled_from(floats))})")
        else:
            lines.append(f"{name} = {kind if kind in UNARY else 'Neg'}({one})")
        floats.append(name)
    lines.append(f"y = Add({floats[-1]}, x)")
    owners.append(0)
    bits = st.lists(st.integers(0, 255), min_size=len(parents), max_size=len(parents))
    return Graph(lines, owners, parents, draw(bits), draw(bits))


def context_of(model: ir.Model, graph: Graph) -> ModuleContext:
    """The record of a tracer that saw every call get some of what it reads as arguments, and return what others read."""
    ends = subtree_ends(graph.parents)
    nodes = list(model.graph)
    values: dict[str, Any] = {str(v.name): v for v in model.graph.inputs}
    owner_of = {}
    for node, owner in zip(nodes, graph.owners, strict=True):
        values[str(node.outputs[0].name)] = node.outputs[0]
        owner_of[str(node.outputs[0].name)] = owner
    fqns = [""]
    for row, parent in enumerate(graph.parents[1:], start=1):
        fqns.append(f"{fqns[parent or 0]}.c{row}".strip("."))
    calls: list[ModuleCall] = []

    def port(name: str, value: str) -> Port:
        found = values[value]
        return Port(name=name, value=value, dtype=found.dtype.name, shape=dims_of(found.shape))

    for row, parent in enumerate(graph.parents):
        inside = [n for n, owner in zip(nodes, graph.owners, strict=True) if row <= owner < ends[row]]
        made = {str(node.outputs[0].name) for node in inside}
        first = nodes.index(inside[0]) if inside else 0
        before = [*FEEDS, *(str(node.outputs[0].name) for node in nodes[:first])]
        read = [v for v in before if any(str(i.name) == v for node in inside for i in node.inputs if i)]
        given = [v for bit, v in enumerate(read) if not graph.hidden[row] >> bit & 1]
        given += [v for bit, v in enumerate(before) if v not in read and graph.unread[row] >> bit & 1]
        outside = [node for node in nodes if node not in inside]
        left = [
            name
            for name in made
            if values[name].is_graph_output() or any(str(i.name) == name for n in outside for i in n.inputs if i)
        ]
        inputs = list(FEEDS) if row == 0 else given
        calls.append(
            ModuleCall(
                module=row,
                index=0,
                parent=parent,
                inputs=[port(f"arg{number}", value) for number, value in enumerate(inputs)],
                outputs=[port(f"output.{number}", value) for number, value in enumerate(sorted(left))],
            )
        )
    classes = ["net.Net", *(f"net.C{row}" for row in range(1, len(fqns)))]
    return ModuleContext(
        generator=Provenance(),
        modules=[
            Module(fqn=fqn, class_name=name, tag=tag, tagged=True, parent=parent)
            for fqn, name, tag, parent in zip(fqns, classes, build_tags(fqns, classes), graph.parents, strict=True)
        ],
        calls=calls,
        origins={name: [owner] for name, owner in owner_of.items()},
    )


def carriers_read(part: hx_extractor.Extraction) -> set[str]:
    pairs = zip(part.inputs, part.model.graph.inputs, strict=True)
    return {port.carrier for port, value in pairs if value.uses() or value.is_graph_output()}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=graphs())
def test_a_cut_reads_what_its_status_says(graph: Graph) -> None:
    lines = "\n".join(graph.lines)
    model = ir.from_onnx_text(
        f"""<ir_version: 10, opset_import: ["": 20]>
        main (float[N,3] x, float[N,1] m) => (float[N,3] y) <float[3] w = {{0.5, -1.5, 2.0}}>
        {{ {lines} }}"""
    )
    infer_types(model)
    sidecar = hx_projector.project(model, context_of(model, graph), file="m.onnx")
    hierarchy = hx_extractor.Hierarchy(None, sidecar, model)
    for call in hierarchy.calls(status="extractable"):
        part = call.extract()
        said = {port.carrier for port in call.inputs if not port.unused}
        assert carriers_read(part) == said, call
        event(f"{sum(port.implicit for port in call.inputs)} implicit inputs")
        event("sizes" if any(".size" in str(n.outputs[0].name) for n in part.model.graph) else "no sizes")
        values = hierarchy.run(FEEDS, [port.carrier for port in (*part.inputs, *part.outputs)])
        actual = part.run({port.name: values[port.carrier] for port in part.inputs})
        for port in part.outputs:
            np.testing.assert_array_equal(actual[port.name], values[port.carrier], err_msg=str(call))

"""Graphs of any size, with a module hierarchy: what benchmarks of many nodes, calls and levels read.

A graph is a row of nodes, each with the calls that it is made in, so that `generate` can tell what crosses their borders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import TensorProto, helper
from onnx.onnx_pb import ModelProto, NodeProto

from hx_projector import project
from hx_sidecar_schema import Module, ModuleCall, ModuleContext, Port, Provenance, Sidecar, build_tags

SHAPE = [4, 4]


class Step(NamedTuple):
    """One node, with the calls that it is made in: names of attributes, `@1` for the second call of a module."""

    op_type: str
    inputs: list[str]
    output: str
    calls: tuple[str, ...]
    alpha: float | None = None


def chain(count: int) -> Iterator[Step]:
    """One node behind the other, every tenth with a skip connection; in blocks of 50, four in a layer."""
    for index in range(count):
        before = f"v{index - 1}" if index else "x"
        calls = f"layer{index // 200}", f"block{index % 200 // 50}"
        if index % 10 == 9:
            yield Step("Add", [before, f"v{index - 9}"], f"v{index}", calls)
        else:
            yield Step(("Tanh", "Neg", "Relu")[index % 3], [before], f"v{index}", calls)


def wide(count: int) -> Iterator[Step]:
    """Branches of three nodes that all read the input, each a module, and one sum of all of them."""
    branches = (count - 1) // 3
    for branch in range(branches):
        calls = (f"branch{branch}",)
        yield Step("Mul", ["x", f"w{branch % 7}"], f"a{branch}", calls)
        yield Step("LeakyRelu", [f"a{branch}"], f"b{branch}", calls, alpha=branch / branches)
        yield Step("Tanh", [f"b{branch}"], f"c{branch}", calls)
    yield Step("Sum", [f"c{branch}" for branch in range(branches)], f"v{count - 1}", ())


def layered(count: int) -> Iterator[Step]:
    """Equal layers of twenty nodes, four modules each: attention, a perceptron, two residual sums, one shared mask."""
    before = "x"
    for layer in range(count // 20):
        own, calls = f"l{layer}_", (f"layer{layer}",)
        attention, perceptron, norm = ((*calls, part) for part in ("attention", "mlp", "norm"))
        for part in "qkv":
            yield Step("MatMul", [before, f"w{layer}{part}"], f"{own}{part}0", attention)
            yield Step("Add", [f"{own}{part}0", "bias"], own + part, attention)
        yield Step("Transpose", [f"{own}k"], f"{own}kt", attention)
        yield Step("MatMul", [f"{own}q", f"{own}kt"], f"{own}qk", attention)
        yield Step("Mul", [f"{own}qk", "scale"], f"{own}scaled", attention)
        yield Step("Add", [f"{own}scaled", "mask"], f"{own}masked", attention)
        yield Step("Softmax", [f"{own}masked"], f"{own}soft", attention)
        yield Step("MatMul", [f"{own}soft", f"{own}v"], f"{own}mixed", attention)
        yield Step("Add", [f"{own}mixed", before], f"{own}first", calls)
        yield Step("MatMul", [f"{own}first", f"w{layer}u"], f"{own}up", perceptron)
        yield Step("Relu", [f"{own}up"], f"{own}act", perceptron)
        yield Step("MatMul", [f"{own}act", f"w{layer}d"], f"{own}down", perceptron)
        yield Step("Add", [f"{own}down", "bias"], f"{own}biased", perceptron)
        yield Step("Add", [f"{own}biased", f"{own}first"], f"{own}second", calls)
        yield Step("LeakyRelu", [f"{own}second"], f"{own}normal", norm, alpha=0.5)
        yield Step("Neg", [f"{own}normal"], f"{own}out", norm)
        before = f"{own}out"


def repeated(count: int) -> Iterator[Step]:
    """One module, called again and again: ten nodes a call."""
    for index in range(count):
        call = index // 10
        name = f"cell@{call}" if call else "cell"
        yield Step(("Tanh", "Neg", "Relu")[index % 3], [f"v{index - 1}" if index else "x"], f"v{index}", (name,))


def deep(count: int) -> Iterator[Step]:
    """A module in a module, 500 levels of them: half of the nodes on the way down, half on the way up."""
    levels = [f"inner{level}" for level in range(500)]
    for index in range(count):
        level = round(500 * (1 - abs(1 - 2 * index / count)))
        before = [f"v{index - 1}" if index else "x"]
        yield Step(("Tanh", "Neg", "Relu")[index % 3], before, f"v{index}", tuple(levels[:level]))


GRAPHS: dict[str, Callable[[int], Iterator[Step]]] = {
    "chain": chain,
    "wide": wide,
    "layered": layered,
    "repeated": repeated,
    "deep": deep,
}


def node_of(step: Step) -> NodeProto:
    """Return the node of a step."""
    node = NodeProto(op_type=step.op_type, input=step.inputs, output=[step.output], name=f"node_{step.output}")
    if step.alpha is not None:
        node.attribute.append(helper.make_attribute("alpha", step.alpha))
    return node


def model_of(steps: list[Step]) -> ModelProto:
    """Return a model of these nodes; what none of them makes is a weight, what none reads is an output."""
    made = {"x", *(step.output for step in steps)}
    read = dict.fromkeys(name for step in steps for name in step.inputs)
    weights = [helper.make_tensor(name, TensorProto.FLOAT, [4], [0.5] * 4) for name in read if name not in made]
    ends = [step.output for step in steps if step.output not in read]
    types = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in made}
    graph = helper.make_graph(
        [], "generated", [types.pop("x")], [types.pop(name) for name in ends], initializer=weights
    )
    graph.node.extend(map(node_of, steps))
    graph.value_info.extend(types[step.output] for step in steps if step.output in types)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def context_of(steps: list[Step]) -> ModuleContext:
    """Return what an exporter would have told of these nodes: modules, calls with their ports, and the call of every node."""
    rows: dict[tuple[str, ...], int] = {(): 0}
    calls, counts = [_Call(0, 0, None)], [1]
    modules: dict[tuple[str, ...], int] = {(): 0}
    owners: dict[str, int] = {}
    for step in steps:
        for end in range(1, len(step.calls) + 1):
            if (path := step.calls[:end]) not in rows:
                module = modules.setdefault(tuple(part.partition("@")[0] for part in path), len(modules))
                counts += [0] * (len(modules) - len(counts))
                rows[path] = len(calls)
                calls.append(_Call(module, counts[module], rows[path[:-1]]))
                counts[module] += 1
        owners[step.output] = rows[step.calls]
    above = [_above(calls, row) for row in range(len(calls))]
    read = {name for step in steps for name in step.inputs}
    for step in steps:
        reader = owners[step.output]
        for name in step.inputs:
            if name == "x" or name in owners:
                inside = above[owners[name]] if name != "x" else ()
                for row in above[reader][_shared(inside, above[reader]) :]:
                    calls[row].inputs[name] = None
                for row in inside[_shared(inside, above[reader]) :]:
                    calls[row].outputs[name] = None
        if step.output not in read:
            for row in above[reader]:
                calls[row].outputs[step.output] = None
    return ModuleContext(
        generator=Provenance(),
        modules=_modules(list(modules)),
        calls=[call.record() for call in calls],
        origins={name: [row] for name, row in owners.items()},
    )


class _Call:
    def __init__(self, module: int, index: int, parent: int | None) -> None:
        self.module, self.index, self.parent = module, index, parent
        self.inputs: dict[str, None] = {}
        self.outputs: dict[str, None] = {}

    def record(self) -> ModuleCall:
        inputs, outputs = (
            [
                Port(name=f"{side}_{place}", value=name, dtype="FLOAT", shape=[*SHAPE])
                for place, name in enumerate(names)
            ]
            for side, names in (("input", self.inputs), ("output", self.outputs))
        )
        return ModuleCall(module=self.module, index=self.index, parent=self.parent, inputs=inputs, outputs=outputs)


def _modules(paths: list[tuple[str, ...]]) -> list[Module]:
    """Return the modules at these paths of attributes, parents first; a class is an attribute's name without its number."""
    rows = {path: row for row, path in enumerate(paths)}
    fqns = [".".join(path) for path in paths]
    classes = ["generated.Net", *(f"generated.{path[-1].rstrip('0123456789').capitalize()}" for path in paths[1:])]
    children: list[dict[str, str]] = [{} for _ in paths]
    for path, name in zip(paths[1:], classes[1:], strict=True):
        children[rows[path[:-1]]][path[-1]] = name.rpartition(".")[2]
    return [
        Module(
            fqn=fqns[row],
            class_name=classes[row],
            tag=tag,
            tagged=True,
            parent=rows[path[:-1]] if path else None,
            children=children[row],
        )
        for (path, row), tag in zip(rows.items(), build_tags(fqns, classes), strict=True)
    ]


def _above(calls: list[_Call], row: int) -> tuple[int, ...]:
    """Return a call and those around it, the root first."""
    found: list[int] = []
    current: int | None = row
    while current is not None:
        found.append(current)
        current = calls[current].parent
    return tuple(reversed(found))


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return how many calls from the root on two rows of calls have in common."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def generate(graph: str, count: int, path: Path) -> Sidecar:
    """Write a graph of so many nodes, or nearly, to an ONNX file, with its sidecar beside it."""
    import onnx_ir as ir

    steps = list(GRAPHS[graph](count))
    onnx.save(model_of(steps), path)
    sidecar = project(ir.load(path), context_of(steps), file=path.name).with_file_digest(path)
    sidecar.save(path.with_name(f"{path.stem}_hierarchy.json"))
    return sidecar

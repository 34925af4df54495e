"""Lies in a sidecar that contradict no digest, no reference and no count: what follows from a lie is made to follow."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import onnx_ir as ir

import hx_graph
from hx_projector.validation import run as validation
from hx_projector.validation.checks import owners, ports, rows
from hx_projector.validation.pair import ModelAndSidecar
from hx_sidecar_schema import Node, Port, Sidecar

EACH = 4
"""Lies of one kind about one model, at most."""


class Lie(NamedTuple):
    """A sidecar that says something wrong."""

    kind: str
    what: str
    sidecar: Sidecar


def lies(model: ir.Model, path: Path, sidecar: Sidecar) -> Iterator[Lie]:
    """Yield some lies of every kind about an export."""
    liar = _Liar(sidecar, ModelAndSidecar(model, sidecar, path))
    kinds: dict[str, list[tuple[str, Callable[[], Sidecar]]]] = {}
    for kind, what, tell in (*liar.about_ports(), *liar.about_nodes(), *liar.about_calls()):
        kinds.setdefault(kind, []).append((what, tell))
    for kind, told in kinds.items():
        for what, tell in told if len(told) <= EACH else random.Random(0).sample(told, EACH):
            yield Lie(kind, what, _consistent(ModelAndSidecar(model, tell(), path)))


def found(model: ir.Model, path: Path, sidecar: Sidecar) -> list[str]:
    """Return the codes of what validation finds; the model's own checks, which no lie touches, are left out."""
    without = {"ONNX checker", "ONNX Runtime"}
    checks = [check for check in validation.CHECKS if check.name not in without]
    pair, failed, codes = ModelAndSidecar(model, sidecar, path), set[str](), set[str]()
    for check in checks:
        problems = [] if failed & {*check.needs} else list(check.run(pair))
        if problems or failed & {*check.needs}:
            failed.add(check.name)
        codes |= {code for code, _, _ in problems}
    return sorted(codes)


def _consistent(pair: ModelAndSidecar) -> Sidecar:
    """Return the sidecar with consumers, readers of weights and the summary as its owners have them."""
    nodes = zip(pair.sidecar.nodes, owners.expected_consumers(pair), strict=True)
    update: dict[str, Any] = {"nodes": [row.model_copy(update={"consumers": calls}) for row, calls in nodes]}
    update["initializers"] = ports.expected_weights(pair)
    told = pair.sidecar.model_copy(update=update)
    return told.model_copy(update={"summary": rows.expected_summary(ModelAndSidecar(pair.model, told, pair.path))})


Told = Iterator[tuple[str, str, Callable[[], Sidecar]]]


class _Liar:
    def __init__(self, sidecar: Sidecar, pair: ModelAndSidecar) -> None:
        self.sidecar, self.pair, self.calls, self.tree = sidecar, pair, sidecar.calls, pair.tree
        self.extractable = [row for row, call in enumerate(self.calls) if call.status == "extractable"]
        self.draw = random.Random(1)

    def _name(self, row: int) -> str:
        call = self.calls[row]
        return f"{self.sidecar.module_of(call).fqn or '/'}{f'@{call.index}' if call.index else ''}"

    def _with(self, changed: dict[int, dict[str, Any]]) -> Callable[[], Sidecar]:
        calls = [call.model_copy(update=changed.get(row, {})) for row, call in enumerate(self.calls)]
        return lambda: self.sidecar.model_copy(update={"calls": calls})

    def about_ports(self) -> Told:
        """Ports exchanged, dropped, added, renamed, carried by other values."""
        for row in self.extractable:
            for side in ("inputs", "outputs"):
                found: list[Port] = getattr(self.calls[row], side)
                yield from self._about_side(row, side, found)
        siblings = [
            (one, other)
            for one, other in combinations(self.extractable, 2)
            if self.tree.parent[one] == self.tree.parent[other] and self._shape(one) == self._shape(other)
        ]
        for one, other in siblings:
            for side in ("inputs", "outputs"):
                left, right = getattr(self.calls[one], side), getattr(self.calls[other], side)
                if [port.carrier for port in left] != [port.carrier for port in right]:
                    what = f"{self._name(one)} and {self._name(other)}"
                    yield f"{side} of two calls exchanged", what, self._with({one: {side: right}, other: {side: left}})

    def _shape(self, row: int) -> list[tuple[str, str, str]]:
        call = self.calls[row]
        return [(port.name, port.dtype, str(port.shape)) for port in (*call.inputs, *call.outputs)]

    def _about_side(self, row: int, side: str, found: list[Port]) -> Told:
        name, carriers = self._name(row), {port.carrier for port in found}

        def told(what: str, changed: Iterable[Port], kind: str) -> tuple[str, str, Callable[[], Sidecar]]:
            return kind, f"{name}: {what}", self._with({row: {side: list(changed)}})

        for one, other in combinations([port for port in found if not port.implicit], 2):
            if (one.dtype, one.shape) == (other.dtype, other.shape) and one.carrier != other.carrier:
                moved = {one.name: other, other.name: one}
                changed = [moved.get(port.name, port).model_copy(update={"name": port.name}) for port in found]
                yield told(f"{one.name} and {other.name}", changed, f"two {side} exchanged")
        for port in found:
            rest = [other for other in found if other is not port]
            if rest:
                yield told(port.name, rest, f"{'an unused one' if port.unused else 'one'} of several {side} dropped")
            if port.unused or not port.value:
                continue

            def like(port: Port = port, **update: Any) -> list[Port]:
                return [port.model_copy(update=update) if other is port else other for other in found]

            yield told(port.name, like(name=f"other_{port.name}"), f"one of the {side} renamed")
            yield told(
                port.name, like(implicit=not port.implicit), f"one of the {side} said to be implicit, or not to be"
            )
            if rest:
                yield told(port.name, like(unused=True), f"one of several {side} said to be unused")
            others = [value for value in self._values(port) if value not in carriers]
            if others:
                value = self.draw.choice(others)
                yield told(f"{port.name} {value}", like(value=value), f"one of the {side} carried by another value")
        first = next((port for port in found if port.value), None)
        others = [] if first is None else [value for value in self._values(first) if value not in carriers]
        if first is not None and others:
            more = first.model_copy(update={"name": "more", "value": self.draw.choice(others), "unused": False})
            yield told(str(more.value), [*found, more], f"one of the {side} more")

    def _values(self, like: Port) -> list[str]:
        """Return the values that ports of the same type are carried by."""
        every = (port for call in self.calls for port in (*call.inputs, *call.outputs) if port.value)
        same = (port for port in every if (port.dtype, port.shape) == (like.dtype, like.shape))
        return sorted({str(port.value) for port in same} & self.pair.values.keys())

    def about_nodes(self) -> Told:
        """Nodes without weights given to the call around, to one beside, to one below."""
        parameters = {row.name for row in self.sidecar.initializers if row.parameter}
        for number, row in enumerate(self.sidecar.nodes):
            node = self.pair.found[row.key]
            if node.op_type == "Constant" or not parameters.isdisjoint(hx_graph.reads(node)):
                continue
            parent = self.tree.parent[row.owner]
            siblings = [other for other in self.extractable if self.tree.parent[other] == parent and other != row.owner]
            below = [other for other in self.extractable if self.tree.parent[other] == row.owner]
            targets = {
                "the call around": [] if parent is None else [parent],
                "the call before": [other for other in siblings if other < row.owner and parent is not None][-1:],
                "the call after": [other for other in siblings if other > row.owner and parent is not None][:1],
                "a call below": below[:1],
            }
            for kind, chosen in targets.items():
                for target in chosen:
                    what = f"{node.op_type} {row.output}: {self._name(row.owner)} to {self._name(target)}"
                    yield f"a node given to {kind}", what, self._with_node(number, row, target)

    def _with_node(self, number: int, row: Node, owner: int) -> Callable[[], Sidecar]:
        nodes = list(self.sidecar.nodes)
        nodes[number] = row.model_copy(update={"owner": owner})
        return lambda: self.sidecar.model_copy(update={"nodes": nodes})

    def about_calls(self) -> Told:
        """Calls of other modules, in other calls, of other fates."""
        for row in self.extractable[1:]:
            call, name = self.calls[row], self._name(row)
            around = self.tree.parent[self.tree.parent[row] or 0]
            # What is the last of its parent may be the next of that one's parent: pre-order holds.
            if around is not None and self.tree.end[row] == self.tree.end[self.tree.parent[row] or 0]:
                yield "a call put into the call around", name, self._with({row: {"parent": around}})
            if call.recovered:
                yield "recovered nodes dropped", name, self._with({row: {"recovered": []}})
            if call.constants:
                yield "arguments beside tensors dropped", name, self._with({row: {"constants": {}}})
            for status in ("identity", "fused", "folded", "unused"):
                fate = {"status": status, "reason": "It is said so."}
                yield f"a call said to be {status}", name, self._with({row: fate})
        for one, other in combinations(self.extractable, 2):
            left, right = self.calls[one], self.calls[other]
            classes = {self.sidecar.module_of(call).class_name for call in (left, right)}
            if (
                len(classes) == 1
                and left.module != right.module
                and left.index == right.index
                and self._leaves(one, other)
            ):
                exchanged = {one: {"module": right.module}, other: {"module": left.module}}
                yield (
                    "modules of two calls exchanged",
                    f"{self._name(one)} and {self._name(other)}",
                    self._with(exchanged),
                )

    def _leaves(self, *calls: int) -> bool:
        return all(self.tree.end[row] == row + 1 for row in calls)

"""Whether two graphs are the same, and what is not, whatever their nodes and values are called and ordered.

Every edge has a place: an input of a node, an output of the graph. So two graphs whose outputs stand in order can be
matched in one way only, from the outputs backwards; numbering nodes in the order of that walk gives a canonical form,
linear in the number of nodes.

Where graphs differ, a node has a counterpart if all that leads to it is alike, or all that it leads to: a change in the
middle leaves what lies before it and what lies behind it alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import onnx_ir as ir

from hx_projector._graphs import nested_graphs, output_of, reads

Graph = ir.Graph | ir.Function

ALIGNED = 3000
"""Nodes without a counterpart that are aligned in their order, which takes the square of their number."""


@dataclass(frozen=True)
class GraphDifference:
    """What two main graphs do not share. Nodes are named by their first outputs."""

    inputs: list[str]
    """What differs between their inputs, in words."""
    outputs: list[str]
    operators: dict[str, tuple[int, int]]
    """Operators that the two have in different numbers."""
    only_left: list[str]
    only_right: list[str]
    rewired: list[str]
    """Nodes that both have, reading from other places; by their outputs in the left graph."""
    divergence: list[tuple[str, str | None]]
    """Nodes of the left graph where the two part: all that leads to them is shared. With what the right one has there."""


def structural_digest(model: ir.Model) -> str:
    """Return a SHA-256 over a model's topology, as hex.

    Equal for two models exactly if one becomes the other by renaming nodes, values and weights, reordering nodes, and
    changing the contents of weights and metadata. Operators, attributes (constants included), edges with their
    places, nested graphs, functions, and the types of inputs, outputs and weights count. So do nodes whose results
    nobody uses; among those, ones that differ only in which of two alike results they use may be taken for equal.
    """
    form = _Form()
    parts = [str(sorted(model.opset_imports.items())), form.of(model.graph)]
    parts += [f"{key}:{_Form().of(model.functions[key])}" for key in sorted(model.functions)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def graph_difference(left: ir.Model, right: ir.Model) -> GraphDifference | None:
    """Return what two models do not share; None where their topology is the same.

    Args:
        left: Neither model is changed.
        right: The other one.
    """
    if structural_digest(left) == structural_digest(right):
        return None
    ids: dict[Hashable, int] = {}
    a, b = _Colours(left.graph, ids), _Colours(right.graph, ids)
    pairs = _pairs(a, b)
    _align(a, b, pairs)
    matched = {id(other) for _, other in pairs.values()}
    only_left = [node for node in a.nodes if id(node) not in pairs]
    only_right = [node for node in b.nodes if id(node) not in matched]
    rewired = [node for node, other in pairs.values() if not _read_alike(a, b, node, other, pairs, matched)]
    counts = Counter(_operator(node) for node in a.nodes), Counter(_operator(node) for node in b.nodes)
    parted = {id(node) for node in (*only_left, *rewired)}
    by_sources = {b.sources(node): node for node in reversed(only_right)}
    shared = {b.forward[id(node)] for node in b.nodes}
    divergence = [
        (output_of(node), other and output_of(other))
        for node in a.nodes
        if id(node) in parted and all(a.forward[id(source)] in shared for source in a.producers(node))
        for other in [by_sources.get(a.sources(node))]
    ]
    return GraphDifference(
        inputs=_typed_difference(left.graph.inputs, right.graph.inputs),
        outputs=_typed_difference(left.graph.outputs, right.graph.outputs),
        operators={
            name: (counts[0][name], counts[1][name])
            for name in sorted(counts[0] | counts[1])
            if counts[0][name] != counts[1][name]
        },
        only_left=[output_of(node) for node in only_left],
        only_right=[output_of(node) for node in only_right],
        rewired=[output_of(node) for node in rewired],
        divergence=divergence,
    )


class _Form:
    """Canonical forms of a graph and of the bodies in it, which may read the values around them.

    Args:
        known: Values from outside that the graph may read.
    """

    def __init__(self, known: Sequence[ir.Value] = ()) -> None:
        self._names = {id(value): f"c{index}" for index, value in enumerate(known)}
        """Canonical names of values."""
        self._count = 0

    def of(self, graph: Graph) -> str:
        """Return the canonical form of a graph."""
        for value in graph.inputs:
            self._names[id(value)] = self._next("i", _type_of(value))
        lines: list[str] = []
        self._walk(graph.outputs, lines)
        heads = [self._name(value) for value in graph.outputs]
        outputs = [f"{name}:{_type_of(value)}" for name, value in zip(heads, graph.outputs, strict=True)]
        inputs = [_type_of(value) for value in graph.inputs]
        dead = self._dead(graph)
        return "\n".join(["(", *inputs, "->", *lines, "=>", *outputs, "dead", *dead, ")"])

    def _walk(self, roots: Sequence[ir.Value], lines: list[str]) -> None:
        """Name all values that some come from, and write their nodes, without recursion over nodes."""
        pending: list[tuple[ir.Value, bool]] = [(value, False) for value in reversed(roots)]
        while pending:
            value, ready = pending.pop()
            node = value.producer()
            if id(value) in self._names:
                continue
            if node is None:
                self._names[id(value)] = self._next("w", _type_of(value))
            elif ready:
                lines.append(self._written(node))
            else:
                pending.append((value, True))
                pending += [(source, False) for source in reversed(_sources(node))]

    def _written(self, node: ir.Node) -> str:
        name = self._next("n", "")
        text = f"{name}={_operator(node)}({', '.join(self._name(v) for v in node.inputs)}){self._attributes(node)}"
        for index, out in enumerate(node.outputs):
            self._names[id(out)] = f"{name}.{index}"
        return f"{text}->{len(node.outputs)}"

    def _attributes(self, node: ir.Node) -> str:
        bodies = {name: self.of(graph) for name, graph in nested_graphs(node)}
        return f"{_plain_attributes(node)}{bodies or ''}"

    def _dead(self, graph: Graph) -> list[str]:
        """Return what can be told of nodes that no output comes from: what they compute, as a sorted list."""
        rest = [node for node in graph if any(id(out) not in self._names for out in node.outputs)]
        if not rest:
            return []
        forms: list[str] = []
        local = _Form()
        local._names = dict(self._names)
        for node in rest:
            for value in node.inputs:
                if value is not None and id(value) not in local._names:
                    local._names[id(value)] = f"w:{_type_of(value)}"
            inputs = ", ".join(local._name(value) for value in node.inputs)
            text = f"{_operator(node)}({inputs}){local._attributes(node)}->{len(node.outputs)}"
            digest = hashlib.sha256(text.encode()).hexdigest()
            for index, out in enumerate(node.outputs):
                local._names[id(out)] = f"{digest}.{index}"
            forms.append(digest)
        return sorted(forms)

    def _name(self, value: ir.Value | None) -> str:
        return "" if value is None else self._names[id(value)]

    def _next(self, kind: str, suffix: str) -> str:
        self._count += 1
        return f"{kind}{self._count}:{suffix}" if suffix else f"{kind}{self._count}"


class _Colours:
    """Nodes of a main graph by what leads to them (forward) and what they lead to (backward).

    Args:
        graph: The graph.
        ids: Numbers of what was met; two graphs that share it have comparable colours.
    """

    def __init__(self, graph: ir.Graph, ids: dict[Hashable, int]) -> None:
        self.nodes = list(graph)
        self.forward: dict[int, int] = {}
        self.backward: dict[int, int] = {}
        self._ids = ids
        self._inputs = {id(value): index for index, value in enumerate(graph.inputs)}
        self._made = {out.name: (node, i) for node in self.nodes for i, out in enumerate(node.outputs)}
        for node in self.nodes:
            self.forward[id(node)] = self._number(("f", self.local(node), self.sources(node)))
        handed_out: dict[int, list[tuple[int, int]]] = {}
        for index, value in enumerate(graph.outputs):
            handed_out.setdefault(id(value), []).append((-1, index))
        for node in reversed(self.nodes):
            uses = tuple(tuple(sorted(handed_out.get(id(out), ()))) for out in node.outputs)
            colour = self.backward[id(node)] = self._number(("b", self.local(node), uses))
            for place, value in enumerate(_places(node)):
                if value is not None:
                    handed_out.setdefault(id(value), []).append((colour, place))

    def local(self, node: ir.Node) -> Hashable:
        """Return what a node is by itself."""
        bodies = "".join(_Form(_captures(graph)).of(graph) for _, graph in nested_graphs(node))
        return _operator(node), _plain_attributes(node), bodies, len(node.outputs)

    def sources(self, node: ir.Node) -> Hashable:
        """Return where the inputs of a node come from."""
        return tuple(self.source(value) for value in _places(node))

    def producers(self, node: ir.Node) -> list[ir.Node]:
        """Return the nodes that a node reads from."""
        return [self._made[name][0] for name in reads(node) if name in self._made]

    def source(self, value: ir.Value | None) -> Hashable:
        """Return where a value comes from."""
        if value is None:
            return None
        producer = value.producer()
        if producer is not None and id(producer) in self.forward:
            return self.forward[id(producer)], value.index()
        if id(value) in self._inputs:
            return "input", self._inputs[id(value)]
        return "weight", _type_of(value)

    def _number(self, key: Hashable) -> int:
        return self._ids.setdefault(key, len(self._ids))


def _pairs(a: _Colours, b: _Colours) -> dict[int, tuple[ir.Node, ir.Node]]:
    """Return nodes of `a` with their counterparts in `b`: by what leads to them, else by what they lead to."""
    found: dict[int, tuple[ir.Node, ir.Node]] = {}
    taken: set[int] = set()
    for left, right in ((a.forward, b.forward), (a.backward, b.backward)):
        free: dict[int, list[ir.Node]] = {}
        for node in reversed(b.nodes):
            if id(node) not in taken:
                free.setdefault(right[id(node)], []).append(node)
        for node in a.nodes:
            others = free.get(left[id(node)]) if id(node) not in found else None
            if others:
                other = others.pop()
                found[id(node)] = (node, other)
                taken.add(id(other))
    return found


def _align(a: _Colours, b: _Colours, pairs: dict[int, tuple[ir.Node, ir.Node]]) -> None:
    """Pair what lies between two changes: alike nodes in the same order. Adds to `pairs`."""
    taken = {id(other) for _, other in pairs.values()}
    left = [node for node in a.nodes if id(node) not in pairs]
    right = [node for node in b.nodes if id(node) not in taken]
    if max(len(left), len(right)) > ALIGNED:
        return
    matcher = SequenceMatcher(
        None, [a.local(node) for node in left], [b.local(node) for node in right], autojunk=False
    )
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            node = left[block.a + offset]
            pairs[id(node)] = (node, right[block.b + offset])


def _read_alike(
    a: _Colours,
    b: _Colours,
    node: ir.Node,
    other: ir.Node,
    pairs: dict[int, tuple[ir.Node, ir.Node]],
    matched: set[int],
) -> bool:
    """Say whether two nodes read from alike places; a node that the other graph lacks is its own difference."""
    places = _places(node), _places(other)
    if len(places[0]) != len(places[1]):
        return False
    for left, right in zip(*places, strict=True):
        if left is None or right is None:
            if left is not right:
                return False
            continue
        one, two = left.producer(), right.producer()
        if one is None or two is None or id(one) not in a.forward or id(two) not in b.forward:
            if a.source(left) != b.source(right):
                return False
            continue
        alike = (
            a.forward[id(one)] == b.forward[id(two)]
            or a.backward[id(one)] == b.backward[id(two)]
            or (id(one) in pairs and pairs[id(one)][1] is two)
        )
        both_known = id(one) in pairs and id(two) in matched
        if left.index() != right.index() or (both_known and not alike):
            return False
    return True


def _sources(node: ir.Node) -> list[ir.Value]:
    """Return the values that a node reads, those that its bodies capture included, in a fixed order."""
    return [value for value in _places(node) if value is not None]


def _places(node: ir.Node) -> list[ir.Value | None]:
    """Return what stands at every input of a node, None where one is left out, then what its bodies capture."""
    values = list(node.inputs)
    for _, graph in nested_graphs(node):
        values += _captures(graph)
    return values


def _captures(graph: ir.Graph) -> list[ir.Value]:
    own: set[int] = {id(value) for value in (*graph.inputs, *graph.initializers.values())}
    found: dict[int, ir.Value] = {}
    for node in graph:
        for value in _sources(node):
            if id(value) not in own:
                found.setdefault(id(value), value)
        own.update(id(out) for out in node.outputs)
    for value in graph.outputs:
        if id(value) not in own:
            found.setdefault(id(value), value)
    return list(found.values())


def _operator(node: ir.Node) -> str:
    return "::".join(part for part in node.op_identifier() if part)


def _plain_attributes(node: ir.Node) -> str:
    plain = [
        (name, str(attribute.type), _content(attribute))
        for name, attribute in sorted(node.attributes.items())
        if attribute.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    ]
    return str(plain) if plain else ""


def _content(attribute: ir.Attr) -> str:
    if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
        tensor = attribute.as_tensor()
        # Strings have no bytes of one length.
        content = (
            repr(tensor.numpy().tolist()).encode() if tensor.dtype == ir.DataType.STRING else tensor.tobytes()
        )
        digest = hashlib.sha256(content).hexdigest()
        return f"{tensor.dtype} {list(tensor.shape)} {digest}"
    return attribute.ref_attr_name or str(attribute.value)


def _type_of(value: ir.Value) -> str:
    dims = ["?" if not isinstance(dim, int) else str(dim) for dim in value.shape or ()]
    return f"{value.type and value.dtype}[{','.join(dims)}]"


def _typed_difference(left: Iterable[ir.Value], right: Iterable[ir.Value]) -> list[str]:
    one, two = [_type_of(value) for value in left], [_type_of(value) for value in right]
    words = [f"{len(one)} and {len(two)}"] if len(one) != len(two) else []
    words += [f"{i}: {a} and {b}" for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b]
    return words

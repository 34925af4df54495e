"""Putting nodes of a part into a graph, in the place of those of a call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from hx_extractor import Source
from hx_graph import bodies_in, copied_attribute, is_size_query, nested_graphs, nodes_below, nodes_in, values_in
from hx_surgery._reading import read_nothing

_NEW = "hx.new."


@dataclass
class Grafted:
    """What became of one call."""

    added: dict[ir.Node, ir.Node | None] = field(default_factory=dict)
    """New nodes, those of bodies too, with the nodes of the part that they are copies of."""
    recovered: list[ir.Node] = field(default_factory=list)
    """Those of them that are from before the exporter's optimisation: they lead to the call's inputs, or from its outputs."""
    removed: list[ir.Node] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    """Values that compute something else now: what made them before the exporter's optimisation does so no more."""
    weights_added: list[str] = field(default_factory=list)
    weights_removed: list[str] = field(default_factory=list)


class Graft:
    """New nodes on their way into a graph.

    Args:
        model: The model that is changed.
        known: Values of it that values of the part are, by what those compute.
        numbers: What the values of the part compute.
        shape_of: Of a value of the part, the shape that it has in the model.
        shared: Weights of the model by what they hold; new ones are added.
        operators: Functions of the part that have other names in the model.
        lost: Names that no weight may have: they are of values that the model has no more, and that its records make.
    """

    def __init__(
        self,
        model: ir.Model,
        known: Mapping[str, ir.Value],
        numbers: Mapping[ir.Value, str],
        shape_of: Callable[[ir.Value], ir.Shape | None],
        shared: dict[str, ir.Value],
        operators: Mapping[ir.OperatorIdentifier, ir.OperatorIdentifier],
        lost: Collection[str],
    ) -> None:
        """Begin with nothing added."""
        self.model = model
        self._known, self._numbers, self._shape_of, self._shared = known, numbers, shape_of, shared
        self._operators, self._lost = operators, lost
        self._built: dict[ir.Value, ir.Value] = {}
        self._names: dict[ir.Value, str] = {}
        """New values, with the names that they would like to have."""
        self._sources: dict[Source, dict[str, ir.Value]] = {}
        self._count = 0
        self.nodes: list[ir.Node] = []
        """New nodes of the graph itself, in order."""
        self.done = Grafted()

    def value(self, wanted: ir.Value) -> ir.Value:
        """Return the value of the model that a value of the part is, after adding the nodes that make it. No recursion."""
        pending = [wanted]
        while pending:
            current = pending[-1]
            if current in self._built:
                pending.pop()
                continue
            node = current.producer()
            known = self._by_name(current) or self._known.get(self._numbers[current])
            if known is not None:
                self._built[current] = known
            elif node is None:
                self._built[current] = self._weight(current)
            elif missing := [read for read in read_values(node) if read not in self._built]:
                pending += missing
            else:
                self._copy(node)
        return self._built[wanted]

    def _by_name(self, value: ir.Value) -> ir.Value | None:
        """Return the value that computes the same and has the name of a value of the part: others may compute the same too."""
        return self._known.get(f"{self._numbers[value]} {value.name}")

    def needs(self, digest: str, wanted: Iterable[ir.Value]) -> bool:
        """Say whether values of the part need one that the model does not have: an input of the part, by what it is."""
        pending, seen = list(wanted), set[ir.Value]()
        while pending:
            value = pending.pop()
            if value in seen or self._numbers[value] in self._known:
                continue
            seen.add(value)
            if self._numbers[value] == digest:
                return True
            if (node := value.producer()) is not None:
                pending += read_values(node)
        return False

    def add(self, node: ir.Node, name: str) -> ir.Value:
        """Add a node that the part does not have; return its first output, which would like to have a name."""
        self._register(node, None)
        self._want(node.outputs[0], name)
        self.nodes.append(node)
        return node.outputs[0]

    def recover(
        self, wanted: str, sources: Mapping[str, Source], values: Mapping[str, ir.Value], given: Mapping[str, ir.Value]
    ) -> ir.Value | None:
        """Return a value that nodes from before the exporter's optimisation make, which are added; None where they cannot.

        Args:
            wanted: Its name.
            sources: The recovered nodes, by what they make.
            values: Those of the graph.
            given: Values to read instead of those of the graph; what derives from them is made anew.
        """
        anew = derived(sources, given)
        made = {name: value for name, value in values.items() if name not in anew}
        made.update(given)
        pending = [wanted]
        while pending:
            name = pending[-1]
            if name in made:
                pending.pop()
            elif (source := sources.get(name)) is None or name in pending[:-1]:
                return None
            elif missing := [read for read in source.reads if read not in made]:
                pending += missing[:1]
            else:
                made |= self._recovered(source, made, anew=bool(given))
        return made[wanted]

    def _recovered(self, source: Source, made: Mapping[str, ir.Value], *, anew: bool) -> dict[str, ir.Value]:
        if source not in self._sources:
            node = source.node
            reads = iter(source.reads)
            inputs = [made[next(reads)] if value is not None and value.name else None for value in node.inputs]
            outputs = [ir.Value(type=out.type, shape=out.shape) for out in node.outputs]
            attributes = list(node.attributes.values())
            new = ir.Node(node.domain, node.op_type, inputs, attributes, overload=node.overload, outputs=outputs)
            self._register(new, None)
            self.done.recovered.append(new)
            for out, name in zip(outputs, source.outputs, strict=True):
                if anew:
                    self._want(out, name)
                else:
                    out.name = name  # it is that value, which was in no graph
            self.nodes.append(new)
            self._sources[source] = dict(zip(source.outputs, outputs, strict=True))
        return self._sources[source]

    def finish(self, prefix: str, reserved: Collection[str]) -> None:
        """Give what is new its names: those of the part where they are free, else ones that begin with a prefix."""
        new_nodes = set(self.done.added)
        taken = {str(v.name) for v in values_in(self.model.graph) if v.name and v not in self._names} | {*reserved}
        for value, name in self._names.items():
            value.name = _free(name, prefix, taken)
        names = {node.name for _, node in nodes_in(self.model.graph) if node.name and node not in new_nodes}
        for node in self.done.added:
            if node.name:
                node.name = _free(node.name, prefix, names)

    def _copy(self, node: ir.Node) -> None:
        """Add a node without its metadata, which names the module that the part was made of."""
        domain, op_type, overload = self._operators.get(node.op_identifier(), node.op_identifier())
        outputs = [ir.Value(type=out.type, shape=self._shape_of(out)) for out in node.outputs]
        new = ir.Node(
            domain,
            op_type,
            [None if value is None else self._built[value] for value in node.inputs],
            [copied_attribute(each, self._built.__getitem__, self._finish_body) for each in node.attributes.values()],
            overload=overload,
            outputs=outputs,
            name=node.name,
            doc_string=node.doc_string,
        )
        self._register(new, node)
        for old, out in zip(node.outputs, outputs, strict=True):
            if old.name:
                self._want(out, old.name)
                self._built[old] = out
            else:
                out.name = ""
        self.nodes.append(new)

    def _finish_body(self, copy: ir.Graph, body: ir.Graph) -> None:
        for (_, node), (_, old) in zip(nodes_in(copy), nodes_in(body), strict=True):
            self._register(node, old)
            node.metadata_props.clear()
            node.domain, node.op_type, node.overload = self._operators.get(node.op_identifier(), node.op_identifier())
        for value in [*values_in(copy)]:
            value.shape = self._shape_of(value)
            if value.name:
                self._want(value, value.name)

    def _register(self, node: ir.Node, old: ir.Node | None) -> None:
        self.done.added[node] = old

    def _want(self, value: ir.Value, name: str) -> None:
        value.name = f"{_NEW}{self._count}"  # no other value's, until all are there
        self._count += 1
        self._names[value] = name

    def named(self, value: ir.Value, name: str) -> None:
        """Give a new value the name that it must have."""
        self._names.pop(value, None)
        value.name = name

    def is_new(self, value: ir.Value) -> bool:
        """Say whether a value is the result of a new node and has no name that it must have."""
        return value in self._names and value.producer() is not None

    def _weight(self, value: ir.Value) -> ir.Value:
        digest = self._numbers[value]
        known = self._shared.get(digest) or self._shared.get(f"{digest} {value.name}")
        if known is None:
            known = ir.Value(type=value.type, shape=value.shape, const_value=value.const_value)
            known.name = _free(
                str(value.name), "part", {str(v.name) for v in values_in(self.model.graph)} | {*self._lost}
            )
            self.model.graph.register_initializer(known)
            self._shared[f"{digest} {value.name}"] = known  # two of a part that hold the same stay two
            self.done.weights_added.append(known.name)
        return known


def derived(sources: Mapping[str, Source], given: Collection[str]) -> set[str]:
    """Return what recovered nodes make of some values."""
    found: set[str] = set()
    while (
        added := {name for name, source in sources.items() if not ({*given} | found).isdisjoint(source.reads)} - found
    ):
        found |= added
    return found


def read_values(node: ir.Node) -> list[ir.Value]:
    """Return what a node reads of the graph around it, its bodies included."""
    found = [value for value in node.inputs if value is not None]
    if node.attributes:
        inside = {value for _, body in nested_graphs(node) for value in values_in(body)}
        for _, inner in nodes_below(node):
            found += [value for value in inner.inputs if value is not None and value not in inside]
            found += [v for _, body in nested_graphs(inner) for v in body.outputs if v not in inside]
        found += [value for _, body in nested_graphs(node) for value in body.outputs if value not in inside]
    return found


def led_to(values: Iterable[ir.Value], around: Mapping[ir.Graph, ir.Node]) -> set[ir.Value]:
    """Return values, and all that is computed from their numbers; `around` are the nodes that bodies belong to."""
    found: set[ir.Value] = set()
    pending = list(values)
    while pending:
        value = pending.pop()
        if value in found:
            continue
        found.add(value)
        readers = [node for node, _ in value.uses() if not is_size_query(node)]
        while readers:
            node = readers.pop()
            pending += node.outputs
            if node.attributes:
                pending += [given for _, body in nested_graphs(node) for given in body.inputs]
            if isinstance(node.graph, ir.Graph) and (outer := around.get(node.graph)) is not None:
                readers.append(outer)
    return found


def rewire(graph: ir.Graph, old: ir.Value, new: ir.Value, kept: Collection[ir.Node]) -> None:
    """Let all that reads a value of a graph, but for some nodes and their bodies, read another."""
    for node, index in list(old.uses()):
        if node not in kept:
            node.replace_input_with(index, new)
    theirs = {body for node in kept if node.attributes for _, body in nested_graphs(node)}
    for each in {graph, *bodies_in(graph)} - theirs:
        for index, value in enumerate(each.outputs):
            if value is old:
                each.outputs[index] = new


def unread(graph: ir.Graph, nodes: Iterable[ir.Node]) -> list[ir.Node]:
    """Return those of some nodes that lead to nothing but each other, readers first."""
    handed_on = {value for each in (graph, *bodies_in(graph)) for value in each.outputs}
    rest = dict.fromkeys(nodes)
    found: dict[ir.Node, None] = {}
    inside: set[ir.Node] = set()  # the bodies of what was found
    pending = list(reversed(rest))
    while pending:
        node = pending.pop()
        if node in found or node not in rest:
            continue
        uses = (reader for out in node.outputs for reader, _ in out.uses())
        if handed_on.isdisjoint(node.outputs) and all(reader in found or reader in inside for reader in uses):
            found[node] = None
            if node.attributes:
                inside.update(inner for _, inner in nodes_below(node))
            pending += [maker for value in read_values(node) if (maker := value.producer()) is not None]
    return list(found)


def remove(nodes: Sequence[ir.Node]) -> None:
    """Take nodes out of their graphs, so that they read nothing any more."""
    read_nothing(nodes)
    for node in nodes:
        if node.graph is not None:
            node.graph.remove(node)


def _free(name: str, prefix: str, taken: set[str]) -> str:
    found, count = name, 0
    while found in taken:
        found, count = f"{prefix}/{name}" + (f".{count}" if count else ""), count + 1
    taken.add(found)
    return found

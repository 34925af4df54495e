"""A part in the place of one call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from hx_extractor import Extraction, recovered_sources
from hx_graph import is_size_query, nodes_in, shape_from, values_by_name
from hx_sidecar_schema import Node, Port, Sidecar
from hx_surgery.replacing.adapt import Operators
from hx_surgery.replacing.fit import Fit
from hx_surgery.replacing.graft import Graft, Grafted, read_values, remove, rewire, unread
from hx_surgery.replacing.numbering import Numbering, TensorDigests
from hx_surgery.replacing.readers import Readers

REPLACEMENT = "replacement"
"""Evidence of an owner: the node is of the part that stands in a call's place."""


@dataclass
class Edit:
    """A model while calls are replaced."""

    model: ir.Model
    part: ir.Model
    owned: dict[ir.Node, Node]
    """Rows of all nodes; paths and names in them may be old."""
    operators: Operators
    """What functions of the part are called in the model."""
    rows: Sequence[int]
    """Of all calls that get the part."""
    tensors: TensorDigests = field(default_factory=TensorDigests)
    shared: dict[str, ir.Value] = field(default_factory=dict)
    """Weights of the model that are known, by what they hold."""

    def share(self, names: Iterable[str]) -> None:
        """Know weights of the model under some names."""
        weights = (self.model.graph.initializers.get(name) for name in names)
        for value in weights:
            if value is not None and value.const_value is not None:
                self.shared.setdefault(f"weight {self.tensors.of(value.const_value)}", value)


class CallReplacement:
    """One call on its way to be replaced.

    Args:
        edit: The model, which is changed.
        sidecar: Of the model as it is now.
        row: Of the call.
        call: Cut out of the model as it is now.
        found: What the part's inputs are in it.
    """

    def __init__(self, edit: Edit, sidecar: Sidecar, row: int, call: Extraction, found: Fit) -> None:
        """Begin with nothing changed."""
        self._edit, self._sidecar, self._row, self._call, self._fit = edit, sidecar, row, call, found
        self._values = dict(values_by_name(edit.model.graph))
        self._readers = Readers(call, sidecar, row, self._values, edit.owned)

    def run(self) -> Grafted:
        """Replace the call; return what was added and removed."""
        call, part = self._call, self._edit.part
        old = Numbering(call.model, {port.name: _digest(port) for port in call.inputs}, self._edit.tensors).of
        for value in call.model.graph.initializers.values():
            here = self._values.get(call.origins.get(str(value.name), ""))
            if here is not None and here.is_initializer():
                self._edit.shared.setdefault(old[value], here)
        leaves = {name: _digest(port) for name, port in self._fit.inputs.items()}
        leaves |= {name: old[call.model.graph.initializers[weight]] for name, weight in self._fit.weights.items()}
        new = Numbering(part, leaves, self._edit.tensors).of
        before = {port.name: value for port, value in zip(call.outputs, call.model.graph.outputs, strict=True)}
        after = {str(value.name): value for value in part.graph.outputs}
        others = [port for port in call.outputs if new[after[port.name]] != old[before[port.name]]]
        others = [port for port in others if not self._readers.are_none(port)]
        if not others:
            return Grafted()
        self._readers.check(others, self._edit.rows)
        changed = {self._readers.standing_in(port.carrier) for port in others}
        alike = [port for port in call.outputs if self._readers.standing_in(port.carrier) in changed]
        if len({(port.carrier, new[after[port.name]]) for port in alike}) > len({port.carrier for port in alike}):
            raise self._readers.refused("two of its outputs are one value in the graph, and the part tells them apart")
        behind = {value for value in old if call.origins.get(str(value.name)) in changed}
        known = self._known(old, behind | {before[port.name] for port in others})
        edit, lost = self._edit, self._made_names()
        graft = Graft(edit.model, known, new, self._shape_of, edit.shared, edit.operators, lost)
        self._find_inputs(graft, known, [after[port.name] for port in others])
        made: dict[str, ir.Value] = {}
        for port in others:
            if port.carrier not in made:  # two outputs may be one value
                made[port.carrier] = self._made(graft, after[port.name], port)
        return self._put(graft, made)

    def _known(self, old: Mapping[ir.Value, str], others: Collection[ir.Value]) -> dict[str, ir.Value]:
        """Return the values of the model that a part may go on using, by what they compute.

        Those are the values of the call, but for what derives from an output that will be another.
        """
        behind = set(others)
        for node in self._call.model.graph:
            if not behind.isdisjoint(read_values(node)):
                behind.update(node.outputs)
        known: dict[str, ir.Value] = {}
        for value, digest in old.items():
            here = self._values.get(self._call.origins.get(str(value.name), ""))
            if here is not None and value not in behind:
                known.setdefault(digest, here)
                known[f"{digest} {value.name}"] = here
        return known

    def _find_inputs(self, graft: Graft, known: dict[str, ir.Value], wanted: Sequence[ir.Value]) -> None:
        """Add to what is known the values that carry inputs of the part; those that the exporter removed are made again."""
        lost = recovered_sources(self._sidecar.recovered, self._values, {})
        for port in self._fit.inputs.values():
            digest = _digest(port)
            if digest in known or not graft.needs(digest, wanted):
                continue
            value = self._values.get(port.carrier) or graft.recover(port.carrier, lost, self._values, {})
            if value is None:
                raise self._readers.refused(f"the part reads {port.name!r}, of which the graph has the sizes alone")
            known[digest] = value

    def _made(self, graft: Graft, wanted: ir.Value, port: Port) -> ir.Value:
        value = graft.value(wanted)
        if not graft.is_new(value) and not self._may_be_renamed(value, port):
            value = graft.add(ir.node("Identity", [value]), str(wanted.name))
        graft.named(value, port.carrier)
        return value

    def _may_be_renamed(self, value: ir.Value, port: Port) -> bool:
        """Say whether an inner value of the call may be an output of it from now on, so that no Identity is needed."""
        was = self._values.get(self._readers.standing_in(port.carrier))
        is_inner = self._readers.is_ours(value.producer()) and not value.is_graph_output()
        return is_inner and was is not None and value.graph is was.graph and value.name not in self._reserved()

    def _shape_of(self, value: ir.Value) -> ir.Shape | None:
        """Return the shape that a value of the part has in the model, whose symbols may mean something else."""
        if value.shape is None:
            return None
        sizes = self._fit.sizes
        return shape_from([dim if isinstance(dim, int) else sizes.get(str(dim.value), "?") for dim in value.shape])

    def _put(self, graft: Graft, made: Mapping[str, ir.Value]) -> Grafted:
        main, done = self._edit.model.graph, graft.done
        done.changed = [*made]
        ours = [node for _, node in nodes_in(main) if self._readers.is_ours(node)]
        dead = {*unread(main, ours)}
        later = self._readers.behind_recovered(graft, made)
        self._insert(graft, made)
        for node, index, value in later:
            node.replace_input_with(index, value)
        replaced = {
            name: was for name in made if (was := self._values.get(self._readers.standing_in(name))) is not None
        }
        kept = {node for node in ours if not is_size_query(node)} - self._readers.computing_too(replaced)
        for carrier, was in replaced.items():
            new = made[carrier]
            new.type, new.shape = was.type or new.type, was.shape if was.shape is not None else new.shape
            rewire(main, was, new, kept | done.added.keys())
            if was.name == carrier:
                was.name = f"{carrier}.replaced"
        self._readers.check_reached(made)
        done.removed = [node for node in unread(main, ours) if node not in dead]
        remove(done.removed)
        self._drop_weights(done)
        graft.finish(self._call.module.fqn or "part", self._reserved())
        own = Node(output="", op_type="", owner=self._row, evidence=REPLACEMENT, confidence="high")
        around = {"owner": self._around(done.recovered), "evidence": "dataflow"}
        self._edit.owned.update(dict.fromkeys(done.added, own))
        self._edit.owned.update(dict.fromkeys(done.recovered, own.model_copy(update=around)))
        return done

    def _around(self, recovered: Sequence[ir.Node]) -> int:
        """Return the innermost call around this one that made recovered values, and did not get them."""
        made = {out.name for node in recovered for out in node.outputs}
        row = self._call.call.parent or 0
        while row and any(port.carrier in made for port in self._sidecar.calls[row].inputs):
            row = self._sidecar.calls[row].parent or 0
        return row

    def _insert(self, graft: Graft, carriers: Iterable[str]) -> None:
        """Put the new nodes into the graph that the call ran in, behind all that they read."""
        if not graft.nodes:
            return
        here = (self._values.get(name) for name in (*carriers, *self._call.origins.values()))
        graphs = (value.graph for value in here if value is not None and value.producer() is not None)
        graph = next((graph for graph in graphs if isinstance(graph, ir.Graph)), self._edit.model.graph)
        places = {node: place for place, node in enumerate(graph)}
        read = {value.producer() for node in graft.done.added for value in node.inputs if value is not None}
        last = max((places[node] for node in read if node in places), default=None)
        if last is not None:
            graph.insert_after(graph[last], graft.nodes)
        elif len(graph):
            graph.insert_before(graph[0], graft.nodes)
        else:
            graph.extend(graft.nodes)

    def _drop_weights(self, done: Grafted) -> None:
        """Take weights away that the call alone read."""
        graph = self._edit.model.graph
        kept = {port.carrier for port in self._call.call.inputs}
        for name in self._call.origins.values():
            value = graph.initializers.get(name)
            if value is not None and name not in kept and not value.uses() and not value.is_graph_output():
                del graph.initializers[name]
                done.weights_removed.append(name)
        gone = {*done.weights_removed}
        for digest in [digest for digest, value in self._edit.shared.items() if value.name in gone]:
            del self._edit.shared[digest]

    def _reserved(self) -> set[str]:
        """Return names that no new value may have: records say something else of them."""
        return self._made_names() | {name for row in self._sidecar.recovered for name in row.inputs}

    def _made_names(self) -> set[str]:
        """Return those of them that are of no weight, which may come back under the name that it had."""
        ports = (port for call in self._sidecar.calls for port in (*call.inputs, *call.outputs))
        made = (name for row in self._sidecar.recovered for name in row.outputs)
        return {*(port.carrier for port in ports), *made, *self._sidecar.sizes}


def _digest(port: Port) -> str:
    return f"port {port.carrier}"

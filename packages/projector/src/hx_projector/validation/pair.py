"""A model with its sidecar, and how their parts are called in messages."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx_ir as ir

from hx_graph import (
    CallTree,
    Cut,
    CutGraph,
    all_nodes,
    body_inputs,
    bring_into_order,
    ensure_well_formed,
    infer_types,
    is_size_query,
    lacks_queried_types,
    output_of,
    values_in,
)
from hx_projector._graph_index import GraphIndex, grouped, reachable
from hx_sidecar_schema import HxError, Module, ModuleCall, Sidecar


@dataclass(frozen=True)
class CallCut:
    """What the walk finds that cuts a call out."""

    row: int
    call: ModuleCall
    cut: Cut
    outputs: Sequence[str]
    """Values of the outputs that are used."""
    arguments: set[str]
    """Values of the inputs that are used, without implicit ones."""
    recovered: Mapping[str, Sequence[str]]
    """What nodes from before the exporter's optimisation make, with what they read."""
    stops: set[str]
    """Where the walk ends."""
    taken: Sequence[str]
    """Values that are computed inside."""
    read: set[str]
    """What the call's own nodes read, and its outputs."""


class ModelAndSidecar:
    """A model and its sidecar, with look-ups that no wrong row can make fail unless it is said."""

    def __init__(self, model: ir.Model, sidecar: Sidecar | Callable[[], Sidecar], path: Path) -> None:
        """Take a model as it was read from a path, and a parsed sidecar whose rows may contradict all else, or what reads it."""
        self.model, self.path = model, path
        self._sidecar = sidecar
        self.nodes = [((graph, output_of(node)), node) for graph, node in all_nodes(model)]
        """Graph path and first output, node; in the order that rows have."""

    @cached_property
    def sidecar(self) -> Sidecar:
        """The sidecar, read when a check first asks for it."""
        return self._sidecar if isinstance(self._sidecar, Sidecar) else self._sidecar()

    @property
    def is_part(self) -> bool:
        """Whether the model was cut out of another one: modules around it, and those not called, have no rows.

        A file of format 1.0 does not say so. There a root that is not the model's tells, or a summary without
        categories where the root's own call was cut out.
        """
        sidecar = self.sidecar
        inner = any(module.fqn for module in sidecar.modules[:1]) or any(call.index for call in sidecar.calls[:1])
        uncounted = bool(sidecar.nodes) and not sidecar.summary.category_statistics
        return sidecar.cut_from is not None or inner or uncounted

    @cached_property
    def found(self) -> dict[tuple[str, str], ir.Node]:
        """The model's nodes by graph path and first output."""
        return dict(self.nodes)

    @cached_property
    def main_owners(self) -> dict[str, int]:
        """The owners of the nodes of the main graph, by first outputs."""
        return {row.output: row.owner for row in self.sidecar.nodes if not row.graph}

    @cached_property
    def values(self) -> dict[str, list[ir.Value]]:
        """All values of the main graph and its bodies by name: inputs, weights, results of nodes."""
        return grouped((value.name, value) for value in values_in(self.model.graph) if value.name)

    @cached_property
    def tree(self) -> CallTree:
        """The tree of calls; only where these are in pre-order."""
        return CallTree(self.sidecar.calls)

    @cached_property
    def cut_graph(self) -> CutGraph:
        """The graph as cuts see it, with the owners that the rows name.

        Raises:
            HxError: HX202 if the model is not well-formed, which then has findings of its own: nothing can be cut out of it.
        """
        try:
            ensure_well_formed(self.model)
            bring_into_order(self.model)  # not where values go in a circle
        except ValueError as error:
            message = f"The model is not well-formed: {error}."
            raise HxError(message, code="HX202", hint="Mend the model first.") from error
        model, owners = self.model, {row.key: row.owner for row in self.sidecar.nodes}
        if lacks_queried_types(model):
            model = model.clone()
            infer_types(model)
        return CutGraph(model.graph, owners, self.sidecar.sizes, [row.name for row in self.sidecar.initializers])

    @cached_property
    def data(self) -> set[str]:
        """What nodes with owners make, in bodies too, of inputs of the model or of bodies, other than through sizes."""
        graph, known = self.model.graph, self.cut_graph
        data = {value.name for value in (*graph.inputs, *body_inputs(graph)) if not value.is_initializer()}
        for _, node in self.nodes:
            made = [out.name for out in node.outputs if out.name]
            if made and not is_size_query(node) and any(name in data for name in known.reads.get(made[0], ())):
                data.update(made)
        return {name for name in data if name in known.owners}

    @cached_property
    def index(self) -> GraphIndex:
        """Who produces and reads the values of the main graph."""
        return GraphIndex(self.model.graph)

    @cached_property
    def cuts(self) -> list[CallCut]:
        """The cuts of all extractable calls; only where rows refer to what is there."""
        calls = enumerate(self.sidecar.calls)
        return [self._cut(row, call) for row, call in calls if call.status == "extractable"]

    def _cut(self, row: int, call: ModuleCall) -> CallCut:
        rows = [self.sidecar.recovered[number] for number in call.recovered]
        recovered = {name: [read for read in node.inputs if read] for node in rows for name in node.outputs}
        arguments = [port for port in call.inputs if not port.implicit]
        outputs = [port.carrier for port in call.outputs if not port.unused]
        cut = self.cut_graph.cut(row, self.tree.end[row], arguments, outputs, recovered=recovered)
        stops = {*(port.carrier for port in call.inputs), *cut.implicit, *cut.sizes}

        def reads(name: str) -> Sequence[str]:
            return [] if name in stops else recovered.get(name) or self.cut_graph.reads.get(name, [])

        taken = [name for name in reachable(outputs, reads) if name not in stops]
        used = {port.carrier for port in arguments if not port.unused}
        owners, tree, known = self.cut_graph.owners, self.tree, self.cut_graph.reads
        own = (name for name in taken if tree.contains(row, owners.get(name, row)))
        read = {*outputs, *(other for name in own for other in recovered.get(name) or known.get(name, ()))}
        return CallCut(row, call, cut, outputs, used, recovered, stops, taken, read)

    @cached_property
    def module_rows(self) -> dict[str, int]:
        """Rows of modules by all their names."""
        modules = reversed(list(enumerate(self.sidecar.modules)))  # of one name the first counts
        return {name: row for row, module in modules for name in (module.fqn, *module.aliases)}

    def call_name(self, row: int) -> str:
        """Return how messages call a call: its module's name, `@1` for a later one; its number where a row is broken."""
        calls, modules = self.sidecar.calls, self.sidecar.modules
        if not (0 <= row < len(calls) and 0 <= calls[row].module < len(modules)):
            return f"call {row}"
        name = module_name(modules[calls[row].module])
        return f"{name}@{calls[row].index}" if calls[row].index else name

    def call_names(self, rows: Iterable[int]) -> str:
        """Return calls for a message, as `listed` does; `nobody` where there are none."""
        return listed(map(self.call_name, rows)) or "nobody"


def module_name(module: Module) -> str:
    """Return how messages call a module: its qualified name, or the tag of the root, which has none."""
    return module.fqn or module.tag


def listed(values: Iterable[object]) -> str:
    """Return values for a message: the first four, and how many more there are."""
    quoted = [repr(value) for value in values]
    more = f" and {len(quoted) - 4} more" if len(quoted) > 4 else ""
    return ", ".join(quoted[:4]) + more

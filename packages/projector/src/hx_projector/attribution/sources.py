"""Sources of evidence: each claims owners for the nodes that it knows something of.

A source is a function from an `AttributionInput` to claims. A strategy, or the caller of `project`, says which sources
are asked, in which order. Other packages add theirs under the entry point group `hx_projector.sources`.

The source `dataflow` goes by position: a node between nodes that stronger sources claim belongs to the call that these have
in common. Above a node that produces data is what its data comes from, below it where its results go; a constant or a size
serves the nodes that read it. On a side that is open the root may have made the node, so no such claim is of high confidence.
"""

import importlib.metadata
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import onnx_ir as ir

from hx_projector._claims import AttributionInput, Claim, Claims, Source
from hx_projector._graph_index import grouped
from hx_sidecar_schema import HxError, ModuleContext

ENTRY_POINTS = "hx_projector.sources"


def claim_by_exporter(given: AttributionInput) -> Claims:
    """Claim nodes for the call that ran their operation, as the exporter recorded it; of several, for their common call.

    Confidence is high, but medium for calls of a module whose runs the record does not tell apart, and for nodes of which
    it does not name all modules.
    """
    uncertain, nodes = set(given.context.unsure_calls), set(given.context.unsure_nodes)
    origins = given.context.origins
    owners = {key: given.tree.common(origins[key]) for key in given.graph.nodes if origins.get(key)}
    return {
        key: Claim(owner, "medium" if owner in uncertain or key in nodes else "high") for key, owner in owners.items()
    }


def claim_by_parameter(given: AttributionInput) -> Claims:
    """Claim, with medium confidence, nodes that read parameters of one module, which was called once.

    A module that was called several times says nothing: the order of nodes is not the order of calls. Nor does a weight that
    several nodes read where parameters are in the graph no more: exporters merge equal ones, as those of a fresh model are. The
    TorchScript exporter hands such a weight on by Identity nodes, which belong to who reads them.
    """
    context = given.context
    calls = calls_of_weights(context)
    known = {weight.parameter for weight in context.initializers}
    called = (context.modules[row] for row in {call.module for call in context.calls})
    if any(f"{module.fqn}.{name}".lstrip(".") not in known for module in called for name in module.direct_parameters):
        readers = Counter(name for names in given.graph.reads.values() for name in set(names))
        calls = {name: rows for name, rows in calls.items() if readers[name] == 1}
    claims: dict[str, Claim] = {}
    for key, names in given.graph.reads.items():
        owners = {row for name in names for row in calls.get(name, ())}
        if len(owners) == 1 and given.graph.nodes[key].op_type != "Identity":
            claims[key] = Claim(owners.pop(), "medium")
    return claims


def calls_of_weights(context: ModuleContext, others: Iterable[str] = ()) -> dict[str, list[int]]:
    """Return the calls of the modules that weights belong to: those of a context, and others that go by their own names.

    Of each at most two: several calls say nothing, however many they are.
    """
    modules = {module.fqn: row for row, module in enumerate(context.modules)}
    calls = grouped((call.module, row) for row, call in enumerate(context.calls))
    parameters = {name: name for name in others if "." in name}
    # A table made of a weight is read by others.
    parameters |= {w.name: w.parameter for w in context.initializers if w.parameter and w.transform != "folded"}
    owners = {name: modules.get(parameter.rpartition(".")[0]) for name, parameter in parameters.items()}
    return {name: calls.get(module, [])[:2] for name, module in owners.items() if module is not None}


class _Side(NamedTuple):
    """What lies above or below a node."""

    call: int | None
    """Common call of the nearest claimed nodes; None where there are none."""
    is_open: bool = False
    """Whether a model input is above, past all claimed nodes; or below, several calls or an output of the model."""


def claim_by_dataflow(given: AttributionInput) -> Claims:
    """Claim the nodes that no stronger source claims, by those around them.

    * Of data: the common call of the claimed nodes above and below; medium where both are that very call, else low. The
      root, low, where a side is open.
    * Of no data: the common call of its readers; medium where they are of one call and none is low, else low.
    * A copy of a model input that is a model output: the root, medium. Exporters copy what `forward` returns unchanged.
    """
    graph, stronger = given.graph, given.stronger
    unclaimed = [key for key in graph.nodes if key not in stronger]

    def common(sides: Iterable[_Side]) -> int | None:
        calls = {side.call for side in sides if side.call is not None}
        return given.tree.common(calls) if calls else None

    above = {key: _Side(claim.owner) for key, claim in stronger.items()}
    below = dict(above)
    for key in unclaimed:
        sources = [graph.producer.get(name) for name in graph.reads[key] if name in graph.data]
        sides = [above[source] for source in sources if source is not None]
        above[key] = _Side(common(sides), None in sources or any(side.is_open for side in sides))
    for key in reversed(unclaimed):
        sides = [below[reader] for reader in graph.readers_of(key)]
        is_open = len({side.call for side in sides}) != 1 or graph.is_handed_out(key)
        below[key] = _Side(common(sides), is_open or any(side.is_open for side in sides))

    claims: dict[str, Claim] = {}
    for key in unclaimed:
        up, down = above[key], below[key]
        owner = common((up, down))
        if key not in graph.data or owner is None:
            continue
        if up.call is None or down.call is None or up.is_open or down.is_open:
            claims[key] = Claim(0, "low")
        else:
            claims[key] = Claim(owner, "medium" if up.call == down.call else "low")
    for key in reversed(unclaimed):
        found = (stronger.get(reader) or claims.get(reader) for reader in graph.readers_of(key))
        readers = [claim for claim in found if claim is not None]
        if key not in graph.data and readers:
            owners = {claim.owner for claim in readers}
            low = any(claim.confidence == "low" for claim in readers)
            certain = len(owners) == 1 and not graph.is_handed_out(key) and not low
            claims[key] = Claim(given.tree.common(owners), "medium" if certain else "low")
    return claims | {key: Claim(0, "medium") for key in unclaimed if _hands_on(graph.nodes[key])}


def _hands_on(node: ir.Node) -> bool:
    """Say whether a node only copies an input of the model to an output."""
    if node.op_type != "Identity" or not node.inputs:
        return False
    source, out = node.inputs[0], node.outputs[0]
    return source is not None and source.is_graph_input() and out.is_graph_output()


SOURCES: dict[str, Source] = {
    "exporter": claim_by_exporter,
    "witness": lambda given: given.witness,
    "parameter": claim_by_parameter,
    "dataflow": claim_by_dataflow,
}


def find_source(name: str) -> Source:
    """Return a source by its name: one of hx's own, or one that another package adds; HX122 is raised if there is none."""
    if name in SOURCES:
        return SOURCES[name]
    others = {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name not in others:
        raise HxError(
            f"There is no source of evidence named {name!r}; there are {', '.join([*SOURCES, *others])}.",
            code="HX122",
            hint=f"Install the package that adds it under the entry point group {ENTRY_POINTS!r}.",
        )
    return others[name].load()

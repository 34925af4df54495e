"""Sources of evidence: each claims owners for the nodes that it knows something of.

A source is a function from an `AttributionInput` to claims. A strategy, or the caller of `project`, says which sources
are asked, in which order. Other packages add theirs under the entry point group `hx_projector.sources`.
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterable

from hx_projector._claims import AttributionInput, Claim, Claims, Source
from hx_projector.attribution.dataflow import claim_by_dataflow
from hx_sidecar_schema import HxError, ModuleContext

ENTRY_POINTS = "hx_projector.sources"


def claim_by_exporter(given: AttributionInput) -> Claims:
    """Claim nodes for the call that ran their operation, as the exporter recorded it; of several, for their common call.

    Confidence is high, but medium for calls of a module whose runs the record does not tell apart, and for nodes of which
    it does not name all modules.
    """
    uncertain, nodes = set(given.context.unsure_calls), set(given.context.unsure_nodes)
    claims: dict[str, Claim] = {}
    for key in given.graph.nodes:
        rows = given.context.origins.get(key)
        if rows:
            owner = given.tree.common(rows)
            claims[key] = Claim(owner, "medium" if owner in uncertain or key in nodes else "high")
    return claims


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
    """Return the calls of the modules that weights belong to: those of a context, and others that go by their own names."""
    modules = {module.fqn: row for row, module in enumerate(context.modules)}
    calls: dict[int, list[int]] = {}
    for row, call in enumerate(context.calls):
        calls.setdefault(call.module, []).append(row)
    parameters = {name: name for name in others if "." in name}
    # A table made of a weight is read by others.
    parameters |= {w.name: w.parameter for w in context.initializers if w.parameter and w.transform != "folded"}
    owners = {name: modules.get(parameter.rpartition(".")[0]) for name, parameter in parameters.items()}
    return {name: calls.get(module, []) for name, module in owners.items() if module is not None}


SOURCES: dict[str, Source] = {
    "exporter": claim_by_exporter,
    "witness": lambda given: given.witness,
    "parameter": claim_by_parameter,
    "dataflow": claim_by_dataflow,
}


def find_source(name: str) -> Source:
    """Return a source by its name: one of hx's own, or one that another package adds.

    Raises:
        HxError: HX122 if there is none of that name.
    """
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

"""Evidence for the owners of nodes: each source claims what it can, the stronger ones first.

A source is a function from a `Scene` to claims. Other packages add theirs under the entry point group
`hx_projector.sources`; a strategy, or the caller of `project`, says which sources it uses, in which order.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import onnx_ir as ir

from hx_graph import CallTree, is_size_query, output_of, reads
from hx_sidecar_schema import Confidence, HxError, ModuleContext

ENTRY_POINTS = "hx_projector.sources"


class Claim(NamedTuple):
    """Who made a node, as one source has it."""

    owner: int
    """Row of the call."""
    confidence: Confidence


Claims = Mapping[str, Claim]
"""By the first outputs of nodes of the main graph."""


@dataclass(frozen=True)
class Scene:
    """What sources look at."""

    nodes: Sequence[ir.Node]
    """Of the main graph, in topological order."""
    context: ModuleContext
    tree: CallTree
    known: Claims
    """What stronger sources claim."""
    witnessed: Claims
    """What equal values tie together; empty where no run was observed."""


Source = Callable[[Scene], Claims]


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


def _exporter(scene: Scene) -> Claims:
    """What the exporter itself recorded; of an operation made of several calls' ones, their common call."""
    tree = scene.tree
    unsure = set(scene.context.unsure_calls)
    claims: dict[str, Claim] = {}
    for node in scene.nodes:
        key = output_of(node)
        rows = scene.context.origins.get(key)
        if rows:
            owner = rows[0] if len(rows) == 1 else tree.common(rows)
            claims[key] = Claim(owner, "medium" if owner in unsure else "high")
    return claims


def _witness(scene: Scene) -> Claims:
    return scene.witnessed


def _parameter(scene: Scene) -> Claims:
    """A weight that one module owns, which was called once: the order of nodes is not the order of calls."""
    rows = {module.fqn: row for row, module in enumerate(scene.context.modules)}
    calls: dict[int, list[int]] = {}
    for row, call in enumerate(scene.context.calls):
        calls.setdefault(call.module, []).append(row)
    calls_of = {
        row.name: calls.get(module, [])
        for row in scene.context.initializers
        if row.parameter and row.transform != "folded"  # a table made of a weight is read by others
        if (module := rows.get(row.parameter.rpartition(".")[0])) is not None
    }
    claims: dict[str, Claim] = {}
    for node in scene.nodes:
        owners = {call for name in reads(node) for call in calls_of.get(name, ())}
        if len(owners) == 1:
            claims[output_of(node)] = Claim(owners.pop(), "medium")
    return claims


def _dataflow(scene: Scene) -> Claims:
    """What stands between known nodes belongs to the call that they have in common.

    A helper that no data flows through (a constant, a size) belongs to what it helps.
    """
    tree, known = scene.tree, scene.known
    silent = [node for node in scene.nodes if output_of(node) not in known]
    if not silent:
        return {}
    producer = {out.name: node for node in scene.nodes for out in node.outputs if out.name}
    graph = silent[0].graph
    inputs = {value.name for value in graph.inputs if not value.is_initializer()} if graph else set[str]()
    users: dict[str, list[ir.Node]] = {}
    data: set[str] = set(filter(None, inputs))
    for node in scene.nodes:
        names = reads(node)
        for name in names:
            users.setdefault(name, []).append(node)
        if not is_size_query(node) and any(name in data for name in names):
            data.update(out.name for out in node.outputs if out.name)

    def meet(rows: Iterable[int | None]) -> int | None:
        some = {row for row in rows if row is not None}
        return tree.common(some) if some else None

    above: dict[str, int | None] = {}
    """The common call of the known nodes that a node's data comes from; None where it comes from none."""
    from_inputs: set[str] = set()
    for node in scene.nodes:
        key = output_of(node)
        if key in known:
            above[key] = known[key].owner
            continue
        sources = [name for name in reads(node) if name in data]
        above[key] = meet(above[output_of(producer[name])] for name in sources if name in producer)
        if any(name not in producer or output_of(producer[name]) in from_inputs for name in sources):
            from_inputs.add(key)
    below: dict[str, int | None] = {}
    to_several: set[str] = set()
    """Nodes whose results reach several calls, or an output of the model."""
    claims: dict[str, Claim] = {}
    for node in reversed(scene.nodes):
        key = output_of(node)
        if key in known:
            below[key] = known[key].owner
            continue
        readers = [output_of(user) for out in node.outputs for user in users.get(out.name or "", ())]
        rows = {below[reader] for reader in readers}
        below[key] = meet(rows)
        if (
            len(rows) != 1
            or any(reader in to_several for reader in readers)
            or any(out.is_graph_output() for out in node.outputs)
        ):
            to_several.add(key)
    for node in silent:
        key = output_of(node)
        one = key not in to_several
        if any(out.name in data for out in node.outputs):
            ends = above[key] is None or key in from_inputs, below[key] is None or not one
            owner = meet((above[key], below[key]))
            if owner is None:
                continue
            enclosed = not any(ends) and above[key] == below[key]
            # What comes from the model's own inputs, or is handed out, may be the root's.
            claims[key] = Claim(0 if any(ends) else owner, "medium" if enclosed else "low")
    for node in reversed(silent):
        key = output_of(node)
        if key in claims or any(out.name in data for out in node.outputs):
            continue
        readers = {output_of(user) for out in node.outputs for user in users.get(out.name or "", ())}
        helped = [claim for reader in readers if (claim := known.get(reader) or claims.get(reader))]
        if helped:
            owners = {claim.owner for claim in helped}
            handed_out = any(out.is_graph_output() for out in node.outputs)
            sure = len(owners) == 1 and not handed_out and all(claim.confidence != "low" for claim in helped)
            claims[key] = Claim(tree.common(owners), "medium" if sure else "low")
    for node in silent:  # the root hands out one of its own arguments, and exporters copy it for that
        if node.op_type != "Identity" or not node.inputs:
            continue
        source, out = node.inputs[0], node.outputs[0]
        if source is not None and source.is_graph_input() and out.is_graph_output():
            claims[output_of(node)] = Claim(0, "medium")
    return claims


SOURCES: dict[str, Source] = {
    "exporter": _exporter,
    "witness": _witness,
    "parameter": _parameter,
    "dataflow": _dataflow,
}

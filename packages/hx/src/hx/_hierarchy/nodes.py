"""`hx nodes`: the nodes of a module by the names that other tools take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hx._paths import find_model
from hx.records.modules import NamedNode, NodesReport
from hx_cli._text import plural
from hx_sidecar_schema import HxError

if TYPE_CHECKING:
    from hx_cli._output import Output
    from hx_extractor import Hierarchy


def read_nodes(given: Path | None, patterns: Sequence[str], *, own: bool, output: Output) -> NodesReport:
    """Return the nodes of the calls that patterns name.

    Args:
        given: The ONNX file; None for the only export in the current folder.
        patterns: Of calls.
        own: Without the nodes of the calls inside them.
        output: Shows that work goes on; is told of names that nodes elsewhere have too.

    Raises:
        HxError: HX403 if there is no single export, HX401 if a pattern matches nothing, else as `hx_extractor.load`.
    """
    path = find_model(given)
    with output.working(f"Reading {path}"):
        from hx_extractor import load

        model = load(path)
    sidecar = model.sidecar
    rows = sorted({call.row for pattern in patterns for call in model.calls(pattern)})
    owners = {
        inner
        for row in rows
        for inner in (range(row, row + 1) if own else range(row, sidecar.subtree_end[row]))
    }
    names = _names(model)
    nodes = [
        NamedNode(
            name=name,
            op_type=node.op_type,
            graph=node.graph,
            output=node.output,
            tag=sidecar.tag(sidecar.calls[node.owner]),
        )
        for node, name in zip(sidecar.nodes, names, strict=True)
        if node.owner in owners
    ]
    _warn_of_shared(names, nodes, output)
    return NodesReport(
        model=str(path), calls=[sidecar.tag(sidecar.calls[row]) for row in rows], own=own, nodes=nodes
    )


def named(report: NodesReport) -> list[str]:
    """Return the names, each once.

    Raises:
        HxError: HX411 if the calls have no node, or one of them has no name: a tool that is given the others would
            leave it out.
    """
    of = ", ".join(report.calls[:3]) + (", ..." if len(report.calls) > 3 else "")
    if not report.nodes:
        raise HxError(
            f"{of} has no node{' of its own' if report.own else ''}.",
            code="HX411",
            hint="Leave --own out."
            if report.own
            else "Name the module around it; `hx tree` shows how many nodes each has.",
        )
    nameless = [node for node in report.nodes if not node.name]
    if nameless:
        raise HxError(
            f"{len(nameless)} of {plural(len(report.nodes), 'node')} of {of} have no name; the first is the "
            f"{nameless[0].op_type} that makes {nameless[0].output!r}.",
            code="HX411",
            hint="Take --json, which tells nodes by their outputs, or give every node of the file a name.",
        )
    return list(dict.fromkeys(node.name for node in report.nodes))


def _names(model: Hierarchy) -> list[str]:
    """Return the names of the nodes as they are in the file, which may have been given others since the export."""
    from hx_graph import nodes_in, output_of

    counts: Counter[str] = Counter()
    found: dict[str, str] = {}
    for _, node in nodes_in(model.model.graph):
        key = output_of(node)
        counts[key] += 1
        found[key] = node.name or ""
    return [found[node.output] if counts[node.output] == 1 else node.name for node in model.sidecar.nodes]


def _warn_of_shared(names: Sequence[str], nodes: Sequence[NamedNode], output: Output) -> None:
    """Names need not be unique: a tool that is given one takes all nodes of that name."""
    counts = Counter(names)
    shared = [
        name for name, count in Counter(node.name for node in nodes).items() if name and count < counts[name]
    ]
    if shared:
        output.warn(f"{plural(len(shared), 'name')} of these nodes other nodes have too, like {shared[0]!r}.")

"""The nodes of a module by the names that other tools take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hx._open import AnyHierarchy, name_of, opened
from hx.records.modules import NamedNode, NodesReport
from hx_extractor import Hierarchy
from hx_sidecar_schema import find_calls


def nodes(model: AnyHierarchy, modules: str | Sequence[str], *, own: bool = False) -> NodesReport:
    """Return the nodes of module calls, for tools that take names of nodes.

    Example:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> [node.op_type for node in hx.nodes(exported, "0").nodes]
        ['Gemm']

    Args:
        model: An export, or the file of one.
        modules: Patterns of calls.
        own: Without the nodes of the calls inside them.

    Raises:
        HxError: HX401 if a pattern matches nothing; else as `load`.
    """
    hierarchy = opened(model)
    sidecar = hierarchy.sidecar
    rows = find_calls(sidecar, modules)
    owners = {inner for row in rows for inner in (range(row, row + 1) if own else range(row, sidecar.subtree_end[row]))}
    names = _names(hierarchy)
    named = [
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
    everywhere, here = Counter(names), Counter(node.name for node in named)
    return NodesReport(
        model=name_of(model),
        calls=[sidecar.tag(sidecar.calls[row]) for row in rows],
        own=own,
        nodes=named,
        shared=[name for name, count in here.items() if name and count < everywhere[name]],
    )


def _names(model: Hierarchy) -> list[str]:
    """Return the names of the nodes as they are in the file, which may have been given others since the export."""
    rows = model.sidecar.nodes
    if model.is_unchanged:
        return [node.name for node in rows]
    from hx_graph import nodes_in, output_of

    counts: Counter[str] = Counter()
    found: dict[str, str] = {}
    for _, node in nodes_in(model.model.graph):
        key = output_of(node)
        counts[key] += 1
        found[key] = node.name or ""
    return [found[row.output] if counts[row.output] == 1 else row.name for row in rows]

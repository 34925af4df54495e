"""`hx tree`: the calls of an export, with what each holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hx._paths import find_model
from hx.records.reports import TreeEntry, TreeReport
from hx_sidecar_schema import Sidecar, depths

if TYPE_CHECKING:
    from hx_cli._output import Output
    from hx_extractor import Hierarchy


def read_tree(
    given: Path | None, *, patterns: Sequence[str], depth: int | None, everything: bool, output: Output
) -> TreeReport:
    """Return the calls of an export, a parent before its children.

    Args:
        given: The ONNX file; None for the only export in the current folder.
        patterns: Show these calls and what is below them; empty for the whole model.
        depth: Levels below each of them; None for all.
        everything: Untagged modules too. What an untagged call holds counts for the nearest call that is shown.
        output: Shows that work goes on.

    Raises:
        HxError: HX403 if there is no single export, HX401 if a pattern matches nothing, else as `hx_extractor.load`.
    """
    path = find_model(given)
    with output.working(f"Reading {path}"):
        from hx_extractor import load

        model = load(path)
    sidecar = model.sidecar
    parents = _parents(sidecar)
    roots = sorted({call.row for pattern in patterns for call in model.calls(pattern)})
    entries = _entries(model, parents, roots or [0], depth, everything or bool(roots))
    return TreeReport(model=str(path), calls=entries)


def _entries(
    model: Hierarchy,
    parents: Sequence[int | None],
    roots: Sequence[int],
    depth: int | None,
    everything: bool,
) -> list[TreeEntry]:
    sidecar = model.sidecar
    children: dict[int, list[int]] = {}
    for row, parent in enumerate(parents):
        if parent is not None:
            children.setdefault(parent, []).append(row)
    nodes, weights = _held(model, parents)
    entries: list[TreeEntry] = []

    def add(row: int, parent: int | None, level: int, root: bool) -> int:
        """Append a call and those below it; return how many of its nodes no other appended call has."""
        call, position = sidecar.calls[row], len(entries)
        module = sidecar.module_of(call)
        shown = root or everything or module.tagged
        own = nodes[row] - sum(nodes[child] for child in children.get(row, ()))
        if shown:
            entries.append(
                TreeEntry(
                    fqn=module.fqn,
                    call=call.index,
                    tag=sidecar.tag(call),
                    class_name=module.class_name,
                    parent=parent,
                    depth=level,
                    status=call.status,
                    reason=call.reason,
                    nodes=nodes[row],
                    own_nodes=own,
                    weights=weights[row],
                    parameters=module.parameters,
                )
            )
        inner = (position, level + 1) if shown else (parent, level)
        for child in children.get(row, ()):
            if depth is not None and inner[1] > depth:
                own += nodes[child]
            else:
                own += add(child, *inner, root=False)
        if not shown:
            return own
        entries[position] = entries[position].model_copy(update={"own_nodes": own})
        return 0

    for root in roots:
        add(root, None, 0, root=True)
    return entries


def _parents(sidecar: Sidecar) -> list[int | None]:
    """Return each call's parent; a module that was never called hangs below the first call of its parent module."""
    first: dict[int, int] = {}
    for row, call in enumerate(sidecar.calls):
        first.setdefault(call.module, row)
    parents: list[int | None] = []
    for row, call in enumerate(sidecar.calls):
        parent = call.parent
        module: int | None = call.module
        while parent is None and row and module is not None:
            module = sidecar.modules[module].parent
            parent = first.get(module) if module is not None else 0
        parents.append(parent)
    return parents


def _held(model: Hierarchy, parents: Sequence[int | None]) -> tuple[list[int], list[int]]:
    """Return how many nodes, and how many weights read by them, each call and those below it have."""
    from hx_graph import output_of, reads

    sidecar = model.sidecar
    nodes = [0] * len(sidecar.calls)
    read: list[set[str]] = [set() for _ in sidecar.calls]
    owners = {node.output: node.owner for node in sidecar.nodes if not node.graph}
    for node in sidecar.nodes:
        nodes[node.owner] += 1
    for node in model.model.graph:
        owner = owners.get(output_of(node))
        if owner is not None:
            read[owner].update(name for name in reads(node) if name in model.model.graph.initializers)
    levels = depths(parents)
    for row in sorted(range(len(parents)), key=levels.__getitem__, reverse=True):
        parent = parents[row]
        if parent is not None:
            nodes[parent] += nodes[row]
            read[parent] |= read[row]
    sizes = {name: _elements(value.shape) for name, value in model.model.graph.initializers.items()}
    return nodes, [sum(sizes[name] for name in names) for names in read]


def _elements(shape: object) -> int:
    return math.prod(dim for dim in shape if isinstance(dim, int)) if shape is not None else 0  # type: ignore[attr-defined]

"""Calls of the modules that a file names: how often each ran, and which call ran inside which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import onnx_ir as ir

from hx_graph import output_of, reads
from hx_projector.file_metadata.claims import FileClaim
from hx_projector.file_metadata.modules import parent_name
from hx_sidecar_schema import ModuleCall

_SEVERAL = "It ran several times, and the file does not say which node belongs to which run."

CallKey = tuple[str, int]
"""Qualified name of the module, and index of the call."""


def indistinct_modules(
    nodes: Iterable[ir.Node], claims: Mapping[str, FileClaim], module_of_weight: Mapping[str, str], fqns: list[str]
) -> set[str]:
    """Return the modules that ran several times without the file telling the runs apart.

    These read a weight of their own more than once. So ran all modules above them, up to the first one below which some
    module reads its weights once. Qualified names of modules have parents before children.
    """
    uses: Counter[str] = Counter()
    for node in nodes:
        claim = claims.get(output_of(node))
        if claim is not None and claim.index is None:
            uses.update(name for name in set(reads(node)) if module_of_weight.get(name) == claim.fqn)
    runs: dict[str, int] = {}
    for name, count in uses.items():
        runs[module_of_weight[name]] = max(runs.get(module_of_weight[name], 0), count)
    fewest = dict(runs)
    """Of a module and those below it."""
    for fqn in reversed(fqns):
        if fqn and fqn in fewest:
            above = parent_name(fqn)
            fewest[above] = min(fewest[fqn], fewest.get(above, fewest[fqn]))
    return {fqn for fqn in fqns if fqn and fewest.get(fqn, 0) > 1}


def calls_of(
    fqns: list[str], counts: Mapping[str, int], indistinct: set[str]
) -> tuple[dict[CallKey, int], list[ModuleCall]]:
    """Return the rows of calls, and the calls in pre-order. A later call of a child lies in a later call of its parent.

    How often modules were called is given, the root once. Calls of indistinct modules stand for several runs: they are
    `fused`.
    """
    modules = {fqn: row for row, fqn in enumerate(fqns)}
    children: dict[str, list[str]] = {}
    for fqn in fqns:
        if fqn and fqn in counts:
            caller = parent_name(fqn)
            while caller not in counts:
                caller = parent_name(caller)
            children.setdefault(caller, []).append(fqn)
    rows: dict[CallKey, int] = {}
    calls: list[ModuleCall] = []
    pending: list[tuple[CallKey, int | None]] = [(("", 0), None)]
    while pending:
        key, parent = pending.pop()
        rows[key] = len(calls)
        fqn, index = key
        calls.append(
            ModuleCall(
                module=modules[fqn],
                index=index,
                parent=parent,
                status="fused" if fqn in indistinct else "extractable",
                reason=_SEVERAL if fqn in indistinct else "",
            )
        )
        below = [
            (child, number)
            for child in children.get(fqn, [])
            for number in range(counts[child])
            if number * counts[fqn] // counts[child] == index
        ]
        pending += [(other, rows[key]) for other in reversed(below)]
    return rows, calls

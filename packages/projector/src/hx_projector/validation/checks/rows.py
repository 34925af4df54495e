"""Whether rows and nodes are one to one, and references lead somewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hx_projector.validation.findings import Finding
from hx_projector.validation.pair import ModelAndSidecar, listed, module_name, node_name
from hx_sidecar_schema import Node, Sidecar


def node_rows(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that every node of the file has exactly one row, and every row its node (V11, V12, V13)."""
    rows = Counter((row.graph, row.output) for row in pair.sidecar.nodes)
    nodes = Counter((path, output) for path, output, _ in pair.nodes)
    for key, amount in nodes.items():
        name, have = node_name(*key), rows.get(key, 0)
        if have < amount:
            yield Finding.of("V11", name, f"No row says who made this {pair.found[key].op_type}.")
        elif have > amount:
            owners = [row.owner for row in pair.sidecar.nodes if (row.graph, row.output) == key]
            yield Finding.of("V12", name, f"It has {have} rows, with the owners {listed(map(pair.call_name, owners))}.")
    for row in pair.sidecar.nodes:
        if (row.graph, row.output) not in nodes:
            name = node_name(row.graph, row.output)
            yield Finding.of("V13", name, f"The model has no such {row.op_type}.")


def node_facts(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that rows repeat the operator and name of their nodes, and stand in their order (V14, V15)."""
    ordered = True
    for row, (path, output, _) in zip(pair.sidecar.nodes, pair.nodes, strict=True):
        node = pair.found[row.graph, row.output]
        name = node_name(row.graph, row.output)
        if row.op_type != node.op_type:
            yield Finding.of("V14", name, f"The row says {row.op_type}, the model {node.op_type}.")
        elif row.name != (node.name or ""):
            yield Finding.of("V14", name, f"The row calls the node {row.name!r}, the model {node.name or ''!r}.")
        if ordered and (row.graph, row.output) != (path, output):
            ordered = False
            there = node_name(path, output)
            yield Finding.of("V15", name, f"Its row stands where that of {there!r} belongs; others may follow.")


def module_references(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that `parent` of a module and `module` of a call are rows of modules (V10)."""
    count = len(pair.sidecar.modules)
    for module in pair.sidecar.modules:
        if module.parent is not None and not 0 <= module.parent < count:
            yield _nowhere(module_name(module), "parent", module.parent, "modules", count)
    for row, call in enumerate(pair.sidecar.calls):
        if not 0 <= call.module < count:
            yield _nowhere(f"call {row}", "module", call.module, "modules", count)


def call_references(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that `parent` and `recovered` of a call are rows (V10)."""
    calls, recovered = len(pair.sidecar.calls), len(pair.sidecar.recovered)
    for row, call in enumerate(pair.sidecar.calls):
        if call.parent is not None and not 0 <= call.parent < calls:
            yield _nowhere(pair.call_name(row), "parent", call.parent, "calls", calls)
        for number in call.recovered:
            if not 0 <= number < recovered:
                yield _nowhere(pair.call_name(row), "recovered", number, "recovered", recovered)


def node_references(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that owners, consumers, covered calls, readers and those of disagreements are rows of calls (V10)."""
    count = len(pair.sidecar.calls)
    for name, field, rows in _references(pair.sidecar):
        for row in rows:
            if not 0 <= row < count:
                yield _nowhere(name, field, row, "calls", count)


def _references(sidecar: Sidecar) -> Iterator[tuple[str, str, list[int]]]:
    """Yield nodes and weights with each field that names calls, and the rows of these."""
    for node in sidecar.nodes:
        name = node_name(node.graph, node.output)
        yield name, "owner", [node.owner]
        yield name, "consumers", node.consumers
        yield name, "covers", node.covers
    for weight in sidecar.initializers:
        yield weight.name, "readers", weight.readers
    for row in sidecar.disagreements:
        yield row.output, "disagreements.owner", [row.owner]
        yield row.output, "disagreements.other", [row.other]


def covered_calls(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that the owner of a node that stands for nodes of several calls is their common call (V44)."""
    for node in pair.sidecar.nodes:
        problem = _coverage_problem(node, pair)
        if problem:
            yield Finding.of("V44", node_name(node.graph, node.output), problem)


def _coverage_problem(node: Node, pair: ModelAndSidecar) -> str:
    if len(set(node.originals)) < len(node.originals):
        return "`originals` names a node twice."
    if not node.covers:
        return ""
    calls = listed(map(pair.call_name, node.covers))
    if len(set(node.covers)) < 2:
        return f"`covers` names {calls}: one call alone is the owner."
    if not node.originals:
        return "`covers` names calls, and `originals` no node that they own."
    common = pair.tree.common(node.covers)
    if common != node.owner:
        return (
            f"It covers {calls}, which have {pair.call_name(common)!r} in common; the owner is "
            f"{pair.call_name(node.owner)!r}."
        )
    return ""


def _nowhere(name: str, field: str, row: int, what: str, count: int) -> Finding:
    return Finding.of("V10", name, f"`{field}` is row {row} of `{what}`, which has {count}.")

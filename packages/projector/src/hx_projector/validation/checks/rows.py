"""Whether rows and nodes are one to one, and references lead somewhere."""

from __future__ import annotations

from collections import Counter

from hx_projector.validation.findings import Finding
from hx_projector.validation.subject import Subject, module_name, named, node_name
from hx_sidecar_schema import Node


def node_rows(subject: Subject) -> list[Finding]:
    """Every node of the file has exactly one row, and every row its node (V11, V12, V13)."""
    rows = Counter((row.graph, row.output) for row in subject.sidecar.nodes)
    nodes = Counter((path, output) for path, output, _ in subject.nodes)
    findings: list[Finding] = []
    for (path, output), amount in nodes.items():
        have = rows.get((path, output), 0)
        name = node_name(path, output)
        if have < amount:
            op_type = subject.found[path, output].op_type
            findings.append(Finding.of("V11", name, f"No row says who made this {op_type}."))
        elif have > amount:
            owners = [r.owner for r in subject.sidecar.nodes if (r.graph, r.output) == (path, output)]
            who = named(subject.owner_name(owner) for owner in owners)
            findings.append(Finding.of("V12", name, f"It has {have} rows, with the owners {who}."))
    findings += [
        Finding.of("V13", node_name(row.graph, row.output), f"The model has no such {row.op_type}.")
        for row in subject.sidecar.nodes
        if (row.graph, row.output) not in nodes
    ]
    return findings


def node_facts(subject: Subject) -> list[Finding]:
    """Rows repeat the operator and name of their nodes, and stand in their order (V14, V15)."""
    findings: list[Finding] = []
    ordered = True
    for row, (path, output, _) in zip(subject.sidecar.nodes, subject.nodes, strict=True):
        node = subject.found[row.graph, row.output]
        name = node_name(row.graph, row.output)
        if row.op_type != node.op_type:
            findings.append(Finding.of("V14", name, f"The row says {row.op_type}, the model {node.op_type}."))
        elif row.name != (node.name or ""):
            findings.append(
                Finding.of(
                    "V14", name, f"The row calls the node {row.name!r}, the model {node.name or ''!r}."
                )
            )
        if ordered and (row.graph, row.output) != (path, output):
            ordered = False
            there = node_name(path, output)
            findings.append(
                Finding.of("V15", name, f"Its row stands where that of {there!r} belongs; others may follow.")
            )
    return findings


def module_references(subject: Subject) -> list[Finding]:
    """`parent` of a module and `module` of a call are rows of modules (V10)."""
    sidecar, findings = subject.sidecar, list[Finding]()
    count = len(sidecar.modules)
    for module in sidecar.modules:
        if module.parent is not None and not 0 <= module.parent < count:
            findings.append(_nowhere(module_name(module), "parent", module.parent, "modules", count))
    for row, call in enumerate(sidecar.calls):
        if not 0 <= call.module < count:
            findings.append(_nowhere(f"call {row}", "module", call.module, "modules", count))
    return findings


def call_references(subject: Subject) -> list[Finding]:
    """`parent` and `recovered` of a call are rows (V10)."""
    sidecar, findings = subject.sidecar, list[Finding]()
    for row, call in enumerate(sidecar.calls):
        if call.parent is not None and not 0 <= call.parent < len(sidecar.calls):
            findings.append(
                _nowhere(subject.call_name(row), "parent", call.parent, "calls", len(sidecar.calls))
            )
        findings += [
            _nowhere(subject.call_name(row), "recovered", number, "recovered", len(sidecar.recovered))
            for number in call.recovered
            if not 0 <= number < len(sidecar.recovered)
        ]
    return findings


def node_references(subject: Subject) -> list[Finding]:
    """Owners, consumers, covered calls and those of disagreements are rows of calls (V10)."""
    count, findings = len(subject.sidecar.calls), list[Finding]()

    def check(name: str, field: str, rows: list[int]) -> None:
        findings.extend(_nowhere(name, field, row, "calls", count) for row in rows if not 0 <= row < count)

    for node in subject.sidecar.nodes:
        name = node_name(node.graph, node.output)
        check(name, "owner", [node.owner])
        check(name, "consumers", node.consumers)
        check(name, "covers", node.covers)
    for row in subject.sidecar.disagreements:
        check(row.output, "disagreements.owner", [row.owner])
        check(row.output, "disagreements.other", [row.other])
    return findings


def covered_calls(subject: Subject) -> list[Finding]:
    """Of a node that stands for several calls' ones, the owner is what those have in common (V44)."""
    findings: list[Finding] = []
    for node in subject.sidecar.nodes:
        problem = _covers(node, subject)
        if problem:
            findings.append(Finding.of("V44", node_name(node.graph, node.output), problem))
    return findings


def _covers(node: Node, subject: Subject) -> str:
    if len(set(node.originals)) < len(node.originals):
        return "`originals` names a node twice."
    if not node.covers:
        return ""
    if len(set(node.covers)) < 2:
        return f"`covers` names {named(map(subject.call_name, node.covers))}: one call alone is the owner."
    if not node.originals:
        return "`covers` names calls, and `originals` no node that they own."
    common = subject.tree.common(node.covers)
    if common != node.owner:
        return (
            f"It covers {named(map(subject.call_name, node.covers))}, which have {subject.call_name(common)!r} in "
            f"common; the owner is {subject.call_name(node.owner)!r}."
        )
    return ""


def _nowhere(name: str, field: str, row: int, what: str, count: int) -> Finding:
    return Finding.of("V10", name, f"`{field}` is row {row} of `{what}`, which has {count}.")

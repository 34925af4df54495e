"""Rewriting what the model and the other rows give; nothing else, and nothing that rests on rows that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from hx_projector.validation.checks.modules import recomputed_tags
from hx_projector.validation.checks.owners import recomputed_consumers
from hx_projector.validation.checks.summary import model_info, recomputed_info, recomputed_summary, summary
from hx_projector.validation.findings import Change, Finding
from hx_projector.validation.subject import Subject, module_name, named, node_name
from hx_sidecar_schema import SIDECAR_VERSION, Sidecar

_NODES = ("V11", "V12", "V13")
_CALLS = ("V10", "V20", "V21", "V22", "V23")
_MODULES = ("V50", "V53")
_NOW = "Now the sidecar says that too."


@dataclass(frozen=True)
class Repair:
    """What was rewritten, and what was left."""

    sidecar: Sidecar
    changes: list[Change]
    """What was wrong, with what it is now as the message."""
    refused: dict[str, str]
    """Codes that could be repaired in general, with the reason why they were not here."""


def repair(model: ir.Model, sidecar: Sidecar, path: Path, findings: Iterable[Finding]) -> Repair:
    """Return a sidecar in which everything that can be computed from the model and sound rows is right.

    A digest is never rewritten: where it differs, the rows are of another graph, and nothing is repaired. Owners,
    calls, ports and modules are records of a run, which nothing can give back.

    Args:
        model: Not changed.
        sidecar: Not changed.
        path: The model's file.
        findings: What `validate` found.
    """
    codes = {finding.code for finding in findings}
    changes: list[Change] = []
    refused: dict[str, str] = {}
    for step in _STEPS:
        asked = codes & set(step.codes)
        if not asked:
            continue
        blocked = sorted(codes & {"V03", *step.blocked_by})
        if blocked:
            refused.update((code, f"{', '.join(blocked)} comes first.") for code in sorted(asked))
            continue
        sidecar, made = step.run(Subject(model, sidecar), path)
        changes += made
        if not made:
            refused.update((code, "What is right cannot be told from this file.") for code in sorted(asked))
    if changes and sidecar.schema_version != SIDECAR_VERSION:
        # It is written in the newest format, where rows alone say how many nodes are known.
        sidecar = sidecar.model_copy(update={"schema_version": SIDECAR_VERSION})
        summarised = recomputed_summary(Subject(model, sidecar))
        sidecar = sidecar.model_copy(update={"summary": summarised})
    return Repair(sidecar, changes, refused)


Rewritten = tuple[Sidecar, list[Change]]


@dataclass(frozen=True)
class _Step:
    codes: tuple[str, ...]
    blocked_by: Collection[str]
    run: Callable[[Subject, Path], Rewritten]


def _order(subject: Subject, path: Path) -> Rewritten:
    rows = {(row.graph, row.output): row for row in subject.sidecar.nodes}
    nodes = [rows[graph, output] for graph, output, _ in subject.nodes]
    moved = sum(one is not other for one, other in zip(nodes, subject.sidecar.nodes, strict=True))
    return (
        subject.sidecar.model_copy(update={"nodes": nodes}),
        [Change(code="V15", subject="nodes", message=f"{moved} rows were put where their nodes stand.")],
    )


def _facts(subject: Subject, path: Path) -> Rewritten:
    changes: list[Change] = []
    nodes = list(subject.sidecar.nodes)
    for index, row in enumerate(nodes):
        node = subject.found[row.graph, row.output]
        right = {"op_type": node.op_type, "name": node.name or ""}
        if right != {"op_type": row.op_type, "name": row.name}:
            nodes[index] = row.model_copy(update=right)
            was, now = f"{row.op_type} {row.name!r}", f"{node.op_type} {node.name or ''!r}"
            changes.append(
                Change(code="V14", subject=node_name(row.graph, row.output), message=f"{was} is now {now}.")
            )
    return subject.sidecar.model_copy(update={"nodes": nodes}), changes


def _info(subject: Subject, path: Path) -> Rewritten:
    right = recomputed_info(subject, path.name)
    after = Subject(subject.model, subject.sidecar.model_copy(update={"model": right}))
    left = {finding.subject for finding in model_info(after, path.name)}
    changes = [
        Change(code="V04", subject=finding.subject, message=f"{finding.message} {_NOW}")
        for finding in model_info(subject, path.name)
        if finding.subject not in left
    ]
    return after.sidecar, changes


def _tags(subject: Subject, path: Path) -> Rewritten:
    right = recomputed_tags(subject)
    if right is None:
        return subject.sidecar, []
    modules = subject.sidecar.modules
    changes = [
        Change(code="V52", subject=module_name(module), message=f"{module.tag!r} is now {tag!r}.")
        for module, tag in zip(modules, right, strict=True)
        if module.tag != tag
    ]
    rewritten = [module.model_copy(update={"tag": tag}) for module, tag in zip(modules, right, strict=True)]
    return subject.sidecar.model_copy(update={"modules": rewritten}), changes


def _consumers(subject: Subject, path: Path) -> Rewritten:
    changes: list[Change] = []
    nodes = list(subject.sidecar.nodes)
    for index, right in enumerate(recomputed_consumers(subject)):
        row = nodes[index]
        if row.consumers != right:
            nodes[index] = row.model_copy(update={"consumers": right})
            was, now = (named(map(subject.owner_name, rows)) or "nobody" for rows in (row.consumers, right))
            changes.append(
                Change(code="V40", subject=node_name(row.graph, row.output), message=f"{was} is now {now}.")
            )
    return subject.sidecar.model_copy(update={"nodes": nodes}), changes


def _summary(subject: Subject, path: Path) -> Rewritten:
    changes = [
        Change(code="V60", subject=finding.subject, message=f"{finding.message} {_NOW}")
        for finding in summary(subject)
    ]
    return subject.sidecar.model_copy(update={"summary": recomputed_summary(subject)}), changes


_STEPS = (
    _Step(("V15",), _NODES, _order),
    _Step(("V14",), _NODES, _facts),
    _Step(("V04",), (), _info),
    _Step(("V51", "V52"), ("V10", *_MODULES), _tags),
    # A wrong owner or parent shows in the consumers too: to rewrite those would hide it.
    _Step(("V40",), (*_NODES, *_CALLS, "V41", "V42", "V43", "V44"), _consumers),
    _Step(("V60",), (*_NODES, "V10", "V42"), _summary),
)

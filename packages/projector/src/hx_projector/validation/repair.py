"""Rewriting of what the model and the sound rows imply: nothing else, and nothing that rests on wrong rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from hx_projector.validation.checks.modules import expected_tags
from hx_projector.validation.checks.owners import expected_consumers
from hx_projector.validation.checks.ports import expected_weights, weight_readers
from hx_projector.validation.checks.summary import expected_info, expected_summary, model_info, summary
from hx_projector.validation.findings import Change, Finding
from hx_projector.validation.pair import ModelAndSidecar, listed, module_name, node_name
from hx_sidecar_schema import SIDECAR_VERSION, Sidecar

_NODES = ("V11", "V12", "V13")
_CALLS = ("V10", "V20", "V21", "V22", "V23")
_MODULES = ("V50", "V53")


@dataclass(frozen=True)
class Repair:
    """What was rewritten, and what was left."""

    sidecar: Sidecar
    changes: list[Change]
    """What was wrong, with what it is now."""
    refused: dict[str, str]
    """Codes that can be repaired in general, with the reason why they were not here."""


def repair(model: ir.Model, sidecar: Sidecar, path: Path, findings: Iterable[Finding]) -> Repair:
    """Return a sidecar in which everything that the model and sound rows imply is right.

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
        found = codes & set(step.codes)
        if not found:
            continue
        blocked = sorted(codes & {"V03", *step.blocked_by})
        if blocked:
            refused.update((code, f"{', '.join(blocked)} comes first.") for code in sorted(found))
            continue
        sidecar, made = step.run(ModelAndSidecar(model, sidecar), path)
        changes += made
        if not made:
            refused.update((code, "What is right cannot be told from this file.") for code in sorted(found))
    if changes and sidecar.schema_version != SIDECAR_VERSION:
        # It is written in the newest format, where rows alone say how many nodes are known.
        sidecar = sidecar.model_copy(update={"schema_version": SIDECAR_VERSION})
        summarised = expected_summary(ModelAndSidecar(model, sidecar))
        sidecar = sidecar.model_copy(update={"summary": summarised})
    return Repair(sidecar, changes, refused)


Rewritten = tuple[Sidecar, list[Change]]


@dataclass(frozen=True)
class _Step:
    codes: tuple[str, ...]
    blocked_by: Collection[str]
    run: Callable[[ModelAndSidecar, Path], Rewritten]


def _repair_order(pair: ModelAndSidecar, path: Path) -> Rewritten:
    rows = {(row.graph, row.output): row for row in pair.sidecar.nodes}
    nodes = [rows[graph, output] for graph, output, _ in pair.nodes]
    moved = sum(one is not other for one, other in zip(nodes, pair.sidecar.nodes, strict=True))
    change = Change(code="V15", subject="nodes", message=f"{moved} rows were put where their nodes stand.")
    return pair.sidecar.model_copy(update={"nodes": nodes}), [change]


def _repair_node_facts(pair: ModelAndSidecar, path: Path) -> Rewritten:
    changes: list[Change] = []
    nodes = list(pair.sidecar.nodes)
    for index, row in enumerate(nodes):
        node = pair.found[row.graph, row.output]
        if (row.op_type, row.name) != (node.op_type, node.name or ""):
            nodes[index] = row.model_copy(update={"op_type": node.op_type, "name": node.name or ""})
            was, now = f"{row.op_type} {row.name!r}", f"{node.op_type} {node.name or ''!r}"
            changes.append(_replaced("V14", node_name(row.graph, row.output), was, now))
    return pair.sidecar.model_copy(update={"nodes": nodes}), changes


def _repair_model_info(pair: ModelAndSidecar, path: Path) -> Rewritten:
    info = expected_info(pair, path.name)
    repaired = ModelAndSidecar(pair.model, pair.sidecar.model_copy(update={"model": info}))
    remaining = {finding.subject for finding in model_info(repaired, path.name)}
    changes = [_adopted(found) for found in model_info(pair, path.name) if found.subject not in remaining]
    return repaired.sidecar, changes


def _repair_tags(pair: ModelAndSidecar, path: Path) -> Rewritten:
    expected = expected_tags(pair)
    if expected is None:
        return pair.sidecar, []
    modules = list(zip(pair.sidecar.modules, expected, strict=True))
    changes = [
        _replaced("V52", module_name(module), repr(module.tag), repr(tag))
        for module, tag in modules
        if module.tag != tag
    ]
    repaired = [module.model_copy(update={"tag": tag}) for module, tag in modules]
    return pair.sidecar.model_copy(update={"modules": repaired}), changes


def _repair_consumers(pair: ModelAndSidecar, path: Path) -> Rewritten:
    changes: list[Change] = []
    nodes = list(pair.sidecar.nodes)
    for index, expected in enumerate(expected_consumers(pair)):
        row = nodes[index]
        if row.consumers != expected:
            nodes[index] = row.model_copy(update={"consumers": expected})
            was, now = (listed(map(pair.call_name, rows)) or "nobody" for rows in (row.consumers, expected))
            changes.append(_replaced("V40", node_name(row.graph, row.output), was, now))
    return pair.sidecar.model_copy(update={"nodes": nodes}), changes


def _repair_weights(pair: ModelAndSidecar, path: Path) -> Rewritten:
    repaired = pair.sidecar.model_copy(update={"initializers": expected_weights(pair)})
    return repaired, [_adopted(found) for found in weight_readers(pair)]


def _repair_summary(pair: ModelAndSidecar, path: Path) -> Rewritten:
    repaired = pair.sidecar.model_copy(update={"summary": expected_summary(pair)})
    return repaired, [_adopted(found) for found in summary(pair)]


def _replaced(code: str, subject: str, was: str, now: str) -> Change:
    return Change(code=code, subject=subject, message=f"{was} is now {now}.")


def _adopted(finding: Finding) -> Change:
    """Return the change where the sidecar took over what a finding says of the model."""
    message = f"{finding.message} Now the sidecar says that too."
    return Change(code=finding.code, subject=finding.subject, message=message)


_STEPS = (
    _Step(("V15",), _NODES, _repair_order),
    _Step(("V14",), _NODES, _repair_node_facts),
    _Step(("V04",), (), _repair_model_info),
    _Step(("V51", "V52"), ("V10", *_MODULES), _repair_tags),
    # A wrong owner or parent shows in the consumers too: to rewrite those would hide it.
    _Step(("V40",), (*_NODES, *_CALLS, "V41", "V42", "V43", "V44"), _repair_consumers),
    _Step(("V38",), (*_NODES, *_CALLS, "V35", "V36", "V41", "V42", "V43", "V44"), _repair_weights),
    _Step(("V60",), (*_NODES, "V10", "V42"), _repair_summary),
)

"""Whether a model and its sidecar agree: a table of checks, each with what must be sound before it can be made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from hx_projector.validation.checks.calls import call_indices, call_tree, called_modules, callers, statuses
from hx_projector.validation.checks.model import checker, runtime
from hx_projector.validation.checks.modules import children, module_tree, parameters, shown_tags, tags
from hx_projector.validation.checks.owners import disagreements, exporter_words, known_owners, node_consumers
from hx_projector.validation.checks.ports import initializers, ports, recovered_nodes
from hx_projector.validation.checks.rows import (
    call_references,
    covered_calls,
    module_references,
    node_facts,
    node_references,
    node_rows,
)
from hx_projector.validation.checks.summary import digest, model_info, sidecar_inside, summary
from hx_projector.validation.findings import Finding
from hx_projector.validation.subject import Subject
from hx_sidecar_schema import HxError, Sidecar


@dataclass(frozen=True)
class Check:
    """One check: pure, and never raising on rows that are wrong once what it needs is sound."""

    name: str
    codes: tuple[str, ...]
    run: Callable[[Subject], list[Finding]]
    needs: tuple[str, ...] = ()
    """Names of checks that must have found nothing: it would stumble over what they find."""


_CALLS = ("module references", "call references", "call tree")
_OWNERS = (*_CALLS, "node references")

CHECKS = (
    Check("digest", ("V03",), digest),
    Check("node rows", ("V11", "V12", "V13"), node_rows),
    Check("node facts", ("V14", "V15"), node_facts, ("node rows",)),
    Check("module references", ("V10",), module_references),
    Check("call references", ("V10",), call_references),
    Check("node references", ("V10",), node_references),
    Check("module tree", ("V50",), module_tree, ("module references",)),
    Check("tags", ("V51", "V52"), tags, ("module references", "module tree")),
    Check("children", ("V53",), children, ("module references", "module tree")),
    Check("parameters", ("V54",), parameters, ("module references", "module tree")),
    Check("shown tags", ("V55",), shown_tags),
    Check("call tree", ("V20", "V21"), call_tree, ("module references", "call references")),
    Check("call indices", ("V22",), call_indices, ("module references",)),
    Check("callers", ("V23",), callers, ("module references", "call references")),
    Check("called modules", ("V25",), called_modules, ("module references",)),
    Check("statuses", ("V24",), statuses),
    Check("ports", ("V30", "V31", "V32", "V33"), ports, ("call references",)),
    Check("recovered nodes", ("V34",), recovered_nodes),
    Check("initializers", ("V35", "V36", "V37"), initializers),
    Check("consumers", ("V40",), node_consumers, (*_OWNERS, "node rows")),
    Check("exporter's words", ("V41",), exporter_words, (*_OWNERS, "module tree")),
    Check("known owners", ("V42",), known_owners, (*_OWNERS, "node rows")),
    Check("disagreements", ("V43",), disagreements, _OWNERS),
    Check("covered calls", ("V44",), covered_calls, _OWNERS),
    Check("summary", ("V60",), summary),
)


@dataclass(frozen=True)
class ValidationResult:
    """What is not as it must be, and what could not be looked at."""

    findings: list[Finding]
    skipped: dict[str, str]
    """Checks that could not be made, with the reason."""
    nodes: int
    """Of the model, nested graphs and functions included."""


def validate(model: ir.Model, sidecar: Sidecar, path: Path) -> ValidationResult:
    """Check a model, its sidecar, and whether they agree.

    Args:
        model: Read from the file; not changed.
        sidecar: Parsed; whatever its rows say, nothing is raised.
        path: The model's file, for the ONNX checker and ONNX Runtime.
    """
    subject = Subject(model, sidecar)
    findings = checker(path)
    skipped: dict[str, str] = {}
    if findings:
        skipped["ONNX Runtime"] = "V01 comes first."
    else:
        try:
            findings += runtime(path)
        except HxError as error:  # it is not installed
            skipped["ONNX Runtime"] = error.message
    findings += model_info(subject, path.name)
    findings += sidecar_inside(subject, path)
    failed: dict[str, str] = {}
    for check in _in_order(CHECKS):
        before = [name for name in check.needs if name in failed]
        if before:
            failed[check.name] = failed[before[0]]
            skipped[check.name] = f"{failed[before[0]]} comes first."
            continue
        found = check.run(subject)
        findings += found
        if found:
            failed[check.name] = found[0].code
    return ValidationResult(sorted(findings, key=lambda finding: finding.code), skipped, len(subject.nodes))


def _in_order(checks: Sequence[Check]) -> list[Check]:
    """Return checks after those that they need."""
    ordered: list[Check] = []
    rest = list(checks)
    while rest:
        ready = [c for c in rest if not {r.name for r in rest} & set(c.needs)]
        ordered += ready
        rest = [c for c in rest if c not in ready]
    return ordered

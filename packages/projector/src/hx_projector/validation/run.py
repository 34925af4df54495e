"""The entry to validation: a table of checks, each with the checks that must have found nothing before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from hx_projector.validation.checks.calls import call_indices, call_tree, called_modules, callers, statuses
from hx_projector.validation.checks.file_claims import claimed_owners
from hx_projector.validation.checks.known import known_owners
from hx_projector.validation.checks.model import accepted_by_checker, loaded_by_runtime
from hx_projector.validation.checks.modules import children, module_tree, parameters, shown_tags, tags
from hx_projector.validation.checks.owners import disagreements, node_consumers
from hx_projector.validation.checks.ports import initializers, ports, recovered_nodes, weight_readers
from hx_projector.validation.checks.rows import (
    call_references,
    covered_calls,
    module_references,
    node_facts,
    node_references,
    node_rows,
)
from hx_projector.validation.checks.summary import digest, embedded_sidecar, model_info, summary
from hx_projector.validation.findings import Finding
from hx_projector.validation.pair import ModelAndSidecar
from hx_sidecar_schema import HxError, Sidecar


@dataclass(frozen=True)
class Check:
    """One check: it changes nothing, and raises nothing once the checks that it needs found nothing."""

    name: str
    run: Callable[[ModelAndSidecar], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    """Names of checks above it."""


_CALLS = ("module references", "call references", "call tree")
_OWNERS = (*_CALLS, "node references")
_TREE = ("module references", "module tree")

CHECKS = (
    Check("digest", digest),
    Check("node rows", node_rows),
    Check("node facts", node_facts, ("node rows",)),
    Check("module references", module_references),
    Check("call references", call_references),
    Check("node references", node_references),
    Check("module tree", module_tree, ("module references",)),
    Check("tags", tags, _TREE),
    Check("children", children, _TREE),
    Check("parameters", parameters, _TREE),
    Check("shown tags", shown_tags),
    Check("call tree", call_tree, ("module references", "call references")),
    Check("call indices", call_indices, ("module references",)),
    Check("callers", callers, ("module references", "call references")),
    Check("called modules", called_modules, ("module references",)),
    Check("statuses", statuses),
    Check("ports", ports, ("call references",)),
    Check("recovered nodes", recovered_nodes),
    Check("initializers", initializers),
    Check("consumers", node_consumers, (*_OWNERS, "node rows")),
    Check("exporter's words", claimed_owners, (*_OWNERS, "module tree")),
    Check("known owners", known_owners, (*_OWNERS, "node rows")),
    Check("disagreements", disagreements, _OWNERS),
    Check("covered calls", covered_calls, _OWNERS),
    Check("weights", weight_readers, (*_OWNERS, "node rows", "initializers", "exporter's words", "known owners")),
    Check("summary", summary),
)


@dataclass(frozen=True)
class ValidationResult:
    """What is not as it must be, and what could not be checked."""

    findings: list[Finding]
    """In the order of their codes."""
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
    pair = ModelAndSidecar(model, sidecar)
    findings = list(accepted_by_checker(path))
    skipped: dict[str, str] = {}
    if findings:
        skipped["ONNX Runtime"] = "V01 comes first."
    else:
        try:
            findings += loaded_by_runtime(path)
        except HxError as error:  # it is not installed
            skipped["ONNX Runtime"] = error.message
    findings += model_info(pair, path.name)
    findings += embedded_sidecar(pair, path)
    failed: dict[str, str] = {}
    """Checks that found something, or could not be made because of that, with the first code."""
    for check in CHECKS:
        blocking = next((name for name in check.needs if name in failed), None)
        if blocking is not None:
            failed[check.name] = failed[blocking]
            skipped[check.name] = f"{failed[blocking]} comes first."
            continue
        found = list(check.run(pair))
        findings += found
        if found:
            failed[check.name] = found[0].code
    return ValidationResult(sorted(findings, key=lambda finding: finding.code), skipped, len(pair.nodes))

"""The entry to validation: a table of checks, each with the checks that must have found nothing before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import onnx_ir as ir

from hx_projector.validation.checks.calls import call_indices, call_tree, called_modules, callers, statuses
from hx_projector.validation.checks.file import (
    accepted_by_checker,
    digest,
    embedded_sidecar,
    loaded_by_runtime,
    model_info,
)
from hx_projector.validation.checks.modules import children, module_tree, parameters, shown_tags, tags
from hx_projector.validation.checks.owners import (
    claimed_owners,
    disagreements,
    known_owners,
    node_consumers,
    spanned_calls,
)
from hx_projector.validation.checks.ports import initializers, ports, recovered_nodes, weight_readers
from hx_projector.validation.checks.rows import (
    call_references,
    module_references,
    node_facts,
    node_references,
    node_rows,
    summary,
)
from hx_projector.validation.findings import Finding, Problem
from hx_projector.validation.pair import ModelAndSidecar
from hx_sidecar_schema import HxError, Sidecar


class Check(NamedTuple):
    """One check: it changes nothing, and raises nothing but HX209 once the checks that it needs found nothing."""

    name: str
    run: Callable[[ModelAndSidecar], Iterable[Problem]]
    needs: tuple[str, ...] = ()
    """Names of checks above it."""


_CALLS = ("module references", "call references", "call tree")
_OWNERS = (*_CALLS, "node references")
_TREE = ("module references", "module tree")

CHECKS = (
    Check("ONNX checker", accepted_by_checker),
    Check("ONNX Runtime", loaded_by_runtime, ("ONNX checker",)),
    Check("model info", model_info),
    Check("embedded sidecar", embedded_sidecar),
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
    Check("covered calls", spanned_calls, _OWNERS),
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
    pair = ModelAndSidecar(model, sidecar, path)
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    """Checks that found something, or could not be made because of that, with the first code."""
    for check in CHECKS:
        blocking = next((name for name in check.needs if name in failed), None)
        if blocking is not None:
            failed[check.name] = failed[blocking]
            skipped[check.name] = f"{failed[blocking]} comes first."
            continue
        try:
            found = [Finding.of(*problem) for problem in check.run(pair)]
        except HxError as error:  # ONNX Runtime is not installed
            skipped[check.name] = error.message
            continue
        findings += found
        if found:
            failed[check.name] = found[0].code
    return ValidationResult(sorted(findings, key=lambda finding: finding.code), skipped, len(pair.nodes))

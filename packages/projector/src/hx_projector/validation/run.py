"""The entry to validation: a table of checks, each with the checks that must have found nothing before it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import onnx_ir as ir

from hx_projector.validation.checks import (
    arguments,
    borders,
    calls,
    file,
    modules,
    owners,
    places,
    ports,
    rows,
    siblings,
)
from hx_projector.validation.findings import Finding, Problem
from hx_projector.validation.pair import ModelAndSidecar
from hx_sidecar_schema import HxError, Sidecar


class Check(NamedTuple):
    """One check: it changes nothing, and raises nothing but what ONNX Runtime lacks, HX209 and HX207, once the checks that it needs found nothing."""

    name: str
    run: Callable[[ModelAndSidecar], Iterable[Problem]]
    needs: tuple[str, ...] = ()
    """Names of checks above it."""


_CALLS = ("module references", "call references", "call tree")
_OWNERS = (*_CALLS, "node references")
_TREE = ("module references", "module tree")
_BORDERS = ("digest", "statuses", "ports", "recovered nodes", "consumers", "exporter's words", "known owners")

CHECKS = (
    Check("ONNX checker", file.accepted_by_checker),
    Check("ONNX Runtime", file.loaded_by_runtime, ("ONNX checker",)),
    Check("model info", file.model_info),
    Check("embedded sidecar", file.embedded_sidecar),
    Check("digest", file.digest),
    Check("node rows", rows.node_rows),
    Check("node facts", rows.node_facts, ("node rows",)),
    Check("module references", rows.module_references),
    Check("call references", rows.call_references),
    Check("node references", rows.node_references),
    Check("module tree", modules.module_tree, ("module references",)),
    Check("tags", modules.tags, _TREE),
    Check("children", modules.children, _TREE),
    Check("parameters", modules.parameters, _TREE),
    Check("shown tags", modules.shown_tags),
    Check("call tree", calls.call_tree, ("module references", "call references")),
    Check("call indices", calls.call_indices, ("module references",)),
    Check("callers", calls.callers, ("module references", "call references")),
    Check("called modules", calls.called_modules, ("module references",)),
    Check("statuses", calls.statuses),
    Check("arguments", arguments.arguments, ("module references",)),
    Check("ports", ports.ports, ("call references",)),
    Check("sizes", ports.sizes),
    Check("root's ports", arguments.root_ports, ("digest", "ports", "node references")),
    Check("recovered nodes", ports.recovered_nodes),
    Check("initializers", ports.initializers),
    Check("consumers", owners.node_consumers, (*_OWNERS, "node rows")),
    Check("exporter's words", owners.claimed_owners, (*_OWNERS, "module tree")),
    Check("known owners", owners.known_owners, (*_OWNERS, "node rows")),
    Check("disagreements", owners.disagreements, _OWNERS),
    Check("covered calls", owners.spanned_calls, _OWNERS),
    Check("weights", ports.weight_readers, (*_OWNERS, "node rows", "initializers", "exporter's words", "known owners")),
    Check("borders", borders.borders, _BORDERS),
    Check("places", places.places, (*_BORDERS, "borders")),
    Check("siblings", siblings.siblings, (*_BORDERS, "borders")),
    Check("parameters' readers", borders.parameter_readers, (*_TREE, "weights")),
    Check("summary", rows.summary),
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


def validate(model: ir.Model, sidecar: Sidecar | Callable[[], Sidecar], path: Path) -> ValidationResult:
    """Check a model, which is not changed, its sidecar, whose rows may say anything, and whether they agree.

    The ONNX checker and ONNX Runtime read the model's file from its path.

    Args:
        model: As it was read from the path.
        sidecar: What reads it may stand in for it: it is called after ONNX Runtime has let go of the model, which takes
            as much memory as the rows.
        path: Of the model.
    """
    pair = ModelAndSidecar(model, sidecar, path)
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    """Checks that found something, or could not be made because of that, with the first code."""
    for check in CHECKS:
        if blocking := [failed[name] for name in check.needs if name in failed]:
            failed[check.name] = blocking[0]
            skipped[check.name] = f"{blocking[0]} comes first."
            continue
        try:
            found = [Finding.of(*problem) for problem in check.run(pair)]
        except HxError as error:
            skipped[check.name] = error.message
            continue
        findings += found
        failed |= {check.name: found[0].code} if found else {}
    return ValidationResult(sorted(findings, key=lambda finding: finding.code), skipped, len(pair.nodes))

"""Rewriting of what the model and the sound rows imply: nothing else, and nothing that rests on wrong rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import onnx_ir as ir

from hx_projector.validation.checks import file, modules, owners, ports, rows
from hx_projector.validation.findings import Change, Finding, Problem
from hx_projector.validation.pair import ModelAndSidecar, module_name
from hx_sidecar_schema import SIDECAR_VERSION, Node, Sidecar, node_name

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
    """Return a sidecar in which everything that the model and sound rows imply is right, by what `validate` found.

    A digest is never rewritten: where it differs, the rows are of another graph, and nothing is repaired. Owners,
    calls, ports and modules are records of a run, which nothing can give back. Model and sidecar are not changed.
    """
    codes = {finding.code for finding in findings}
    changes: list[Change] = []
    refused: dict[str, str] = {}
    for step in _STEPS:
        found = sorted(codes.intersection(step.codes))
        blocked = sorted(codes & {"V03", *step.blocked_by})
        if found and blocked:
            refused |= dict.fromkeys(found, f"{', '.join(blocked)} comes first.")
        elif found:
            right, made = step.run(ModelAndSidecar(model, sidecar, path))
            sidecar = sidecar.model_copy(update=right)
            changes += [Change(code=code, subject=subject, message=message) for code, subject, message in made]
            refused |= {} if made else dict.fromkeys(found, "What is right cannot be told from this file.")
    if changes and sidecar.schema_version != SIDECAR_VERSION:
        # It is written in the newest format, where rows alone say how many nodes are known.
        sidecar = sidecar.model_copy(update={"schema_version": SIDECAR_VERSION})
        right, _ = _repair_summary(ModelAndSidecar(model, sidecar, path))
        sidecar = sidecar.model_copy(update=right)
    return Repair(sidecar, changes, refused)


Repaired = tuple[dict[str, object], list[Problem]]
"""Fields of the sidecar as they are right; and what was wrong, with what it is now."""


class _Step(NamedTuple):
    codes: tuple[str, ...]
    blocked_by: tuple[str, ...]
    run: Callable[[ModelAndSidecar], Repaired]


def _repair_order(pair: ModelAndSidecar) -> Repaired:
    by_key = {row.key: row for row in pair.sidecar.nodes}
    nodes = [by_key[key] for key, _ in pair.nodes]
    moved = sum(one is not other for one, other in zip(nodes, pair.sidecar.nodes, strict=True))
    return {"nodes": nodes}, [("V15", "nodes", f"{moved} rows were put where their nodes stand.")]


def _repair_node_facts(pair: ModelAndSidecar) -> Repaired:
    nodes = ((row, pair.found[row.key]) for row in pair.sidecar.nodes)
    right = [row.model_copy(update={"op_type": node.op_type, "name": node.name or ""}) for row, node in nodes]
    return {"nodes": right}, _replaced("V14", pair.sidecar.nodes, right, lambda row: f"{row.op_type} {row.name!r}")


def _repair_consumers(pair: ModelAndSidecar) -> Repaired:
    rows = zip(pair.sidecar.nodes, owners.expected_consumers(pair), strict=True)
    right = [row.model_copy(update={"consumers": consumers}) for row, consumers in rows]
    return {"nodes": right}, _replaced("V40", pair.sidecar.nodes, right, lambda row: pair.call_names(row.consumers))


def _replaced(code: str, before: Iterable[Node], after: Iterable[Node], text: Callable[[Node], str]) -> list[Problem]:
    rows = zip(before, after, strict=True)
    return [(code, node_name(*row.key), f"{text(row)} is now {text(new)}.") for row, new in rows if row != new]


def _repair_model_info(pair: ModelAndSidecar) -> Repaired:
    info = file.expected_info(pair)
    repaired = ModelAndSidecar(pair.model, pair.sidecar.model_copy(update={"model": info}), pair.path)
    remaining = {subject for _, subject, _ in file.model_info(repaired)}
    return {"model": info}, [found for found in _adopted(file.model_info(pair)) if found[1] not in remaining]


def _repair_tags(pair: ModelAndSidecar) -> Repaired:
    expected = modules.expected_tags(pair)
    if expected is None:
        return {}, []
    pairs = list(zip(pair.sidecar.modules, expected, strict=True))
    wrong = [(module, tag) for module, tag in pairs if module.tag != tag]
    changes = [("V52", module_name(module), f"{module.tag!r} is now {tag!r}.") for module, tag in wrong]
    return {"modules": [module.model_copy(update={"tag": tag}) for module, tag in pairs]}, changes


def _repair_weights(pair: ModelAndSidecar) -> Repaired:
    return {"initializers": ports.expected_weights(pair)}, _adopted(ports.weight_readers(pair))


def _repair_summary(pair: ModelAndSidecar) -> Repaired:
    return {"summary": rows.expected_summary(pair)}, _adopted(rows.summary(pair))


def _adopted(problems: Iterable[Problem]) -> list[Problem]:
    """Return the changes where the sidecar took over what problems say of the model."""
    return [(code, subject, f"{message} Now the sidecar says that too.") for code, subject, message in problems]


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

"""The steps of one model, each a call of `hx`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hx
from hx.files import sidecar_path
from hx.records.extract import ExtractReport
from hx.records.profile import AloneReport
from hx.records.verify import VerifyReport
from hx.text import percent
from hx_fleet._units import FILES
from hx_fleet.worker.shares import Shares, leave
from hx_sidecar_schema import share_of

Fields = dict[str, Any]
MODEL = FILES["export"]
"""The export, in the folder in which a unit works."""
PROJECTED = FILES["project"]
"""The sidecar of a model that has none, in that folder."""


class NotForThisModel(Exception):
    """A step that has nothing to do here; the text says why."""


@dataclass
class Task:
    """A model on its way through its steps; what a function that is a step is given. The current folder is its own."""

    name: str
    """What the run calls the model."""
    model: str
    """The model as `hx.ModelSpec` takes it, or the path of an ONNX file."""
    spec: hx.ModelSpec | None
    """The PyTorch model; None of an ONNX file for which none is named."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of the step that runs."""
    path: Path | None = None
    """The ONNX file; None before it was exported."""
    sidecar: Path | None = None
    """Its sidecar, where that does not lie beside the file."""
    share: str | None = None
    """The pattern of the calls that this process has to do with; None for all."""
    shares: Shares | None = None
    """What other processes found, each of a share of the calls."""
    calls: dict[tuple[str, int], Fields] = field(default_factory=dict[tuple[str, int], Fields])
    """What is known of module calls, by name and index."""

    def hierarchy(self) -> hx.Hierarchy:
        """Read the exported model."""
        if self.path is None:
            raise NotForThisModel("There is no ONNX model: it was not exported.")
        return hx.load(self.path, self.sidecar)


def _export(task: Task) -> Fields:
    if task.path is not None or task.spec is None:
        raise NotForThisModel("It is an ONNX file.")
    report = hx.export(task.spec, f=MODEL, **task.options).report
    task.path = MODEL
    _note_calls(task, task.hierarchy())
    checked = report.verification
    wrong = checked is not None and checked.status == "mismatch"
    return {
        **_sizes(report),
        "parameters": report.parameters,
        "largest_error": checked and checked.relative_error,
        **({"status": "wrong", "cause": str(checked)} if wrong else {}),
    }


def _project(task: Task) -> Fields:
    if task.path is None or task.path == MODEL:
        raise NotForThisModel("It is exported from PyTorch.")
    if sidecar_path(task.path).exists():
        raise NotForThisModel("It has a sidecar.")
    report = hx.project(task.path, task.spec, output=PROJECTED, **task.options)
    task.sidecar = PROJECTED
    _note_calls(task, task.hierarchy())
    return _sizes(report)


def _validate(task: Task) -> Fields:
    _known(task)
    report = hx.validate(task.path or MODEL, task.sidecar, **task.options)
    found = {"nodes": report.nodes, "calls": report.calls, "findings": len(report.findings)}
    if report.valid:
        return found
    first = report.findings[0]
    return {**found, "status": "wrong", "cause": f"{first.code} {first.subject}: {first.message}"}


def _analyze(task: Task) -> Fields:
    hierarchy = _known(task)
    report = hx.analyze(hierarchy, **task.options)
    for entry in report.calls:
        total = entry.total
        costs = {"macs": total.macs, "parameters": total.parameters} if total else {}
        task.calls.get((entry.fqn, entry.call), {}).update(nodes=entry.nodes, **costs)
    total = report.cost and report.cost.total
    costs = {"macs": total.macs, "parameters": total.parameters} if total else {}
    percents = {"exact_percent": report.exact_percent, "covered_percent": report.covered_percent}
    found = {"nodes": report.nodes, **percents, **costs}
    if report.passed:
        return found
    return {
        **found,
        "status": "wrong",
        "cause": f"{percent(report.covered_percent)} covered, below {report.fail_under:g} %",
    }


def _extract(task: Task) -> Fields:
    from hx_graph import read_model
    from hx_projector import form_digest

    hierarchy = _known(task)
    reports = task.shares.reports("extract", ExtractReport) if task.shares else []
    if task.shares and reports:
        report = task.shares.parts(reports, list(task.calls), FILES["extract"])
        index = [entry.model_dump(mode="json") for entry in report.modules]
        (FILES["extract"] / "index.json").write_text(
            json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    else:
        report = hx.extract(hierarchy, task.share, FILES["extract"], **task.options)
    if task.share:
        leave(report, "extract")
        return {}
    compared = [entry for entry in report.modules if entry.file and (entry.relative_error is not None or entry.failed)]
    for entry in report.modules:
        known = task.calls[entry.fqn, entry.call]
        known.update(extract_error=entry.relative_error, wrong=entry.failed or known.get("wrong", False))
        if entry.file is not None:
            known["form"] = form_digest(read_model(FILES["extract"] / entry.file))
    errors = [entry.relative_error for entry in compared if entry.relative_error is not None]
    found: Fields = {"calls": len(report.modules), "compared": len(compared), "differing": report.mismatches}
    found.update(refused=report.refused, largest_error=max(errors, default=None))
    if not report.failed:
        return found
    first = next(entry for entry in (*compared, *report.modules) if entry.failed)
    return {**found, "status": "wrong", "cause": f"{first.tag}: {first.reason}"}


def _verify(task: Task) -> Fields:
    hierarchy = _known(task)
    if task.spec is None:
        raise NotForThisModel("No PyTorch model is named for it (`against`).")
    if task.share:
        leave(hx.verify(hierarchy, task.spec, modules=task.share, **task.options), "verify")
        return {}
    reports = task.shares.reports("verify", VerifyReport) if task.shares else []
    report = hx.verify(hierarchy, task.spec, measured=reports, **task.options)
    errors: list[float] = []
    for entry in report.calls:
        known = task.calls[entry.fqn, entry.call]
        local = entry.local and entry.local.relative_error
        errors += [local] if local is not None else []
        known.update(local_error=local, wrong=entry.wrong or known.get("wrong", False))
        known["accumulated_error"] = entry.accumulated and entry.accumulated.relative_error
    differing = sum(entry.wrong for entry in report.calls)
    found = {"compared": report.compared, "differing": differing, "largest_error": max(errors, default=None)}
    return {**found, "status": "wrong", "cause": _without_start(report)} if report.failed else found


def _without_start(report: Any) -> str:
    return str(report).removeprefix(f"{report.model} against {report.against}: ")


def _profile(task: Task) -> Fields:
    found = hx.profile(_known(task), **_with_threads(task))
    for call in found.calls:
        times = {"typical_us": call.typical_us, "own_us": call.self_typical_us, "spread_us": call.spread_us}
        task.calls.get((call.fqn, call.call), {}).update(times)
    return {}


def _profile_isolated(task: Task) -> Fields:
    hierarchy, options = _known(task), _with_threads(task)
    if task.share:
        leave(hx.profile_alone(hierarchy, task.share, **options), "profile_isolated")
        return {}
    reports = task.shares.reports("profile_isolated", AloneReport) if task.shares else []
    report = hx.profile_isolated(hierarchy, measured=reports, **options)
    leave(report, "profile_isolated")
    for call in report.calls:
        times = {"in_model_us": call.in_model_us, "alone_us": call.alone_us, "alone_spread_us": call.alone_spread_us}
        task.calls[call.fqn, call.call].update(times)
    return {}


def _with_threads(task: Task) -> Fields:
    return {"threads": int(os.environ["OMP_NUM_THREADS"]), **task.options}


def _suite(task: Task) -> Fields:
    report = hx.suite(_known(task), FILES["suite"], **task.options)
    refused = next((model.reason for model in report.suite.models if model.reason), "")
    found: Fields = {"cases": len(report.suite.cases)}
    return {**found, "status": "wrong", "cause": refused} if refused else found


STEPS: dict[str, Callable[[Task], Fields]] = {
    "export": _export,
    "project": _project,
    "validate": _validate,
    "analyze": _analyze,
    "extract": _extract,
    "verify": _verify,
    "profile": _profile,
    "profile_isolated": _profile_isolated,
    "suite": _suite,
}
READ = ("args", "graph", "inputs", "original", "trace", "weights_from")
"""Arguments of these functions that are files to read, where they are strings."""


def _sizes(report: Any) -> Fields:
    """Return what the reports of `export` and `project` share."""
    calls = sum(report.calls.values())
    percents = {"exact_percent": report.exact_percent, "covered_percent": report.covered_percent}
    return {"nodes": report.nodes, "calls": calls, **percents}


def _known(task: Task) -> hx.Hierarchy:
    """Return the exported model, after its calls have rows."""
    hierarchy = task.hierarchy()
    if (share := share_of(task.share or "")) and share[0] > len(hierarchy):
        raise NotForThisModel("It has fewer calls than shares.")
    if not task.calls:
        _note_calls(task, hierarchy)
    return hierarchy


def _note_calls(task: Task, hierarchy: hx.Hierarchy) -> None:
    for call in hierarchy:
        row = {"tag": call.tag, "class_name": call.class_name, "status": call.status, "reason": call.reason}
        task.calls[call.fqn, call.index] = row

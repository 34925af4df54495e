"""What is in the folder of a session."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from hx._debug.environment import environment
from hx._debug.page import page
from hx._debug.run import HIERARCHY, PLAIN, Session
from hx._provenance import command_line
from hx._redacted import without_folders
from hx.files import data_path, has_data_file, sidecar_path
from hx.records.debug import DebugReport, InputEntry
from hx.records.report import File, counts_of

if TYPE_CHECKING:
    import onnx_ir as ir
    from pydantic import BaseModel


def write_session(session: Session, folder: Path, target: Path, *, with_weights: bool) -> DebugReport:
    """Write everything there is of a session.

    The models in memory lose their weights on the way, unless these are asked for.

    Args:
        session: What was found.
        folder: Empty.
        target: Where it will be.
        with_weights: Keep numbers of weights and inputs, and the fingerprints of a run in PyTorch.
    """
    from hx_projector import redact_record

    if session.plain is not None:
        _write_model(session.plain, folder / PLAIN, session, with_weights=with_weights)
    if session.exported is not None:
        model, path = session.exported.program.model, folder / HIERARCHY
        _write_model(model, path, session, with_weights=with_weights)
        if session.sidecar is not None:
            sidecar = session.sidecar if with_weights else redact_record(session.sidecar, model)
            text = sidecar.with_file_digest(path).to_json().decode()
            sidecar_path(path).write_text(session.places(text), encoding="utf-8")
            context = session.exported.context
            _write_json(folder / "context.json", context if with_weights else redact_record(context), session)
    if session.modules:
        rows = ",\n".join(module.model_dump_json() for module in session.modules)
        (folder / "modules.json").write_text(session.places(f"[\n{rows}\n]\n"), encoding="utf-8")
    if session.comparison is not None:
        _write_json(folder / "comparison.json", session.comparison, session)
    for number, path in enumerate(sorted(session.reports.glob("*.md")), start=1):
        name = f"exporter_report_{number}.md" if number > 1 else "exporter_report.md"
        _write(folder / name, path.read_text(encoding="utf-8"), session)
    _write(folder / "log.txt", session.journal.log.getvalue(), session)
    report = _report(session, target, with_weights=with_weights)
    names = sorted({*(path.name for path in folder.iterdir()), "report.md", "session.json"})
    _write(folder / "report.md", page(report, session.modules, names), session)
    files = [File(path=p.name, size_bytes=p.stat().st_size) for p in sorted(folder.iterdir())]
    report = report.model_copy(update={"files": files})
    _write_json(folder / "session.json", report, session)
    return report


def _write_json(path: Path, record: BaseModel, session: Session) -> None:
    # What records hold of texts that others wrote went through `redact` already.
    path.write_text(session.places(record.model_dump_json(indent=1) + "\n"), encoding="utf-8")


def _write(path: Path, text: str, session: Session) -> None:
    path.write_text(session.journal.redact(text), encoding="utf-8", errors="replace")


def _write_model(model: ir.Model, path: Path, session: Session, *, with_weights: bool) -> None:
    import onnx_ir as ir

    from hx_projector import redact_numbers, redact_text

    redact_text(model, session.journal.redact)
    if not with_weights:
        redact_numbers(model)
    ir.save(model, path, external_data=data_path(path).name if has_data_file(model) else None)


def _report(session: Session, target: Path, *, with_weights: bool) -> DebugReport:
    sidecar, loaded, exported = session.sidecar, session.loaded, session.exported
    verdict, summary = _verdict(session)
    redact = session.journal.redact
    return DebugReport(
        model=redact(session.request.pytorch.name),
        command=redact(shlex.join(map(without_folders, command_line.get()))),
        folder=redact(str(target)),
        verdict=verdict,
        summary=redact(summary),
        with_weights=with_weights,
        environment=environment(),
        class_name=session.modules[0].class_name if session.modules else None,
        parameters=None if loaded is None else sum(weight.numel() for weight in loaded.module.parameters()),
        modules=len(session.modules) or None,
        inputs=_inputs(session),
        attempts=session.attempts,
        strategy=None if session.strategy is None else session.strategy.name,
        notes=[] if exported is None else exported.notes,
        static_axes=[] if exported is None else exported.static_axes,
        first_difference=session.first_difference,
        comparison=session.comparison,
        **({} if sidecar is None else counts_of(sidecar)),
        verification=session.verification,
        steps=session.journal.steps,
    )


def _inputs(session: Session) -> list[InputEntry]:
    """Return the tensors that the model was given, with the paths that they have among its arguments."""
    if session.inputs is None:
        return []
    from hx_tracer import input_paths

    named = {f"args.{index}": value for index, value in enumerate(session.inputs.args)} | session.inputs.kwargs
    return [
        InputEntry(name=path, dtype=str(tensor.dtype).removeprefix("torch."), shape=list(tensor.shape))
        for path, tensor in input_paths(named)
    ]


def _verdict(session: Session) -> tuple[str, str]:
    if session.failure is not None:
        return (
            "not_loaded",
            f"There was nothing to export: {_first_line(session.journal.entry(session.failure).message)}",
        )
    if session.comparison is None or session.sidecar is None:
        return "failed", _failures(session)
    if not session.comparison.same:
        return "different", f"The two exports differ: {session.first_difference}."
    if session.verification is not None and session.verification.status == "mismatch":
        return "numbers_differ", (
            "Both exports have the same topology, and the outputs are not those of the PyTorch module."
        )
    return "same", f"Both exports have the same topology of {session.comparison.nodes[0]} nodes."


def _failures(session: Session) -> str:
    refusals: dict[str, str] = {}
    for kind, name in (("hierarchy", "hx"), ("plain", "torch.onnx.export alone")):
        rows = [row for row in session.attempts if row.kind == kind]
        if rows and all(row.error is not None for row in rows):
            refusals[name] = next(_first_line(row.error.message) for row in rows if row.error is not None)
    if len(refusals) == 2 and len({*refusals.values()}) == 1:
        return f"Neither hx nor torch.onnx.export alone exports the model: {refusals['hx']}"
    words = [f"{name} does not export the model: {why}" for name, why in refusals.items()]
    if len(refusals) == 1:
        words.append(f"{'hx' if 'hx' not in refusals else 'torch.onnx.export alone'} does")
    failed = [step.name for step in session.journal.steps if step.status == "failed"]
    if others := [name for name in failed if name not in ("export", "plain")]:
        words.append(f"these steps failed: {', '.join(others)}")
    return f"{'; '.join(words)}."


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip()

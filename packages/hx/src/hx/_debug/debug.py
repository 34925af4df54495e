"""A folder with both exports of a model, made from one call."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx_ir as ir

from hx._debug.journal import Journal
from hx._debug.page import page
from hx._debug.run import HIERARCHY, PLAIN, Session, run_session
from hx._export.export import ExportRequest
from hx._export.exported import has_data_file
from hx._models import AnyModel, model_spec
from hx._progress import Progress, silent
from hx._redacted import PACKAGES, command_line, model_folders, redactor, without_folders
from hx.files import check_writable, data_path, sidecar_path
from hx.records.debug import DebugReport, Environment, InputEntry
from hx.records.report import File, counts_of
from hx_projector import redact_numbers, redact_record, redact_text
from hx_sidecar_schema import HxError, Record, atomic_folder, read_file, refuse_existing

OTHERS = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy", "pydantic")
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "HF_HUB_OFFLINE",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTORCH_JIT",
    "SOURCE_DATE_EPOCH",
    "TORCHDYNAMO_DISABLE",
    "TORCH_LOGS",
)


def debug(
    model: AnyModel,
    output: str | Path,
    args: Any = (),
    *,
    with_weights: bool = False,
    verify: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> DebugReport:
    """Export a model with and without hx, and put all that a maintainer would ask for into one folder.

    The folder is written in each case: where the exports differ, where one of them fails, where there is no model.

    Examples:
        >>> import torch, hx
        >>> hx.debug(torch.nn.Linear(4, 3), "session", (torch.ones(2, 4),), overwrite=True).verdict
        'same'

    Args:
        model: As of `export`.
        output: The folder to make.
        args: As of `export`.
        with_weights: Keep the numbers of weights and inputs; without it, shapes only.
        verify: Compare the outputs with PyTorch's.
        overwrite: Replace a folder that exists.
        progress: Told what goes on.
        **options: Further settings of `export`: `kwargs`, `dynamic`, `dynamic_axes`, `dynamic_shapes`, `input_shapes`,
            `input_names`, `output_names`, `opset_version`, `strategy`, `cross_check`, `torch_nn`, `min_confidence`,
            `remedies`.

    Returns:
        What happened; `verdict` says in a word how the exports compare, `failure` why there was nothing to export.

    Raises:
        HxError: HX402 if the folder exists, HX306 if it cannot be written.
        TypeError: If `options` holds another name.
    """
    request = ExportRequest(model_spec(model), args, **options)
    folder = Path(output)
    refuse_existing([folder], overwrite=overwrite)
    check_writable(folder.parent)
    before = _files_of(folder) if folder.exists() else set[str]()
    places = model_folders(request.pytorch.model)
    journal = Journal(progress, redactor(places, numbers=not with_weights))
    with TemporaryDirectory() as reports:
        session = Session(request, journal, redactor(places, numbers=False), Path(reports), with_weights)
        run_session(session, verify=verify)
        with atomic_folder(folder) as staging:
            report = _write_session(session, staging, folder)
    for name in before - {"session.json", *(file.path for file in report.files)}:
        (folder / name).unlink(missing_ok=True)
    return report


def _files_of(folder: Path) -> set[str]:
    """Return the files of the session that is in a folder; HX402 for anything else, which is never replaced."""
    try:
        session = json.loads(read_file(folder / "session.json"))
        return {Path(file["path"]).name for file in session["files"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        if folder.is_dir() and not any(folder.iterdir()):
            return set()
        raise HxError(
            f"Output {str(folder)!r} exists and is no session of hx.",
            code="HX402",
            hint="Only a session is replaced: name another output.",
            argument="output",
        ) from error


def _write_session(session: Session, folder: Path, target: Path) -> DebugReport:
    """Write everything there is of a session into an empty folder, which will be `target`.

    The models in memory lose their weights on the way, unless these are asked for.
    """

    def write(name: str, content: Record | str) -> None:
        if isinstance(content, str):
            text = session.journal.redact(content)
        else:  # what records hold of texts that others wrote was redacted already
            text = session.places(content.model_dump_json(indent=1) + "\n")
        (folder / name).write_text(text, encoding="utf-8", errors="replace")

    if session.plain is not None:
        _write_model(session.plain, folder / PLAIN, session)
    if session.exported is not None:
        model, path = session.exported.program.model, folder / HIERARCHY
        _write_model(model, path, session)
        if session.sidecar is not None:
            sidecar, context = session.sidecar, session.exported.context
            if not session.with_weights:
                sidecar, context = redact_record(sidecar, model), redact_record(context)
            text = sidecar.with_file_digest(path).to_json().decode()
            sidecar_path(path).write_text(session.places(text), encoding="utf-8")
            write("context.json", context)
    if session.modules:
        rows = ",\n".join(module.model_dump_json() for module in session.modules)
        (folder / "modules.json").write_text(session.places(f"[\n{rows}\n]\n"), encoding="utf-8")
    if session.comparison is not None:
        write("comparison.json", session.comparison)
    for number, path in enumerate(sorted(session.reports.glob("*.md")), start=1):
        name = f"exporter_report_{number}.md" if number > 1 else "exporter_report.md"
        write(name, path.read_text(encoding="utf-8"))
    write("log.txt", session.journal.log.getvalue())
    report = _report(session, target)
    names = sorted({*(path.name for path in folder.iterdir()), "report.md", "session.json"})
    write("report.md", page(report, session.modules, names))
    files = [File(path=p.name, size_bytes=p.stat().st_size) for p in sorted(folder.iterdir())]
    report = report.model_copy(update={"files": files})
    write("session.json", report)
    return report


def _write_model(model: ir.Model, path: Path, session: Session) -> None:
    redact_text(model, session.journal.redact)
    if not session.with_weights:
        redact_numbers(model)
    ir.save(model, path, external_data=data_path(path).name if has_data_file(model) else None)


def _report(session: Session, target: Path) -> DebugReport:
    sidecar, loaded, exported = session.sidecar, session.loaded, session.exported
    verdict, summary = _verdict(session)
    redact = session.journal.redact
    return DebugReport(
        model=redact(session.request.pytorch.name),
        command=redact(shlex.join(map(without_folders, command_line.get()))),
        folder=redact(str(target)),
        verdict=verdict,
        summary=redact(summary),
        with_weights=session.with_weights,
        environment=_environment(),
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
        why = _first_line(session.journal.entry(session.failure).message)
        return "not_loaded", f"There was nothing to export: {why}"
    if session.comparison is None or session.sidecar is None:
        return "failed", _failures(session)
    if not session.comparison.same:
        return "different", f"The two exports differ: {session.first_difference}."
    if session.verification is not None and session.verification.status == "mismatch":
        why = "Both exports have the same topology, and the outputs are not those of the PyTorch module."
        return "numbers_differ", why
    return "same", f"Both exports have the same topology of {session.comparison.nodes[0]} nodes."


def _failures(session: Session) -> str:
    refusals: dict[str, str] = {}
    for kind, name in (("hierarchy", "hx"), ("plain", "torch.onnx.export alone")):
        errors = [row.error for row in session.attempts if row.kind == kind]
        if errors and errors[0] is not None and None not in errors:
            refusals[name] = _first_line(errors[0].message)
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


def _environment() -> Environment:
    """Return versions, machine and settings, as they are now. Names of user and machine are not among them."""
    memory, peak, providers = None, None, list[str]()
    with suppress(AttributeError, ValueError, OSError):  # the system does not say
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(ImportError):  # Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with suppress(ImportError):  # what it tells of may be that very installation
        import onnxruntime

        providers = list(onnxruntime.get_available_providers())
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=memory,
        peak_memory_bytes=peak,
        torch_threads=sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None,
        onnxruntime_providers=providers,
        versions={name: _version(name) for name in (*PACKAGES, *OTHERS)},
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

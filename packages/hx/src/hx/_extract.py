"""`hx extract`: calls to files, each compared with what it should compute."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hx._paths import call_stems, check_writable, find_model, onnx_path, refuse_existing, sidecar_path
from hx.records.reports import ExtractReport, ModuleEntry
from hx_sidecar_schema import HxError, Sidecar, atomic_folder, simple_name

if TYPE_CHECKING:
    from hx._model_spec import PyTorchModel
    from hx._verify.judge import Judge
    from hx_cli._output import Output
    from hx_extractor import Hierarchy

INDEX = "index.json"


@dataclass(frozen=True)
class ExtractRequest:
    """What the user asked for; the fields are the options of `hx extract`."""

    model: Path | None = None
    patterns: list[str] = field(default_factory=list[str])
    everything: bool = False
    output: Path | None = None
    weights: Literal["copy", "share", "none"] = "copy"
    against: PyTorchModel | None = None
    overwrite: bool = False
    verify: bool = True


def extract_calls(request: ExtractRequest, output: Output) -> ExtractReport:
    """Extract what the patterns name: one call to a file, several to a folder with an index.

    Raises:
        HxError: HX403 if there is no single export, HX405 if nothing is asked for, HX401 if a pattern matches
            nothing, HX404 if the only match is not extractable, HX402 if outputs exist, HX408 if an output is the
            exported model itself; else as `hx_extractor` raises.
    """
    if not request.patterns and not request.everything:
        raise HxError(
            "Nothing is named to extract.",
            code="HX405",
            hint="Add --module PATTERN, or --all; `hx tree` shows the modules.",
        )
    path = find_model(request.model)
    with output.working(f"Reading {path}"):
        from hx_extractor import load

        model = load(path)
    rows = _rows(model, request)
    single = len(rows) == 1 and not request.everything
    stems = _stems(model.sidecar, rows)
    target = _target(path, request, stems[0], single=single)
    if single:
        _check_extractable(model.sidecar, rows[0])
        entries = [_to_file(model, rows[0], target, request, output)]
    else:
        entries = _to_folder(model, rows, stems, target, request, output)
    compared = ("pytorch" if request.against else "onnx") if request.verify else None
    return ExtractReport(
        model=str(path),
        output=str(target),
        compared_with=compared,
        mismatches=sum(entry.failed for entry in entries),
        modules=entries,
    )


def _rows(model: Hierarchy, request: ExtractRequest) -> list[int]:
    if request.everything:
        return list(range(len(model.sidecar.calls)))
    return sorted({call.row for pattern in request.patterns for call in model.calls(pattern)})


def _stems(sidecar: Sidecar, rows: Sequence[int]) -> list[str]:
    calls = [(sidecar.module_of(sidecar.calls[row]).fqn, sidecar.calls[row].index) for row in rows]
    return call_stems(calls, root=simple_name(sidecar.modules[0].class_name))


def _target(model: Path, request: ExtractRequest, stem: str, *, single: bool) -> Path:
    """Settle where the results go, before any work."""
    if single:
        target = onnx_path(request.output) if request.output is not None else Path(f"{stem}.onnx")
        refuse_existing([target, sidecar_path(target)], overwrite=request.overwrite)
        _protect(model, [target])
        check_writable(target.parent)
        return target
    shared = request.weights == "share"  # beside the data file, where else could they be read
    folder = model.parent if shared else Path(f"{model.stem}_modules")
    target = request.output if request.output is not None else folder
    if shared and target.is_dir():
        refuse_existing([target / INDEX], overwrite=request.overwrite)
    elif target.is_dir() and any(target.iterdir()):
        refuse_existing([target], overwrite=request.overwrite)
    check_writable(target)
    return target


def _protect(model: Path, targets: Sequence[Path]) -> None:
    for target in targets:
        if target.exists() and target.samefile(model):
            raise HxError(
                f"Output {str(target)!r} is the exported model itself.",
                code="HX408",
                hint="Name another output with -o.",
            )


def _check_extractable(sidecar: Sidecar, row: int) -> None:
    call = sidecar.calls[row]
    if call.status != "extractable":
        status = call.status.replace("_", " ")
        raise HxError(
            f"Call {sidecar.tag(call)!r} cannot be extracted, it is {status}: {call.reason}",
            code="HX404",
            hint="Extract the module around it; `hx tree --all` shows what is extractable.",
        )


def _to_file(
    model: Hierarchy, row: int, target: Path, request: ExtractRequest, output: Output
) -> ModuleEntry:
    from hx._verify.judge import entry_of

    with output.working("Cutting the module out"):
        extraction = model.extract(row)
    judge = _judge(model, [row], request, output)
    with output.working("Comparing numbers"):
        verdict = judge(extraction) if judge else None
    with output.working("Writing the files"):
        extraction.save(target, weights=request.weights)
    return entry_of(model.sidecar, row, target.name, extraction, verdict)


def _to_folder(
    model: Hierarchy,
    rows: Sequence[int],
    stems: Sequence[str],
    folder: Path,
    request: ExtractRequest,
    output: Output,
) -> list[ModuleEntry]:
    from hx._verify.judge import entry_of

    files = [f"{stem}.onnx" for stem in stems]
    if model.path is not None:
        _protect(model.path, [folder / file for file in files])
    judge = _judge(model, rows, request, output)
    before = _listed(folder / INDEX)
    entries: list[ModuleEntry] = []
    with atomic_folder(folder) as staging:
        for row, file in output.each(list(zip(rows, files, strict=True)), "Extracting"):
            if model.sidecar.calls[row].status != "extractable":
                entries.append(entry_of(model.sidecar, row, None, None, None))
                continue
            try:
                extraction = model.extract(row)
                verdict = judge(extraction) if judge else None
            except HxError as error:  # one call that fails must not cost the others
                entries.append(entry_of(model.sidecar, row, None, None, None, error=error.message))
                continue
            extraction.save(staging / file, weights=request.weights)
            entries.append(entry_of(model.sidecar, row, file, extraction, verdict))
        index = [entry.model_dump(mode="json") for entry in entries]
        text = json.dumps(index, indent=1, ensure_ascii=False, allow_nan=False)
        (staging / INDEX).write_text(text + "\n", encoding="utf-8")
    _remove_old(folder, before - {entry.file for entry in entries})
    return entries


def _judge(model: Hierarchy, rows: Sequence[int], request: ExtractRequest, output: Output) -> Judge | None:
    """Return what compares an extraction with its original; None where nothing is to be compared."""
    if not request.verify:
        return None
    wanted = [row for row in rows if model.sidecar.calls[row].status == "extractable"]
    if request.against is None:
        from hx._verify.judge import OnnxJudge

        with output.working("Running the exported model"):
            return OnnxJudge(model, wanted)
    with output.working("Loading torch and the model, and running it"):
        from hx._verify.references import TorchJudge

        return TorchJudge(model, wanted, request.against.load())


def _listed(index: Path) -> set[str | None]:
    """Return the models that an earlier run left in a folder."""
    try:
        rows = json.loads(index.read_bytes())
        return {row["file"] for row in rows if row["file"] == Path(row["file"]).name}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _remove_old(folder: Path, files: set[str | None]) -> None:
    for file in files:
        if file is not None:
            model = folder / file
            for path in (model, model.with_name(f"{file}.data"), sidecar_path(model)):
                path.unlink(missing_ok=True)

"""`hx validate`: a model and its sidecar, read, checked, and where asked repaired and checked again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hx._paths import check_writable, find_model, sidecar_path
from hx.records.validate import ValidateReport
from hx_sidecar_schema import EMBEDDED, Sidecar, from_embedded

if TYPE_CHECKING:
    import onnx_ir as ir

    from hx_cli._output import Output
    from hx_projector import Repair, ValidationResult


def validate_files(
    given: Path | None, sidecar_file: Path | None, *, repair: bool, output: Output
) -> ValidateReport:
    """Check a model and its sidecar.

    Args:
        given: The model; None for the only export in the current folder.
        sidecar_file: Its sidecar; None for the one beside the model, else the one inside it.
        repair: Rewrite what can be computed, and write the sidecar beside the model, or where `sidecar_file` is.
        output: For the spinner.

    Raises:
        HxError: HX403 if no model is named and there is not exactly one; HX202, HX204, HX301 to HX304 if a file cannot
            be read; HX306 if the sidecar cannot be written.
    """
    from hx_graph import read_model
    from hx_projector import repair as repaired
    from hx_projector import validate

    path = find_model(given)
    target = sidecar_file or sidecar_path(path)
    if repair:
        check_writable(target.parent)
    model = read_model(path)
    sidecar, read = _sidecar(model, path, target)
    done: Repair | None = None
    with output.working("Checking"):
        result = validate(model, sidecar, path)
        if repair and result.findings:
            done = repaired(model, sidecar, path, result.findings)
            if done.changes:
                sidecar = done.sidecar
                result = validate(model, sidecar, path)
    written = done is not None and bool(done.changes)
    if written:
        sidecar.with_file_digest(path).save(target)
    return _report(path, sidecar, result, done, read=read, written=str(target) if written else None)


def _sidecar(model: ir.Model, path: Path, target: Path) -> tuple[Sidecar, str]:
    """Return the sidecar, and where it lies; empty for inside the model."""
    inside = model.metadata_props.get(EMBEDDED)
    if inside is not None and not target.exists():
        return from_embedded(inside, path), ""
    return Sidecar.load(target), str(target)


def _report(
    path: Path,
    sidecar: Sidecar,
    result: ValidationResult,
    done: Repair | None,
    *,
    read: str,
    written: str | None,
) -> ValidateReport:
    return ValidateReport(
        model=str(path),
        sidecar=read,
        valid=not result.findings,
        nodes=result.nodes,
        calls=len(sidecar.calls),
        modules=len(sidecar.modules),
        counts=dict(Counter(finding.code for finding in result.findings)),
        findings=result.findings,
        skipped=result.skipped,
        repaired=done.changes if done else [],
        refused=done.refused if done else {},
        written=written,
    )

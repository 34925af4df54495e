"""Whether a model and its sidecar agree: read, checked, and where asked repaired and checked again."""

from __future__ import annotations

from collections import Counter
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from hx._models import AnyHierarchy, name_of
from hx._progress import Progress, silent
from hx.files import check_writable, sidecar_path
from hx.records.validate import ValidateReport
from hx_extractor import Hierarchy
from hx_graph import read_model, write_model
from hx_projector import repair as repaired, validate as checked
from hx_sidecar_schema import EMBEDDED, HxError, Sidecar, collector_paused, from_embedded


@collector_paused()
def validate(
    model: AnyHierarchy, sidecar: str | Path | None = None, *, repair: bool = False, progress: Progress = silent
) -> ValidateReport:
    """Check that a model is valid, that its sidecar belongs to it, and that every row of the sidecar is consistent.

    Examples:
        >>> import torch, hx
        >>> hx.validate(hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),))).valid
        True

    Args:
        model: The file of a model, or a hierarchy; one in memory is written to a temporary file for that.
        sidecar: Its sidecar; None for the one beside the model, else the one inside it.
        repair: Rewrite what can be computed from the model and the sound rows, and write the sidecar beside the model, or
            where `sidecar` is; then check again.
        progress: Told what goes on.

    Returns:
        `valid`, and the findings; the fields are told in `hx.records.validate`.

    Raises:
        HxError: HX202, HX204, HX301 to HX304 if a file cannot be read; HX306 if the sidecar cannot be written,
            HX405 if a model in memory is to be repaired.
    """
    in_memory = isinstance(model, Hierarchy) and model.path is None
    if repair and in_memory:
        message = f"{name_of(model)!r} is in memory: there is no file to repair."
        raise HxError(message, code="HX405", hint="Save it, and repair its file.")
    with TemporaryDirectory(prefix="hx-") as folder:
        path = _file(model, Path(folder))
        target = Path(sidecar) if sidecar is not None else sidecar_path(path)
        if repair:
            check_writable(target.parent, "sidecar")
        graph = read_model(path, check=False)
        inside = graph.metadata_props.get(EMBEDDED)
        if inside is not None and not target.exists():
            load, read = cache(partial(from_embedded, inside, path, check=False)), ""
        else:
            load, read = cache(partial(Sidecar.load, target, check=False)), str(target)
            if not target.exists():
                load()
        progress("Checking", 0, 0)
        result = checked(graph, load, path)
        rows = load()
        done = repaired(graph, rows, path, result.findings if repair else ())
        if done.changes:
            rows = done.sidecar
            result = checked(graph, rows, path)
            rows.with_file_digest(path).save(target)
    return ValidateReport(
        model=name_of(model),
        sidecar="" if in_memory and sidecar is None else read,
        valid=not result.findings,
        nodes=result.nodes,
        calls=rows.calls_made,
        modules=len(rows.modules),
        counts=dict(Counter(finding.code for finding in result.findings)),
        findings=result.findings,
        skipped=result.skipped,
        repaired=done.changes,
        refused=done.refused,
        written=str(target) if done.changes else None,
    )


def _file(model: AnyHierarchy, folder: Path) -> Path:
    """Return a model's file; one in memory is written into the folder, with its sidecar."""
    if not isinstance(model, Hierarchy):
        return Path(model)
    if model.path is not None:
        return model.path
    path = folder / model.sidecar.model.file
    write_model(model.model, path, data_file=True)
    model.sidecar.save(sidecar_path(path))
    return path

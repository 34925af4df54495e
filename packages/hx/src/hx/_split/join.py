"""Stages as the whole model that was split."""

from __future__ import annotations

from pathlib import Path

from hx._models import check_loads
from hx._progress import Progress, silent
from hx.files import check_writable, model_files, onnx_path
from hx.records.report import File
from hx.records.split import JoinReport
from hx_sidecar_schema import graph_digest, refuse_existing


def join(
    stages: str | Path, output: str | Path | None = None, *, overwrite: bool = False, progress: Progress = silent
) -> JoinReport:
    """Put stages together again: the model that was split, with its sidecar; a stage may have been changed inside.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(4))), (torch.ones(2, 64),))
        >>> _ = hx.split(exported, 2, "stages", overwrite=True)
        >>> hx.join("stages", "whole.onnx", overwrite=True).same
        True

    Args:
        stages: The folder, or its `stages.json`.
        output: The file. None: the name that the model had, in the current folder.
        overwrite: Replace files that exist.
        progress: Told what goes on.

    Returns:
        What was written; the fields are told in `hx.records.split`.

    Raises:
        HxError: HX311 if `stages.json` cannot be read, HX312 if stages do not fit each other, HX402, HX408 or HX306 where a file could not be
            written; else as `load`, of a stage.
    """
    from hx_extractor import Hierarchy, save_model
    from hx_graph import all_nodes
    from hx_surgery import Joined

    progress(f"Reading {stages}", 0, 0)
    joined = Joined(Path(stages))
    target = onnx_path(Path(output) if output is not None else Path(Path(joined.record.model).name))
    refuse_existing(model_files(target), overwrite=overwrite, read=joined.files())
    check_writable(target.parent)
    check_loads(Hierarchy(None, joined.sidecar, joined.model), joined.model)
    save_model(joined.model, joined.sidecar, target, "copy", joined.folder)
    return JoinReport(
        model=str(stages),
        file=File.of(target),
        stages=len(joined.stages),
        nodes=sum(1 for _ in all_nodes(joined.model)),
        same=graph_digest(joined.model) == joined.record.graph_digest,
    )

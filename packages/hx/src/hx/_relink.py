"""A sidecar for what a tool made of an export."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hx._open import AnyHierarchy, name_of, opened
from hx._progress import Progress, silent
from hx._provenance import provenance_of
from hx.files import check_writable, sidecar_path
from hx.records.relink import RelinkReport, SpanningNode
from hx.records.report import File, counts_of, statuses_of
from hx_sidecar_schema import Sidecar, refuse_existing


def relink(
    model: str | Path,
    original: AnyHierarchy,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> RelinkReport:
    """Carry the hierarchy of an export to what a tool made of it: optimised, fused, quantised or converted.

    Afterwards `hx.load(model)` is a hierarchy like that of any export.

    Example:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),), "linear.onnx", overwrite=True)
        >>> hx.relink("linear.onnx", exported, "relinked.json", overwrite=True).covered_percent
        100.0

    Args:
        model: The ONNX file that the tool wrote.
        original: The export that it was made of.
        output: The sidecar; None for `MODEL_hierarchy.json` beside the model.
        overwrite: Replace a sidecar that exists.
        progress: Told what goes on.

    Returns:
        What was found, and the file; the fields are told in `hx.records.relink`.

    Raises:
        HxError: HX402 or HX306 before any work where the file could not be written; HX211 if the one was not made of
            the other; else as `load`.
    """
    path = Path(model)
    target = Path(output) if output is not None else sidecar_path(path)
    refuse_existing([target], overwrite=overwrite)
    check_writable(target.parent)
    progress("Following the values", 0, 0)
    from hx_graph import infer_types, read_model
    from hx_projector import relink as relinked

    export = opened(original)
    graph = read_model(path)
    infer_types(graph)
    sidecar = relinked(graph, export.model, export.sidecar, file=path.name)
    sidecar = save_sidecar(sidecar, path, target)
    return RelinkReport(
        model=str(path),
        original=name_of(original),
        file=File.of(target),
        **counts_of(sidecar),
        original_nodes=export.sidecar.summary.nodes,
        original_calls=statuses_of(export.sidecar),
        spanning=[
            SpanningNode(
                output=node.output,
                op_type=node.op_type,
                owner=sidecar.tag(sidecar.calls[node.owner]),
                covers=[sidecar.tag(sidecar.calls[row]) for row in node.covers],
                originals=node.originals,
            )
            for node in sidecar.nodes
            if node.covers
        ],
        unsure=dict(Counter(node.confidence for node in sidecar.nodes if node.confidence != "high")),
    )


def save_sidecar(sidecar: Sidecar, model: Path, target: Path) -> Sidecar:
    """Write the sidecar of a file that is there, and return it with what made it."""
    sidecar = sidecar.with_file_digest(model)
    sidecar = sidecar.model_copy(update={"generator": provenance_of(sidecar.generator)})
    sidecar.save(target)
    return sidecar

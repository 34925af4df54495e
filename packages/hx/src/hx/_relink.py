"""`hx relink`: a sidecar for what a tool made of an export."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hx._paths import check_writable, refuse_existing, sidecar_path
from hx._provenance import generator_of
from hx.records.relink import RelinkReport, SpanningNode
from hx.records.reports import File
from hx_sidecar_schema import Sidecar, atomic_folder

if TYPE_CHECKING:
    from hx_cli._output import Output


def relink_model(
    path: Path, original: Path, target: Path | None, output: Output, *, overwrite: bool
) -> RelinkReport:
    """Attribute a transformed model by the export that it was made of, and write its sidecar.

    Raises:
        HxError: HX402 or HX306 before any work where the file could not be written; HX211 if the one was not made of
            the other; else as the packages raise.
    """
    target = target or sidecar_path(path)
    refuse_existing([target], overwrite=overwrite)
    check_writable(target.parent)
    with output.working("Following the values"):
        from hx_extractor import load
        from hx_graph import infer_types, read_model
        from hx_projector import relink

        export = load(original)
        model = read_model(path)
        infer_types(model)
        sidecar = relink(model, export.model, export.sidecar, file=path.name)
    sidecar = sidecar.model_copy(update={"generator": generator_of(sidecar.generator, output.argv)})
    with atomic_folder(target.parent) as staging:
        sidecar.with_file_digest(path).save(staging / target.name)
    return RelinkReport(
        model=str(path),
        original=str(original),
        file=File(path=str(target), size_bytes=target.stat().st_size),
        nodes=sidecar.summary.nodes,
        original_nodes=export.sidecar.summary.nodes,
        exact_percent=sidecar.summary.exact_percent,
        covered_percent=sidecar.summary.covered_percent,
        calls=_statuses(sidecar),
        original_calls=_statuses(export.sidecar),
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


def _statuses(sidecar: Sidecar) -> dict[str, int]:
    return dict(Counter(call.status for call in sidecar.calls))

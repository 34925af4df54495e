"""Opening an exported model with its sidecar, or what a tool made of one: quantised, converted, optimised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hx_extractor._hierarchy import Hierarchy
from hx_sidecar_schema import EMBEDDED, ForeignSidecar, HxError, Sidecar, file_digest, from_embedded, graph_digest

if TYPE_CHECKING:
    import onnx_ir as ir


def load(path: str | Path, sidecar: str | Path | None = None) -> Hierarchy:
    """Open an exported model and its sidecar.

    A file that is as it was saved is not parsed: the sidecar knows its digest. Then `Hierarchy.model` reads it when
    it is needed, and raises what is wrong with external data.

    Args:
        path: The ONNX file.
        sidecar: Its sidecar; by default `NAME_hierarchy.json` beside it, else the one inside its metadata.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model, HX204 if external data is missing, cut short
            or outside the file's folder, HX203 if the sidecar belongs to another model, HX301 to HX304 if the sidecar
            cannot be read.
    """
    path = Path(path)
    beside = path.with_name(f"{path.stem}_hierarchy.json")
    known = Sidecar.load(sidecar or beside) if sidecar or beside.exists() else None
    if known is not None and path.is_file() and known.model.file_digest == file_digest(path):
        return Hierarchy(path, known)
    from hx_graph import check_rows, read_model

    model = read_model(path)
    if known is None:
        inside = model.metadata_props.get(EMBEDDED)
        known = Sidecar.load(beside) if inside is None else from_embedded(inside, path)
    if graph_digest(model) != known.model.graph_digest:
        message = f"Sidecar of {known.model.file!r} does not belong to {str(path)!r}: the graphs differ."
        raise ForeignSidecar(message, hint="Export the model again, so that both files are of one run.")
    check_rows(model, known)
    return Hierarchy(path, known, model)


def load_transformed(path: str | Path, original: str | Path) -> Hierarchy:
    """Open a model that was quantised, converted or optimised, with the sidecar of the export it was made of.

    Its calls begin and end at the same values, with the types that these have now. Where a value is gone, or more
    than one call lies between what is left, `extract` raises HX212.

    Args:
        path: The transformed ONNX file.
        original: The ONNX file that `hx export` wrote, with its sidecar beside it.

    Raises:
        HxError: As `load`, for either file; HX211 if the one was not made of the other.
    """
    from hx_graph import infer_types, read_model, value_types

    path = Path(path)
    model = read_model(path)
    export = load(original)
    _check_descent(model, export.sidecar, str(path))
    infer_types(model)
    return Hierarchy(path, export.sidecar, model, exported=value_types(export.model.graph))


def _check_descent(model: ir.Model, sidecar: Sidecar, path: str) -> None:
    """Refuse a model that was not made of the sidecar's: tools change the graph, but values between modules keep their names."""
    found = [[str(v.name) for v in ends] for ends in (model.graph.inputs, model.graph.outputs)]
    known = [[info.name for info in ends] for ends in (sidecar.model.inputs, sidecar.model.outputs)]
    reason = ""
    if found[0] != known[0] or not {*known[1]} <= {*found[1]}:  # a tool may make inner values outputs too
        reason = f"it has the inputs and outputs {found}, not {known}"
    else:
        ends = {name for names in known for name in names}
        ports = {p.value for call in sidecar.calls for p in (*call.inputs, *call.outputs) if p.value} - ends
        made = {out.name for node in model.graph for out in node.outputs}
        if ports and not ports & made:
            reason = "no value between its modules has the same name"
    if reason:
        raise HxError(
            f"Model {path!r} was not made of {sidecar.model.file!r}: {reason}.",
            code="HX211",
            hint="Name the export that the model was made of; an export itself is opened without one.",
            argument="original",
        )

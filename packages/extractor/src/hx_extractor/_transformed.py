"""A model that a tool made of an export: quantised, converted to another precision, optimised.

Such tools drop the export's metadata and change the graph, but the values between modules keep their names. So the
export's sidecar still says where every call begins and ends; what lies between is the transformed graph's own.
"""

from __future__ import annotations

import onnx_ir as ir

from hx_sidecar_schema import HxError, Sidecar


def check_descent(model: ir.Model, sidecar: Sidecar, path: str) -> None:
    """Refuse a model that was not made of the sidecar's.

    Raises:
        HxError: HX211 if it lacks an output or the inputs have other names, or no value between modules has kept its name.
    """
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

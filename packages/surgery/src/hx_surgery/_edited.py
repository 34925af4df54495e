"""The sidecar of a model whose nodes were moved, added or removed, and whose owners are known."""

from collections.abc import Mapping

import onnx_ir as ir

from hx_graph import all_nodes, output_of, values_by_name
from hx_projector import assemble
from hx_sidecar_schema import HxError, ModuleContext, Node, Port, Sidecar


def edited_sidecar(
    model: ir.Model,
    sidecar: Sidecar,
    *,
    file: str,
    rows: Mapping[ir.Node, Node] | None = None,
    editor: str = "The edit",
) -> Sidecar:
    """Return the sidecar of an edited model: modules and calls of the one that it was, statuses and ports as they are now.

    A port whose value is in the graph no more is lost, and its call `fused`; implicit inputs are found again by cutting.

    Args:
        model: The edited model; not changed.
        sidecar: Of the model before the edit.
        file: Name of the edited ONNX file.
        rows: Rows of the nodes that are new, or have other owners; other nodes have theirs from before, by path and first output.
        editor: What reasons of calls name as what took ports away.

    Raises:
        HxError: HX203 if a node has no row.
    """
    known = {row.key: row for row in sidecar.nodes}
    given = rows or {}
    owned: dict[ir.Node, Node] = {}
    for path, node in all_nodes(model):
        row = given.get(node) or known.get((path, output_of(node)))
        if row is None:
            message = f"Nothing is known of node {output_of(node)!r} of the edited model."
            raise HxError(message, code="HX203", hint="Give its row.")
        here = {"graph": path, "output": output_of(node), "name": node.name or "", "op_type": node.op_type}
        owned[node] = row.model_copy(update=here)
    return assemble(model, _context(model, sidecar), (owned, []), file=file, merger=editor)


def _context(model: ir.Model, sidecar: Sidecar) -> ModuleContext:
    values = values_by_name(model.graph)
    here, usable = {*values}, [False] * len(sidecar.recovered)
    left = list(enumerate(sidecar.recovered))
    while ready := [(number, row) for number, row in left if all(not name or name in here for name in row.inputs)]:
        for number, row in ready:
            usable[number] = True
            here.update(name for name in row.outputs if name)
        left = [pair for pair in left if not usable[pair[0]]]

    def now(port: Port) -> Port:
        gone = {"value": port.value} | {"initializer": port.initializer}
        return port.model_copy(update={field: name if name in here else None for field, name in gone.items()})

    return ModuleContext(
        generator=sidecar.generator,
        modules=sidecar.modules,
        calls=[
            call.model_copy(
                update={
                    "inputs": [now(port) for port in call.inputs if not port.implicit],
                    "outputs": [now(port) for port in call.outputs],
                    "recovered": [row for row in call.recovered if usable[row]],
                }
            )
            for call in sidecar.calls
            if call.status != "not_called"
        ],
        recovered=sidecar.recovered,
        sizes={name: size for name, size in sidecar.sizes.items() if name in values},
        initializers=[row for row in sidecar.initializers if row.name in model.graph.initializers],
        examples={info.name: info.example for info in sidecar.model.inputs if info.example is not None},
    )

"""The sidecar of a model whose nodes were moved, added or removed, and whose owners are known."""

from collections.abc import Collection, Mapping

import onnx_ir as ir

from hx_graph import all_nodes, output_of, values_by_name
from hx_projector import assemble
from hx_sidecar_schema import HxError, ModuleCall, ModuleContext, Node, Port, Sidecar


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
    context = _context(model, sidecar)
    return assemble(model, context, (owned, []), file=file, merger=editor, cut_from=sidecar.cut_from)


def _context(model: ir.Model, sidecar: Sidecar) -> ModuleContext:
    values = values_by_name(model.graph)
    before = {*(row.output for row in sidecar.nodes), *(row.name for row in sidecar.initializers)}
    before |= {info.name for info in sidecar.model.inputs}
    gone = before - values.keys()
    weights = [row for row in sidecar.initializers if row.name in model.graph.initializers]
    return ModuleContext(
        generator=sidecar.generator,
        modules=sidecar.modules,
        calls=[_now(call, sidecar, values, gone) for call in sidecar.calls if call.status != "not_called"],
        recovered=sidecar.recovered,
        sizes={name: size for name, size in sidecar.sizes.items() if name not in gone},
        initializers=weights,
        stored_names=sidecar.stored_names_of(weights),
        examples={info.name: info.example for info in sidecar.model.inputs if info.example is not None},
    )


def _now(call: ModuleCall, sidecar: Sidecar, values: Collection[str], gone: Collection[str]) -> ModuleCall:
    """Return a call with the ports and the recovered nodes that the edited model still has; `gone` are values that it had."""
    # Recovered nodes may lead from a port that was in the graph no more already when it was exported.
    known = {*values, *(port.value for port in call.inputs if port.value and port.value not in gone)}
    rows: dict[int, None] = {}
    while added := [row for row in call.recovered if row not in rows and known.issuperset(_reads(sidecar, row))]:
        rows |= dict.fromkeys(added)
        known.update(out for row in added for out in sidecar.recovered[row].outputs)
    usable = [row for row in call.recovered if row in rows]
    read = {name for row in usable for name in _reads(sidecar, row)} - {*gone}
    made = {out for row in usable for out in sidecar.recovered[row].outputs}

    def now(port: Port, here: Collection[str]) -> Port:
        carried = {"value": port.value, "initializer": port.initializer}
        if port.unused:
            here = {*here, *filter(None, carried.values())} - {*gone}
        update: dict[str, object] = {field: name if name in here else None for field, name in carried.items()}
        # Of a port that nothing carried the call read sizes alone, which other values tell: it is lost no more than before.
        only_sizes = call.status == "extractable" and not any(carried.values())
        return port.model_copy(update=update | ({"unused": True} if only_sizes else {}))

    update: dict[str, object] = {
        "inputs": [now(port, {*values, *read, *made}) for port in call.inputs if not port.implicit],
        "outputs": [now(port, {*values, *read, *made}) for port in call.outputs],
        "recovered": usable,
    }
    return call.model_copy(update=update)


def _reads(sidecar: Sidecar, row: int) -> list[str]:
    return [name for name in sidecar.recovered[row].inputs if name]

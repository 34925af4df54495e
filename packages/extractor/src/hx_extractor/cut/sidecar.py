"""The sidecar of an extracted model: what the exported model's says about that part."""

import onnx_ir as ir

from hx_extractor.cut.builder import GraphBuilder
from hx_extractor.cut.index import GraphIndex
from hx_graph import CutGraph, all_nodes, consumer_calls, dims_of, dtype_name, initializer_rows, output_of
from hx_sidecar_schema import CutFrom, ModelInfo, ModuleCall, Node, Port, Sidecar, Summary, TensorInfo, graph_digest

_ELSEWHERE = {"status": "fused", "reason": "Only the exported model holds all of it; extract it from there."}


def cut_sidecar(index: GraphIndex, row: int, builder: GraphBuilder, model: ir.Model) -> Sidecar:
    """Return the sidecar of the model that was cut out at `row`.

    Nodes that were copied in belong to its root call. Calls below keep their ports where they are in the
    model; a call that needs recovered nodes, or sizes that only an implicit input of the part has, is left to the exported model.
    """
    sidecar = index.sidecar
    end = sidecar.subtree_end[row]
    root = sidecar.calls[row].module
    modules = _module_rows(sidecar, root, {call.module for call in sidecar.calls[row:end]})
    found = list(all_nodes(model))
    elsewhere = "lineage" if sidecar.is_relinked else "dataflow"  # a part of what a tool made is known as one
    rows: list[Node] = []
    for path, node in found:
        copied = builder.copies.get(node)
        old = index.rows.get((path, output_of(node))) if copied is None else index.row_of(copied)
        inside = old if old is not None and row <= old.owner < end else None
        rows.append(
            Node(
                graph=path,
                output=output_of(node),
                name=node.name or "",
                op_type=node.op_type,
                owner=inside.owner - row if inside else 0,
                evidence=inside.evidence if inside else elsewhere,
                confidence=inside.confidence if inside else "low",
                known=old is None or old.known,
            )
        )
    ends = [stop - row for stop in sidecar.subtree_end[row:end]]
    readers = consumer_calls([node for _, node in found], [node.owner for node in rows], ends)
    nodes = [node.model_copy(update={"consumers": calls}) for node, calls in zip(rows, readers, strict=True)]
    sizes = {name: size for old, size in sidecar.sizes.items() if (name := builder.name_of(old)) is not None}
    calls = [_call(call, row, builder, model.graph, modules) for call in sidecar.calls[row:end]]
    if sidecar.calls[row].recovered or any(port.implicit for port in sidecar.calls[row].inputs):
        graph = CutGraph(model.graph, {(node.graph, node.output): node.owner for node in nodes}, sizes)
        calls = [
            call.model_copy(update=_ELSEWHERE)
            if number and call.status == "extractable" and _needs_more(call, number, stop, graph)
            else call
            for number, (call, stop) in enumerate(zip(calls, ends, strict=True))
        ]
    exact, covered = sum(node.confidence == "high" for node in nodes), sum(node.known for node in nodes)
    old_modules, weights = [sidecar.modules[old] for old in modules], index.initializers
    parents = [None, *(modules.get(module.parent or 0) for module in old_modules[1:])]
    known = [weights[name] for name in model.graph.initializers if name in weights and builder.name_of(name) == name]
    return Sidecar(
        generator=sidecar.generator,
        cut_from=CutFrom(
            file=sidecar.model.file,
            graph_digest=sidecar.model.graph_digest,
            fqn=sidecar.modules[root].fqn,
            index=sidecar.calls[row].index,
        ),
        model=ModelInfo(
            file="",
            opset_imports=dict(model.opset_imports),
            ir_version=model.ir_version,
            graph_digest=graph_digest(model),
            inputs=[_tensor(value) for value in model.graph.inputs],
            outputs=[_tensor(value) for value in model.graph.outputs],
        ),
        modules=[old.model_copy(update={"parent": up}) for old, up in zip(old_modules, parents, strict=True)],
        calls=calls,
        nodes=nodes,
        initializers=initializer_rows(model.graph, known, {node.key: node.owner for node in nodes}),
        sizes=sizes,
        stored_names=sidecar.stored_names_of(known),
        summary=Summary(
            nodes=len(nodes), exact_percent=_percent(exact, nodes), covered_percent=_percent(covered, nodes)
        ),
    )


def _percent(part: int, whole: list[Node]) -> float:
    return round(100 * part / len(whole), 2) if whole else 100.0


def _module_rows(sidecar: Sidecar, root: int, called: set[int]) -> dict[int, int]:
    """Rows of the modules that were called, and of those between them and the root, to their new rows."""
    needed = {root}
    for start in called:
        chain: list[int] = []
        module: int | None = start
        while module is not None and module not in needed:
            chain.append(module)
            module = sidecar.modules[module].parent
        needed.update(chain if module is not None else [start])
    return {old: new for new, old in enumerate([root, *sorted(needed - {root})])}


def _call(call: ModuleCall, root: int, builder: GraphBuilder, graph: ir.Graph, modules: dict[int, int]) -> ModuleCall:
    """Return a call of the exported model as it is in the part whose root is at `root` there; `modules` are rows there to here."""
    is_root = call is builder.parent.sidecar.calls[root]
    names = {port.carrier: port.name for port in call.inputs if not port.unused}

    def port(old: Port) -> Port:
        if is_root:
            name = names.get(old.carrier) if old.unused else old.name  # several ports may be one value
            return old.model_copy(update={"value": name, "initializer": None})
        name = builder.name_of(old.carrier) if old.carrier else None
        weight = name in graph.initializers  # what the whole model folded into a weight, a recovered node computes here
        return old.model_copy(update={"value": None if weight else name, "initializer": name if weight else None})

    inputs, outputs = [port(p) for p in call.inputs], [port(p) for p in call.outputs]
    gone = any(port.is_lost for port in (*inputs, *outputs))
    update: dict[str, object] = {
        "module": modules[call.module],
        "parent": None if is_root else (call.parent or 0) - root,
        "inputs": inputs,
        "outputs": outputs,
        "recovered": [],
        "merged": [other - root for other in call.merged if root <= other < builder.parent.sidecar.subtree_end[root]],
    }
    if not is_root and call.status == "extractable" and (gone or call.recovered):
        update |= _ELSEWHERE
    return call.model_copy(update=update)


def _needs_more(call: ModuleCall, row: int, end: int, graph: CutGraph) -> bool:
    """Say whether a call in a part derives from more than its inputs: what was a constant may be computed of an argument."""
    arguments = [port for port in call.inputs if not port.implicit]
    outputs = [port.carrier for port in call.outputs if not port.unused]
    found = graph.cut(row, end, arguments, outputs, recovered={})
    used, implicit = (
        {port.carrier for port in call.inputs if port.implicit is kind and not port.unused} for kind in (False, True)
    )
    return found.reached != used or set(found.implicit) != implicit


def _tensor(value: ir.Value) -> TensorInfo:
    return TensorInfo(name=value.name or "", dtype=dtype_name(value), shape=dims_of(value.shape))

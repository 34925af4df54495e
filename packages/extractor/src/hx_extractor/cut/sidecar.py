"""The sidecar of an extracted model: what the exported model's says about that part."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

from hx_extractor.cut.builder import Rebuild
from hx_graph import all_nodes, dims_of, initializer_rows, output_of
from hx_sidecar_schema import (
    CutFrom,
    ModelInfo,
    ModuleCall,
    Node,
    Port,
    Sidecar,
    Summary,
    TensorInfo,
    graph_digest,
)


def cut_sidecar(sidecar: Sidecar, row: int, rebuild: Rebuild, model: ir.Model) -> Sidecar:
    """Return the sidecar of the model that was cut out at `row`.

    Nodes that were copied in belong to its root call. Calls below keep their ports where they are in the
    model; a call that needs recovered nodes is left to the exported model.
    """
    end = sidecar.subtree_end[row]
    root = sidecar.calls[row].module
    rows = list(range(row, end))
    modules = _module_rows(sidecar, root, {sidecar.calls[r].module for r in rows})
    new_row = {old: new for new, old in enumerate(rows)}
    counts = Counter(node.output for node in sidecar.nodes)
    known = {node.output: node for node in sidecar.nodes if not node.graph or counts[node.output] == 1}
    names = {_name: rebuild.name_of(_name) for _name in known}
    old_name = {new: old for old, new in names.items() if new}
    in_functions = {(node.graph, node.output): node for node in sidecar.nodes if "::" in node.graph}
    nodes: list[Node] = []
    for path, node in all_nodes(model):
        output = output_of(node)
        old = in_functions.get((path, output)) or known.get(old_name.get(output, output))
        owner = new_row.get(old.owner) if old is not None else None
        nodes.append(
            Node(
                graph=path,
                output=output,
                name=node.name or "",
                op_type=node.op_type,
                owner=owner or 0,
                evidence=old.evidence if old is not None and owner is not None else "dataflow",
                confidence=old.confidence if old is not None and owner is not None else "low",
                known=old is None or old.known,
            )
        )
    nodes = _with_consumers(model, nodes, [end - row for end in sidecar.subtree_end[row:end]])
    calls = [_call(sidecar.calls[r], r == row, rebuild, new_row, modules) for r in rows]
    exact = sum(node.confidence == "high" for node in nodes)
    covered = sum(node.known for node in nodes)
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
        modules=[
            sidecar.modules[old].model_copy(
                update={"parent": None if old == root else modules.get(sidecar.modules[old].parent or 0)}
            )
            for old in modules
        ],
        calls=calls,
        nodes=nodes,
        initializers=initializer_rows(
            model.graph,
            (
                item
                for item in sidecar.initializers
                if rebuild.name_of(item.name) == item.name and item.name in model.graph.initializers
            ),
            {node.output: node.owner for node in nodes if not node.graph},
        ),
        summary=Summary(
            nodes=len(nodes),
            exact_percent=_percent(exact, nodes),
            covered_percent=_percent(covered, nodes),
        ),
    )


def _percent(part: int, whole: list[Node]) -> float:
    return round(100 * part / len(whole), 2) if whole else 100.0


def _with_consumers(model: ir.Model, nodes: list[Node], ends: list[int]) -> list[Node]:
    """Return rows of nodes with the calls that read them here: what was copied in belongs to the root.

    Args:
        model: The part.
        nodes: Its rows, in the order of `all_nodes`.
        ends: For each call, the row after its last descendant.
    """
    found = [node for _, node in all_nodes(model)]
    readers: dict[int, set[int]] = {}
    for row, node in zip(nodes, found, strict=True):
        for value in node.inputs:
            if value is not None:
                readers.setdefault(id(value), set()).add(row.owner)
    rewritten: list[Node] = []
    for row, node in zip(nodes, found, strict=True):
        calls = {call for out in node.outputs for call in readers.get(id(out), ())}
        outside = sorted(call for call in calls if not row.owner <= call < ends[row.owner])
        rewritten.append(row.model_copy(update={"consumers": outside}))
    return rewritten


def _module_rows(sidecar: Sidecar, root: int, called: set[int]) -> dict[int, int]:
    """Rows of the modules that were called, and of those between them and the root, to their new rows."""
    needed = {root}
    for start in called:
        chain: list[int] = []
        module: int | None = start
        while module is not None and module not in needed:
            chain.append(module)
            module = sidecar.modules[module].parent
        if module is not None:
            needed.update(chain)
        needed.add(start)
    order = [root, *sorted(needed - {root})]
    return {old: new for new, old in enumerate(order)}


def _call(
    call: ModuleCall, is_root: bool, rebuild: Rebuild, new_row: dict[int, int], modules: dict[int, int]
) -> ModuleCall:
    def port(old: Port) -> Port:
        if is_root:
            return old.model_copy(update={"value": None if old.unused else old.name, "initializer": None})
        value = rebuild.name_of(old.value) if old.value else None
        initializer = rebuild.name_of(old.initializer) if old.initializer else None
        return old.model_copy(update={"value": value, "initializer": initializer})

    inputs, outputs = [port(p) for p in call.inputs], [port(p) for p in call.outputs]
    gone = any(p.value is None and p.initializer is None and not p.unused for p in (*inputs, *outputs))
    update: dict[str, object] = {
        "module": modules[call.module],
        "parent": None if is_root else new_row[call.parent or 0],
        "inputs": inputs,
        "outputs": outputs,
        "recovered": [],
    }
    if not is_root and call.status == "extractable" and (gone or call.recovered):
        update |= {
            "status": "fused",
            "reason": "Only the exported model holds all of it; extract it from there.",
        }
    return call.model_copy(update=update)


def _tensor(value: ir.Value) -> TensorInfo:
    return TensorInfo(
        name=value.name or "",
        dtype=value.dtype.name if value.dtype else "UNDEFINED",
        shape=dims_of(value.shape),
    )

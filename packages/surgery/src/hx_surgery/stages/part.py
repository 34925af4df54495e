"""One stage: the nodes of some steps as a model, and what the sidecar says of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from hx_graph import all_nodes, bodies_in, called_functions, nodes_in, output_of
from hx_sidecar_schema import EMBEDDED, CutFrom, ModuleCall, Sidecar
from hx_surgery._edited import edited_sidecar
from hx_surgery._reading import read_instead, read_nothing


@dataclass(frozen=True)
class Part:
    """What a stage holds of a model, by names of values and positions of nodes."""

    nodes: frozenset[int]
    inputs: Sequence[str]
    """Values of other stages, and inputs of the model."""
    outputs: Sequence[str]


def part_model(model: ir.Model, part: Part, typed: Mapping[str, ir.Value]) -> ir.Model:
    """Return the nodes of a part as a model. Weights are the same tensors.

    Args:
        model: The whole model; not changed.
        part: What to take of it.
        typed: Values by name, with types: what a stage takes is declared as they are.
    """
    copy = model.clone()
    copy.metadata_props.pop(EMBEDDED, None)  # it is of the whole model
    graph = copy.graph
    if 0 not in part.nodes:  # torch's description of the whole graph: one stage has it, for those who join them again
        graph.metadata_props.clear()
    nodes = list(graph)
    kept = [node for position, node in enumerate(nodes) if position in part.nodes]
    gone = [node for position, node in enumerate(nodes) if position not in part.nodes]
    values = {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
    values |= {out.name: out for node in nodes for out in node.outputs}
    given = {value.name for value in graph.inputs}
    taken = {values[name]: _declared(typed[name]) for name in part.inputs if name not in given}
    for node in kept:
        read_instead(node, taken)
    outputs = [taken.get(values[name], values[name]) for name in part.outputs]
    for value in outputs:
        known = typed[str(value.name)]
        value.type, value.shape = value.type or known.type, value.shape if value.shape is not None else known.shape
    graph.outputs.clear()
    read_nothing(gone)
    graph.remove(gone)
    graph.outputs.extend(outputs)
    used = {value for _, node in nodes_in(graph) for value in node.inputs}
    used |= {value for body in (graph, *bodies_in(graph)) for value in body.outputs}
    for value in list(graph.initializers.values()):
        if value not in used:
            del graph.initializers[str(value.name)]
    inputs = [
        value for value in graph.inputs if value.name in part.inputs or (value.is_initializer() and value in used)
    ]
    inputs += taken.values()
    graph.inputs.clear()
    graph.inputs.extend(inputs)
    called = called_functions(graph, copy.functions)
    for key in [key for key in copy.functions if key not in called]:
        del copy.functions[key]
    return copy


def _declared(value: ir.Value) -> ir.Value:
    shape = None if value.shape is None else value.shape.copy()
    return ir.Value(name=value.name, type=value.type, shape=shape)


def part_sidecar(model: ir.Model, sidecar: Sidecar, begun: range, *, file: str, name: str) -> Sidecar:
    """Return the sidecar of a stage: the calls that begin in its steps or own nodes of it, and all around them.

    Args:
        model: The stage.
        sidecar: Of the whole model.
        begun: Rows of the calls that begin in the stage.
        file: Name of the stage's file.
        name: Of the stage.
    """
    here = {(path, output_of(node)) for path, node in all_nodes(model)}
    rows = [row for row in sidecar.nodes if row.key in here]
    called = [row for row, call in enumerate(sidecar.calls) if call.status != "not_called"]
    kept = _with_parents({row for row in called if row in begun} | {row.owner for row in rows}, sidecar.calls)
    elsewhere = {row.owner for row in sidecar.nodes if row.key not in here}
    calls = {old: new for new, old in enumerate(kept)}
    modules = _module_rows(sidecar, {sidecar.calls[row].module for row in kept})
    owners = {row.owner for row in rows}
    used = sorted({row for call in kept for row in sidecar.calls[call].recovered})
    recovered = {old: new for new, old in enumerate(used)}

    def moved(row: int) -> ModuleCall:
        call = sidecar.calls[row]
        update: dict[str, object] = {
            "module": modules[call.module],
            "parent": None if call.parent is None else calls[call.parent],
            "recovered": [recovered[one] for one in call.recovered],
            "merged": [calls[one] for one in call.merged if one in calls],
        }
        below = range(row, sidecar.subtree_end[row])
        if call.status == "extractable" and (not elsewhere.isdisjoint(below) or owners.isdisjoint(below)):
            reason = f"Stage {name!r} holds a part of it: cut it out of the whole model."
            update |= {"status": "fused", "reason": reason}
        return call.model_copy(update=update)

    part = sidecar.model_copy(
        update={
            "cut_from": CutFrom(file=sidecar.model.file, graph_digest=sidecar.model.graph_digest, fqn="", index=0),
            "modules": [
                module.model_copy(update={"parent": None if module.parent is None else modules[module.parent]})
                for module in (sidecar.modules[old] for old in modules)
            ],
            "calls": [moved(row) for row in kept],
            # with those of other stages: what a call lacks is in none of its ports then
            "nodes": [
                row.model_copy(
                    update={"owner": calls[row.owner], "covers": [calls[one] for one in row.covers if one in calls]}
                )
                if row.key in here
                else row
                for row in sidecar.nodes
            ],
            "recovered": [sidecar.recovered[row] for row in used],
            "disagreements": [],
        }
    )
    return edited_sidecar(model, part, file=file, editor="The split")


def _with_parents(rows: Collection[int], calls: Sequence[ModuleCall]) -> list[int]:
    kept = set[int]()
    for start in rows:
        row: int | None = start
        while row is not None and row not in kept:
            kept.add(row)
            row = calls[row].parent
    return sorted(kept)


def _module_rows(sidecar: Sidecar, called: Collection[int]) -> dict[int, int]:
    """Rows of the modules that are called, and of those around them, to their new rows."""
    needed = set[int]()
    for start in called:
        row: int | None = start
        while row is not None and row not in needed:
            needed.add(row)
            row = sidecar.modules[row].parent
    return {old: new for new, old in enumerate(sorted(needed))}

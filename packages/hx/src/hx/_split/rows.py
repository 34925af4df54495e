"""What is known of stages: what they compute, hold, take and give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hx._analyze import measured_shapes
from hx._view.numbers import time_columns

if TYPE_CHECKING:
    from hx_extractor import Hierarchy
    from hx_profiler import Profile
    from hx_projector import ModelCost
    from hx_surgery import Plan, Stage, StageModel


def model_costs(hierarchy: Hierarchy) -> ModelCost:
    from hx_projector import model_cost

    shapes = {i.name: i.example.shape for i in hierarchy.sidecar.model.inputs if i.example is not None}
    return model_cost(hierarchy.model, {}, shapes, partial(measured_shapes, hierarchy))


def node_times(hierarchy: Hierarchy, profile: Profile | str | Path) -> dict[tuple[str, str], float]:
    """Return the microseconds of nodes; what a call has beside those of its nodes is even over them."""
    sidecar = hierarchy.sidecar
    column = time_columns(sidecar, profile)[0]
    found = {node.key: column.nodes.get(row, 0.0) for row, node in enumerate(sidecar.nodes)}
    owned: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for node in sidecar.nodes:
        owned[node.owner].append(node.key)
    for row, keys in owned.items():
        rest = max((column.own or {}).get(row, 0.0) - sum(found[key] for key in keys), 0.0)
        for key in keys:
            found[key] += rest / len(keys)
    return found


def loads_of(plan: Plan, cost: ModelCost, time: Mapping[tuple[str, str], float] | None, by: str) -> list[int] | None:
    if by == "weights":
        return None
    if by == "macs":
        return [int(macs) for macs in _by_node(plan, _macs(cost))]
    return [round(us * 1000) for us in _by_node(plan, time or {})]


def stage_rows(
    plan: Plan, stages: Sequence[StageModel], cost: ModelCost, time: Mapping[tuple[str, str], float] | None
) -> list[Stage]:
    """Return what `stages.json` says of stages."""
    from hx_graph import dims_of, dtype_name
    from hx_surgery import Stage, Wire

    sidecar, steps = plan.sidecar, plan.timeline.steps
    macs, times = _by_node(plan, _macs(cost)), _by_node(plan, time or {})
    gives = {str(value.name): stage.name for stage in stages for value in stage.model.graph.outputs}
    ends = {str(value.name) for value in plan.model.graph.outputs}
    given = {stage.name: [v for v in stage.model.graph.inputs if not v.is_initializer()] for stage in stages}
    readers: defaultdict[str, list[str]] = defaultdict(list)
    for name, values in given.items():
        for value in values:
            readers[str(value.name)].append(name)

    def wire(value: Any) -> Wire:
        name = str(value.name)
        return Wire(
            name=name,
            dtype=dtype_name(value),
            shape=dims_of(value.shape),
            size_bytes=cost.size_bytes.get(name),
            source=None if value.is_graph_input() and name not in gives else gives.get(name),
            readers=readers[name],
            output=name in ends,
        )

    def called(row: int) -> str:
        call = sidecar.calls[row]
        name = sidecar.module_of(call).fqn or sidecar.tag(call)
        return f"{name}@{call.index}" if call.index and sidecar.module_of(call).fqn else name

    def held(begun: range) -> list[str]:
        ends = sidecar.subtree_end
        whole = {row for row in begun if ends[row] <= begun.stop and sidecar.calls[row].status != "not_called"}
        return [called(row) for row in sorted(whole) if sidecar.calls[row].parent not in whole]

    def begins(begun: range) -> str:
        return (
            called(begun.start) if begun and begun.start and sidecar.calls[begun.start].status != "not_called" else ""
        )

    return [
        Stage(
            name=stage.name,
            file=stage.sidecar.model.file,
            begins=begins(stage.calls),
            calls=held(stage.calls),
            nodes=len(stage.model.graph),
            weight_bytes=sum(
                {
                    name: size
                    for step, weights in zip(steps, plan.weights, strict=True)
                    if step in stage.steps
                    for name, size in weights.items()
                }.values()
            ),
            macs=int(sum(number for step, number in zip(steps, macs, strict=True) if step in stage.steps)),
            time_us=None
            if time is None
            else round(sum(number for step, number in zip(steps, times, strict=True) if step in stage.steps), 3),
            inputs=[wire(value) for value in given[stage.name]],
            outputs=[wire(value) for value in stage.model.graph.outputs],
        )
        for stage in stages
    ]


def notes_of(cost: ModelCost, rows: Sequence[Stage]) -> list[str]:
    unknown = sum(bool(row.arithmetic.unknown) for row in cost.nodes)
    unsized = sorted({wire.name for row in rows for wire in row.inputs if wire.size_bytes is None})
    notes = [f"Multiply-accumulates of {unknown} nodes are unknown, and in no number."] if unknown else []
    return notes + ([f"How large {', '.join(unsized)} is is not known."] if unsized else [])


def _by_node(plan: Plan, numbers: Mapping[tuple[str, str], float]) -> list[float]:
    """Return numbers of the main graph's nodes, those of their bodies included."""
    from hx_graph import nodes_below, output_of

    keys = ([("", output_of(node)), *((p, output_of(n)) for p, n in nodes_below(node))] for node in plan.timeline.nodes)
    return [sum(numbers.get(key, 0) for key in below) for below in keys]


def _macs(cost: ModelCost) -> dict[tuple[str, str], float]:
    return {(row.graph, row.output): row.arithmetic.macs for row in cost.nodes}

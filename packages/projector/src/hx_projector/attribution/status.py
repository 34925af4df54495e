"""What became of each call: its status, its ports, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hx_graph import CallTree, CutGraph, dims_of
from hx_sidecar_schema import CONTAINERS, Module, ModuleCall, ModuleContext, Port, Status

_NOT_CALLED = "No call was seen: it did not run, or its forward() was called directly."


class _Merged(NamedTuple):
    """Calls that one node stands for together, and what made it so, as reasons name it."""

    by: str
    calls: set[tuple[int, ...]]


def judge_calls(
    context: ModuleContext, graph: CutGraph, tree: CallTree, merger: str = "The exporter"
) -> list[ModuleCall]:
    """Return the calls with their statuses and final ports, and a row for every module that was never called.

    Args:
        context: The calls, with the ports that they have in the graph.
        graph: With the owners of its nodes.
        tree: Of the calls.
        merger: What merged modules where they are merged, as reasons name it.
    """
    merged = _Merged(merger, {tuple(rows) for rows in context.origins.values() if len(rows) > 1})
    dead, folded = set(context.dead_calls), set(context.folded_calls)
    judged: list[ModuleCall] = []
    for row, call in enumerate(context.calls):
        status, reason = _fate(row, call, row in dead, row in folded, context, tree, merged)
        inputs = call.inputs
        if status == "extractable":
            inputs = _used_inputs(row, call, context, graph, tree)
            carried = {port.carrier for port in inputs if not port.unused}
            skipped = [
                b.name
                for a, b in zip(call.inputs, inputs, strict=False)
                if b.unused and not a.unused and b.carrier not in carried
            ]
            if skipped and len(inputs) > len(call.inputs):
                # What reaches past an argument does not stand in for it.
                status, reason, inputs = "fused", _neighbour(row, skipped, context, tree, merged), call.inputs
        judged.append(call.model_copy(update={"status": status, "reason": reason, "inputs": inputs}))
    called = {call.module for call in context.calls}
    judged += [
        ModuleCall(module=row, index=0, status="not_called", reason=_NOT_CALLED)
        for row, module in enumerate(context.modules)
        if row not in called and module.class_name not in CONTAINERS
    ]
    return judged


def _fate(
    row: int, call: ModuleCall, dead: bool, folded: bool, context: ModuleContext, tree: CallTree, merged: _Merged
) -> tuple[Status, str]:
    if call.reason:
        return call.status, call.reason
    if not call.outputs:
        return "unused", "forward() returned no tensor."
    outputs = [port for port in call.outputs if not port.unused]
    if dead or not outputs:
        return "unused", "The result reaches no output of the model."
    carriers = {port.value or port.initializer for port in call.inputs} - {None}
    if all((port.value or port.initializer) in carriers for port in outputs):
        return "identity", "The result is an argument, unchanged: the module adds no node."
    missing = [port.name for port in (*call.inputs, *outputs) if _is_lost(port)]
    if folded or all(port.initializer is not None for port in outputs):
        return "folded", "The result does not depend on the model's inputs: the exporter made it a constant."
    if missing:
        return "fused", _neighbour(row, missing, context, tree, merged)
    return "extractable", ""


def _is_lost(port: Port) -> bool:
    return port.value is None and port.initializer is None and not port.unused


def _neighbour(row: int, missing: Sequence[str], context: ModuleContext, tree: CallTree, merged: _Merged) -> str:
    """Say with which calls this one was merged: a node of the final graph stands for them all."""
    others: set[int] = set()
    for rows in merged.calls:
        if any(tree.contains(row, other) for other in rows):
            others.update(other for other in rows if not tree.contains(row, other))
    names = ", ".join(repr(_tag(context.modules, context.calls[other])) for other in sorted(others)[:3])
    ports = ", ".join(map(repr, missing))
    partners = f" with {names}" if names else ""
    return f"{merged.by} merged it{partners}: {ports} is in the graph no more."


def _tag(modules: Sequence[Module], call: ModuleCall) -> str:
    tag = modules[call.module].tag
    return f"{tag}@{call.index}" if call.index else tag


def _used_inputs(row: int, call: ModuleCall, context: ModuleContext, graph: CutGraph, tree: CallTree) -> list[Port]:
    cut = graph.cut(
        row,
        tree.end[row],
        call.inputs,
        (port.carrier for port in call.outputs if not port.unused),
        recovered={
            output: [read for read in context.recovered[number].inputs if read]
            for number in call.recovered
            for output in context.recovered[number].outputs
        },
    )
    inputs: list[Port] = []
    for port in call.inputs:
        # Two arguments that are one tensor (q, k and v of self-attention) are one value in the graph: the first
        # carries it.
        unused = port.carrier not in cut.reached
        cut.reached.discard(port.carrier)
        inputs.append(port.model_copy(update={"unused": unused}))
    for name in cut.implicit:
        value = graph.values[name]
        inputs.append(
            Port(
                name=f"implicit.{name}",
                value=name,
                dtype=value.dtype.name if value.dtype else "UNDEFINED",
                shape=dims_of(value.shape),
                implicit=True,
            )
        )
    return inputs

"""What became of each call: its status, its ports, and why.

A call is `extractable` where `hx_graph.CutGraph` finds all that it needs; `hx_extractor.cut.cut` cuts by the same walk.
"""

from collections.abc import Sequence

import onnx_ir as ir

from hx_graph import CallTree, CutGraph, dims_of, dtype_name
from hx_sidecar_schema import CONTAINERS, ModuleCall, ModuleContext, Port, Status, lean

_NOT_CALLED = "No call was seen: it did not run, or its forward() was called directly."


def judge_calls(context: ModuleContext, graph: CutGraph, tree: CallTree, merger: str) -> list[ModuleCall]:
    """Return the calls with statuses and final ports, and a row for every module never called; reasons name the merger."""
    judge = _Judge(context, graph, tree, merger)
    judged = [judge.judged(row, call) for row, call in enumerate(context.calls)]
    called = {call.module for call in context.calls}
    return judged + [
        ModuleCall(module=row, index=0, status="not_called", reason=_NOT_CALLED)
        for row, module in enumerate(context.modules)
        if row not in called and module.class_name not in CONTAINERS
    ]


def merged_calls(context: ModuleContext, tree: CallTree) -> dict[int, set[int]]:
    """Return the calls that made only a part of a node, with the other ones that made it: an optimiser merged them."""
    merged: dict[int, set[int]] = {}
    for rows in {tuple(rows) for rows in context.origins.values() if len(rows) > 1}:
        for row in rows:
            for part in tree.leaving(row, tree.common(rows)):
                merged.setdefault(part, set()).update(other for other in rows if not tree.contains(part, other))
    return merged


def port_of(value: ir.Value, name: str | None = None, *, implicit: bool = False) -> Port:
    """Return a port that a value carries, under the name of the value where no other is given."""
    carrier, dtype, shape = str(value.name), dtype_name(value), dims_of(value.shape)
    return Port(name=name or carrier, value=carrier, dtype=dtype, shape=shape, implicit=implicit)


class _Judge:
    def __init__(self, context: ModuleContext, graph: CutGraph, tree: CallTree, merger: str) -> None:
        self._context, self._graph, self._tree, self._merger = context, graph, tree, merger
        self._merged = merged_calls(context, tree)
        self._dead, self._folded = set(context.dead_calls), set(context.folded_calls)

    def judged(self, row: int, call: ModuleCall) -> ModuleCall:
        status, reason = self._fate(row, call)
        if status != "extractable":
            return lean(call.model_copy(update={"status": status, "reason": reason}))
        inputs = self._used_inputs(row, call)
        carried = {port.carrier for port in inputs if not port.unused}
        skipped = [
            after.name
            for before, after in zip(call.inputs, inputs, strict=False)
            if after.unused and not before.unused and after.carrier not in carried
        ]
        if skipped and len(inputs) > len(call.inputs):  # what reaches past an argument does not stand in for it
            return call.model_copy(update={"status": "fused", "reason": self._merged_with(row, skipped)})
        return lean(call.model_copy(update={"status": status, "inputs": inputs}))

    def _fate(self, row: int, call: ModuleCall) -> tuple[Status, str]:
        if call.reason:
            return call.status, call.reason
        if not call.outputs:
            return "unused", "forward() returned no tensor."
        outputs = [port for port in call.outputs if not port.unused]
        if row in self._dead or not outputs:
            return "unused", "The result reaches no output of the model."
        carriers = {port.value or port.initializer for port in call.inputs} - {None}
        if all((port.value or port.initializer) in carriers for port in outputs):
            return "identity", "The result is an argument, unchanged: the module adds no node."
        if row in self._folded or all(port.initializer is not None for port in outputs):
            return "folded", "The result does not depend on the model's inputs: the exporter made it a constant."
        values = ((port.name, self._graph.values.get(port.carrier)) for port in outputs)
        maps = [name for name, value in values if value is not None and value.is_graph_output() and value.type is None]
        if maps:  # what the model hands out has a type in every file
            return "fused", f"Its output {', '.join(map(repr, maps))} is a map: hx reads none."
        lost = [port.name for port in (*call.inputs, *outputs) if port.is_lost]
        return ("fused", self._merged_with(row, lost)) if lost else ("extractable", "")

    def _merged_with(self, row: int, missing: Sequence[str]) -> str:
        """Say with which calls this one was merged: a node of the final graph stands for them all."""
        names = ", ".join(repr(self._tag(other)) for other in sorted(self._merged.get(row, ()))[:3])
        ports = ", ".join(map(repr, missing))
        return f"{self._merger} merged it{f' with {names}' if names else ''}: {ports} is in the graph no more."

    def _tag(self, row: int) -> str:
        call = self._context.calls[row]
        tag = self._context.modules[call.module].tag
        return f"{tag}@{call.index}" if call.index else tag

    def _used_inputs(self, row: int, call: ModuleCall) -> list[Port]:
        recovered = [self._context.recovered[number] for number in call.recovered]
        reads = {out: [read for read in node.inputs if read] for node in recovered for out in node.outputs}
        outputs = (port.carrier for port in call.outputs if not port.unused)
        cut = self._graph.cut(row, self._tree.end[row], call.inputs, outputs, recovered=reads)
        inputs: list[Port] = []
        for port in call.inputs:
            # Two arguments that are one tensor (q, k and v of self-attention) are one value in the graph: the first
            # carries it.
            unused = port.carrier not in cut.reached
            cut.reached.discard(port.carrier)
            inputs.append(port if port.unused == unused else port.model_copy(update={"unused": unused}))
        values = self._graph.values
        return inputs + [port_of(values[name], f"implicit.{name}", implicit=True) for name in cut.implicit]

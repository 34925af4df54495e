"""The record of an export for the projector: calls, ports, origins of nodes, sizes, weights, examples."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import onnx_ir as ir
import torch

from hx_graph import dtype_name
from hx_sidecar_schema import Initializer, ModuleCall, ModuleContext, Port, Provenance
from hx_tracer.exporting.dims import SymbolNames, rename, renamed_dims
from hx_tracer.exporting.raw_graph import RawGraph
from hx_tracer.exporting.recover import Recovery
from hx_tracer.exporting.request import ExportRequest
from hx_tracer.exporting.survivors import Survivors
from hx_tracer.inputs.arguments import argument_paths, example_record
from hx_tracer.models.records import module_records
from hx_tracer.watch.calls import TracedCall
from hx_tracer.watch.recorder import CallRecorder

UNWATCHED = "The exporter traced the model in a way that hx cannot watch: what the call passes is not known."


def assemble_context(
    request: ExportRequest, program: torch.onnx.ONNXProgram, recorder: CallRecorder, survivors: Survivors
) -> ModuleContext:
    """Return the record of an export."""
    graph, raw = program.model.graph, survivors.raw
    modules = module_records(request.module, request.torch_nn)
    rows = {record.fqn: row for row, record in enumerate(modules)}
    names = _symbol_names(raw, graph)
    recovery = Recovery(survivors, names)
    calls = [
        _call(row, call, rows[call.fqn], recovery, names, call.hidden if recorder.watched or row == 0 else UNWATCHED)
        for row, call in enumerate(recorder.calls)
    ]
    results = [
        [raw.ports[key] for name in call.outputs if (key := (row, "outputs", name)) in raw.ports]
        for row, call in enumerate(recorder.calls)
    ]
    inputs = [str(value.name) for value in graph.inputs]
    tensors = [tensor for _, tensor in argument_paths(request.module, request.args, request.kwargs)]
    known = zip(inputs, tensors, strict=True) if len(inputs) == len(tensors) else ()
    return ModuleContext(
        generator=Provenance(),
        modules=modules,
        calls=calls,
        origins=survivors.origins(graph),
        dead_calls=[row for row, values in enumerate(results) if not any(id(value) in raw.live for value in values)],
        folded_calls=[
            row
            for row, (call, values) in enumerate(zip(recorder.calls, results, strict=True))
            if call.outputs and not any(id(value) in raw.variable for value in values)
        ],
        recovered=recovery.nodes,
        sizes={survivors.name_of(value): rename(expression, names) for value, expression in raw.sizes},
        initializers=_initializers(raw, graph),
        examples={name: example_record(tensor) for name, tensor in known},
    )


def _call(
    row: int, call: TracedCall, module_row: int, recovery: Recovery, names: SymbolNames, hidden: str
) -> ModuleCall:
    survivors, raw = recovery.survivors, recovery.survivors.raw
    recovered, lost, unused = recovery.of_call(row, call)

    def port(side: Any, name: str) -> Port:
        value = raw.ports.get((row, side, name))
        like = getattr(call, side)[name]
        shape = [dim if isinstance(dim, int) else rename(str(dim), names) for dim in like.shape]
        if value is None:  # removed before translation: nothing used it, or no more than its size
            return Port(name=name, dtype=like.dtype, shape=shape, unused=True)
        dead = side == "outputs" and id(value) not in raw.live
        survivor = survivors.survivor(value)
        found = None if survivor is None and name in lost else survivors.name_of(value)
        constant = survivor is not None and survivor.is_initializer() and not survivor.is_graph_input()
        return Port(
            name=name,
            value=None if constant or dead else found,
            initializer=found if constant and not dead else None,
            dtype=dtype_name(value),
            shape=renamed_dims(value, names),
            unused=dead or (side == "inputs" and name in unused),
        )

    inputs = [port("inputs", name) for name in call.inputs]
    outputs = [port("outputs", name) for name in call.outputs]
    return ModuleCall(
        module=module_row,
        index=call.index,
        parent=call.parent,
        in_body=call.in_body,
        inputs=inputs,
        outputs=outputs,
        constants=call.constants,
        recovered=recovered,
        status="fused" if hidden else "extractable",
        reason=hidden,
    )


def _initializers(raw: RawGraph, graph: ir.Graph) -> list[Initializer]:
    """Return the parameter that each initializer is, or, if it is only one, was computed from by constant folding."""
    parameters = {value.name for value in raw.initializers.values()}
    made = {out.name: out for node in raw.nodes for out in node.outputs}
    rows: list[Initializer] = []
    for name in graph.initializers:
        parameter, transform = (name if name in parameters else None), None
        if parameter is None and name in made:
            behind = raw.ancestors([made[name]], stop=())
            sources = [v.name for v in raw.initializers.values() if id(v) in behind]
            parameter = sources[0] if len(sources) == 1 else None
            transform = "folded"
        rows.append(Initializer(name=name, parameter=parameter, transform=transform))
    return rows


def _symbol_names(raw: RawGraph, graph: ir.Graph) -> dict[str, str]:
    """Return the names that the exporter gave to symbols after optimisation, as its inputs have them."""
    names: dict[str, str] = {}
    for value in graph.inputs:
        for old, new in zip(raw.input_dims.get(id(value), ()), value.shape or (), strict=False):
            if not isinstance(old, int) and not isinstance(new, int):
                names.setdefault(str(old.value), str(new.value))
    return names


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that an export depends on."""
    packages = ("hx-tracer", "torch", "transformers", "onnx", "onnx-ir", "onnxscript")
    return {name: importlib.metadata.version(name) for name in packages}

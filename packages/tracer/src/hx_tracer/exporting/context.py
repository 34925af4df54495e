"""The record of an export, or of a run in PyTorch, for the projector: calls, ports, and what is known of the graph."""

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from hx_graph import dtype_name
from hx_sidecar_schema import ModuleCall, ModuleContext, Port, Provenance, TorchNN
from hx_tracer.exporting.errors import trial
from hx_tracer.exporting.merged import merged_calls
from hx_tracer.exporting.recover import Recovery
from hx_tracer.exporting.request import ExportRequest
from hx_tracer.exporting.survivors import Survivors
from hx_tracer.exporting.weight_rows import dropped_parameters, weight_rows
from hx_tracer.inputs.arguments import example_record
from hx_tracer.models.records import module_records
from hx_tracer.models.stored_names import stored_names
from hx_tracer.watch.calls import CallKey, TensorLike, TracedCall
from hx_tracer.watch.operations import observe
from hx_tracer.watch.preserve import preserve_state
from hx_tracer.watch.recorder import CallRecorder
from hx_tracer.watch.uncompiled import initialize_lazy

UNWATCHED = "The exporter traced the model in a way that hx cannot watch: what the call passes is not known."


def observed_context(
    module: torch.nn.Module, kwargs: Mapping[str, Any], *, args: tuple[Any, ...] = (), torch_nn: TorchNN = "default"
) -> ModuleContext:
    """Return the calls and the observation of one run in PyTorch, to attribute a graph that was made elsewhere.

    Args:
        module: In the mode that the graph was exported in.
        kwargs: Inputs by the names of `forward`.
        args: Values for a `forward` with variable positional arguments.
        torch_nn: Which `torch.nn` classes give tags of their own.

    Raises:
        HxError: HX109 if the inputs do not fit `forward`, HX129 if the module does not run for another reason.
    """
    with trial(module, args, kwargs):
        initialize_lazy(module, args, kwargs)
        with preserve_state(module):
            ran = observe(module, args, kwargs)
    return context_of_run(module, torch_nn, ran.calls, observation=ran.observation)


def context_of_run(
    module: torch.nn.Module,
    torch_nn: TorchNN,
    calls: Sequence[TracedCall],
    merged: Mapping[CallKey, list[int]] = MappingProxyType({}),
    **known: Any,
) -> ModuleContext:
    """Return modules and calls, with names, dtypes and shapes of the ports, what they were merged with, and what else is known."""

    def ports(likes: Mapping[str, TensorLike]) -> list[Port]:
        return [Port(name=name, dtype=like.dtype, shape=[int(n) for n in like.shape]) for name, like in likes.items()]

    crossing = (
        {"inputs": ports(call.inputs), "outputs": ports(call.outputs), "merged": merged.get(call.key, [])}
        for call in calls
    )
    return _context(module, torch_nn, calls, crossing, **known)


def _context(
    module: torch.nn.Module,
    torch_nn: TorchNN,
    calls: Sequence[TracedCall],
    known_of_calls: Iterable[Mapping[str, Any]],
    dropped: Iterable[str] = (),
    **known: Any,
) -> ModuleContext:
    modules = module_records(module, torch_nn)
    rows = {name: row for row, record in enumerate(modules) for name in (record.fqn, *record.aliases)}
    for name in dropped:
        fqn, _, own = name.rpartition(".")
        holder = modules[rows[fqn]]
        modules[rows[fqn]] = holder.model_copy(update={"dropped": [*holder.dropped, own]})
    records = [
        ModuleCall(module=rows[call.fqn], index=call.index, parent=call.parent, constants=call.constants, **more)
        for call, more in zip(calls, known_of_calls, strict=True)
    ]
    return ModuleContext(
        generator=Provenance(versions=package_versions()),
        modules=modules,
        calls=records,
        stored_names=stored_names(module),
        **known,
    )


def assemble_context(
    request: ExportRequest, program: torch.onnx.ONNXProgram, recorder: CallRecorder, survivors: Survivors
) -> ModuleContext:
    """Return the record of an export."""
    graph, raw, recovery = program.model.graph, survivors.raw, Recovery(survivors)
    merged = merged_calls(recorder.calls, raw, survivors.replacements)
    known_of_calls = [
        {
            **_known_of_call(row, call, recovery, call.hidden if recorder.watched or row == 0 else UNWATCHED),
            "merged": merged[row],
        }
        for row, call in enumerate(recorder.calls)
    ]
    results = [
        [id(raw.ports.get((row, "outputs", name))) for name in call.outputs] for row, call in enumerate(recorder.calls)
    ]
    given = zip(graph.inputs, request.tensors, strict=True) if len(graph.inputs) == len(request.tensors) else ()
    weights = weight_rows(request.module, survivors, graph)
    return _context(
        request.module,
        request.torch_nn,
        recorder.calls,
        known_of_calls,
        dropped=dropped_parameters(raw, weights),
        origins=survivors.origins(graph),
        dead_calls=[row for row, values in enumerate(results) if raw.live.isdisjoint(values)],
        folded_calls=[row for row, values in enumerate(results) if values and raw.variable.isdisjoint(values)],
        recovered=recovery.nodes,
        sizes={survivors.name_of(value): str(survivors.renamed(size)) for value, size in raw.sizes},
        initializers=weights,
        examples={str(value.name): example_record(tensor) for value, (_, tensor) in given},
    )


def _known_of_call(row: int, call: TracedCall, recovery: Recovery, hidden: str) -> dict[str, Any]:
    survivors, raw = recovery.survivors, recovery.survivors.raw
    recovered, lost, unused = recovery.of_call(row, call)

    def port(side: Any, name: str) -> Port:
        value = raw.ports.get((row, side, name))
        if value is None:  # removed before translation: nothing used it, or no more than its size
            like = getattr(call, side)[name]
            return Port(name=name, dtype=like.dtype, shape=[*map(survivors.renamed, like.shape)], unused=True)
        dead = side == "outputs" and id(value) not in raw.live
        survivor = survivors.survivor(value)
        found = None if survivor is None and name in lost else survivors.name_of(value)
        constant = survivor is not None and survivor.is_initializer() and not survivor.is_graph_input()
        return Port(
            name=name,
            value=None if constant or dead else found,
            initializer=found if constant and not dead else None,
            dtype=dtype_name(value),
            shape=survivors.dims_of(value),
            unused=dead or (side == "inputs" and name in unused),
        )

    return {
        "in_body": call.in_body,
        "inputs": [port("inputs", name) for name in call.inputs],
        "outputs": [port("outputs", name) for name in call.outputs],
        "recovered": recovered,
        "status": "fused" if hidden else "extractable",
        "reason": hidden,
    }


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that an export depends on."""
    packages = ("hx-tracer", "torch", "transformers", "onnx", "onnx-ir", "onnxscript")
    return {name: importlib.metadata.version(name) for name in packages}

"""Graphs whose names say nothing: through TorchScript, renamed, and optimised by ONNX Runtime, against PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir as ir
import onnxruntime as ort
import pytest
from truth import array, examine, run_with_hooks

import hx_extractor
import hx_projector
import hx_tracer
from hx_graph import infer_types, read_model
from hx_sidecar_schema import STRATEGIES, Sidecar

SOURCES = ("witness", "dataflow")


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("arch", ["albert", "t5"])
def test_calls_of_a_torchscript_export_compute_what_their_modules_do(arch: str, dynamic: bool) -> None:
    """T5 is a model that the other exporter refuses; ALBERT calls one layer several times."""
    loaded = hx_tracer.load_model(f"tiny:{arch}")
    verdict = examine(loaded.module, loaded.example, dynamic=dynamic, strategy=STRATEGIES["htp"])
    assert verdict.problems == []
    assert verdict.covered_percent == 100
    assert verdict.exact_percent > 85
    assert verdict.extracted == verdict.statuses["extractable"] > 30
    assert not {"fused", "unused"} & verdict.statuses.keys()


@pytest.fixture(scope="module")
def exported() -> tuple[Any, Any, Any, Sidecar]:
    """A small BERT, its inputs, its export, and what is known of that."""
    loaded = hx_tracer.load_model("tiny:bert")
    inputs = hx_tracer.example_inputs(loaded.module, example=loaded.example)
    export = hx_tracer.export(loaded.module, inputs.kwargs)
    return loaded, inputs, export, hx_projector.project(export.program.model, export.context, file="m.onnx")


@pytest.mark.parametrize(
    ("arch", "strategy", "dynamic"),
    [("bert", "dynamo", False), ("t5", "htp", False), ("bert", "htp", True)],
)
def test_renaming_everything_loses_little(arch: str, strategy: str, dynamic: bool) -> None:
    """A third of the nodes of TorchScript are literals and sizes, for which PyTorch has no tensors."""
    loaded = hx_tracer.load_model(f"tiny:{arch}")
    inputs = hx_tracer.example_inputs(loaded.module, example=loaded.example)
    axes = hx_tracer.free_axes(inputs.kwargs) if dynamic else {}
    export = hx_tracer.export(loaded.module, inputs.kwargs, axes=axes, strategy=STRATEGIES[strategy])
    known = hx_projector.project(export.program.model, export.context, file="m.onnx")
    model = ir.from_proto(ir.to_proto(export.program.model))
    values = [
        *model.graph.inputs,
        *model.graph.initializers.values(),
        *(out for node in model.graph for out in node.outputs),
    ]
    for index, value in enumerate(values):
        value.name = f"v{index}"
    for index, node in enumerate(model.graph):
        node.name = f"n{index}"
        node.metadata_props.clear()
    names = [str(value.name) for value in model.graph.inputs]
    feeds = {name: array(tensor) for name, tensor in zip(names, export.inputs.values(), strict=True)}
    context = hx_tracer.observed_context(loaded.module, inputs.kwargs)
    found = hx_projector.project(model, context, file="m.onnx", sources=SOURCES, feeds=feeds)
    assert found.summary.covered_percent == 100
    assert found.summary.exact_percent >= known.summary.exact_percent - 10
    readers = {name: [] for node in model.graph for name in [node.outputs[0].name]}
    for node in model.graph:
        for value in node.inputs:
            if value is not None and value.name in readers:
                readers[value.name].append(node.outputs[0].name)
    calls = {
        node.output: _call(known, other.owner) for node, other in zip(found.nodes, known.nodes, strict=True)
    }

    def lives_on_elsewhere(output: str) -> bool:
        """The exporter keeps one of equal constants, with the scope of the first, whose readers it may fold away."""
        return calls[output] not in {calls[reader] for reader in readers[output]}

    assert [
        (node.op_type, calls[node.output], _call(found, node.owner))
        for node in found.nodes
        if node.confidence == "high"
        and _call(found, node.owner) != calls[node.output]
        and not (node.op_type == "Constant" and lives_on_elsewhere(node.output))
    ] == []


@pytest.mark.parametrize("level", ["BASIC", "EXTENDED", "ALL"])
def test_calls_are_cut_out_of_an_optimised_graph(
    exported: tuple[Any, Any, Any, Sidecar], level: str, tmp_path: Path
) -> None:
    loaded, inputs, export, _ = exported
    plain, path = tmp_path / "plain.onnx", tmp_path / "m.onnx"
    export.program.save(str(plain))
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    ort.InferenceSession(plain, options, providers=["CPUExecutionProvider"])
    model = read_model(path)
    infer_types(model)
    feeds = {name: array(tensor) for name, tensor in export.inputs.items()}
    context = hx_tracer.observed_context(loaded.module, inputs.kwargs)
    sidecar = hx_projector.project(model, context, file=path.name, sources=SOURCES, feeds=feeds)
    assert sidecar.summary.covered_percent == 100
    assert sidecar.summary.exact_percent >= 95
    extractable = [row for row, call in enumerate(sidecar.calls) if call.status == "extractable"]
    assert len(extractable) >= 30
    sidecar.save(tmp_path / "m_hierarchy.json")
    opened = hx_extractor.load(path)
    truth = run_with_hooks(loaded.module, (), inputs.kwargs)
    for row in extractable:
        extraction = opened.extract(row)
        given, returned = truth[_call(sidecar, row)]
        actual = extraction.run({port.name: array(given[port.name]) for port in extraction.inputs})
        expected = {name: array(returned[name]) for name in actual}
        assert hx_extractor.compare(expected, actual).relative_error < 1e-5


def _call(sidecar: Sidecar, row: int) -> tuple[str, int]:
    call = sidecar.calls[row]
    return sidecar.module_of(call).fqn, call.index

"""Graphs whose names say nothing: through TorchScript, renamed, and optimised by ONNX Runtime, against PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest
from renaming import SOURCES, attribute_without_names
from transforming import TRANSFORMATIONS
from truth import array, examine, run_with_hooks

import hx
import hx_extractor
import hx_projector
import hx_tracer
from hx_graph import infer_types, read_model
from hx_sidecar_schema import Sidecar


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("arch", ["albert", "t5"])
def test_calls_of_a_torchscript_export_compute_what_their_modules_do(arch: str, dynamic: bool) -> None:
    """T5 is a model that the other exporter refuses; ALBERT calls one layer several times."""
    verdict = examine(hx.ModelSpec(f"tiny:{arch}").load().module, None, dynamic=dynamic, strategy="htp")
    assert verdict.problems == []
    assert verdict.covered_percent == 100
    assert verdict.exact_percent > 85
    assert verdict.extracted == verdict.statuses["extractable"] > 30
    assert not {"fused", "unused"} & verdict.statuses.keys()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[hx.Export, Path]:
    """A small BERT, and its file."""
    path = tmp_path_factory.mktemp("bert") / "plain.onnx"
    return hx.export("tiny:bert", f=path, verify=False), path


@pytest.mark.parametrize(
    ("arch", "strategy", "dynamic"), [("bert", "dynamo", False), ("t5", "htp", False), ("bert", "htp", True)]
)
def test_renaming_everything_loses_little(arch: str, strategy: str, dynamic: bool) -> None:
    """A third of the nodes of TorchScript are literals and sizes, for which PyTorch has no tensors."""
    export = hx.export(f"tiny:{arch}", dynamic=dynamic, strategy=strategy, verify=False)
    known = hx_projector.project(export.model, export.context, file="m.onnx")  # by the exporter's word alone
    found, _ = attribute_without_names(export)
    model = export.model
    assert found.summary.covered_percent == 100
    assert found.summary.exact_percent >= known.summary.exact_percent - 10
    readers = {name: [] for node in model.graph for name in [node.outputs[0].name]}
    for node in model.graph:
        for value in node.inputs:
            if value is not None and value.name in readers:
                readers[value.name].append(node.outputs[0].name)
    calls = {node.output: _call(known, other.owner) for node, other in zip(found.nodes, known.nodes, strict=True)}

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


@pytest.mark.parametrize("level", ["basic", "extended", "all"])
def test_calls_are_cut_out_of_an_optimised_graph(exported: tuple[hx.Export, Path], level: str, tmp_path: Path) -> None:
    (export, plain), path = exported, tmp_path / "m.onnx"
    TRANSFORMATIONS[f"ORT {level}"](plain, path, {})
    model = read_model(path)
    infer_types(model)
    inputs = export.loaded.example.kwargs
    context = hx_tracer.observed_context(export.module, inputs)
    feeds = export.example_inputs()
    sidecar = hx_projector.project(model, context, file=path.name, sources=SOURCES, feeds=feeds)
    assert sidecar.summary.covered_percent == 100
    assert sidecar.summary.exact_percent >= 95
    sidecar.save(tmp_path / "m_hierarchy.json")
    calls = hx.load(path).calls(status="extractable")
    assert len(calls) >= 30
    truth = run_with_hooks(export.module, (), inputs)
    for call in calls:
        extraction = call.extract()
        given, returned = truth[call.fqn, call.index]
        actual = extraction.run({port.name: array(given[port.name]) for port in extraction.inputs})
        expected = {name: array(returned[name]) for name in actual}
        assert hx_extractor.compare(expected, actual).relative_error < 1e-5


def _call(sidecar: Sidecar, row: int) -> tuple[str, int]:
    call = sidecar.calls[row]
    return sidecar.module_of(call).fqn, call.index

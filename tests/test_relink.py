"""What tools make of real models, relinked, and judged by the values of a run in PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest
from relinking import Relinked, relinked_by_every_tool
from transforming import TRANSFORMATIONS

import hx

UNJUDGED = {tool for tool in TRANSFORMATIONS if "quantisation" in tool or "all" in tool}
"""Tools after which many values equal none of PyTorch's: another layout, or too few bits."""
MODELS = ("bert", "resnet")


@pytest.fixture(scope="module", params=MODELS)
def rows(request: pytest.FixtureRequest) -> list[Relinked]:
    return list(relinked_by_every_tool(f"tiny:{request.param}"))


def test_every_tool_takes_the_model(rows: list[Relinked]) -> None:
    assert {row.tool: row.refused for row in rows} == dict.fromkeys(TRANSFORMATIONS, "")


def test_every_node_is_owned_and_none_wrongly(rows: list[Relinked]) -> None:
    assert {row.tool: row.wrong for row in rows if row.wrong} == {}
    assert {row.tool for row in rows if row.owned < row.nodes} == set()
    assert {row.tool: row.high / row.nodes for row in rows if row.high < 0.95 * row.nodes} == {}
    # The judge has something to say: of exact tools, on most nodes, unless ONNX Runtime chose another layout.
    judged = {row.tool: row.judged / row.nodes for row in rows if row.tool not in UNJUDGED}
    assert min(judged.values()) > 0.7, judged


def test_fused_nodes_say_what_they_span(rows: list[Relinked]) -> None:
    spanning = {row.tool: row.spanning for row in rows}
    assert spanning["ORT extended"] >= 5
    assert spanning["ORT basic"] == spanning["version conversion"] == 0


@pytest.mark.parametrize("tool", ["ORT extended", "dynamic quantisation", "float16", "onnxsim"])
def test_calls_are_cut_out_of_transformed_models(tool: str, tmp_path: Path) -> None:
    source, target = tmp_path / "m.onnx", tmp_path / "made.onnx"
    exported = hx.export("tiny:bert", f=source, verify=False)
    TRANSFORMATIONS[tool](source, target, exported.example_inputs())
    hx.relink(target, exported)
    calls = hx.load(target).calls(status="extractable")
    assert len(calls) > 10
    for call in calls:
        assert call.extract().validate().relative_error <= (1e-2 if tool == "float16" else 1e-5), call

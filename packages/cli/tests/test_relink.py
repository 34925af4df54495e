"""`hx relink`, and the commands that read what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hx_sidecar_schema import Sidecar


@pytest.fixture
def optimised(bert: Path, optimise) -> Path:
    return optimise(bert, bert.with_name("optimised.onnx"))


def test_the_hierarchy_is_carried_over(hx, bert, optimised):
    result = hx("relink", optimised, "--from", bert, columns=120)
    assert result.code == 0
    assert "100 % exact, 100 % covered" in result.out
    assert "SkipLayerNormalization" in result.out
    sidecar = Sidecar.load(optimised.with_name("optimised_hierarchy.json"))
    assert sidecar.is_relinked
    assert sidecar.model.file == "optimised.onnx"
    (fused,) = (node for node in sidecar.nodes if node.op_type == "FusedGemm")
    names = [sidecar.module_of(sidecar.calls[row]).fqn for row in (fused.owner, *fused.covers)]
    assert names == ["pooler", "pooler.dense", "pooler.activation"]
    assert fused.originals == ["linear_12", "tanh"]


def test_the_record_names_every_node_that_spans_calls(hx, bert, optimised):
    record = json.loads(hx("relink", optimised, "--from", bert, "--json").out)
    sidecar = Sidecar.load(optimised.with_name("optimised_hierarchy.json"))
    assert [row["output"] for row in record["spanning"]] == [n.output for n in sidecar.nodes if n.covers]
    assert all(len(row["covers"]) > 1 and row["originals"] for row in record["spanning"])
    assert (record["exact_percent"], record["unsure"]) == (100.0, {})
    assert record["calls"]["extractable"] < record["original_calls"]["extractable"]


def test_other_commands_take_the_result(hx, bert, optimised):
    hx("relink", optimised, "--from", bert)
    assert hx("validate", optimised).code == 0
    assert "fused" in hx("tree", optimised, columns=120).out
    made = hx("extract", optimised, "--module", "encoder.layer.0.attention.self", "-o", optimised.with_name("a.onnx"))
    assert made.code == 0, made.err
    report = json.loads(hx("verify", optimised, "--against", "tiny:bert", "--json").out)
    assert not report["failed"]
    assert report["compared"] > 20
    cost = [json.loads(hx("analyze", path, "--json").out)["cost"]["total"]["macs"] for path in (bert, optimised)]
    assert cost[0] == cost[1] > 0


def test_relinking_goes_on_from_what_was_relinked(hx, bert, optimise, optimised):
    hx("relink", optimised, "--from", bert)
    again = optimise(optimised, optimised.with_name("again.onnx"))
    assert hx("relink", again, "--from", optimised).code == 0
    first, second = (Sidecar.load(path.with_name(f"{path.stem}_hierarchy.json")) for path in (optimised, again))
    owners = {node.output: node.owner for node in first.nodes}
    same = [node for node in second.nodes if node.output in owners]
    assert len(same) > 0.9 * len(second.nodes)
    assert all(node.owner == owners[node.output] for node in same)


def test_nothing_is_replaced_unasked(hx, bert, optimised):
    hx("relink", optimised, "--from", bert)
    assert "HX402" in hx("relink", optimised, "--from", bert).error
    assert hx("relink", optimised, "--from", bert, "--overwrite").code == 0
    assert hx("relink", optimised, "--from", bert, "-o", optimised.with_name("other.json")).code == 0


def test_a_model_that_was_not_made_of_it_is_refused(hx, perceptron_once, bert, tmp_path):
    error = hx("relink", perceptron_once, "--from", bert, "-o", tmp_path / "other.json").error
    assert error.startswith("error[HX211]: Model 'model.onnx' was not made of 'model.onnx'")


def test_an_original_without_a_sidecar_is_named(hx, bert, optimised):
    bert.with_name("model_hierarchy.json").unlink()
    assert "HX301" in hx("relink", optimised, "--from", bert).error

"""A model as a sequence of calls, from a file or in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import hx_extractor
from hx_extractor import Call, Hierarchy, load
from hx_graph import _session
from hx_sidecar_schema import HxError

ExportByHand = Callable[..., Hierarchy]

X = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]], dtype=np.float32)
W = np.array([1.0, 2.0, 3.0], dtype=np.float32)
TEXT = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}>
{
  h = Add(x, w)
  a = Mul(h, w)
  b = Relu(a)
  c = Mul(b, w)
  y = Neg(c)
}
"""
CALLS = [
    {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}},
    {"fqn": "block", "inputs": {"hidden": "h"}, "outputs": {"output": "b"}},
    {"fqn": "block.scale", "parent": 1, "inputs": {"input": "h"}, "outputs": {"output": "a"}},
    {"fqn": "block", "index": 1, "inputs": {"hidden": "b"}, "outputs": {"output": "c"}},
    {"fqn": "tail", "inputs": {"input": "c"}, "outputs": {"output": "y"}, "status": "fused", "reason": "Gone."},
]
OWNERS = {"h": 0, "a": 2, "b": 1, "c": 3, "y": 4}


@pytest.fixture
def model(export_by_hand: Callable[..., Hierarchy], tmp_path: Path) -> Hierarchy:
    return export_by_hand(tmp_path, TEXT, CALLS, owners=OWNERS, feeds={"x": X}, external="model.data")


@pytest.fixture
def in_memory(model: Hierarchy) -> Hierarchy:
    """The same model without a file: its weights are arrays."""
    for value in model.model.graph.initializers.values():
        assert value.const_value is not None
        value.const_value = ir.Tensor(value.const_value.numpy().copy(), name=value.name)
    for file in tmp_files(model):
        file.unlink()
    return Hierarchy(None, model.sidecar, model.model)


def tmp_files(model: Hierarchy) -> list[Path]:
    assert model.path is not None
    return list(model.path.parent.iterdir())


def outputs(calls: list[Call]) -> list[str]:
    return [node.output for call in calls for node in call.nodes]


def test_a_model_is_its_calls(model: Hierarchy) -> None:
    assert [call.row for call in model] == list(range(len(model))) == [0, 1, 2, 3, 4]
    assert list(model) == model.calls()
    assert len(set(model)) == 5
    assert [call.row for call in model.calls("block@*")] == [1, 3]
    assert [call.row for call in model.calls(status="fused")] == [4]
    assert model.calls("block", status="fused") == []


def test_what_a_call_tells(model: Hierarchy) -> None:
    block = model["block.scale"].parent
    assert block == model["block"] == model.calls("block")[0]
    assert (block.fqn, block.index, block.tag, block.class_name) == ("block", 0, "/Net/Block", "net.Block")
    assert [port.name for port in (*block.inputs, *block.outputs)] == ["hidden", "output"]
    assert (model["block@1"].index, model["block@1"].tag) == (1, "/Net/Block@1")
    assert (model["tail"].status, model["tail"].reason) == ("fused", "Gone.")
    assert repr(model["tail"]) == "<Call /Net/Tail (fused)>"


def test_the_tree(model: Hierarchy) -> None:
    assert model.root.parent is None
    assert [call.row for call in model.root.children] == [1, 3, 4]
    assert [call.row for call in model["block"].children] == [2]
    assert model["block.scale"].children == []
    assert all(child.parent == call for call in model for child in call.children)


def test_nodes(model: Hierarchy) -> None:
    assert [node.output for node in model.root.nodes] == ["h", "a", "b", "c", "y"]
    assert [node.output for node in model.root.own_nodes] == ["h"]
    assert [node.output for node in model["block"].nodes] == ["a", "b"]
    assert [node.output for node in model["block"].own_nodes] == ["b"]


@pytest.mark.parametrize(("pattern", "said"), [("block@*", "2 calls match"), ("blok", "No module call")])
def test_not_one_call(model: Hierarchy, pattern: str, said: str) -> None:
    with pytest.raises(HxError, match=said) as caught:
        model[pattern]
    assert caught.value.code == "HX401"


def test_a_call_is_cut_out(model: Hierarchy) -> None:
    for part in (model["block"].extract(), model.extract("block"), model.extract(1), model.extract(model["block"])):
        np.testing.assert_array_equal(part.run({"hidden": X})["output"], np.maximum(X * W, 0))


def test_neither_file_nor_model(model: Hierarchy) -> None:
    with pytest.raises(ValueError, match="path or a model"):
        Hierarchy(None, model.sidecar)


@pytest.mark.parametrize("beside", [False, True])
def test_in_memory(in_memory: Hierarchy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool) -> None:
    """Weights of any size run, save and load: what is too large for one message is handed over beside it."""
    if beside:
        monkeypatch.setattr(_session, "PROTOBUF_BYTES", 0)
        monkeypatch.setattr(_session, "INLINE_BYTES", 0)
    assert in_memory.folder is None
    before = ir.to_proto(in_memory.model).SerializeToString(deterministic=True)
    part = in_memory["block"].extract()
    assert part.validate().max_abs_error == 0.0
    part.save(tmp_path / "cut" / "part.onnx")
    np.testing.assert_array_equal(
        load(tmp_path / "cut" / "part.onnx").extract(0).run({"hidden": X})["output"], np.maximum(X * W, 0)
    )
    assert ir.to_proto(in_memory.model).SerializeToString(deterministic=True) == before


def test_weights_that_lie_elsewhere(model: Hierarchy) -> None:
    """A model in memory may refer to files."""
    unsaved = Hierarchy(None, model.sidecar, model.model)
    assert unsaved["block"].extract().validate().max_abs_error == 0.0


def test_a_model_in_memory_has_no_data_file_to_share(in_memory: Hierarchy, tmp_path: Path) -> None:
    with pytest.raises(HxError) as caught:
        in_memory["block"].extract().save(tmp_path / "part.onnx", weights="share")
    assert caught.value.code == "HX210"


def test_every_public_name_is_there() -> None:
    assert all(getattr(hx_extractor, name) for name in hx_extractor.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Hierarchical'"):
        hx_extractor.Hierarchical  # type: ignore[attr-defined]  # noqa: B018


def test_what_is_in_a_model(export_by_hand: Callable[..., Hierarchy], tmp_path: Path) -> None:
    model, other = (export_by_hand(tmp_path / name, TEXT, CALLS, owners=OWNERS) for name in ("one", "two"))
    for pattern in ("block", "block.*", "block@1", "/Model", "Block"):
        assert (pattern in model) == bool(_matches(model, pattern)), pattern
    assert "block" in model
    assert "block@7" not in model
    assert "blok" not in model
    assert model[1] in model
    assert other[1] not in model
    assert 1 not in model


def _matches(model: Hierarchy, pattern: str) -> list[Call]:
    try:
        return model.calls(pattern)
    except HxError:
        return []


def test_a_run_gives_the_outputs_or_other_values(export_by_hand: Callable[..., Hierarchy], tmp_path: Path) -> None:
    model = export_by_hand(tmp_path, TEXT, CALLS, owners=OWNERS)
    assert list(model.run({"x": X})) == ["y"]
    np.testing.assert_allclose(model.run({"x": X})["y"], -np.maximum((X + W) * W, 0) * W)
    np.testing.assert_allclose(model.run({"x": X}, ["h"])["h"], X + W)

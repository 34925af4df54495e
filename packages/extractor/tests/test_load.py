"""Opening files: what is refused, and how the message says it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import hx_graph
from hx_extractor import Hierarchy, load
from hx_sidecar_schema import HxError, Sidecar

ExportByHand = Callable[..., Hierarchy]

X = np.ones((2, 3), dtype=np.float32)
TEXT = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}, float[3] v = {4.0, 5.0, 6.0}>
{ h = Mul(x, w)  y = Add(h, v) }
"""
CALLS = [{"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}}]


@pytest.fixture
def exported(export_by_hand: ExportByHand, tmp_path: Path) -> Path:
    return export_by_hand(tmp_path, TEXT, CALLS, external="model.onnx.data").path


def refused(path: Path) -> HxError:
    with pytest.raises(HxError) as caught:
        load(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def test_opening_reads_no_weight(exported: Path) -> None:
    """A sparse file as large as the sidecar says stands for data that nobody wants to read."""
    data = exported.with_name("model.onnx.data")
    size = data.stat().st_size
    data.unlink()
    with data.open("wb") as file:
        file.truncate(size)
    model = load(exported)
    assert model.extract(0).run({"x": X})["output"].tolist() == [[0.0] * 3] * 2


def test_a_missing_file(tmp_path: Path) -> None:
    error = refused(tmp_path / "nothing.onnx")
    assert error.code == "HX202"
    assert "nothing.onnx" in error.message


def test_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path).code == "HX202"


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"PK\x03\x04 a zip", b"{}\n" * 50])
def test_a_file_that_is_no_onnx(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert refused(tmp_path / "model.onnx").code == "HX202"


def test_a_truncated_model(exported: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:-20])
    assert refused(exported).code in {"HX202", "HX203"}


def test_a_model_without_sidecar(exported: Path) -> None:
    exported.with_name("model_hierarchy.json").unlink()
    error = refused(exported)
    assert error.code == "HX301"
    assert "model_hierarchy.json" in error.message


def test_a_sidecar_elsewhere(exported: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.json"
    exported.with_name("model_hierarchy.json").rename(moved)
    assert [call.row for call in load(exported, moved)] == [0]


def test_missing_data(exported: Path) -> None:
    exported.with_name("model.onnx.data").unlink()
    error = refused(exported)
    assert error.code == "HX204"
    assert "'model.onnx.data'" in error.message
    assert "missing" in error.message


def test_truncated_data(exported: Path) -> None:
    data = exported.with_name("model.onnx.data")
    data.write_bytes(data.read_bytes()[:-1])
    error = refused(exported)
    assert error.code == "HX204"
    assert "cut short" in error.message


@pytest.mark.parametrize("location", ["../outside.data", "sub/../../outside.data", "{absolute}"])
def test_data_outside_the_folder(exported: Path, tmp_path: Path, location: str) -> None:
    outside = tmp_path.parent / "outside.data"
    shutil.copy(exported.with_name("model.onnx.data"), outside)
    location = location.format(absolute=outside)
    proto = onnx.load(exported, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    exported.write_bytes(proto.SerializeToString())
    error = refused(exported)
    assert error.code == "HX204"
    assert location in error.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Mul(x, w)", "Mul(w, x)"),
        ("Add(h, v)", "Sub(h, v)"),
        ("Mul(x, w)", "Mul(x, v)"),
        ("h", "hidden"),
        ("float[2,3] x", "float[3] x"),
    ],
)
def test_a_sidecar_of_another_graph(export_by_hand: ExportByHand, tmp_path: Path, old: str, new: str) -> None:
    sidecar = export_by_hand(tmp_path, TEXT, CALLS, name="one").path.with_name("one_hierarchy.json")
    other = export_by_hand(tmp_path, TEXT.replace(old, new), CALLS, name="other").path
    with pytest.raises(HxError) as caught:
        load(other, sidecar)
    assert caught.value.code == "HX203"
    assert "'one.onnx'" in caught.value.message


def test_other_weights_and_node_names_are_the_same_graph(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    sidecar = export_by_hand(tmp_path, TEXT, CALLS, name="one").path.with_name("one_hierarchy.json")
    path = export_by_hand(tmp_path, TEXT.replace("1.0", "9.0"), CALLS, name="other").path
    proto = onnx.load(path)
    for index, node in enumerate(proto.graph.node):
        node.name = f"renamed_{index}"
        node.metadata_props.add(key="scope", value="x")
    onnx.save(proto, path)
    assert load(path, sidecar).extract(0).run({"x": X})["output"].tolist() == [[13.0, 7.0, 9.0]] * 2


def test_a_file_as_it_was_saved_is_not_parsed(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar = exported.with_name("model_hierarchy.json")
    Sidecar.load(sidecar).with_file_digest(exported).save(sidecar)
    reads: list[Path] = []
    read = hx_graph.read_model
    monkeypatch.setattr(hx_graph, "read_model", lambda path: reads.append(path) or read(path))
    model = load(exported)
    assert (reads, model.root.status) == ([], "extractable")
    assert model.model is model.model
    assert reads == [exported]


def test_a_file_that_was_saved_again_is_compared(exported: Path) -> None:
    sidecar = exported.with_name("model_hierarchy.json")
    Sidecar.load(sidecar).with_file_digest(exported).save(sidecar)
    same = ir.load(exported)
    same.producer_name = "another"
    ir.save(same, exported)
    assert load(exported).model.producer_name == "another"
    same.graph[0].domain = "other"
    ir.save(same, exported)
    assert refused(exported).code == "HX203"

"""Files of extracted models: what is written, what is shared, and what is never read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from hx_extractor import Hierarchy, load
from hx_sidecar_schema import HxError, file_digest

ExportByHand = Callable[..., Hierarchy]

X = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]], dtype=np.float32)

TWO_LAYERS = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x) => (float[2,3] y)
<float[3] w0 = {1.0, 2.0, 3.0}, float[3] w1 = {4.0, 5.0, 6.0}, float[3] unused = {7.0, 8.0, 9.0}>
{
  a = Mul(x, w0)
  h = Relu(a)
  b = Add(h, w1)
  y = Mul(b, w0)
}
"""
CALLS = [
    {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}},
    {"fqn": "first", "inputs": {"input": "x"}, "outputs": {"output": "h"}},
    {"fqn": "second", "inputs": {"input": "h"}, "outputs": {"output": "b"}},
    {"fqn": "second.inner", "parent": 2, "inputs": {"input": "h"}, "outputs": {"output": "b"}},
]
OWNERS = {"a": 1, "h": 1, "b": 3}
W1 = np.array([4.0, 5.0, 6.0], dtype=np.float32)


def two_layers(export_by_hand: ExportByHand, folder: Path, external: str | None = "model.onnx.data") -> Hierarchy:
    return export_by_hand(folder, TWO_LAYERS, CALLS, owners=OWNERS, feeds={"x": X}, external=external)


def run(path: Path, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Run a file as anyone would, without this package."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(("weights", "folder"), [("copy", "export"), ("copy", "cut"), ("share", "export")])
@pytest.mark.parametrize("external", [None, "model.onnx.data", "weights/model.data"])
def test_saved_models_run_without_this_package(
    export_by_hand: ExportByHand, tmp_path: Path, weights: str, folder: str, external: str | None
) -> None:
    model = two_layers(export_by_hand, tmp_path / "export", external)
    target = tmp_path / folder / "second.onnx"
    written = model.extract("second").save(target, weights=weights)
    assert all(path.is_file() for path in written)
    assert {target, target.with_name("second_hierarchy.json")} <= set(written)
    onnx.checker.check_model(str(target))
    np.testing.assert_array_equal(run(target, {"input": X})[0], X + W1)


def test_copies_stand_alone(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    model = two_layers(export_by_hand, tmp_path / "export")
    target = tmp_path / "cut" / "second.onnx"
    model.extract("second").save(target, weights="copy")
    for path in (tmp_path / "export").iterdir():
        path.unlink()
    np.testing.assert_array_equal(run(target, {"input": X})[0], X + W1)
    assert files_in(tmp_path / "cut") == {"second.onnx", "second_hierarchy.json"}


def test_sharing_copies_no_weight(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    model = two_layers(export_by_hand, tmp_path)
    data = tmp_path / "model.onnx.data"
    before = data.stat()
    for name in ("first", "second"):
        model.extract(name).save(tmp_path / f"{name}.onnx", weights="share")
    after = data.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_nlink) == (before.st_ino, before.st_mtime_ns, 1)
    assert (tmp_path / "second.onnx").read_bytes().find(W1.tobytes()) < 0
    assert {path.suffix for path in tmp_path.iterdir()} == {".onnx", ".json", ".data"}
    hidden = run(tmp_path / "first.onnx", {"input": X})[0]
    np.testing.assert_array_equal(run(tmp_path / "second.onnx", {"input": hidden})[0], hidden + W1)


@pytest.mark.parametrize("external", ["model.onnx.data", "weights/model.data"])
def test_sharing_elsewhere_does_no_harm(export_by_hand: ExportByHand, tmp_path: Path, external: str) -> None:
    """`onnx` 1.23 refuses data with several hard links or behind a symbolic link; the parent's, too."""
    model = two_layers(export_by_hand, tmp_path / "export", external)
    target = tmp_path / "cut" / "second.onnx"
    with pytest.raises(HxError, match="another folder") as caught:
        model.extract("second").save(target, weights="share")
    assert caught.value.code == "HX210"
    assert not target.parent.exists()
    onnx.load(tmp_path / "export" / "model.onnx")
    model.extract("second").save(tmp_path / "copy.onnx", weights="copy")


def test_without_weights_they_are_inputs(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    model = two_layers(export_by_hand, tmp_path / "export")
    extraction = model.extract("second")
    target = tmp_path / "cut" / "second.onnx"
    extraction.save(target, weights="none")
    proto = onnx.load(target)
    assert not proto.graph.initializer
    onnx.checker.check_model(proto)
    assert files_in(tmp_path / "cut") == {"second.onnx", "second_hierarchy.json"}
    np.testing.assert_array_equal(run(target, {"input": X, "w1": 2 * W1})[0], X + 2 * W1)
    # Afterwards the extraction is as it was.
    np.testing.assert_array_equal(extraction.run({"input": X})["output"], X + W1)
    assert list(extraction.model.graph.initializers) == ["w1"]


@pytest.mark.parametrize("weights", ["copy", "share", "none"])
def test_saved_models_can_be_explored_and_extracted_again(
    export_by_hand: ExportByHand, tmp_path: Path, weights: str
) -> None:
    model = two_layers(export_by_hand, tmp_path / "export")
    folder = "export" if weights == "share" else "cut"
    target = tmp_path / folder / "second.onnx"
    model.extract("second").save(target, weights=weights)
    again = load(target)
    assert [again.sidecar.module_of(call).fqn for call in again.sidecar.calls] == ["second", "second.inner"]
    assert again.sidecar.model.file == "second.onnx"
    assert again.sidecar.model.file_digest == file_digest(target)
    (weight,) = again.sidecar.initializers
    assert (weight.name, weight.elements) == ("w1", 3)
    assert weight.readers == ([] if weights == "none" else [1]), "an input is no weight"
    inner = again.extract("second.inner")
    if weights != "none":
        np.testing.assert_array_equal(inner.run({"input": X})["output"], X + W1)
    assert inner.operations == [node.output for node in again.sidecar.nodes if node.owner == 1]


def test_a_later_call_can_be_explored_again(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    calls = [
        {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}},
        {"fqn": "block", "inputs": {"input": "x"}, "outputs": {"output": "h"}},
        {"fqn": "block", "index": 1, "inputs": {"input": "h"}, "outputs": {"output": "b"}},
        {"fqn": "block.inner", "index": 1, "parent": 2, "inputs": {"input": "h"}, "outputs": {"output": "b"}},
    ]
    model = export_by_hand(tmp_path / "export", TWO_LAYERS, calls, owners={"a": 1, "h": 1, "b": 3})
    model.extract("block@1").save(tmp_path / "block.onnx")
    again = load(tmp_path / "block.onnx")
    inner = again.extract("block.inner@*")
    np.testing.assert_array_equal(inner.run({"input": X})["output"], X + W1)


def test_the_saved_sidecar_names_only_what_is_there(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = TWO_LAYERS.replace("float[2,3] x)", "float[2,3] x, float[2,3] mask)")
    calls = [
        CALLS[0],
        {"fqn": "m", "inputs": {"input": "h", "mask": "mask"}, "outputs": {"output": "b"}, "unused": {"mask"}},
    ]
    model = export_by_hand(tmp_path / "export", text, calls, owners={"b": 1})
    model.extract("m").save(tmp_path / "m.onnx")
    again = load(tmp_path / "m.onnx")
    values = {value.name for value in again.model.graph.inputs} | {
        out.name for node in again.model.graph for out in node.outputs
    }
    named = {port.value for call in again.sidecar.calls for port in (*call.inputs, *call.outputs) if port.value}
    assert named <= values
    assert [info.name for info in again.sidecar.model.inputs] == ["input"]
    assert {node.output for node in again.sidecar.nodes} == {"output"}


SHARED = """
<ir_version: 10, opset_import: ["": 20, "local": 1]>
main (float[2,3] x) => (float[2,3] z)
<float[3] w = {1.0, 2.0, 3.0}>
{
  scale = Exp(w)
  y = Mul(x, scale)
  n = local.flip(y)
  z = Mul(n, scale)
}
<domain: "local", opset_import: ["": 20]>
flip (a) => (r) { h = Exp(a)  r = Neg(h) }
"""


def test_the_saved_sidecar_tells_who_reads_what_in_this_part(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    calls = [
        {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "z"}},
        {"fqn": "m", "inputs": {"a": "y"}, "outputs": {"output": "z"}},
        {"fqn": "m.flip", "parent": 1, "inputs": {"a": "y"}, "outputs": {"output": "n"}},
    ]
    model = export_by_hand(tmp_path / "export", SHARED, calls, owners={"scale": 0, "n": 2, "z": 1})
    nodes = [
        node.model_copy(update={"consumers": [1]} if node.output == "scale" else {}) for node in model.sidecar.nodes
    ]
    model.sidecar = model.sidecar.model_copy(update={"nodes": nodes})
    model.extract("m").save(tmp_path / "m.onnx")
    again = load(tmp_path / "m.onnx")
    found = {(node.graph, node.output): (node.owner, node.consumers) for node in again.sidecar.nodes}
    assert found["", "scale"] == (0, [])  # copied in: the part's root owns it, and reads it
    assert found["", "n"] == (1, [0])
    assert {("local::flip", "h"), ("local::flip", "r")} <= set(found)


def test_only_the_cuts_own_weights_are_read(
    export_by_hand: ExportByHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_layers(export_by_hand, tmp_path / "export")
    read: list[str | None] = []
    for method in ("numpy", "tobytes", "tofile", "__array__"):
        original = getattr(ir.ExternalTensor, method)

        def watched(
            self: ir.ExternalTensor, *args: object, original: Callable[..., object] = original, **more: object
        ) -> object:
            read.append(self.name)
            return original(self, *args, **more)

        monkeypatch.setattr(ir.ExternalTensor, method, watched)
    model = load(tmp_path / "export" / "model.onnx")
    extraction = model.extract("second")
    extraction.run({"input": X})
    extraction.save(tmp_path / "export" / "share.onnx", weights="share")
    extraction.save(tmp_path / "cut" / "none.onnx", weights="none")
    assert read == []
    extraction.save(tmp_path / "cut" / "copy.onnx", weights="copy")
    assert set(read) == {"w1"}


def test_a_failed_save_leaves_the_old_files(
    export_by_hand: ExportByHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extraction = two_layers(export_by_hand, tmp_path / "export").extract("second")
    target = tmp_path / "cut" / "second.onnx"
    extraction.save(target)
    before = {path.name: path.read_bytes() for path in target.parent.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ir, "save", full)
    with pytest.raises(HxError) as caught:
        extraction.save(target, weights="none", overwrite=True)
    assert caught.value.code == "HX306"
    assert {path.name: path.read_bytes() for path in target.parent.iterdir()} == before
    np.testing.assert_array_equal(extraction.run({"input": X})["output"], X + W1)


def test_the_same_extraction_gives_the_same_bytes(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    two_layers(export_by_hand, tmp_path / "export")
    for name in ("one", "two"):
        load(tmp_path / "export" / "model.onnx").extract("second").save(tmp_path / name / "second.onnx")
    for file in ("second.onnx", "second_hierarchy.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_an_unwritable_place_is_named(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    extraction = two_layers(export_by_hand, tmp_path / "export").extract("second")
    (tmp_path / "file").write_text("")
    with pytest.raises(HxError) as caught:
        extraction.save(tmp_path / "file" / "second.onnx")
    assert caught.value.code == "HX306"
    assert os.listdir(tmp_path) == ["export", "file"] or os.listdir(tmp_path) == ["file", "export"]


def test_files_that_exist_are_replaced_on_request_only(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    extraction = two_layers(export_by_hand, tmp_path / "export").extract("second")
    target = tmp_path / "second.onnx"
    (tmp_path / "second_hierarchy.json").write_text("mine")
    with pytest.raises(HxError) as caught:
        extraction.save(target)
    assert (caught.value.code, caught.value.argument) == ("HX402", "overwrite")
    assert not target.exists()
    extraction.save(target, overwrite=True)
    assert (tmp_path / "second_hierarchy.json").read_text() != "mine"

"""Files of a case: values of every kind as onnx reads them back, and how far outputs may be off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from hx_sidecar_schema import HxError
from hx_surgery.suite.layout import complete, tolerances, write_case

FLOAT = ir.TensorType(ir.DataType.FLOAT)
SEQUENCE = ir.SequenceType(FLOAT)
ONES = np.ones((2, 1), np.float32)


def written(value: object, kind: ir.TypeProtocol, folder: Path) -> bytes:
    """Write a model of one Identity, and return the file of its input."""
    port = ir.Value(name="x", type=kind)
    node = ir.node("Identity", [port])
    node.outputs[0].name, node.outputs[0].type = "y", kind
    model = ir.Model(ir.Graph([port], node.outputs, nodes=[node], opset_imports={"": 20}), ir_version=10)
    write_case(folder, model, {"x": value}, {"y": value}, npz=True)
    return (folder / "test_data_set_0" / "input_0.pb").read_bytes()


@pytest.mark.parametrize("value", [[], [ONES], [ONES, ONES[:1]]])
def test_a_sequence_is_read_back(value: list[np.ndarray], tmp_path: Path) -> None:
    proto = onnx.SequenceProto.FromString(written(value, SEQUENCE, tmp_path))
    found = onnx.numpy_helper.to_list(proto)
    assert [array.tolist() for array in found] == [array.tolist() for array in value]
    with np.load(tmp_path / "inputs.npz") as arrays:
        assert sorted(arrays) == [f"x.{place}" for place in range(len(value))]


@pytest.mark.parametrize(("value", "kind"), [(None, FLOAT), (ONES, FLOAT), ([ONES], SEQUENCE)])
def test_an_optional_is_read_back(value: object, kind: ir.TypeProtocol, tmp_path: Path) -> None:
    proto = onnx.OptionalProto.FromString(written(value, ir.OptionalType(kind), tmp_path))
    found = onnx.numpy_helper.to_optional(proto)
    assert np.array_equal(found, value) if value is not None else found is None


@pytest.mark.parametrize(
    "array", [np.array(["a", "ü"], dtype=object), np.array(3), np.array([True]), np.array([[1 + 2j]]), np.zeros((0, 3))]
)
def test_a_tensor_is_read_back(array: np.ndarray, tmp_path: Path) -> None:
    tensor = onnx.TensorProto.FromString(written(array, ir.TensorType(ir.DataType.from_numpy(array.dtype)), tmp_path))
    found = onnx.numpy_helper.to_array(tensor)
    assert tensor.name == "x"
    assert found.shape == array.shape
    assert np.array_equal(found, array)


def test_opset_imports_that_no_node_uses_are_dropped(tmp_path: Path) -> None:
    """ONNX Runtime's optimiser adds some, and its backend skips models that have them."""
    text = '<ir_version: 10, opset_import: ["" : 20, "x" : 1, "y" : 1]> g (float[1] a) => (float[1] b) { b = x.Op(a) }'
    write_case(tmp_path, ir.from_onnx_text(text), {"a": ONES[0]}, {"b": ONES[0]}, npz=False)
    assert {row.domain for row in onnx.load(tmp_path / "model.onnx").opset_import} == {"", "x"}
    assert not list(tmp_path.glob("*.npz"))


def test_integers_are_exact_and_halves_coarse() -> None:
    assert tolerances([np.arange(4)]) == (0.0, 0.0)
    assert tolerances([np.float32([1, -200])]) == (1e-3, 0.2)
    assert tolerances([np.float32([1, -200]), np.float16([1])]) == (1e-2, 0.01)
    assert tolerances([np.float32([np.inf, np.nan, 3])]) == (1e-3, 0.003)
    assert tolerances([np.zeros(3, np.float32)]) == (1e-3, 1e-7)


def test_a_port_without_type_and_rank_gets_those_of_its_value() -> None:
    port = ir.Value(name="x")
    complete(port, ONES)
    assert (port.dtype, len(port.shape or ())) == (ir.DataType.FLOAT, 2)


def test_what_python_does_not_hand_over_is_no_case() -> None:
    with pytest.raises(HxError, match="bfloat16"):
        complete(ir.Value(name="x", type=ir.TensorType(ir.DataType.BFLOAT16)), ONES)

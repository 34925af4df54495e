"""Which weights are read: a model may be larger than the memory, and one call of it is small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir
import pytest

from hx_extractor import Hierarchy, load
from hx_graph import written_ranges

ExportByHand = Callable[..., Hierarchy]

TEXT = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x) => (float[2,3] y)
<
  float[3] scale = {1.0, 2.0, 3.0}, float[2,3] shift = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0},
  float[3] shared = {7.0, 8.0, 9.0}, float[1] last = {0.5}
>
{
  a = Mul(x, scale)
  b = Add(a, shared)
  c = Add(b, shift)
  d = Mul(c, shared)
  y = Mul(d, last)
}
"""
CALLS = [
    {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}},
    {"fqn": "first", "inputs": {"input": "x"}, "outputs": {"output": "b"}},
    {"fqn": "first.scale", "parent": 1, "inputs": {"input": "x"}, "outputs": {"output": "a"}},
    {"fqn": "second", "inputs": {"input": "b"}, "outputs": {"output": "d"}},
]
OWN_BYTES = {"": 52, "first": 24, "first.scale": 12, "second": 36}


@pytest.fixture
def path(export_by_hand: ExportByHand, tmp_path: Path) -> Path:
    owners = {"a": 2, "b": 1, "c": 3, "d": 3}
    export_by_hand(tmp_path, TEXT, CALLS, owners=owners, external="model.onnx.data")
    return tmp_path / "model.onnx"


def bytes_read(model: Hierarchy) -> int:
    """Count the weights that something has looked into: `onnx_ir` maps the file for each of them then."""
    tensors = [value.const_value for value in model.model.graph.initializers.values()]
    assert all(isinstance(tensor, ir.ExternalTensor) for tensor in tensors)
    return sum(tensor.nbytes for tensor in tensors if tensor.raw is not None)


@pytest.mark.parametrize("data_file", [False, True], ids=["in the model", "in a data file"])
@pytest.mark.parametrize("fqn", OWN_BYTES)
def test_a_copy_reads_the_call_s_own_weights_and_no_others(
    path: Path, fqn: str, data_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hx_graph._weights.LARGE_BYTES", 0 if data_file else 1 << 20)
    monkeypatch.setattr("hx_graph._files.has_data", lambda tensor: True)  # the weights are small
    copied: list[int] = []

    def noting(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[int, int]]:
        for start, stop in written_ranges(file, begin, end):
            copied.append(stop - start)
            yield start, stop

    monkeypatch.setattr("hx_graph._data_file.written_ranges", noting)
    model = load(path)
    row = [model.sidecar.module_of(call).fqn for call in model.sidecar.calls].index(fqn)
    extraction = model.extract(row)
    assert bytes_read(model) == 0
    written = extraction.save(path.parent / "copy" / "cut.onnx", weights="copy")
    assert bytes_read(model) + sum(copied) == OWN_BYTES[fqn]
    assert bool(copied) == data_file
    assert any(file.suffix == ".data" for file in written) == data_file


@pytest.mark.parametrize("weights", ["share", "none"])
def test_nothing_else_reads_any(path: Path, weights: str) -> None:
    model = load(path)
    for call in model:
        call.extract().save(path.with_name(f"cut{call.row}.onnx"), weights=weights)
    assert bytes_read(model) == 0
    # What it was counted with does count.
    model.extract("first").model.graph.initializers["shared"].const_value.numpy()
    assert bytes_read(model) == 12

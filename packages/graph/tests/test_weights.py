"""Sizes and readers of weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from hx_graph import initializer_rows, lacks_weights, write_model
from hx_sidecar_schema import Initializer

TEXT = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x, bool c) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}, float[2,3] body = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, float one = {1.0}, float[4] idle = {1.0, 2.0, 3.0, 4.0}>
{
  h = Mul(x, w)
  k = If(c) <then_branch = inside () => (float[2,3] t) { s = Add(h, body)  t = Mul(s, w) },
             else_branch = other () => (float[2,3] e) { e = Add(h, one) }>
  y = Add(k, w)
}
"""


def test_who_reads_a_weight_in_a_body_is_the_call_of_the_node_there() -> None:
    graph = ir.from_onnx_text(TEXT).graph
    known = [Initializer(name="w", parameter="a.weight"), Initializer(name="gone", parameter="a.bias")]
    then, other = "k.then_branch", "k.else_branch"
    owners = {("", "h"): 1, ("", "k"): 2, ("", "y"): 1, (then, "s"): 3, (then, "t"): 2, (other, "e"): 4}
    rows = {row.name: row for row in initializer_rows(graph, known, owners)}
    assert {name: (row.elements, row.readers) for name, row in rows.items()} == {
        "w": (3, [1, 2]),
        "gone": (None, []),
        "body": (6, [3]),
        "one": (1, [4]),
        "idle": (4, []),
    }
    assert (rows["w"].parameter, rows["body"].parameter) == ("a.weight", None)


@pytest.mark.parametrize("name", ["w.safetensors", "w.data"])
def test_zeros_that_were_saved_are_no_missing_weights(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 20)
    model = ir.from_onnx_text(TEXT)
    shape = ir.Shape([512, 512])
    hole = ir.ExternalTensor(name, 0, 1 << 20, ir.DataType.FLOAT, shape=shape, name="w", base_dir=tmp_path)
    model.graph.initializers["w"].const_value = hole
    assert lacks_weights(model) == (name == "w.data")


def test_what_lies_between_holes_is_copied_whatever_python_buffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python reads as much ahead as the file system asks for: on a network, many pages."""
    opened = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", buffering=-1: opened(path, mode, 1 << 14 if buffering < 0 else buffering)
    )
    rng, pages = np.random.default_rng(0), np.zeros((256, 4096), np.uint8)
    with (tmp_path / "w.data").open("wb") as file:
        for page in (page for page in range(256) if page % 3 < 2):
            pages[page] = rng.integers(0, 256, 4096)
            file.seek(page * 4096)
            file.write(pages[page].tobytes())
        file.truncate(pages.nbytes)
    model = ir.from_onnx_text(TEXT)
    shape = ir.Shape([512, 512])
    weight = ir.ExternalTensor("w.data", 0, 1 << 20, ir.DataType.FLOAT, shape=shape, name="w", base_dir=tmp_path)
    model.graph.initializers["w"].const_value = weight
    write_model(model, tmp_path / "copy.onnx", data_file=True)
    assert (tmp_path / "copy.onnx.data").read_bytes() == pages.tobytes()

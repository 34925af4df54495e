"""Tensors in data files: found wherever they stand, read from the model's own folder alone, and written with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from hx_graph import all_nodes, make_session, read_model, run_session, stored_tensors, tensors_in, write_model
from hx_sidecar_schema import HxError, graph_digest

DATA = np.arange(4, dtype=np.float32)
X = np.ones(4, np.float32)

TEXT = """<ir_version: 10, opset_import: ["": 20, "local": 1]>
main (float[4] x, bool yes) => (float[4] y) <float[4] main = {0, 0, 0, 0}> {
  fixed = Constant <value = float[4] {0, 0, 0, 0}> ()
  a = Add(x, main)
  b = Add(a, fixed)
  c = If (yes) <
    then_branch = t () => (float[4] q) <float[4] inner = {0, 0, 0, 0}> { q = Add(b, inner) },
    else_branch = e () => (float[4] r) { held = Constant <value = float[4] {0, 0, 0, 0}> () r = Add(b, held) }
  >
  y = local.shift(c)
}
<domain: "local", opset_import: ["": 20]>
shift (z) => (w) { one = Constant <value = float[4] {0, 0, 0, 0}> () w = Add(z, one) }
"""
PLACES = {"main", "fixed.value", "inner", "held.value", "one.value"}


def tensors(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """All tensors by the place that they stand in."""
    found: dict[str, onnx.TensorProto] = {}

    def walk(nodes: object) -> None:
        for node in nodes:  # type: ignore[attr-defined]
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    found[f"{node.output[0]}.{attribute.name}"] = attribute.t
                elif attribute.type == onnx.AttributeProto.GRAPH:
                    found.update({tensor.name: tensor for tensor in attribute.g.initializer})
                    walk(attribute.g.node)

    found.update({tensor.name: tensor for tensor in model.graph.initializer})
    walk(model.graph.node)
    for function in model.functions:
        walk(function.node)
    return found


def write(folder: Path, places: set[str], location: str = "w.bin") -> Path:
    """A model whose tensors in some places refer to a data file."""
    location, _, length = location.partition("?length=")
    folder.mkdir(exist_ok=True)
    model = onnx.parser.parse_model(TEXT)
    for place, tensor in tensors(model).items():
        if place in places:
            tensor.ClearField("float_data")
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in {"location": location, "offset": "0", "length": length or "16"}.items():
                tensor.external_data.add(key=key, value=value)
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_every_tensor_is_found() -> None:
    import onnx_ir as ir

    assert {slot.name for slot in tensors_in(ir.from_proto(onnx.parser.parse_model(TEXT)))} == PLACES


@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize("mapped", [True, False])
def test_a_model_runs_with_data_files_anywhere(tmp_path: Path, mapped: bool, yes: bool) -> None:
    path = write(tmp_path, PLACES)
    (tmp_path / "w.bin").write_bytes(DATA.tobytes())
    session = make_session(read_model(path), tmp_path if mapped else None)
    y = run_session(session, {"x": X, "yes": np.array(yes)})["y"]
    assert y.tolist() == (X + 4 * DATA).tolist()


@pytest.mark.parametrize("data_file", [True, False, None])
def test_a_copy_refers_to_nothing_else(tmp_path: Path, data_file: bool | None) -> None:
    path = write(tmp_path / "from", PLACES)
    (tmp_path / "from" / "w.bin").write_bytes(DATA.tobytes())
    model = read_model(path)
    (tmp_path / "to").mkdir()
    write_model(model, tmp_path / "to" / "copy.onnx", data_file=data_file)
    (tmp_path / "from" / "w.bin").unlink()
    copied = read_model(tmp_path / "to" / "copy.onnx")
    assert {slot.name: slot.tensor.numpy().tolist() for slot in tensors_in(copied)} == dict.fromkeys(
        PLACES, DATA.tolist()
    )


def outside(folder: Path) -> str:
    (folder.parent / "secret").write_bytes(DATA.tobytes())
    return "../secret"


def absolute(folder: Path) -> str:
    outside(folder)
    return str(folder.parent / "secret")


def link(folder: Path) -> str:
    outside(folder)
    (folder / "w.bin").symlink_to(folder.parent / "secret")
    return "w.bin"


def link_to_folder(folder: Path) -> str:
    outside(folder)
    (folder / "data").symlink_to(folder.parent)
    return "data/secret"


def hard_link(folder: Path) -> str:
    outside(folder)
    os.link(folder.parent / "secret", folder / "w.bin")
    return "w.bin"


def fifo(folder: Path) -> str:
    os.mkfifo(folder / "w.bin")
    return "w.bin"


def a_folder(folder: Path) -> str:
    (folder / "w.bin").mkdir()
    return "w.bin"


def short(folder: Path) -> str:
    (folder / "w.bin").write_bytes(DATA.tobytes()[:-1])
    return "w.bin"


def longer(folder: Path) -> str:
    """What the model says of it is shorter than what the tensor takes."""
    (folder / "w.bin").write_bytes(DATA.tobytes()[:4])
    return "w.bin?length=4"


def missing(folder: Path) -> str:
    return "w.bin"


@pytest.mark.parametrize("place", sorted(PLACES))
@pytest.mark.parametrize(
    "make",
    [outside, absolute, link, link_to_folder, hard_link, fifo, a_folder, short, longer, missing],
    ids=lambda f: f.__name__,
)
def test_nothing_else_is_opened(tmp_path: Path, place: str, make: Callable[[Path], str]) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = write(folder, {place}, make(folder))
    with pytest.raises(HxError, match="External data") as caught:
        read_model(path)
    assert caught.value.code == "HX204"


@pytest.mark.parametrize("kind", [onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING])
def test_external_data_of_no_type(tmp_path: Path, kind: int) -> None:
    path = write(tmp_path, PLACES)
    (tmp_path / "w.bin").write_bytes(DATA.tobytes())
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].data_type = kind
    path.write_bytes(model.SerializeToString())
    with pytest.raises(HxError, match="no element type"):
        read_model(path)


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    path = write(tmp_path, PLACES)
    (tmp_path / "real.bin").write_bytes(DATA.tobytes())
    (tmp_path / "w.bin").symlink_to("real.bin")
    assert all((slot.tensor.numpy() == DATA).all() for slot in tensors_in(read_model(path)))


def test_a_model_that_is_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(HxError, match="no regular file"):
        read_model(tmp_path / "m.onnx")


HEAD = '<ir_version: 10, opset_import: ["": 20, "l": 1]> main (float[4] x, bool c) => (float[4] y) '


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{ y = Add(x, gone) }", "'gone', which nothing makes"),
        (
            "{ y = If (c) <then_branch = t () => (q) { q = Relu(x) }, else_branch = e () => (r) { r = Neg(gone) }> }",
            "'gone'",
        ),
        ('{ y = l.f(x) } <domain: "l", opset_import: ["": 20]> f (a) => (b) { b = Add(a, gone) }', "'gone'"),
        (
            '{ y = l.f(x) } <domain: "l", opset_import: ["": 20, "l": 1]> f (a) => (b) { b = l.f(a) }',
            "in a circle: l::f -> l::f",
        ),
        ("{ z = Relu(x) }", "nothing makes the output 'y'"),
        ("{ y = Add(x, b) b = Relu(y) }", "cycle"),
        ("{ y = Relu(x) y = Neg(x) }", "redeclared"),
        ("<float[3] w = {1, 2}> { y = Add(x, w) }", "tensor 'w' does not hold"),
        ("{ w = Constant <value = float[3] {1, 2}> () y = Add(x, w) }", "tensor 'w.value' does not hold"),
    ],
)
def test_what_no_runtime_could_run_is_refused_at_the_door(tmp_path: Path, body: str, reason: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.parser.parse_model(HEAD + body).SerializeToString())
    with pytest.raises(HxError, match=reason) as caught:
        read_model(path)
    assert caught.value.code == "HX202"


def test_nodes_are_brought_into_order(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    text = "{ y = If (c) <then_branch = t () => (q) { q = Neg(p) p = Relu(z) }, else_branch = e () => (r) { r = Relu(z) }> z = Abs(x) }"
    path.write_bytes(onnx.parser.parse_model(HEAD + text).SerializeToString())
    model = read_model(path)
    assert [node.op_type for _, node in all_nodes(model)] == ["Abs", "If", "Relu", "Neg", "Relu"]


def test_maps_have_no_type(tmp_path: Path) -> None:
    """Classifiers of scikit-learn end in a sequence of maps, which onnx_ir does not know."""
    path = tmp_path / "m.onnx"
    model = onnx.parser.parse_model(HEAD + "{ y = Relu(x) }")
    node = onnx.helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[1, 2, 3, 4])
    model.graph.node.append(node)
    kind = onnx.helper.make_map_type_proto(onnx.TensorProto.INT64, onnx.helper.make_tensor_type_proto(1, []))
    model.graph.output.append(onnx.helper.make_value_info("z", onnx.helper.make_sequence_type_proto(kind)))
    path.write_bytes(model.SerializeToString())
    assert [(value.name, value.type is None) for value in read_model(path).graph.outputs] == [("y", False), ("z", True)]


def test_a_text_that_is_no_text(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(HEAD + "{ y = Relu(x) }")
    model.doc_string = "MARK"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString().replace(b"MARK", b"\xff\xfe\xff\xfe"))
    with pytest.raises(HxError, match="no UTF-8"):
        read_model(tmp_path / "m.onnx")


def test_what_is_valid_and_not_read_is_not_called_invalid(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(HEAD + "{ y = Relu(x) }")
    tensor = onnx.helper.make_tensor
    sparse = onnx.helper.make_sparse_tensor(tensor("v", 1, [1], [3.0]), tensor("i", 7, [1], [2]), [4])
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["s"], sparse_value=sparse))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(HxError, match="holds what onnx_ir does not read: Sparse"):
        read_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("in_a_branch", [False, True])
def test_sparse_weights_are_not_taken_for_missing_ones(tmp_path: Path, in_a_branch: bool) -> None:
    branches = "<then_branch = t () => (q) { q = Add(x, s) }, else_branch = e () => (r) { r = Relu(x) }>"
    model = onnx.parser.parse_model(HEAD + (f"{{ y = If (c) {branches} }}" if in_a_branch else "{ y = Add(x, s) }"))
    tensor = onnx.helper.make_tensor
    sparse = onnx.helper.make_sparse_tensor(tensor("s", 1, [1], [3.0]), tensor("i", 7, [1], [2]), [4])
    graph = model.graph.node[0].attribute[0].g if in_a_branch else model.graph
    graph.sparse_initializer.append(sparse)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(HxError, match="does not read: the sparse initializer 's'"):
        read_model(tmp_path / "m.onnx")


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def test_a_pointer_of_git_lfs_is_told(tmp_path: Path) -> None:
    (tmp_path / "p.onnx").write_text(POINTER)
    path = write(tmp_path, PLACES, "w.bin?length=4096")
    (tmp_path / "w.bin").write_text(POINTER)
    (tmp_path / "model.safetensors").write_text(POINTER)
    for read in (lambda: read_model(tmp_path / "p.onnx"), lambda: read_model(path), lambda: stored_tensors(tmp_path)):
        with pytest.raises(HxError) as caught:
            read()
        assert "git lfs pull" in caught.value.hint


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    """onnx_ir logs it too; pytest has set up logging, so this is another process."""
    (tmp_path / "m.onnx").write_bytes(onnx.parser.parse_model(HEAD + "{ y = Add(x, gone) }").SerializeToString())
    code = "import hx_graph, pathlib, sys\ntry: hx_graph.read_model(pathlib.Path(sys.argv[1]))\nexcept Exception: print('told')"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m.onnx")], capture_output=True, text=True, check=True
    )
    assert (ran.stdout, ran.stderr) == ("told\n", "")


def test_attributes_by_reference_are_in_the_digest() -> None:
    def digest(first: str, second: str) -> str:
        return graph_digest(
            ir.from_onnx_text(
                f"""
                <ir_version: 10, opset_import: ["": 20, "local": 1]>
                m (float[3] x) => (float[3] y) {{ y = local.f <a = 1.0, b = 2.0> (x) }}
                <domain: "local", opset_import: ["": 20]>
                f <a, b> (x) => (z) {{ h = LeakyRelu <alpha: float = @{first}> (x)  z = Elu <alpha: float = @{second}> (h) }}
                """
            )
        )

    assert digest("a", "b") != digest("b", "a")


def test_a_tensor_without_a_type_is_told(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> m (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }'
    )
    model.graph.initializer[0].data_type = onnx.TensorProto.UNDEFINED
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(HxError, match="tensor 'w' has no element type"):
        read_model(tmp_path / "m.onnx")

"""Old and odd files that other tools wrote: what is made of them is valid, and equal to the whole model."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx_ir as ir
import pytest
from onnxruntime import datasets

import hx

HEAD = '<ir_version: 8, opset_import: ["": 17]>'

SEQUENCE = f"""{HEAD} g (float[b,4] x) => (float[b,8] z)
{{ p = Relu(x)  s = SequenceConstruct(p, x)  z = ConcatFromSequence<axis = -1>(s) }}"""
SEQUENCE_OUT = f"""{HEAD} g (float[b,4] x) => (seq(float[b,4]) z)
{{ p = Relu(x)  z = SequenceConstruct(p, x) }}"""
RANDOM = f"""{HEAD} g (float[b,4] x) => (float[b,4] z)
{{ p = Relu(x)  r = RandomNormalLike(p)  z = Add(p, r) }}"""
NEWER = """<ir_version: 8, opset_import: ["": 14]> g (float[b,4] x) => (float[b,4] z)
<float[4] w = {1.0, 2.0, 3.0, 4.0}> { p = Relu(x)  z = LayerNormalization(p, w) }"""
WEIGHT_AS_INPUT = """<ir_version: 3, opset_import: ["": 9]> g (float[2,4] x, float[4] w) => (float[2,4] z)
<float[4] w = {1.0, 2.0, 3.0, 4.0}> { p = Relu(x)  z = Add(p, w) }"""
UNKNOWN_RANK = f"""{HEAD} g (float[b,1,3] x, bool c) => (float[] z) <int64[1] a = {{1}}>
{{ p = If<then_branch = t () => (float t) {{ t = Squeeze(x, a) }}, else_branch = e () => (float e) {{ e = Identity(x) }}>(c)
   z = Relu(p) }}"""
SIZE_OF_UNTYPED = f"""{HEAD} g (float[2,4] x) => (float[2,4] z) <int64[1] f = {{-1}}>
{{ p = Relu(x)  s = Shape(p)  r = Reshape(p, f)  e = Exp(r)  z = Reshape(e, s) }}"""
OF_ONNX_RUNTIME = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]> g (float[b,4] x) => (float[b,4] z)
{ p = com.microsoft.Gelu(x)  z = Relu(p) }"""
IN_BODIES = f"""{HEAD} g (float[b,4] x, bool c) => (float[b,4] z)
{{ p = If<then_branch = t () => (float[b,4] t2) {{ t1 = Relu(x)  t2 = Neg(t1) }},
         else_branch = e () => (float[b,4] e2) {{ e1 = Exp(x)  e2 = Relu(e1) }}>(c)
   z = Tanh(p) }}"""


def written(text: str, names: dict[str, str], path: Path) -> Path:
    model = ir.from_onnx_text(text)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.name = names.get(str(node.outputs[0].name))
        if node.op_type == "If":
            for out in node.outputs:
                out.shape = None
    for value in model.graph.outputs:
        value.shape = None if text is UNKNOWN_RANK else value.shape
    ir.save(model, path)
    return path


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("text", "names", "parts"),
    [
        (SEQUENCE, {"p": "/a/Relu", "s": "/a/Seq", "z": "/b/Concat"}, {"", "a", "b"}),
        (SEQUENCE_OUT, {"p": "/a/Relu", "z": "/b/Seq"}, {"", "a", "b"}),
        (RANDOM, {"p": "/a/Relu", "r": "/b/Random", "z": "/b/Add"}, {"", "a", "b"}),
        (NEWER, {"p": "/a/Relu", "z": "/b/Norm"}, {"", "a", "b"}),
        (WEIGHT_AS_INPUT, {"p": "/a/Relu", "z": "/b/Add"}, {"", "a", "b"}),
        (
            SIZE_OF_UNTYPED,
            {"p": "/a/Relu", "s": "/s/Shape", "r": "/b/Flat", "e": "/b/Exp", "z": "/c/Reshape"},
            {"", "a", "b", "c"},
        ),
        (UNKNOWN_RANK, {"p": "/a/If", "z": "/b/Relu"}, {"", "a", "b"}),
        (
            IN_BODIES,
            {"t1": "/a/t/Relu", "t2": "/a/Neg", "e1": "/a/e/Exp", "z": "/b/Tanh"},
            {"", "a", "a.t", "a.e", "b"},
        ),
        (SEQUENCE, {}, {""}),
        (OF_ONNX_RUNTIME, {"p": "/a/Gelu", "z": "/b/Relu"}, {"", "a", "b"}),
    ],
)
def test_every_part_of_an_odd_file_is_written_and_valid(
    tmp_path: Path, text: str, names: dict[str, str], parts: set[str], verify: bool
) -> None:
    path = written(text, names, tmp_path / "m.onnx")
    hx.project(path)
    assert not hx.validate(path).findings
    assert hx.compare(path, path).same
    assert hx.tree(path, everything=True).calls
    report = hx.extract(path, output=tmp_path / "parts", verify=verify)
    assert not report.failed
    assert {entry.fqn for entry in report.modules if entry.file} == parts
    for part in (tmp_path / "parts").glob("*.onnx"):
        assert not hx.validate(part).findings


def test_what_draws_random_numbers_is_not_compared(tmp_path: Path) -> None:
    path = written(RANDOM, {"p": "/a/Relu", "r": "/b/Random", "z": "/b/Add"}, tmp_path / "m.onnx")
    hx.project(path)
    rows = {entry.fqn: entry for entry in hx.extract(path, output=tmp_path / "parts").modules}
    assert rows["b"].reason == "Not compared: RandomNormalLike draws other numbers in every run."
    assert (rows["a"].reason, rows["a"].max_abs_error) == ("", 0.0)


def test_a_map_is_said_to_have_no_type(tmp_path: Path) -> None:
    path = Path(shutil.copy(datasets.get_example("logreg_iris.onnx"), tmp_path))
    assert hx.compare(path, path).same
    hx.project(path)
    (call,) = hx.load(path).sidecar.calls
    assert (call.status, "is a map" in call.reason) == ("fused", True)
    assert hx.analyze(path)
    assert not hx.validate(path).findings
    assert not hx.extract(path, output=tmp_path / "parts").failed


@pytest.mark.findings("V02")  # of the file itself
def test_a_part_that_does_not_load_is_not_written(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17, "other": 1]> g (float[b,4] x) => (float[b,4] z)
    { p = Relu(x)  z = other.Unknown(p) }"""
    path = written(text, {"p": "/a/Relu", "z": "/b/Unknown"}, tmp_path / "m.onnx")
    hx.project(path)
    for verify in (True, False):
        report = hx.extract(path, output=tmp_path / f"parts_{verify}", verify=verify)
        assert [entry.fqn for entry in report.modules if entry.file] == ["a"]
        assert "ONNX Runtime refuses the model" in next(e.reason for e in report.modules if e.fqn == "b")

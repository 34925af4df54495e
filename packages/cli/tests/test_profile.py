"""`hx profile`."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime as ort
import pytest

QUICK = ("--runs", 3, "--warmup", 1, "--threads", 1)
SLOW = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, wide):
        super().__init__()
        self.norm = nn.LayerNorm(64)
        self.mlp = nn.Sequential(nn.Linear(64, wide), nn.GELU(), nn.Linear(wide, 64))

    def forward(self, x):
        return x + self.mlp(self.norm(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block(2048 if n == 2 else 128) for n in range(5))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def net():
    return Net(), {"x": torch.randn(2, 32, 64)}
"""


@pytest.fixture
def profiled(hx):
    """The record of a profile; asserts that its time is conserved."""

    def call(*argv):
        result = hx("profile", *argv, "--json")
        assert (result.code, result.err) == (0, "")
        record = json.loads(result.out)
        modules = sum(one["self_us"] for one in record["calls"])
        assert modules + record["unattributed_us"] == record["kernels_us"]
        assert sum(kernel["self_us"] for kernel in record["kernels"]) == record["kernels_us"]
        return record

    return call


@pytest.mark.parametrize("level", ["disable", "basic", "extended", "all"])
def test_time_is_conserved_at_every_level_and_every_kernel_has_a_call(profiled, bert, level):
    record = profiled(bert, *QUICK, "--optimization", level)
    assert record["settings"]["optimization"] == level
    assert record["unattributed_us"] == 0
    assert all(kernel["call"] is not None for kernel in record["kernels"])
    spanning = [kernel["op_type"] for kernel in record["kernels"] if len(kernel["covers"]) > 1]
    assert ("SkipLayerNormalization" in spanning) == (level in ("extended", "all"))


@pytest.fixture(scope="module")
def slow(tmp_path_factory, export_once):
    """Five MLPs, of which the third is wider; exported."""
    path = tmp_path_factory.mktemp("slow") / "slow.py"
    path.write_text(SLOW)
    return export_once(f"{path}:net", "--no-verify")


def test_a_planted_slow_module_is_first(hx, profiled, slow):
    record = profiled(slow, *QUICK)
    blocks = [call for call in record["calls"] if call["class_name"].endswith(".Block")]
    assert max(blocks, key=lambda call: call["typical_us"])["fqn"] == "blocks.2"
    shown = hx("profile", slow, *QUICK).out
    first = shown.partition("Slowest by own time:\n")[2].splitlines()[0]
    assert "blocks.2.mlp" in first


def test_all_but_the_slow_module_quantised(hx, profiled, slow, tmp_path):
    """The walk of docs/guides/quantisation.md."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kept = hx("nodes", slow, "--module", "blocks.2.mlp").out.split()
    target = tmp_path / "mixed.onnx"
    quantize_dynamic(slow, target, weight_type=QuantType.QInt8, nodes_to_exclude=kept)
    assert hx("-q", "relink", target, "--from", slow).code == 0
    record = profiled(target, *QUICK)
    assert record["unattributed_us"] == 0
    integer = {
        record["calls"][kernel["call"]]["fqn"]
        for kernel in record["kernels"]
        if kernel["op_type"] == "DynamicQuantizeMatMul"
    }
    assert integer == {f"blocks.{n}.mlp.{k}" for n in (0, 1, 3, 4) for k in (0, 2)}
    compared = json.loads(hx("profile", slow, target, *QUICK, "--json").out)
    modules = {module["fqn"]: module for module in compared["modules"]}
    before, after = modules["blocks.0.mlp.0"]["kernels"]
    assert before != after
    before, after = modules["blocks.2.mlp.0"]["kernels"]
    assert before == after


@pytest.mark.findings("V01")  # the converter appends nodes
def test_a_module_kept_in_single_precision(hx, slow, tmp_path):
    """The other recipe of docs/guides/quantisation.md."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    kept = hx("nodes", slow, "--module", "blocks.2.mlp").out.split()
    sizes = [slow.stat().st_size]
    for name, blocked in (("mixed.onnx", kept), ("half.onnx", [])):
        target = tmp_path / name
        half = convert_float_to_float16(onnx.load(slow), keep_io_types=True, node_block_list=blocked)
        onnx.save(half, target)
        sizes.append(target.stat().st_size)
        record = json.loads(hx("relink", target, "--from", slow, "--json").out)
        assert record["covered_percent"] == 100
        assert record["exact_percent"] > 95
        assert record["calls"] == record["original_calls"]
    assert sizes == sorted(sizes, reverse=True)
    kinds = {
        entry["fqn"]: {port["dtype"] for port in entry["inputs"]}
        for entry in json.loads(hx("extract", tmp_path / "mixed.onnx", "--all", "-o", tmp_path / "x", "--json").out)[
            "modules"
        ]
    }
    assert kinds["blocks.1.mlp.2"] == {"FLOAT16"}


def test_the_tree_fits_sixty_columns_and_is_whole_in_a_pipe(hx, bert):
    narrow = hx("profile", bert, *QUICK, "--optimization", "disable", "--all", columns=60)
    assert max(map(len, narrow.out.splitlines())) <= 60
    tree = [line for line in narrow.out.splitlines() if "BertSelfAttention" in line]
    assert len(tree) == 2
    assert all(line.rstrip().endswith(" us") for line in tree)  # names are cut, numbers are not
    brief = hx("profile", bert, *QUICK, "--depth", 1, columns=60).out
    assert "BertEncoder" in brief
    assert "BertLayer" not in brief.partition("Slowest")[0]


def test_a_module_can_be_looked_at_alone(hx, bert):
    shown = hx("profile", bert, *QUICK, "-m", "encoder.layer.1").out
    assert "BertLayer.1" in shown
    assert "BertLayer.0" not in shown


def test_a_profile_taken_elsewhere(hx, profiled, bert, tmp_path):
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "trace")
    options.optimized_model_filepath = str(tmp_path / "opt.onnx")
    options.log_severity_level = 4
    session = ort.InferenceSession(str(bert), options, providers=["CPUExecutionProvider"])
    shape = (2, 8)
    feeds = {info.name: np.ones(shape, np.int64) for info in session.get_inputs()}
    for _ in range(3):
        session.run(None, feeds)
    trace = session.end_profiling()
    record = profiled("--from-trace", trace, "--graph", tmp_path / "opt.onnx", bert)
    assert (record["runs"], record["unattributed_us"]) == (3, 0)
    assert profiled("--from-trace", trace, "--graph", tmp_path / "opt.onnx", bert, "--warmup", 2)["runs"] == 1
    assert hx("-q", "relink", tmp_path / "opt.onnx", "--from", bert).code == 0
    relinked = profiled("--from-trace", trace, "--graph", tmp_path / "opt.onnx")
    assert relinked["calls"][0]["self_us"] == record["calls"][0]["self_us"]


def test_two_profiles_are_compared_by_module(hx, bert, tmp_path):
    for name, level in (("a", "disable"), ("b", "all")):
        saved = hx("profile", bert, *QUICK, "--optimization", level, "--json")
        (tmp_path / f"{name}.json").write_text(saved.out)
    record = json.loads(hx("profile", tmp_path / "a.json", tmp_path / "b.json", "--json").out)
    assert [one["optimization"] for one in record["settings"]] == ["disable", "all"]
    changes = [abs(module["self_change_us"]) for module in record["modules"]]
    assert changes == sorted(changes, reverse=True)
    norm = next(m for m in record["modules"] if m["fqn"] == "encoder.layer.0.output.LayerNorm")
    assert (norm["kernels"], norm["after_us"]) == ([1, 0], 0)  # fused into what is around
    shown = hx("profile", tmp_path / "a.json", tmp_path / "b.json", columns=60)
    assert "….output.LayerNorm" in shown.out or "output.LayerNorm" in shown.out
    assert max(map(len, shown.out.splitlines()[2:])) <= 60
    assert "BertModel" in hx("profile", tmp_path / "a.json").out


def test_a_call_alone_names_what_is_fused_across_its_border(hx, bert):
    argv = ("profile", bert, *QUICK, "--isolated", "-m", "encoder.layer.0.output.LayerNorm")
    (call,) = json.loads(hx(*argv, "--json").out)["calls"]
    assert (call["in_model_kernels"], call["alone_kernels"]) == (0, 1)
    assert [kernel["op_type"] for kernel in call["spanning"]] == ["SkipLayerNormalization"]
    assert call["more_alone"] == {"LayerNormalization": 1}
    shown = hx(*argv).out
    assert "fused across its border: SkipLayerNormalization" in shown
    assert "after the caches were overwritten" in shown


def test_files_are_written_once(hx, perceptron, tmp_path):
    files = {
        "--csv": "p.csv",
        "--speedscope": "p.speedscope.json",
        "--chrome-trace": "p.trace.json",
        "--html": "p.html",
    }
    argv = ("profile", perceptron, *QUICK, *(part for pair in files.items() for part in pair))
    assert hx(*argv, cwd=tmp_path).code == 0
    assert (tmp_path / "p.csv").read_text().startswith("fqn,call,")
    assert json.loads((tmp_path / "p.speedscope.json").read_text())["exporter"] == "hx"
    assert json.loads((tmp_path / "p.trace.json").read_text())["traceEvents"]
    assert (tmp_path / "p.html").read_text().startswith("<!DOCTYPE html>")
    before = (tmp_path / "p.html").read_bytes()
    assert "error[HX402]" in hx(*argv).error
    assert (tmp_path / "p.html").read_bytes() == before
    assert hx(*argv, "--overwrite").code == 0


def test_inputs_of_another_size_and_from_a_file(hx, profiled, bert, tmp_path):
    shape = ("--input-shape", "input_ids=3,5", "--input-shape", "attention_mask=3,5")
    assert profiled(bert, *QUICK, *shape)["runs"] == 3
    np.savez(tmp_path / "in.npz", input_ids=np.ones((1, 4)), attention_mask=np.ones((1, 4)))
    assert profiled(bert, *QUICK, "--inputs", tmp_path / "in.npz")["runs"] == 3
    np.savez(tmp_path / "in.npz", words=np.ones((1, 4)))
    assert "error[HX409]" in hx("profile", bert, "--inputs", tmp_path / "in.npz").error
    (tmp_path / "in.npz").write_bytes(b"no")
    assert "error[HX110]" in hx("profile", bert, "--inputs", tmp_path / "in.npz").error
    assert "error[HX110]" in hx("profile", bert, "--inputs", tmp_path / "in.txt").error


def test_a_model_without_recorded_inputs_needs_their_shapes(hx, profiled, perceptron):
    path = perceptron.with_name("model_hierarchy.json")
    record = json.loads(path.read_text())
    for info in record["model"]["inputs"]:
        info["example"] = None
    path.write_text(json.dumps(record))
    assert "error[HX206]" in hx("profile", perceptron).error
    assert profiled(perceptron, *QUICK, "--input-shape", "x=3,4")["runs"] == 3


def test_a_model_without_a_sidecar_is_refused(hx, perceptron):
    perceptron.with_name("model_hierarchy.json").unlink()
    assert "error[HX301]" in hx("profile", perceptron).error


def test_a_sidecar_without_its_model_is_refused(hx, perceptron):
    perceptron.unlink()
    assert "error[HX202]" in hx("profile", perceptron).error


def test_a_module_without_children_is_a_model_too(hx, profiled, perceptron, tmp_path):
    assert hx("-q", "extract", perceptron, "-m", "first", "-o", "first.onnx", cwd=tmp_path).code == 0
    record = profiled("first.onnx", *QUICK, "--input-shape", "input=3,4")
    assert [call["fqn"] for call in record["calls"]] == ["first"]
    assert record["calls"][0]["total_us"] == record["kernels_us"]


@pytest.mark.parametrize(
    "argv",
    [
        ("--isolated",),
        ("--graph", "g.onnx"),
        ("b.onnx", "c.onnx"),
        ("b.onnx", "--html", "p.html"),
        ("b.onnx", "-m", "first"),
    ],
)
def test_options_that_do_not_go_together(hx, argv):
    assert "error[HX405]" in hx("profile", "a.onnx", *argv).error


def test_inputs_that_the_model_refuses(hx, perceptron):
    assert "error[HX409]" in hx("profile", perceptron, "--input-shape", "x=3,5").error

"""`hx verify --from`: quantised and converted models."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
import pytest

from hx import load


@pytest.fixture
def transformed(bert):
    """The BERT, in another precision, without a sidecar of its own."""

    def make(kind: str, source: Path = bert) -> Path:
        target = bert.with_name(f"{kind}.onnx")
        if kind == "half":
            from onnxruntime.transformers.float16 import convert_float_to_float16

            onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)
        else:
            from onnxruntime.quantization import quantize_dynamic

            logging.disable(logging.WARNING)
            quantize_dynamic(source, target)
            logging.disable(logging.NOTSET)
        return target

    return make


class TestTransformed:
    """`--from`: quantised and converted models."""

    @pytest.mark.parametrize(("kind", "at_least", "at_most"), [("half", 1e-5, 1e-2), ("int8", 1e-3, 0.1)])
    def test_a_right_one(self, verify, bert, transformed, kind, at_least, at_most):
        report = verify(transformed(kind), "--from", bert, against="tiny:bert")
        assert (report.exit, report.named, report["original"]) == (0, None, bert.name)
        errors = [entry["local"]["relative_error"] for entry in report["calls"] if entry["local"]]
        assert len(errors) == report["compared"] == len(load(bert).calls(status="extractable"))
        assert at_least < max(errors) < at_most
        assert not any(entry["wrong"] for entry in report["calls"])

    @pytest.mark.parametrize(("kind", "factor"), [("half", 1.02), ("int8", 1.5)])
    def test_a_planted_error(self, verify, bert, transformed, tmp_path, plant, kind, factor):
        fqn = "encoder.layer.1.intermediate.dense"
        weights = load(bert).extract(fqn).model.graph.initializers.values()
        (weight,) = [value.name for value in weights if value.shape is not None and len(value.shape) == 2]
        wrong = tmp_path / "wrong.onnx"
        wrong.write_bytes(bert.read_bytes())
        plant(wrong, weight, factor)
        report = verify(transformed(kind, wrong), "--from", bert, against="tiny:bert")
        assert report.named == fqn

    def test_a_fused_border_is_not_compared_and_said(self, hx, exported, verify, verify_models):
        path = exported("tower")
        model = onnx.load(path)
        gone = next(port.value for port in load(path).sidecar.calls[1].outputs)
        for node in model.graph.node:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == gone:
                        names[index] = "renamed"
        del model.graph.value_info[:]
        other = path.with_name("other.onnx")
        onnx.save(model, other)
        options = ("--from", path, "--against", f"{verify_models}:tower")
        report = verify(other, "--from", path, against=f"{verify_models}:tower")
        assert report.named is None
        lost = [entry for entry in report["calls"] if entry["local"] is None]
        assert {entry["fqn"] for entry in lost} == {"blocks.0", "blocks.0.norm", "blocks.1", "blocks.1.inner"}
        assert all(repr(gone) in entry["reason"] for entry in lost)
        assert report.of("blocks.1")["accumulated"]["relative_error"] < 1e-6
        assert report.of("blocks.2")["local"]["relative_error"] < 1e-6
        shown = hx("verify", other, *options).out
        assert "4 calls not compared" in shown
        assert repr(gone) in shown

    def test_without_from_the_hint_names_it(self, hx, exported, verify_models):
        path = exported("tower")
        model = onnx.load(path)
        model.graph.node[0].op_type = "MatMul"
        onnx.save(model, path)
        result = hx("verify", path, "--against", f"{verify_models}:tower")
        assert "HX203" in result.error
        assert "--from" in result.err
        path.rename(path.with_name("bare.onnx"))
        result = hx("verify", path.with_name("bare.onnx"), "--against", f"{verify_models}:tower")
        assert "HX301" in result.error
        assert "--from" in result.err

    def test_from_an_export_of_another_model(self, hx, exported, verify_models):
        one, two = exported("tower"), exported("fused")
        assert "HX211" in hx("verify", one, "--from", two, "--against", f"{verify_models}:tower").error

    def test_from_needs_a_model(self, hx, exported, verify_models):
        assert "HX405" in hx("verify", "--from", exported("tower"), "--against", f"{verify_models}:tower").error

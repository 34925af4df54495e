"""What tools do to the inputs and outputs of a model: other types, fixed sizes, further outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnxruntime.tools.onnx_model_utils import fix_output_shapes, make_dim_param_fixed
from onnxruntime.transformers.float16 import convert_float_to_float16

import hx


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).relu()


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.a, self.b = torch.nn.Embedding(10, 8), Block(), Block()

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(self.embed(ids) * mask[..., None]))


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    return convert_float_to_float16(model, keep_io_types=False)


def fixed(model: onnx.ModelProto) -> onnx.ModelProto:
    make_dim_param_fixed(model.graph, "batch", 3)
    make_dim_param_fixed(model.graph, "sequence", 9)
    fix_output_shapes(model)
    return model


def unknown_ranks(model: onnx.ModelProto) -> onnx.ModelProto:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    return model


def inner_output(model: onnx.ModelProto) -> onnx.ModelProto:
    name = next(node.output[0] for node in model.graph.node if node.op_type == "Relu")
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return model


def prefixed(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.compose.add_prefix(model, "net/")


def in_another_order(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.input.append(model.graph.input.pop(0))
    return model


def best(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node.append(onnx.helper.make_node("ArgMax", [model.graph.output[0].name], ["best"], axis=-1))
    model.graph.output.append(onnx.helper.make_tensor_value_info("best", onnx.TensorProto.INT64, None))
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "change", [half, fixed, unknown_ranks, inner_output, prefixed, in_another_order, best], ids=lambda f: f.__name__
)
def test_every_command_takes_it(tmp_path: Path, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> None:
    torch.manual_seed(0)
    module = Net().eval()
    exported, made = tmp_path / "m.onnx", tmp_path / "t.onnx"
    inputs = {"ids": torch.tensor([[1, 2, 3, 4]] * 2), "mask": torch.ones(2, 4)}
    hx.export(module, inputs, dynamic=True, f=exported, verify=False)
    onnx.save(change(onnx.load(exported)), made)
    hx.relink(made, exported)
    assert {call.status for call in hx.load(made)} == {"extractable"}
    assert [finding for finding in hx.validate(made).findings if finding.code != "V01"] == []
    assert hx.verify(made, module).culprit is None
    assert not hx.extract(made, None, tmp_path / "parts").failed
    assert str(hx.profile(made, runs=1, warmup=0))


class Merged(torch.nn.Module):
    """The exporter merges the second call of `norm` with the convolution: what the call takes is in no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = torch.nn.BatchNorm1d(4), torch.nn.Conv1d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(self.norm(x))).relu()


def test_what_was_gone_already_stays_what_a_call_takes(tmp_path: Path) -> None:
    exported, made = tmp_path / "m.onnx", tmp_path / "t.onnx"
    before = hx.export(Merged().train(), (torch.randn(3, 4, 9),), exported, verify=False)
    made.write_bytes(exported.read_bytes())
    hx.relink(made, exported)
    after = hx.load(made)
    assert [(call.tag, call.status) for call in after] == [(call.tag, call.status) for call in before]
    assert before["norm@1"].status == "extractable"
    assert hx.validate(made).findings == hx.validate(exported).findings == []


class Turn(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sigmoid().transpose(1, 2)


class Turned(torch.nn.Module):
    """The exporter merges the transpose of `turn` with that of the LSTM: what `turn` hands out is in no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.turn, self.lstm = Turn(), torch.nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(self.turn(x))[0]


def test_an_output_that_can_be_computed_no_more_is_lost(tmp_path: Path) -> None:
    exported, made = tmp_path / "m.onnx", tmp_path / "t.onnx"
    before = hx.export(Turned().eval(), (torch.randn(2, 4, 5),), exported, verify=False)
    assert before["turn"].status == "extractable"
    assert before["turn"].outputs[0].value not in {node.output for node in before.sidecar.nodes}
    model = onnx.load(exported)
    (sigmoid,) = (node for node in model.graph.node if node.op_type == "Sigmoid")
    (reader,) = (node for node in model.graph.node if sigmoid.output[0] in node.input)
    sigmoid.op_type, sigmoid.name, sigmoid.output[0], reader.input[0] = "HardSigmoid", "h", "h", "h"
    onnx.save(model, made)
    hx.relink(made, exported)
    after = hx.load(made)
    assert (after["turn"].status, after["lstm"].status) == ("fused", "extractable")
    assert hx.validate(made).findings == []

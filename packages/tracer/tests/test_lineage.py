"""What the exporter's optimisation makes of ports: the values that it left, judged by ONNX Runtime against PyTorch."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import torch
from torch import nn

from hx_sidecar_schema import ModuleCall, ModuleContext, Port
from hx_tracer import export, free_axes, input_ports, output_ports

X = torch.arange(6.0).reshape(2, 3) / 3 - 1


def traced(module: nn.Module, kwargs: dict[str, Any], **options: Any) -> tuple[ModuleContext, onnx.ModelProto]:
    exported = export(module.eval(), kwargs, **options)
    return exported.context, exported.program.model_proto


def seen_in_pytorch(module: nn.Module, kwargs: dict[str, Any]) -> dict[tuple[str, int, str, str], np.ndarray]:
    """Run the module with hooks; return every port's tensor by module, index, side and name."""
    counts: Counter[str] = Counter()
    stack: list[tuple[str, int, list[str]]] = []
    seen: dict[tuple[str, int, str, str], np.ndarray] = {}
    handles = []
    for fqn, child in module.named_modules():

        def before(child: nn.Module, args: Any, kwargs: Any, fqn: str = fqn) -> None:
            ports = input_ports(child, args, kwargs)
            stack.append((fqn, counts[fqn], [name for name, _ in ports]))
            seen.update({(fqn, counts[fqn], "inputs", name): t.detach().clone().numpy() for name, t in ports})
            counts[fqn] += 1

        def after(child: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            fqn, index, names = stack.pop()
            ports = output_ports(result, names)
            seen.update({(fqn, index, "outputs", name): t.detach().clone().numpy() for name, t in ports})

        handles += [
            child.register_forward_pre_hook(before, with_kwargs=True),
            child.register_forward_hook(after, with_kwargs=True),
        ]
    with torch.no_grad():
        module(**{name: value.clone() for name, value in kwargs.items()})
    for handle in handles:
        handle.remove()
    return seen


def with_recovered(proto: onnx.ModelProto, context: ModuleContext) -> onnx.ModelProto:
    """Add the nodes from before the optimisation, so that their values can be computed."""
    present = {name for node in proto.graph.node for name in node.output}
    extended = onnx.ModelProto.FromString(proto.SerializeToString())
    pending = [row for row in context.recovered if not set(row.outputs) & present]
    for row in pending:
        extended.graph.node.append(onnx.NodeProto.FromString(base64.b64decode(row.proto)))
    return extended


def check_ports(module: nn.Module, kwargs: dict[str, Any]) -> tuple[ModuleContext, int]:
    """Assert that every port that has a value has the value that PyTorch saw; return how many there were."""
    context, proto = traced(module, kwargs)
    seen = seen_in_pytorch(module, kwargs)
    extended = with_recovered(proto, context)
    made = {name for node in extended.graph.node for name in node.output} | {i.name for i in extended.graph.input}
    wanted: dict[tuple[str, int, str, str], str] = {}
    for call in context.calls:
        fqn = context.modules[call.module].fqn
        for side, ports in (("inputs", call.inputs), ("outputs", call.outputs)):
            wanted |= {
                (fqn, call.index, side, port.name): port.value
                for port in ports
                if port.value is not None and port.value in made
            }
    names = sorted(set(wanted.values()) - {i.name for i in extended.graph.input})
    del extended.graph.output[:]
    extended.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = ir.from_proto(extended)
    model.graph.sort()  # recovered nodes were put at the end
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), settings)
    feeds = {name: kwargs[name].numpy() for name in kwargs}
    values = dict(zip(names, session.run(names, feeds), strict=True)) | feeds
    for key, name in wanted.items():
        np.testing.assert_allclose(values[name], seen[key], rtol=1e-4, atol=1e-5, err_msg=str(key))
    return context, len(wanted)


def call_of(context: ModuleContext, fqn: str, index: int = 0) -> ModuleCall:
    (call,) = [c for c in context.calls if context.modules[c.module].fqn == fqn and c.index == index]
    return call


def lost(ports: list[Port]) -> list[str]:
    return [port.name for port in ports if not port.unused and port.value is None and port.initializer is None]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)
        self.drop = nn.Dropout()

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        h = self.lin(hidden) * (1 - mask)
        h += 1
        return {"hidden": self.drop(self.norm(h)) + hidden, "half": h / 2}


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for block in (*self.blocks, self.blocks[0]):
            result = block(hidden=x, mask=mask)
            x = result["hidden"]
        return x, result["half"]


def test_ports_carry_what_pytorch_saw() -> None:
    torch.manual_seed(0)
    context, checked = check_ports(Stack(), {"x": X, "mask": (X > 0).float()})
    assert checked >= 3 * (2 + 2 + 2 + 2 + 2) - 6
    for call in context.calls:
        assert lost(call.inputs) == lost(call.outputs) == []
    assert call_of(context, "blocks.0", 1).index == 1


def test_ports_of_tensors_that_change_in_place() -> None:
    class Inner(nn.Module):
        def forward(self, h: torch.Tensor) -> torch.Tensor:
            h.add_(1)
            return h * 3

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = x * 2
            y = self.inner(h)
            h.mul_(5)
            return y + self.inner(h)

    context, checked = check_ports(Net(), {"x": X})
    assert checked == 6
    assert [call.index for call in context.calls] == [0, 0, 1]


def test_transposes_that_cancel_between_modules_are_recovered() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 4, batch_first=True)
            self.lstm = nn.LSTM(4, 5, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(self.gru(x)[0])[0]

    torch.manual_seed(0)
    context, checked = check_ports(Net(), {"x": torch.randn(2, 6, 3)})
    gru, lstm = call_of(context, "gru"), call_of(context, "lstm")
    assert lost(gru.inputs) == lost(gru.outputs) == lost(lstm.inputs) == lost(lstm.outputs) == []
    assert gru.recovered or lstm.recovered
    assert gru.outputs[0].value == lstm.inputs[0].value
    assert gru.outputs[0].shape == [2, 6, 4]
    assert checked >= 4


def test_conv_and_batchnorm_are_fused() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(4, 3, 8, 8))  # statistics that matter

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x)

    context, _ = check_ports(Net(), {"x": torch.randn(1, 3, 8, 8)})
    conv, norm, relu = (call_of(context, f"body.{index}") for index in range(3))
    assert lost(conv.outputs) == ["output"]
    assert lost(norm.inputs) == ["input"]
    assert lost(norm.outputs) == lost(relu.inputs) == lost(relu.outputs) == []
    rows = {
        context.modules[context.calls[row].module].fqn
        for both in context.origins.values()
        if len(both) > 1
        for row in both
    }
    assert rows == {"body.0", "body.1"}


def test_results_that_reach_nothing_and_results_of_nothing() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wasted = nn.Linear(3, 3)
            self.table = nn.Embedding(4, 3)
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.wasted(x)
            return self.lin(x) + self.table(torch.tensor([1, 2]))

    context, _ = traced(Net(), {"x": X})
    rows = {context.modules[call.module].fqn: row for row, call in enumerate(context.calls)}
    assert context.dead_calls == [rows["wasted"]]
    assert rows["table"] in context.folded_calls
    assert rows["lin"] not in context.folded_calls
    assert rows[""] not in context.folded_calls


def test_dynamic_dimensions_have_the_names_of_the_inputs() -> None:
    torch.manual_seed(0)
    kwargs = {"x": X, "mask": (X > 0).float()}
    context, proto = traced(Stack(), kwargs, axes=free_axes(kwargs.items()))
    symbols = {
        dim
        for call in context.calls
        for port in (*call.inputs, *call.outputs)
        for dim in port.shape
        if isinstance(dim, str)
    }
    assert symbols == {"batch"}
    assert [d.dim_param or d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim] == ["batch", 3]


def test_the_graph_is_that_of_a_plain_export() -> None:
    torch.manual_seed(0)
    model = Stack().eval()
    kwargs = {"x": X, "mask": (X > 0).float()}
    _, watched = traced(model, kwargs)
    plain = torch.onnx.export(model, (), kwargs=kwargs, dynamo=True, verbose=False)
    assert plain is not None

    def structure(proto: onnx.ModelProto) -> list[tuple[Any, ...]]:
        return [
            (n.op_type, n.domain, tuple(n.input), tuple(n.output), [str(a) for a in n.attribute])
            for n in proto.graph.node
        ]

    assert structure(watched) == structure(plain.model_proto)


def test_the_same_export_gives_the_same_context() -> None:
    contexts = []
    for _ in range(2):
        torch.manual_seed(0)
        contexts.append(traced(Block(), {"hidden": X, "mask": X})[0])
    first, second = (context.model_dump_json(exclude={"generator": {"timestamp"}}) for context in contexts)
    assert first == second


class _Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(nn.functional.pad(x, (0, 1, 0, 1)))


class _Unchanging(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x / 1.0).permute(0, 2, 3, 1).permute(0, 3, 1, 2) * 1).reshape(x.shape)


def test_what_computes_nothing_is_no_part_of_the_node_that_its_reader_became() -> None:
    """The convolution and its padding are one node; the module before them is gone without a trace."""
    module = nn.Sequential(nn.Conv2d(3, 3, 1), _Unchanging(), _Padded())
    context, _ = traced(module, {"input": torch.randn(2, 3, 5, 5)})
    names = [[context.modules[context.calls[row].module].fqn for row in rows] for rows in context.origins.values()]
    assert names == [["0"], ["2", "2.conv"]]

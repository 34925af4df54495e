"""The TorchScript exporter, watched: a plain export's graph, and the call behind every node of it."""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import nn

from hx_sidecar_schema import STRATEGIES, HxError, Strategy
from hx_tracer import Exported, ExportError, export, export_with_first

HTP = STRATEGIES["htp"]
X = torch.arange(6.0).reshape(2, 3) - 2
Row = tuple[str, str, list[str], list[str]]
"""Name, op type, inputs and outputs of a node."""


def exported(module: nn.Module, *, strategy: Strategy = HTP, **kwargs: Any) -> Exported:
    return export(module.eval(), kwargs or {"x": X}, strategy=strategy)


def plain_export(module: nn.Module, kwargs: Mapping[str, Any], made: ir.Model) -> onnx.ModelProto:
    """What `torch.onnx.export` makes of the same call, with the same names of inputs and outputs."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (),
            str(Path(folder) / "model.onnx"),
            kwargs=dict(kwargs),
            dynamo=False,
            input_names=[str(value.name) for value in made.graph.inputs],
            output_names=[str(value.name) for value in made.graph.outputs],
        )
        return onnx.load(Path(folder) / "model.onnx")


def rows(graph: onnx.GraphProto) -> list[Row]:
    """The nodes of a graph and of those inside it, in order."""
    found: list[Row] = []
    for node in graph.node:
        found.append((node.name, node.op_type, list(node.input), list(node.output)))
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                found += rows(attribute.g)
    return found


def owners(result: Exported) -> dict[str, str]:
    """First output of every node of the graph with the call that made it; of none where that is not known."""
    context = result.context
    names = [f"{context.modules[call.module].fqn}@{call.index}" for call in context.calls]
    return {
        str(node.outputs[0].name): ", ".join(names[row] for row in context.origins.get(str(node.outputs[0].name), []))
        for node in result.program.model.graph
    }


def judged(result: Exported, inputs: Sequence[torch.Tensor]) -> dict[str, Any]:
    """What ONNX Runtime computes, by the names of the outputs."""
    proto = ir.to_proto(result.program.model)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    feeds = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
    return dict(zip([out.name for out in session.get_outputs()], session.run(None, feeds), strict=True))


class Shared(nn.Module):
    """The second call of `lin` and a real module `lin_1`: a plain export's names do not tell them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.lin_1 = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.lin_1(torch.relu(self.lin(torch.sigmoid(self.lin(x))))))


class Nested(nn.Module):
    """Blocks of blocks, all of them run, then slices of them once more."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(Shared(), nn.ReLU(), Shared()) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        for block in self.blocks:
            x = block[:2](x)  # type: ignore[index]
        return x


class Unnamed(nn.Module):
    """Modules that are no submodules have no scope of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.seq = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
        self.hidden = [nn.Linear(3, 3).requires_grad_(False)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.hidden[0](self.seq[1:](x))
        x = nn.Sequential(self.seq, nn.ReLU())(x)
        return x + torch.arange(3)


class CallsItself(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
        x = self.lin(x)
        return self(x, depth - 1) * 2 + self(x * 3, depth=depth - 1) if depth else torch.tanh(x)


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.lin = CallsItself(), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.lin(self.inner(x)))


class OneOutputTwice(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = x * 2
        return y, y, x


class ChangesInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin, self.relu = nn.Linear(3, 3), nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.lin(self.relu(self.lin(x))))
        x[:, 0] = 5
        return x.view(-1)


@pytest.mark.parametrize("make", [Shared, Nested, Unnamed, CallsItself, Around, OneOutputTwice, ChangesInPlace])
def test_the_graph_is_that_of_a_plain_export(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = make().eval()
    made = exported(model).program.model
    plain, proto = plain_export(model, {"x": X}, made), ir.to_proto(made)
    assert rows(proto.graph) == rows(plain.graph)
    assert [value.name for value in proto.graph.input] == [value.name for value in plain.graph.input]
    assert [value.name for value in proto.graph.output] == [value.name for value in plain.graph.output]
    weights = {value.name: onnx.numpy_helper.to_array(value) for value in plain.graph.initializer}
    assert {value.name for value in proto.graph.initializer} == set(weights)
    for value in proto.graph.initializer:
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(value), weights[value.name])
    assert not any("@hx" in text for name, _, reads, gives in rows(proto.graph) for text in (name, *reads, *gives))


def test_graphs_in_graphs_are_those_of_a_plain_export() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.script is deprecated, and models use it

        @torch.jit.script
        def choose(x: torch.Tensor) -> torch.Tensor:
            return x * 2 if bool(x.sum() > 0) else x + 1

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lin(choose(self.lin(x)))

    model = Net().eval()
    result = exported(model)
    proto = ir.to_proto(result.program.model)
    assert "If" in {node.op_type for node in proto.graph.node}
    assert rows(proto.graph) == rows(plain_export(model, {"x": X}, result.program.model).graph)
    linear = [owner for owner in owners(result).values() if owner.startswith("lin@")]
    assert linear == ["lin@0", "lin@1"]


def test_inner_values_have_types() -> None:
    graph = exported(Shared()).program.model.graph
    assert [(out.dtype, out.shape) for node in graph for out in node.outputs] == [
        (ir.DataType.FLOAT, ir.Shape([2, 3]))
    ] * 6


# Calls


def test_the_second_call_of_a_module_is_told_from_a_module_of_that_name() -> None:
    assert owners(exported(Shared())) == {
        "/lin/Gemm_output_0": "lin@0",
        "/Sigmoid_output_0": "@0",
        "/lin_1/Gemm_output_0": "lin@1",
        "/Relu_output_0": "@0",
        "/lin_1/Gemm_1_output_0": "lin_1@0",
        "output": "@0",
    }


def test_repeated_blocks_are_told_apart() -> None:
    result = exported(Nested())
    one_block = ["0.lin@0", "0@0", "0.lin@1", "0@0", "0.lin_1@0", "0@0", "1@0"]
    one_block += ["2.lin@0", "2@0", "2.lin@1", "2@0", "2.lin_1@0", "2@0"]
    again = ["0.lin@2", "0@1", "0.lin@3", "0@1", "0.lin_1@1", "0@1", "1@1"]
    assert list(owners(result).values()) == [
        f"blocks.{index}.{call}" for calls in (one_block, again) for index in range(2) for call in calls
    ]


def test_a_module_that_calls_itself() -> None:
    class Down(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
            x = self.lin(x)
            return -self(x, depth - 1) if depth else torch.tanh(x)

    assert list(owners(exported(Down())).values()) == ["lin@0", "lin@1", "lin@2", "@2", "@1", "@0"]


def test_what_a_module_without_a_name_makes_is_its_caller_s() -> None:
    result = exported(Unnamed())
    types = {str(node.outputs[0].name): node.op_type for node in result.program.model.graph}
    assert [(types[name], owner) for name, owner in owners(result).items() if types[name] != "Constant"] == [
        ("Relu", "seq.1@0"),
        ("Gemm", "seq.2@0"),
        ("Gemm", "@0"),
        ("Gemm", "seq.0@0"),
        ("Relu", "seq.1@1"),
        ("Gemm", "seq.2@1"),
        ("Relu", "@0"),
        ("Add", "@0"),
    ]


def test_initializers_are_tied_to_their_parameters() -> None:
    context = exported(Unnamed()).context
    tied = {row.name: row.parameter for row in context.initializers}
    assert {name for name, parameter in tied.items() if parameter == name} == {
        "seq.0.weight",
        "seq.0.bias",
        "seq.2.weight",
        "seq.2.bias",
    }
    assert context.generator.strategy == "htp"
    assert context.generator.exporter == "torch.onnx.export(dynamo=False)"
    assert context.observation is not None


# Arguments and results


@dataclasses.dataclass
class Scores:
    scores: torch.Tensor
    extra: torch.Tensor | None = None
    parts: tuple[torch.Tensor, ...] = ()


class Arguments(nn.Module):
    def __init__(self, result: Callable[..., Any]) -> None:
        super().__init__()
        self.lin, self.result = nn.Linear(3, 3), result

    def forward(self, x: torch.Tensor, pair: Any = None, times: int = 1, *, bias: torch.Tensor | None = None) -> Any:
        y = self.lin(x) * times
        y = y if bias is None else y - bias
        return self.result(y, y + pair[1] if pair else y * 2)


@pytest.mark.parametrize(
    ("pack", "names"),
    [
        (lambda y, z: {"scores": y, "n": 3, "parts": (z, [y * 4])}, ["scores", "parts.0", "parts.1.0"]),
        (lambda y, z: Scores(y, parts=(z, y * 4)), ["scores", "parts.0", "parts.1"]),
        (lambda y, z: (y, None, "text", [z, {"more": y * 4}]), ["output.0", "output.3.0", "output.3.1.more"]),
        (lambda y, z: UserDict(scores=y, z=z, parts=y * 4), ["scores", "z", "parts"]),
    ],
    ids=["dict", "dataclass", "tuple", "mapping"],
)
def test_arguments_by_name_and_results_of_every_kind(pack: Callable[..., Any], names: list[str]) -> None:
    torch.manual_seed(0)
    model = Arguments(pack)
    # Not in the order of the signature, one inside a tuple, one without a tensor, one given twice.
    kwargs: dict[str, Any] = {"bias": X + 1, "pair": (7, X * X), "times": 2, "x": X}
    result = exported(model, **kwargs)
    graph = result.program.model.graph
    assert [value.name for value in graph.inputs] == ["bias", "pair.1", "x"]
    assert [value.name for value in graph.outputs] == names
    assert {name: tensor.tolist() for name, tensor in result.inputs.items()} == {
        "bias": (X + 1).tolist(),
        "pair.1": (X * X).tolist(),
        "x": X.tolist(),
    }
    with torch.no_grad():
        y = model.lin(X) * 2 - (X + 1)
    got = judged(result, [X + 1, X * X, X])
    for name, wanted in zip(names, (y, y + X * X, y * 4), strict=True):
        np.testing.assert_allclose(got[name], wanted.numpy(), rtol=1e-5, atol=1e-6)
    root = result.context.calls[0]
    assert [port.name for port in root.outputs] == names


def test_one_tensor_for_two_arguments_makes_two_inputs() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x - 2 * y

    result = exported(Net(), x=X, y=X)
    names = [str(value.name) for value in result.program.model.graph.inputs]
    assert len(set(names)) == 2
    np.testing.assert_array_equal(judged(result, [X, X + 1])["output"], X - 2 * (X + 1))


def test_an_input_that_nothing_uses_is_not_in_the_graph() -> None:
    class Net(nn.Module):
        def forward(self, unused: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    result = exported(Net(), unused=X + 1, x=X)
    assert [value.name for value in result.program.model.graph.inputs] == ["x"]
    assert [(name, tensor is X) for name, tensor in result.inputs.items()] == [("x", True)]


def test_variable_positional_arguments() -> None:
    class Net(nn.Module):
        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            return tensors[0] - 2 * tensors[1]

    result = export(Net().eval(), {}, args=(X, X * X), strategy=HTP)
    assert [value.name for value in result.program.model.graph.inputs] == ["tensors.0", "tensors.1"]
    np.testing.assert_array_equal(judged(result, [X, X + 1])["output"], X - 2 * (X + 1))


def test_an_input_that_the_model_changes_stays_as_it_was() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mul_(2) + 1

    given = X.clone()
    result = exported(Net(), x=given)
    assert torch.equal(given, X)
    np.testing.assert_array_equal(judged(result, [X])["output"], X * 2 + 1)


# What is left behind


class Refused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svd(self.lin(x))[1]


class DependsOnData(nn.Module):
    """Which torch.export refuses, and a trace does not see."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x * 2) if x.sum() > -100 else x


@pytest.mark.parametrize("make", [Shared, Refused])
def test_nothing_is_left_behind(make: Callable[[], nn.Module]) -> None:
    model = make().eval()
    call_impl, log = nn.Module._call_impl, torch._C._jit_onnx_log
    state, attributes = {n: t.clone() for n, t in model.state_dict().items()}, set(model.__dict__)
    if make is Refused:
        with pytest.raises(ExportError):
            exported(model)
    else:
        exported(model)
    assert "forward" not in model.__dict__
    assert set(model.__dict__) == attributes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert nn.Module._call_impl is call_impl
    assert torch._C._jit_onnx_log is log
    assert torch.jit._trace._trace_module_map is None
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("make", [Shared, Refused])
def test_a_forward_of_the_module_s_own_is_there_again(make: Callable[[], nn.Module]) -> None:
    """As libraries that move weights between devices wrap it."""
    model = make().eval()
    original = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs) + 1

    model.forward = forward
    if make is Refused:
        with pytest.raises(ExportError):
            exported(model, x=X)
    else:
        result = exported(model, x=X)
        with torch.no_grad():
            wanted = original(X) + 1
        np.testing.assert_allclose(next(iter(judged(result, [X]).values())), wanted.numpy(), rtol=1e-5, atol=1e-6)
    assert model.__dict__["forward"] is forward


def test_a_refused_model_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExportError) as caught:
        exported(Refused())
    assert caught.value.code == "HX120"
    assert "aten::linalg_svd" in caught.value.message
    assert "Traceback" in caught.value.report
    assert capfd.readouterr() == ("", "")


# Dynamic axes


class FixesBatch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(2, -1) * 2


def test_axes_that_the_model_fixes_stay_static() -> None:
    result = export(FixesBatch().eval(), {"x": X}, axes={"x": {0: "batch", 1: "sequence"}}, strategy=HTP)
    assert result.static_axes == ["x:0"]
    (value,) = result.program.model.graph.inputs
    assert value.shape == ir.Shape([2, "sequence"])
    longer = torch.cat([X, X], 1)
    np.testing.assert_array_equal(next(iter(judged(result, [longer]).values())), longer * 2)


def test_axes_of_one_symbol_are_tried_together() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, y], 1) @ torch.ones(6)

    both = {"x": {0: "batch"}, "y": {0: "batch"}}
    result = export(Net().eval(), {"x": X, "y": X + 1}, axes=both, strategy=HTP)
    assert result.static_axes == []
    assert [value.shape for value in result.program.model.graph.inputs] == [ir.Shape(["batch", 3])] * 2
    longer = torch.cat([X, X])
    np.testing.assert_array_equal(judged(result, [longer, longer])["output"], longer.sum(1) * 2)
    apart = {"x": {0: "rows"}, "y": {0: "others"}}
    result = export(Net().eval(), {"x": X, "y": X + 1}, axes=apart, strategy=HTP)
    assert result.static_axes == ["x:0", "y:0"]


# The first strategy that takes the model


def test_a_strategy_that_does_not_take_the_model_is_skipped_with_its_reason() -> None:
    strategies = [STRATEGIES["dynamo"], STRATEGIES["fx_graph"], HTP, STRATEGIES["usage_based"]]
    model = DependsOnData(Shared()).eval()
    result, strategy = export_with_first(strategies, model, {"x": X})
    assert strategy is HTP
    assert result.context.generator.strategy == "htp"
    assert owners(result)["/inner/lin_1/Gemm_output_0"] == "inner.lin@1"
    dynamo, symbolic, decided = result.notes
    assert dynamo.startswith("Strategy dynamo was skipped: ")
    assert symbolic.startswith("Strategy fx_graph was skipped: ")
    line = DependsOnData.forward.__code__.co_firstlineno + 1
    assert f" at test_torchscript.py:{line}: " in decided, "the branch that is not in the graph"
    assert "torch.onnx.export refuses the model: GuardOnDataDependentSymNode" in dynamo
    assert "'DependsOnData' cannot be traced symbolically: TraceError" in symbolic


def test_the_first_strategy_that_takes_the_model_is_the_only_one_that_runs() -> None:
    runs: list[int] = []

    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            runs.append(1)
            return torch.tanh(x)

    exported(Net())
    alone = len(runs)
    runs.clear()
    result, strategy = export_with_first([HTP, STRATEGIES["usage_based"]], Net().eval(), {"x": X})
    assert (strategy, result.notes, len(runs)) == (HTP, [], alone)


def test_a_model_that_no_strategy_takes_is_refused_with_every_reason() -> None:
    model = DependsOnData(Refused()).eval()
    strategies = [STRATEGIES["fx_graph"], HTP, STRATEGIES["usage_based"]]
    with pytest.raises(ExportError) as caught:
        export_with_first(strategies, model, {"x": X})
    error = caught.value
    assert error.code == "HX125"
    assert error.message.startswith("No strategy takes the model. fx_graph: 'DependsOnData' cannot be traced")
    assert error.message.count("aten::linalg_svd") == 2
    for name in ("fx_graph", "htp", "usage_based"):
        assert f"{name}: " in error.message
        assert f"{name}\n\n" in error.report
    assert error.report.count("Traceback") >= 2
    assert error.hint


def test_the_only_strategy_s_error_is_its_own() -> None:
    with pytest.raises(ExportError) as caught:
        export_with_first([HTP], Refused().eval(), {"x": X})
    assert caught.value.code == "HX120"


def test_inputs_that_do_not_fit_are_no_matter_of_strategies() -> None:
    model = Shared().eval()
    with pytest.raises(HxError) as caught:
        export_with_first([HTP, STRATEGIES["usage_based"]], model, {"x": torch.ones(2, 5)})
    assert caught.value.code == "HX109"
    assert "x[2, 5]" in caught.value.message


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_the_exporter_transposed_are_known(dtype: torch.dtype) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin, self.norm = nn.Linear(3, 5, bias=False), nn.LayerNorm(5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.lin(x))

    exported = export(
        Net().eval().to(dtype), {"x": torch.ones(2, 4, 3, dtype=dtype)}, strategy=STRATEGIES["usage_based"]
    )
    rows = {row.parameter: row for row in exported.context.initializers}
    assert rows.keys() == {"lin.weight", "norm.weight", "norm.bias"}
    assert (rows["lin.weight"].name == "lin.weight", rows["lin.weight"].transform) == (False, "transposed")
    assert rows["norm.weight"].transform is None

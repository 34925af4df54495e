"""A symbolically traced graph, run: who ran what, and which models cannot be traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from observing import computed
from torch import nn

from hx_sidecar_schema import STRATEGIES, HxError, Observation
from hx_tracer import export
from hx_tracer.watch.calls import TracedCall
from hx_tracer.watch.operations import fingerprint, observe
from hx_tracer.watch.symbolic import _trace, observe_symbolically

X = torch.arange(6.0).reshape(2, 3) - 2


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    torch.manual_seed(0)


def observed(module: nn.Module, *args: Any, **kwargs: Any) -> tuple[list[TracedCall], Observation]:
    args = args or (() if kwargs else (X,))
    ran = observe_symbolically(module.eval(), args, kwargs)
    return ran.calls, computed(ran.observation)


def who_ran_what(calls: list[TracedCall], observation: Observation) -> list[tuple[str, str]]:
    """Call of every operation, in order, with the kind of its node and what that names."""
    names = [f"{call.fqn}@{call.index}" for call in calls]
    return [(names[row.call], _short(row.name)) for row in observation.operations]


def _short(name: str) -> str:
    """`call_function <built-in function mul>` as `call_function mul`."""
    kind, _, target = name.partition(" ")
    for word in ("mul", "add", "sub", "tanh", "relu", "sigmoid", "getitem"):
        if target.startswith(("<built-in", "<function")) and f" {word}" in target:
            return f"{kind} {word}"
    return name


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.lin(hidden)) + hidden


class Lambda(nn.Module):
    """A module whose forward is a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


# Nodes


class SixKinds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.lin(x) * self.scale).sum(-1)


def test_all_six_kinds_of_nodes() -> None:
    model = SixKinds().eval()
    traced, values = _trace(model, (X,), {})
    assert [node.op for node in traced.graph.nodes] == [
        "placeholder",
        "call_module",
        "get_attr",
        "call_function",
        "call_function",
        "call_method",
        "output",
    ]
    assert values == [X]
    calls, observation = observed(model)
    assert who_ran_what(calls, observation) == [
        ("lin@0", "call_module lin"),
        ("@0", "call_function mul"),
        ("@0", "call_function tanh"),
        ("@0", "call_method sum"),
    ]
    assert [row.reads for row in observation.operations] == [[], [0], [1], [2]]
    assert all(row.variable for row in observation.operations)
    expected = [model.lin(X), model.lin(X) * model.scale]
    assert [row.value for row in observation.operations[:2]] == [fingerprint(value) for value in expected]


def test_the_result_the_calls_and_the_ports_are_those_of_a_run() -> None:
    """The traced graph has no calls inside modules of torch.nn; the run has."""
    model = nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Tanh()).eval()
    x = torch.randn(1, 3, 4)
    plain, ran = observe(model, (x,), {}), observe_symbolically(model, (x,), {})
    assert torch.equal(ran.result, plain.result)
    assert ran.calls == plain.calls
    assert ran.observation.ports == plain.observation.ports
    assert {call.fqn for call in ran.calls} > {"", "0", "0.self_attn", "0.norm2", "1"}
    assert [ran.calls[row.call].fqn for row in ran.observation.operations if row.call is not None] == ["0", "1"]


def test_what_depends_on_no_input_is_not_variable() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (self.scale + 1)

    _, observation = observed(Net())
    assert [(row.variable, row.reads) for row in observation.operations] == [(False, []), (True, [0])]


def test_modules_that_stay_whole_are_given_their_weights() -> None:
    ran = observe_symbolically(nn.Sequential(nn.Linear(3, 2)).eval(), (X,), {})
    x, weight, bias, result = ran.observation.operations
    assert [row.call for row in (x, weight, bias)] == [None] * 3
    assert (weight.value.shape, bias.value.shape, result.reads) == ([2, 3], [2], [0, 1, 2])


def test_parts_of_a_tuple_are_what_the_operation_returned() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        first, second = (x * 2).split(1)[0], (x * 2).split(1)[1]
        return second - first

    _, observation = observed(Lambda(forward))
    assert all(row.variable for row in observation.operations)
    assert [row.reads for row in observation.operations] == [[], [0], [0], [], [3], [3], [1, 5]]
    assert not any("getitem" in row.name for row in observation.operations)


def test_changes_in_place_are_operations() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.drop = nn.ReLU(inplace=True), nn.Dropout(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.drop(self.relu(x * 2)).add_(3).view(2, 3)

    given = X.clone()
    calls, observation = observed(Net(), given)
    assert who_ran_what(calls, observation) == [
        ("@0", "call_function mul"),
        ("relu@0", "call_module relu"),
        ("@0", "call_method add_"),
    ]
    assert [row.reads for row in observation.operations] == [[], [0], [1]]
    values = [X * 2, (X * 2).relu(), (X * 2).relu() + 3]
    assert [row.value for row in observation.operations] == [fingerprint(value) for value in values]


def test_an_input_that_the_model_changes_is_the_caller_s_no_more() -> None:
    given = X.clone()
    ran = observe_symbolically(Lambda(lambda x: x.mul_(2) + 1).eval(), (given,), {})
    assert torch.equal(given, X)
    assert torch.equal(ran.result, X * 2 + 1)
    assert ran.observation.operations[-1].value == fingerprint(ran.result)


def test_attention_runs_its_modules() -> None:
    """PyTorch's own kernel for a whole encoder gives zeros where a mask hides, and no exporter has it."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1)

        def forward(self, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
            return self.encoder(x, src_key_padding_mask=hidden)

    hidden = torch.tensor([[False, False, True]])
    calls, observation = observed(Net(), torch.randn(1, 3, 4), hidden)
    (whole,) = [row for row in observation.operations if calls[row.call].fqn == "encoder"]
    (port,) = [row for row in observation.ports if row.call == 0 and row.side == "outputs"]
    assert whole.value.sample == pytest.approx(port.value.sample)


# Calls


def test_operations_have_the_innermost_call() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Block(), Block()
            self.alias = self.a

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(self.alias(torch.tanh(self.b(self.a(x)))))

    assert who_ran_what(*observed(Net())) == [
        ("a.lin@0", "call_module a.lin"),
        ("a@0", "call_function relu"),
        ("a@0", "call_function add"),
        ("b.lin@0", "call_module b.lin"),
        ("b@0", "call_function relu"),
        ("b@0", "call_function add"),
        ("@0", "call_function tanh"),
        ("a.lin@1", "call_module a.lin"),
        ("a@1", "call_function relu"),
        ("a@1", "call_function add"),
        ("@0", "call_function sigmoid"),
    ]


def test_slices_and_loops_over_containers() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seq = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Tanh(), nn.Linear(3, 3)), nn.Sigmoid())
            self.blocks = nn.ModuleList([nn.ModuleDict({"lin": nn.Linear(3, 3)}) for _ in range(2)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.seq[1:](self.seq(x))
            for _ in range(2):
                for block in self.blocks:
                    x = block["lin"](x) * 2
            return x

    calls, observation = observed(Net())
    assert who_ran_what(calls, observation) == [
        ("seq.0@0", "call_module seq.0"),
        ("seq.1.0@0", "call_module seq.1.0"),
        ("seq.1.1@0", "call_module seq.1.1"),
        ("seq.2@0", "call_module seq.2"),
        ("seq.1.0@1", "call_module seq.1.0"),
        ("seq.1.1@1", "call_module seq.1.1"),
        ("seq.2@1", "call_module seq.2"),
        ("blocks.0.lin@0", "call_module blocks.0.lin"),
        ("@0", "call_function mul"),
        ("blocks.1.lin@0", "call_module blocks.1.lin"),
        ("@0", "call_function mul"),
        ("blocks.0.lin@1", "call_module blocks.0.lin"),
        ("@0", "call_function mul"),
        ("blocks.1.lin@1", "call_module blocks.1.lin"),
        ("@0", "call_function mul"),
    ]
    parents = {call.fqn: calls[call.parent].fqn for call in calls if call.parent is not None}
    assert (parents["seq.1.0"], parents["seq.1"], parents["blocks.0.lin"]) == ("seq.1", "", "")


def test_a_module_that_calls_itself() -> None:
    class Down(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
            x = self.lin(x)
            return self(x, depth - 1) * 2 if depth else torch.tanh(x)

    assert who_ran_what(*observed(Down())) == [
        ("lin@0", "call_module lin"),
        ("lin@1", "call_module lin"),
        ("lin@2", "call_module lin"),
        ("@2", "call_function tanh"),
        ("@1", "call_function mul"),
        ("@0", "call_function mul"),
    ]


def test_both_ways_to_observe_name_the_same_calls() -> None:
    """What a traced node computed, some operation of the same call computed."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Block(), nn.Sequential(Block(), nn.LayerNorm(3), nn.GELU())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.second(self.first(self.first(x))))

    torch.manual_seed(0)
    model = Net().eval()
    eager, symbolic = observe(model, (X,), {}), observe_symbolically(model, (X,), {})
    ran = {(row.call, tuple(row.value.sample)) for row in computed(eager.observation).operations}
    traced = computed(symbolic.observation).operations
    assert {(row.call, tuple(row.value.sample)) for row in traced} <= ran
    assert len(traced) == 12


# Arguments


def test_arguments_go_by_their_names() -> None:
    """Also where torch.fx itself would give another argument that name."""

    class Net(nn.Module):
        def forward(
            self,
            x: torch.Tensor,
            times: int,
            *,
            x_1: torch.Tensor,
            bias: torch.Tensor | None = None,
            negative: bool = False,
            mode: str = "sum",
        ) -> torch.Tensor:
            y = x * times - x_1
            y = y if bias is None else y + bias
            return -y if negative and mode == "sum" else y

    result, _, observation = observe_symbolically(Net().eval(), (X, 3), {"x_1": X + 5, "negative": True, "mode": "sum"})
    assert torch.equal(result, -(X * 3 - (X + 5)))
    assert [row.value for row in computed(observation).operations] == [
        fingerprint(value) for value in (X * 3, X * 3 - (X + 5), result)
    ]
    _, _, observation = observe_symbolically(Net().eval(), (X,), {"times": 2, "x_1": X, "bias": X * X})
    assert observation.operations[-1].value == fingerprint(X + X * X)


def test_arguments_that_forward_ignores() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor, *more: Any, **others: Any) -> torch.Tensor:
            return x * 2

    _, observation = observed(Net(), x=X, extra=X)
    assert [row.value for row in observation.operations] == [fingerprint(X * 2)]


class TakesABufferAsLongAsTheInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("positions", torch.arange(12.0).reshape(4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.positions[: x.size(0)]


class AsksABuffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("is_on", torch.tensor(True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if self.is_on else x


@pytest.mark.parametrize("model", [TakesABufferAsLongAsTheInput(), AsksABuffer()])
def test_buffers_as_tensors_and_as_proxies(model: nn.Module) -> None:
    _, observation = observed(model)
    assert observation.operations[-1].value == fingerprint(model(X))


class TakesTurns(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.turn = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.turn += 1
        return x * self.turn


def test_what_a_forward_keeps_is_not_found_by_the_next() -> None:
    """Numbers of another run would name another call of the module."""
    twice = Lambda(lambda x: (twice.inner(x), twice.inner(x)))
    twice.inner = TakesTurns()
    calls, observation = observed(twice)
    assert [(calls[row.call].index, row.value) for row in observation.operations] == [
        (0, fingerprint(X * 2)),
        (1, fingerprint(X * 3)),
    ]


class UsesBothBuffers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.taken, self.asked = TakesABufferAsLongAsTheInput(), AsksABuffer()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.asked(self.taken(x))


# Models that cannot be traced


class DependsOnData(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x


class TakesDict(nn.Module):
    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return inputs["a"] + inputs["b"]


class TakesMany(nn.Module):
    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return tensors[0] * 2


class LooksIntoKeywords(nn.Module):
    def forward(self, x: torch.Tensor, **others: Any) -> torch.Tensor:
        mask = others.get("mask")
        return x if mask is None else x * mask


class IteratesOverRows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Lambda(lambda x: torch.stack(list(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


UNTRACEABLE = [
    (DependsOnData(), (X,), {}, "symbolically traced variables cannot be used as inputs to control flow"),
    (TakesDict(), ({"a": X, "b": X},), {}, "tensors lie inside the argument 'inputs'"),
    (TakesMany(), (X, X), {}, "its forward() takes any number of positional arguments"),
    (LooksIntoKeywords(), (X,), {"mask": X}, "AttributeError: 'list' object has no attribute 'get'"),
    (IteratesOverRows(), (X,), {}, "TraceError: Proxy object cannot be iterated"),
    (UsesBothBuffers(), (X,), {}, "TypeError: slice indices must be integers or None"),
]


@pytest.mark.parametrize(
    ("model", "args", "kwargs", "reason"), UNTRACEABLE, ids=[type(case[0]).__name__ for case in UNTRACEABLE]
)
def test_what_cannot_be_traced_is_refused_with_the_reason(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str
) -> None:
    names = ("_call_impl", "__call__", "__getattr__")
    before = [nn.Module.__dict__[name] for name in names]
    model.eval()(*args, **kwargs)  # PyTorch takes it
    with pytest.raises(HxError) as caught:
        observe_symbolically(model, args, kwargs)
    assert caught.value.code == "HX124"
    assert reason in caught.value.message
    assert repr(type(model).__name__) in caught.value.message
    assert "strategy='auto'" in caught.value.hint
    assert caught.value.argument == "strategy"
    assert [nn.Module.__dict__[name] for name in names] == before


def test_the_export_says_that_a_model_cannot_be_traced() -> None:
    with pytest.raises(HxError) as caught:
        export(DependsOnData().eval(), {"x": X}, strategy=STRATEGIES["fx_graph"])
    assert caught.value.code == "HX124"

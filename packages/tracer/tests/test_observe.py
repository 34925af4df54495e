"""One run in PyTorch: who computed what, what came of what, and that watching leaves nothing behind."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from observing import computed
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from hx_sidecar_schema import Observation, Operation
from hx_tracer.watch.calls import EagerRun, TracedCall, disable_fused_attention
from hx_tracer.watch.operations import fingerprint, observe

X = torch.arange(6.0).reshape(2, 3) - 2
PATIENCE_S = 30


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    torch.manual_seed(0)


def observed(module: nn.Module, *args: Any, **kwargs: Any) -> tuple[list[TracedCall], Observation]:
    _, calls, observation = observe(module.eval(), args or (X,), kwargs)
    return calls, computed(observation)


def operations(module: nn.Module, *args: Any, **kwargs: Any) -> list[Operation]:
    return observed(module, *args, **kwargs)[1].operations


def short(operation: Operation) -> str:
    return operation.name.split(".")[1]


def who_ran_what(calls: list[TracedCall], observation: Observation) -> list[tuple[str, str]]:
    """Call and name of every operation, in order; the transposed weight of a linear layer is left out."""
    names = [f"{call.fqn}@{call.index}" for call in calls]
    return [(names[row.call], short(row)) for row in observation.operations if short(row) != "t"]


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

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


# Calls


def test_operations_have_the_innermost_call() -> None:
    """One block under two names, called twice, another in between; the root goes on after each."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Block(), Block()
            self.alias = self.a

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(self.alias(torch.tanh(self.b(self.a(x)))))

    assert who_ran_what(*observed(Net())) == [
        ("a.lin@0", "addmm"),
        ("a@0", "relu"),
        ("a@0", "add"),
        ("b.lin@0", "addmm"),
        ("b@0", "relu"),
        ("b@0", "add"),
        ("@0", "tanh"),
        ("a.lin@1", "addmm"),
        ("a@1", "relu"),
        ("a@1", "add"),
        ("@0", "sigmoid"),
    ]


def test_a_module_that_calls_itself() -> None:
    class Down(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
            x = self.lin(x)
            return self(x, depth - 1) * 2 if depth else torch.tanh(x)

    assert who_ran_what(*observed(Down())) == [
        ("lin@0", "addmm"),
        ("lin@1", "addmm"),
        ("lin@2", "addmm"),
        ("@2", "tanh"),
        ("@1", "mul"),
        ("@0", "mul"),
    ]


def test_what_a_module_without_a_name_runs_is_its_caller_s() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Tanh())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers[:2](Lambda(torch.sigmoid)(x))

    assert who_ran_what(*observed(Net())) == [("@0", "sigmoid"), ("layers.0@0", "addmm"), ("layers.1@0", "relu")]


def test_attention_runs_its_modules() -> None:
    """In eval mode PyTorch has one kernel for a whole encoder layer, of which no exporter knows."""
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    calls, observation = observed(layer, torch.randn(1, 3, 4))
    assert {calls[row.call].fqn for row in observation.operations} == {
        "",
        "self_attn",
        "linear1",
        "linear2",
        "norm1",
        "norm2",
    }


def test_the_switch_of_attention_is_this_thread_s_own() -> None:
    mha = torch.backends.mha
    switch, seen = mha.get_fastpath_enabled, list[bool]()
    with disable_fused_attention():
        thread = threading.Thread(target=lambda: seen.append(mha.get_fastpath_enabled()))
        thread.start()
        thread.join(PATIENCE_S)
        seen.append(mha.get_fastpath_enabled())
    assert seen == [True, False]
    assert mha.get_fastpath_enabled is switch
    assert mha.get_fastpath_enabled()


# Operations


def test_what_hands_its_argument_on_is_no_operation() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.same = nn.Dropout(), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.drop(self.same(x)).view(2, 3) * 2
            x = self.drop(x).to(torch.float32).view(2, 3).expand(2, 3).contiguous()
            return x[:] + 1

    rows = operations(Net())
    assert [(short(row), row.reads) for row in rows] == [("mul", []), ("add", [0])]


def test_views_of_another_shape_are_operations() -> None:
    rows = operations(Lambda(lambda x: x.reshape(3, 2).T))
    assert [row.value.shape for row in rows] == [[3, 2], [2, 3]]


def test_changes_in_place_are_operations() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        h = x + 1
        h.mul_(3)
        h.add_(0)  # changes nothing
        torch.relu_(h)
        return h - 1

    rows = operations(Lambda(forward))
    assert [(short(row), row.reads) for row in rows] == [("add", []), ("mul_", [0]), ("relu_", [1]), ("sub", [2])]
    values = [X + 1, (X + 1) * 3, torch.relu((X + 1) * 3)]
    assert [row.value for row in rows[:3]] == [fingerprint(value) for value in values]


def test_a_copy_of_an_input_no_longer_comes_of_what_it_was() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(2, 3)
        h.copy_(x)
        return h * 2

    rows = operations(Lambda(forward))
    assert [(short(row), row.reads, row.variable) for row in rows] == [("zeros", [], False), ("mul", [], True)]


def test_operations_that_return_several_tensors() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        first, second = (x * 2).split(1)
        return second - first

    rows = operations(Lambda(forward))
    assert [(short(row), row.reads, row.value.sample) for row in rows] == [
        ("mul", [], [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0]),
        ("split", [0], [-4.0, -2.0, 0.0]),
        ("split", [0], [2.0, 4.0, 6.0]),
        ("sub", [1, 2], [6.0, 6.0, 6.0]),
    ]


def test_what_depends_on_no_input_is_not_variable() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

        def forward(self, x: torch.Tensor, inside: dict[str, torch.Tensor]) -> torch.Tensor:
            table = torch.arange(3.0) + 1
            scaled = self.weight * 2
            return (inside["y"] * table) + (scaled + 1)

    rows = operations(Net(), X, {"y": X + 1})
    assert [(short(row), row.reads, row.variable) for row in rows] == [
        ("arange", [], False),
        ("add", [0], False),
        ("mul", [], False),
        ("mul", [1], True),
        ("add", [2], False),
        ("add", [3, 4], True),
    ]


def test_an_input_that_the_model_changes_is_the_caller_s_no_more() -> None:
    given = X.clone()
    rows = operations(Lambda(lambda x: x.mul_(2) + 1), given)
    assert torch.equal(given, X)
    assert [(short(row), row.reads, row.variable) for row in rows] == [("mul_", [], True), ("add", [0], True)]


def test_numbers_made_like_a_tensor_do_not_depend_on_it() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return x + torch.zeros_like(x) * x.new_full((3,), 2.0) - torch.tensor(4.0)

    rows = operations(Lambda(forward))
    assert [(short(row), row.variable) for row in rows] == [
        ("zeros_like", False),
        ("new_full", False),
        ("lift_fresh", False),
        ("sub", True),
    ], "what changes nothing is no operation"


def test_not_a_number_is_what_it_was() -> None:
    rows = operations(Lambda(lambda x: (x / x).contiguous().view(2, 3).to(torch.float32)))
    assert [short(row) for row in rows] == ["div"]


def test_a_condition_is_one_operation() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, (x,)) + 1

    values = [row.value for row in operations(Lambda(forward))]
    assert values[-2:] == [fingerprint(X * 2), fingerprint(X * 2 + 1)]


def test_a_write_into_a_view_changes_what_it_is_a_view_of() -> None:
    """Such a tensor is what the write made of it, where somebody reads it next."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        h = x + 1
        h[:, 1:].mul_(3)
        return h - 1

    rows = operations(Lambda(forward))
    assert [(short(row), row.reads) for row in rows] == [
        ("add", []),
        ("slice", [0]),
        ("mul_", [1]),
        ("mul_", [0, 2]),
        ("sub", [3]),
    ]
    expected = X + 1
    expected[:, 1:] *= 3
    assert rows[3].value == fingerprint(expected)


# Tensors that nobody computed, sizes, and tensors that are handed on


class Asks(nn.Module):
    """A root and a child that ask for sizes, and hand tensors on."""

    def __init__(self, ask: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.child = Lambda(lambda h: (ask(h), h * 2)[1])
        self.table = torch.arange(3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, _ = x.shape
        return self.child(x + self.table) / rows


def all_rows(module: nn.Module) -> tuple[list[str], list[Operation]]:
    _, calls, observation = observe(module.eval(), (X,), {})
    return [call.fqn for call in calls], observation.operations


def test_what_nobody_computed_has_no_call() -> None:
    _, rows = all_rows(Asks(lambda _: None))
    assert [(row.name, row.call, row.reads) for row in rows[:3]] == [
        ("given", None, []),
        ("given", None, []),
        ("aten.add.Tensor", 0, [0, 1]),
    ]
    assert [(row.variable, row.value) for row in rows[:2]] == [
        (True, fingerprint(X)),
        (False, fingerprint(torch.arange(3.0))),
    ]


@pytest.mark.parametrize("ask", [torch.Tensor.size, lambda h: h.shape[0], len, torch.Tensor.numel, torch.numel])
def test_calls_that_ask_for_a_size(ask: Callable[[torch.Tensor], object]) -> None:
    """hx asks for sizes too, when it notes what crosses a boundary: those are not the model's."""
    names, rows = all_rows(Asks(ask))
    asked = {row.name: [names[call] for call in row.sized] for row in rows if row.sized}
    assert asked == {"given": [""], "aten.add.Tensor": ["child"]}


def test_what_is_not_a_size_is_not_asked_for() -> None:
    _, rows = all_rows(Asks(lambda h: (h.dtype, h.device, h.ndim, h.requires_grad)))
    assert [row.name for row in rows if row.sized] == ["given"]


def test_calls_that_hand_a_tensor_on() -> None:
    def handed_on(h: torch.Tensor) -> torch.Tensor:
        return h.to(torch.float32).contiguous().expand(2, 3).view(2, 3).add_(1)

    names, rows = all_rows(Asks(handed_on))
    repeated = {row.name: [names[call] for call in row.repeated] for row in rows if row.repeated}
    assert repeated == {"aten.add.Tensor": ["child"] * 4}


# Forwards that raise


class Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError(f"no fast path for {self.lin(x).shape}")


class TwoWays(nn.Module):
    """Tries a fast path, which fails, and takes the slow one."""

    def __init__(self) -> None:
        super().__init__()
        self.fast = nn.Sequential(nn.Tanh(), Fails())
        self.slow = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.fast(x)
        except NotImplementedError:
            return torch.relu(self.slow(x))


def test_a_forward_that_raises_leaves_nothing_behind() -> None:
    call_impl, model = nn.Module._call_impl, nn.Sequential(nn.Tanh(), Fails()).eval()
    run = EagerRun(model)
    with pytest.raises(NotImplementedError):
        run.run((X,), {})
    assert run.stack == []
    assert [(call.fqn, call.parent) for call in run.calls] == [("", None), ("0", 0), ("1", 0), ("1.lin", 2)]
    with pytest.raises(NotImplementedError):
        observe(model, (X,), {})
    assert nn.Module._call_impl is call_impl
    assert _get_current_dispatch_mode() is None
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert who_ran_what(*observed(model[:1])) == [("0@0", "tanh")]


def test_a_forward_whose_error_is_caught_leaves_the_stack_balanced() -> None:
    call_impl, model = nn.Module._call_impl, TwoWays().eval()
    run = EagerRun(model)
    run.run((X,), {})
    assert run.stack == []
    assert nn.Module._call_impl is call_impl
    calls, observation = observed(model)
    assert [(call.fqn, call.parent) for call in calls] == [
        ("", None),
        ("fast", 0),
        ("fast.0", 1),
        ("fast.1", 1),
        ("fast.1.lin", 3),
        ("slow", 0),
    ]
    assert who_ran_what(calls, observation) == [
        ("fast.0@0", "tanh"),
        ("fast.1.lin@0", "addmm"),
        ("slow@0", "addmm"),
        ("@0", "relu"),
    ]
    # What raised has no outputs.
    assert [bool(call.outputs) for call in calls] == [True, False, True, False, True, True]
    assert nn.Module._call_impl is call_impl
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# Threads


class Step(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], meet: Callable[[], object]) -> None:
        super().__init__()
        self.function, self.meet = function, meet

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.meet()
        x = self.function(x)
        self.meet()
        return x + 1


class Steps(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], meet: Callable[[], object]) -> None:
        super().__init__()
        self.first, self.second = Step(function, meet), Step(function, meet)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(self.second(self.first(x)))


def test_two_threads_that_observe_at_the_same_time_do_not_mix() -> None:
    call_impl, switch = nn.Module._call_impl, torch.backends.mha.get_fastpath_enabled
    barrier = threading.Barrier(2)
    functions: list[Callable[[torch.Tensor], torch.Tensor]] = [torch.sin, torch.exp]
    inputs = [X, X / 4]

    def run(index: int, meet: Callable[[], object]) -> tuple[list[TracedCall], Observation]:
        _, calls, observation = observe(Steps(functions[index], meet).eval(), (inputs[index],), {})
        return calls, computed(observation)

    alone = [run(index, lambda: None) for index in range(2)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda index: run(index, lambda: barrier.wait(PATIENCE_S)), range(2)))
    assert together == alone
    assert who_ran_what(*together[1]) == [
        ("first@0", "exp"),
        ("first@0", "add"),
        ("second@0", "exp"),
        ("second@0", "add"),
        ("first@1", "exp"),
        ("first@1", "add"),
    ]
    assert nn.Module._call_impl is call_impl
    assert torch.backends.mha.get_fastpath_enabled is switch


# Ports, fingerprints


def test_every_port_has_a_fingerprint() -> None:
    class Inner(nn.Module):
        def forward(self, h: torch.Tensor, *more: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
            h.add_(1)
            return {"sum": h + more[0], "scaled": h * scale}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.norm = Inner(), nn.BatchNorm1d(3)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            result = self.inner(x * 2, x, scale=x * 3)
            result = self.inner(result["sum"], x, scale=result["scaled"])
            result["sum"].mul_(100)
            return self.norm(result["sum"]), result["scaled"]

    calls, observation = observed(Net())
    names = [(row.call, row.side, row.port) for row in observation.ports]
    wanted = [
        (index, side, port)
        for index, call in enumerate(calls)
        for side, ports in (("inputs", call.inputs), ("outputs", call.outputs))
        for port in ports
    ]
    assert sorted(names) == sorted(wanted)
    assert len(names) == 15
    values = {(row.call, row.side, row.port): row.value for row in observation.ports}
    # As they were at that moment: not yet changed by the module, or by who got them.
    assert values[1, "inputs", "h"] == fingerprint(X * 2)
    assert values[1, "outputs", "sum"] == fingerprint(X * 3 + 1) == values[2, "inputs", "h"]
    assert values[2, "outputs", "sum"] == fingerprint(X * 4 + 2)
    assert values[3, "inputs", "input"] == fingerprint((X * 4 + 2) * 100)


def test_tensors_without_numbers_are_left_out() -> None:
    def forward(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return x + 1, x.to_sparse(), torch.empty(2, device="meta") * 2

    _, observation = observed(Lambda(forward))
    assert [row.port for row in observation.ports] == ["args.0", "output.0"]
    assert "add" in {short(row) for row in observation.operations}


def test_a_fingerprint_says_what_tells_a_tensor_from_others() -> None:
    value = fingerprint(torch.tensor([[1, 2], [3, 6]]))
    assert value.model_dump() == {
        "dtype": "INT64",
        "shape": [2, 2],
        "sample": [1.0, 2.0, 3.0, 6.0],
        "mean": 3.0,
        "mean_square": 12.5,
        "constant": False,
    }
    assert fingerprint(torch.full((5,), 7)).constant
    assert fingerprint(torch.tensor(2.5)).model_dump(exclude={"dtype"}) == {
        "shape": [],
        "sample": [2.5],
        "mean": 2.5,
        "mean_square": 6.25,
        "constant": True,
    }
    empty = fingerprint(torch.empty(0, 3))
    assert (empty.shape, empty.sample, empty.mean, empty.constant) == ([0, 3], [], 0.0, True)
    unknown = fingerprint(torch.tensor([math.nan, math.inf]))
    assert math.isnan(unknown.sample[0])
    assert unknown.sample[1] == math.inf


def test_a_large_tensor_has_a_fingerprint_of_a_few_values() -> None:
    tensor = torch.arange(1_000_000)
    value = fingerprint(tensor)
    assert len(value.sample) == 64
    assert fingerprint(tensor.reshape(1000, 1000).T.contiguous()).sample != value.sample
    changed = tensor.clone()
    changed[123_457] = 5_000_000  # not among the sampled, but in the mean
    assert fingerprint(changed) != value


def test_complex_tensors_have_two_numbers_each() -> None:
    tensor = torch.tensor([1 + 2j, 3 - 4j])
    assert fingerprint(tensor).sample == [1.0, 2.0, 3.0, -4.0]
    assert fingerprint(tensor.conj()).sample == [1.0, -2.0, 3.0, 4.0]  # conjugated when somebody reads it


def test_a_port_that_is_conjugated_when_somebody_reads_it() -> None:
    _, observation = observed(Lambda(lambda x: torch.view_as_complex(x.reshape(3, 2)).conj()))
    (output,) = [row.value for row in observation.ports if row.side == "outputs"]
    assert (output.dtype, output.shape) == ("COMPLEX64", [3])
    assert output.sample == [-2.0, 1.0, 0.0, -1.0, 2.0, -3.0]

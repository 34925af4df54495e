"""Calls that an export records: nesting, order, counts, and that nothing is left behind."""

from __future__ import annotations

import itertools
import queue
import sys
import threading
from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from hx_sidecar_schema import STRATEGIES, HxError, ModuleCall, ModuleContext
from hx_tracer import ExportError, example_inputs, export, export_with_first, load_model
from hx_tracer.watch.recorder import CallRecorder

X = torch.arange(6.0).reshape(2, 3) - 2


def traced(module: nn.Module, *args: torch.Tensor, **kwargs: Any) -> ModuleContext:
    torch.manual_seed(0)
    return export(module.eval(), kwargs or ({} if args else {"x": X}), args=args).context


def calls(context: ModuleContext) -> list[tuple[str, int, str | None]]:
    """Name, index and name of the parent of every call, in order."""
    names = [f"{context.modules[call.module].fqn}@{call.index}" for call in context.calls]
    return [
        (name.partition("@")[0], call.index, None if call.parent is None else names[call.parent])
        for name, call in zip(names, context.calls, strict=True)
    ]


def ports(context: ModuleContext, fqn: str, index: int = 0) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Input and output ports of a call with the ONNX names that carry them."""
    (call,) = [c for c in context.calls if context.modules[c.module].fqn == fqn and c.index == index]
    return (
        {port.name: port.value or port.initializer for port in call.inputs},
        {port.name: port.value or port.initializer for port in call.outputs},
    )


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.lin(hidden)) + hidden


def test_nesting_sharing_and_order() -> None:
    """One block under two names, called three times, another in between."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = Block()
            self.b = Block()
            self.alias = self.a

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(self.alias(self.b(self.a(x))))

    context = traced(Net())
    assert calls(context) == [
        ("", 0, None),
        ("a", 0, "@0"),
        ("a.lin", 0, "a@0"),
        ("b", 0, "@0"),
        ("b.lin", 0, "b@0"),
        ("a", 1, "@0"),
        ("a.lin", 1, "a@1"),
        ("a", 2, "@0"),
        ("a.lin", 2, "a@2"),
    ]
    chain = [ports(context, *key) for key in (("a", 0), ("b", 0), ("a", 1), ("a", 2))]
    assert chain[0][0] == {"hidden": "x"}
    for (_, outputs), (inputs, _) in itertools.pairwise(chain):
        assert outputs["output"] == inputs["hidden"] is not None
    assert chain[-1][1] == ports(context, "")[1]
    owners = {tuple(rows) for rows in context.origins.values()}
    assert owners == {(row,) for row in range(1, 9)}  # the root itself adds nothing


def test_recursion() -> None:
    class Down(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
            x = self.lin(x)
            return self(x, depth - 1) * 2 if depth else torch.tanh(x)

    assert calls(traced(Down())) == [
        ("", 0, None),
        ("lin", 0, "@0"),
        ("", 1, "@0"),
        ("lin", 1, "@1"),
        ("", 2, "@1"),
        ("lin", 2, "@2"),
    ]


class Fails(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * 2
        raise NotImplementedError("no fast path")


class TwoWays(nn.Module):
    """Tries a fast path, which fails, and takes the slow one."""

    def __init__(self) -> None:
        super().__init__()
        self.fast = Fails()
        self.slow = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.fast(x)
        except NotImplementedError:
            return torch.relu(self.slow(x))


def test_a_forward_that_raises_leaves_the_stack_balanced() -> None:
    model = TwoWays().eval()
    recorder = CallRecorder(model)
    with recorder.watching():
        make_fx(model)(X)
    assert [(call.fqn, call.parent) for call in recorder.calls] == [("", None), ("fast", 0), ("slow", 0)]
    assert recorder.stack == []


def test_a_model_that_only_dynamo_can_trace() -> None:
    """torch.export 2.13 cannot trace a caught exception; torch.onnx.export then takes its second way."""
    context = traced(TwoWays())
    names = [(context.modules[call.module].fqn, call.parent) for call in context.calls]
    assert names == [("", None), ("fast", 0), ("slow", 0)]
    assert (context.origins["linear"], context.origins["relu"]) == ([2], [0])
    root, fast, slow = context.calls
    assert [port.value for port in (*root.inputs, *root.outputs)] == ["x", "relu"]
    assert [port.value for port in (*slow.inputs, *slow.outputs)] == ["x", "linear"]
    assert not fast.outputs


def test_a_trace_that_was_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter's own module stacks and the eager run stand in; ports are known of the root alone."""
    monkeypatch.setattr(CallRecorder, "watching", lambda _: nullcontext())
    context = traced(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), input=X)
    assert (context.origins["linear"], context.origins["relu"]) == ([1], [2])
    assert [port.value for port in (*context.calls[0].inputs, *context.calls[0].outputs)] == ["input", "relu"]
    assert [call.status for call in context.calls] == ["extractable", "fused", "fused"]


def test_calls_of_another_thread_are_not_recorded() -> None:
    ran: queue.SimpleQueue[bool] = queue.SimpleQueue()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.side = nn.ReLU()
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            def work() -> None:
                ran.put(bool((self.side(torch.tensor([-1.0])) == 0).all()))

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return self.lin(x)

    context = traced(Net())
    assert ran.get_nowait()
    assert [name for name, _, _ in calls(context)] == ["", "lin"]


def test_nothing_is_left_behind() -> None:
    class Bad(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float(x.sum().item()) if x.sum() > 0 else x  # depends on data

    call_impl = nn.Module._call_impl
    optimize = torch.onnx.ONNXProgram.optimize
    run_node = torch.fx.Interpreter.run_node
    model = nn.Sequential(nn.Linear(3, 3))
    traced(model, X)
    with pytest.raises(ExportError) as caught:
        export(Bad(), {"x": X})
    assert caught.value.code == "HX120"
    assert caught.value.report
    with pytest.raises(HxError) as wrong:
        export(Block().eval(), {"hidden": torch.ones(2, 5)})
    assert wrong.value.code == "HX109"
    assert nn.Module._call_impl is call_impl
    assert torch.onnx.ONNXProgram.optimize is optimize
    assert torch.fx.Interpreter.run_node is run_node
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# Ports


def test_arguments_of_every_kind() -> None:
    class Inner(nn.Module):
        def forward(self, first: Any, *args: Any, scale: Any, pair: Any = None, **kwargs: Any) -> dict[str, Any]:
            return {"sum": first + args[0] * scale + pair[1], "first": kwargs["extra"] + 1, "n": 3}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            result = self.inner(x, y, scale=x * 3, pair=(x, y * 5), extra=y)
            return result["sum"], result["first"]

    inputs, outputs = ports(traced(Net(), x=X, y=X + 1), "inner")
    assert list(inputs) == ["first", "args.0", "scale", "pair.0", "pair.1", "extra"]
    assert (inputs["first"], inputs["args.0"], inputs["extra"]) == ("x", "y", "y")
    assert inputs["scale"] not in {"x", "y", None}
    assert list(outputs) == ["sum", "first.output"]


def test_unused_arguments_are_marked() -> None:
    class Inner(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a * 2

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x, x + 1)

    context = traced(Net())
    assert [(port.name, port.unused) for port in context.calls[1].inputs] == [("a", False), ("b", True)]


def test_a_module_that_returns_its_argument() -> None:
    class Same(nn.Module):
        def forward(self, output: torch.Tensor) -> torch.Tensor:
            return output

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = Same()
            self.drop = nn.Dropout()
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.drop(self.lin(self.same(x)))

    context = traced(Net())
    assert ports(context, "same") == ({"output": "x"}, {"output.output": "x"})
    inputs, outputs = ports(context, "drop")
    assert inputs["input"] == outputs["output"] == ports(context, "lin")[1]["output"]


def test_a_tensor_changed_in_place_after_the_port() -> None:
    """A port is the value at the moment of the call, not what becomes of the tensor later."""

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
            return y + h

    context = traced(Net())
    inputs, outputs = ports(context, "inner")
    owners = context.origins
    assert owners[str(inputs["h"])] == [0]  # the product, made before the call
    assert owners[str(outputs["output"])] == [1]
    assert sum(rows == [1] for rows in owners.values()) == 2
    assert sum(rows == [0] for rows in owners.values()) == 3


def test_a_view_of_what_was_changed_in_place_belongs_to_the_call_that_made_it() -> None:
    """Functionalisation makes the view anew in the call that reads it."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu_(self.lin(x)).view(-1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = Inner(), nn.Sigmoid()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.outer(self.inner(x))

    context = traced(Net())
    _, outputs = ports(context, "inner")
    owned = Counter(context.modules[context.calls[row].module].fqn for rows in context.origins.values() for row in rows)
    assert owned == {"inner": 2, "inner.lin": 1, "outer": 1}
    assert ports(context, "outer")[0]["input"] == outputs["output"]
    assert context.origins[str(outputs["output"])] == [1]


def test_what_cannot_be_watched_is_exported_without(monkeypatch: pytest.MonkeyPatch) -> None:
    class Choice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.yes, self.no = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cond(x.sum() > 0, lambda x: self.yes(x), lambda x: self.no(x), (x,))

    def enter(_: CallRecorder, __: object) -> None:
        raise TypeError("a variable of a new kind")

    monkeypatch.setattr(CallRecorder, "enter_call", enter)
    exported = export(Choice().eval(), {"x": X})
    assert [call.module for call in exported.context.calls] == [0]
    (note,) = exported.notes
    assert "a variable of a new kind" in note


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (NotImplementedError("no kernel"), "HX129"),
        (ModuleNotFoundError("no such package"), "HX129"),
        (AttributeError("no such weight", name="weight", obj=nn.ReLU()), "HX129"),
        (AttributeError("no such method", name="method", obj=X), "HX109"),
        (RuntimeError("sizes do not fit"), "HX109"),
    ],
)
def test_a_model_that_does_not_run_is_told_from_inputs_that_do_not_fit(raised: Exception, code: str) -> None:
    class Raises(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise raised

    for strategies in ([STRATEGIES["dynamo"]], list(STRATEGIES.values())):
        with pytest.raises(HxError, match=str(raised)) as caught:
            export_with_first(strategies, Raises(), {"x": X})
        assert caught.value.code == code
        assert caught.value.message.count(str(raised)) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="has the device")
def test_a_device_that_is_not_here_is_no_fault_of_the_inputs() -> None:
    class Moves(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.to("cuda") + 1

    with pytest.raises(HxError) as caught:
        export(Moves(), {"x": X})
    assert caught.value.code == "HX129"


def test_a_model_that_runs_with_gradients_only_is_exported_and_not_compared() -> None:
    class Force(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.clone().requires_grad_()
            return torch.autograd.grad(x.sin().sum(), x)[0]

    assert "runs on the inputs" in export(Force(), {"x": X}).failure


def test_a_refused_export_says_what_was_tried_and_tries_nothing_where_it_shall_not() -> None:
    class Refused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lin(x) if x.sum() > 0 else x

    said: list[str] = []
    with pytest.raises(ExportError) as caught:
        export(Refused(), {"x": X}, tell=said.append)
    assert ["without gradients" in text for text in said] == [True]
    assert "without gradients" in caught.value.hint
    said.clear()
    with pytest.raises(ExportError) as caught:
        export(Refused(), {"x": X}, tell=said.append, remedies=False)
    assert said == []
    assert "refused" not in caught.value.hint
    with pytest.raises(ExportError):
        export(Refused().requires_grad_(False), {"x": X}, tell=said.append)
    assert said == []


def test_modules_are_nested_as_deep_as_the_exporter_takes() -> None:
    class Nest(nn.Module):
        def __init__(self, depth: int) -> None:
            super().__init__()
            self.inner = Nest(depth - 1) if depth else nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) + 1

    limit = sys.getrecursionlimit()
    assert len(export(Nest(100), {"x": X}).context.calls) == 102
    assert sys.getrecursionlimit() == limit
    with pytest.raises(ExportError, match="nested 302 deep") as caught:
        export(Nest(300), {"x": X})
    assert "setrecursionlimit" in caught.value.hint


def test_fused_attention_neither_stops_an_export_nor_is_its_reference() -> None:
    """With padding it makes nested tensors, which have no sizes, and returns zeros for what is masked."""
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1).eval()
    padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    exported = export(model, {"src": torch.randn(2, 6, 8), "src_key_padding_mask": padding})
    assert exported.result[1, 4:].abs().min() > 0
    assert any("fused attention" in note for note in exported.notes)
    assert export(model, {"src": torch.randn(2, 6, 8)}).notes == []


@pytest.mark.parametrize("names", [["dynamo", "htp"]])
def test_what_the_refusal_names_is_changed_first_and_after_all_strategies(names: list[str]) -> None:
    loaded = load_model("tiny:mixtral")
    told: list[str] = []
    inputs = example_inputs(loaded.module)
    with pytest.raises(ExportError) as caught:
        export_with_first([STRATEGIES[name] for name in names], loaded.module, inputs.kwargs, tell=told.append)
    assert caught.value.remedy == {"experts": "batched_mm"}
    assert "experts='batched_mm'" in caught.value.hint
    assert [text.rpartition("exporting ")[2].removeprefix("with ") for text in told] == [
        "without gradients",
        *(f"strategy {name}" for name in names[1:]),
        "experts=batched_mm",
    ]


def test_statistics_that_an_operation_changes_unsaid_do_not_own_it() -> None:
    layers = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3))
    context = export(layers.train(), {}, args=(X,)).context
    assert [context.modules[context.calls[row].module].fqn for rows in context.origins.values() for row in rows] == [
        "0",
        "1",
        "2",
    ]


class Exporting(nn.Module):
    """Calls a module otherwise while it is exported, as code for deployment does."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.other = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            return self.lin(input=self.other(x))
        self.lin(x)
        return self.lin(self.other(x))


def test_arguments_of_calls_that_cannot_be_paired_are_not_known() -> None:
    found = {context_call.index: context_call for context_call in _calls_of("lin", traced(Exporting()))}
    assert found.keys() == {0}
    assert found[0].constants is None
    assert [port.name for port in found[0].inputs] == ["input"]
    assert [call.constants for call in _calls_of("other", traced(Exporting()))] == [{}]


def _calls_of(fqn: str, context: ModuleContext) -> list[ModuleCall]:
    return [call for call in context.calls if context.modules[call.module].fqn == fqn]

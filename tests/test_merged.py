"""Values that the exporter merged: who computed them besides a call, and that nothing replaces both."""

import numpy as np
import pytest
import torch
from torch import nn

import hx
from hx_graph import make_session, run_session
from hx_surgery import Part, replace


class Doubled(nn.Module):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input.tanh() * 2


class Squashed(nn.Module):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input.sigmoid()


class Around(nn.Module):
    """A module that calls others and computes by itself, as a case says."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.doubled, self.other, self.squashed = nn.Tanh(), Doubled(), Doubled(), Squashed()


class Operation(Around):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(x) * 2 + x.tanh()


class Operations(Around):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.tanh() * 2 + self.doubled(x)


class FromThere(Around):
    """What reads the output was merged too: the output itself has one reader."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.squashed(self.doubled(x)) + (x.tanh() * 2).sigmoid().relu()


class Inner(Around):
    """An inner value of the call was merged, and no output."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.doubled(x) + x.tanh()


class NoEffect(Around):
    """The exporter removes what reads the output, and merges nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.doubled(x)
        return y / 1 + y.relu()


class Siblings(Around):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.doubled(x).relu() + self.other(x)


class Three(Around):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.doubled(x).relu() + self.other(x) - (x.tanh() * 2).sigmoid()


class Unused(Around):
    """What computes the same reaches no output."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _ = x.tanh() * 2
        return self.doubled(x)


class Size(nn.Module):
    """Both ask for the sizes of one value."""

    class Flat(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.view(x.size(0), x.size(1) * x.size(2)).relu()

    def __init__(self) -> None:
        super().__init__()
        self.flat = self.Flat()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.flat(x[None]).view(x.size(0), -1) + x.size(1)


CASES: list[tuple[nn.Module, dict[str, list[str]]]] = [
    (Operation(), {"act": [""]}),
    (Operations(), {"doubled": [""]}),
    (FromThere(), {"doubled": [""], "squashed": [""]}),
    (Inner(), {}),
    (NoEffect(), {}),
    (Siblings(), {"doubled": ["other"], "other": ["doubled"]}),
    (Three(), {"doubled": ["", "other"], "other": ["", "doubled"]}),
    (Unused(), {}),
    (Size(), {}),
]


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
@pytest.mark.parametrize(
    ("module", "expected"), CASES, ids=lambda case: "" if isinstance(case, dict) else type(case).__name__
)
def test_calls_know_who_computed_their_outputs_too(
    module: nn.Module, expected: dict[str, list[str]], strategy: str
) -> None:
    model = hx.export(module.eval(), (torch.randn(3, 4),), strategy=strategy)
    fqns = [model.sidecar.modules[call.module].fqn for call in model.sidecar.calls]
    merged = [[fqns[row] for row in call.merged] for call in model.sidecar.calls]
    found = {fqn: others for fqn, others in zip(fqns, merged, strict=True) if others}
    assert found == expected


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
@pytest.mark.parametrize("module", [Operation(), FromThere(), Three()])
def test_what_stands_for_other_code_too_is_not_replaced(module: nn.Module, strategy: str) -> None:
    model = hx.export(module.eval(), (torch.randn(3, 4),), strategy=strategy)
    call = model["act" if isinstance(module, Operation) else "doubled"]
    part = hx.export(Squashed(), (torch.randn(3, 4),), output_names=["output"])
    with pytest.raises(hx.HxError, match=r"computes the same as one of its outputs|is that of call") as caught:
        replace(model, [call.row], Part(part.model, "part.onnx"), file="new.onnx")
    assert caught.value.code == "HX222"


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
@pytest.mark.parametrize("module", [Inner(), NoEffect(), Unused()])
def test_other_calls_are_replaced_by_what_computes_something_else(module: nn.Module, strategy: str) -> None:
    x = torch.randn(3, 4)
    model = hx.export(module.eval(), (x,), strategy=strategy)
    part = hx.export(Squashed(), (x,), output_names=["output"])
    made = replace(model, [model["doubled"].row], Part(part.model, "part.onnx"), file="new.onnx")
    module.doubled.forward = torch.sigmoid  # pyright: ignore[reportAttributeAccessIssue]
    expected = module(x)
    del module.doubled.forward  # pyright: ignore[reportAttributeAccessIssue]
    name = made.model.graph.inputs[0].name
    (actual,) = run_session(make_session(made.model, None), {name: x.numpy()}).values()
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_parts_keep_what_was_merged_in_them() -> None:
    inner = Operation()
    module = nn.Sequential(nn.Linear(4, 4), inner)
    model = hx.export(module.eval(), (torch.randn(3, 4),))
    part = model["1"].extract()
    (merged,) = [call.merged for call in part.sidecar.calls if call.merged]
    assert merged == [0]

"""Names of the tensors that cross a call's boundary."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from hx_tracer import input_ports, output_ports
from hx_tracer._torch_internals import leaves_with_path, pytree

A, B, C, D = (torch.full((1,), float(number)) for number in range(4))

Pair = namedtuple("Pair", ["left", "right"])


@dataclass
class Result:
    last_hidden_state: torch.Tensor
    pooled: torch.Tensor | None = None
    states: tuple[torch.Tensor, ...] = ()
    count: int = 0


class Forward(nn.Module):
    def forward(
        self,
        hidden: Any,
        mask: Any = None,
        *args: Any,
        position_embeddings: Any = None,
        scale: float = 1.0,
        **kwargs: Any,
    ) -> None: ...


def named(*args: Any, **kwargs: Any) -> list[tuple[str, float]]:
    return [(name, float(tensor)) for name, tensor in input_ports(Forward(), args, kwargs)]


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((A,), {}, [("hidden", 0)]),
        ((A, B), {}, [("hidden", 0), ("mask", 1)]),
        ((), {"mask": B, "hidden": A}, [("hidden", 0), ("mask", 1)]),
        ((A, None), {"scale": 2.0}, [("hidden", 0)]),
        ((A, B, C, D), {}, [("hidden", 0), ("mask", 1), ("args.0", 2), ("args.1", 3)]),
        (
            (A,),
            {"position_embeddings": (B, C)},
            [("hidden", 0), ("position_embeddings.0", 1), ("position_embeddings.1", 2)],
        ),
        ((A,), {"extra": B, "more": [C]}, [("hidden", 0), ("extra", 1), ("more.0", 2)]),
        (({"key": A, "value": {"deep": B}},), {}, [("hidden.key", 0), ("hidden.value.deep", 1)]),
        (([A, None, 3, "text", [B]],), {}, [("hidden.0", 0), ("hidden.4.0", 1)]),
        ((Pair(A, B),), {}, [("hidden.0", 0), ("hidden.1", 1)]),
        ((Result(A, states=(B,)),), {}, [("hidden.last_hidden_state", 0), ("hidden.states.0", 1)]),
        ((A, A), {}, [("hidden", 0), ("mask", 0)]),
        ((None,), {}, []),
    ],
)
def test_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], expected: list[tuple[str, float]]) -> None:
    assert named(*args, **kwargs) == expected


def test_ports_are_the_very_tensors() -> None:
    assert input_ports(Forward(), (A,), {})[0][1] is A


def test_arguments_that_do_not_fit_forward_still_have_names() -> None:
    class One(nn.Module):
        def forward(self, x: Any) -> None: ...

    names = [name for name, _ in input_ports(One(), (A, B), {})]
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (A, ["output"]),
        ((A, B), ["output.0", "output.1"]),
        ((A,), ["output.0"]),
        ([A, (B, C)], ["output.0", "output.1.0", "output.1.1"]),
        ((A, None, 2), ["output.0"]),
        ({"logits": A, "states": (B, C)}, ["logits", "states.0", "states.1"]),
        (OrderedDict(logits=A), ["logits"]),
        (Result(A, B, (C,)), ["last_hidden_state", "pooled", "states.0"]),
        (Result(A), ["last_hidden_state"]),
        (Pair(A, B), ["output.0", "output.1"]),
        (None, []),
        ("text", []),
        ({}, []),
    ],
)
def test_results(result: Any, expected: list[str]) -> None:
    assert [name for name, _ in output_ports(result, [])] == expected


def test_an_output_never_has_the_name_of_an_input() -> None:
    names = [name for name, _ in output_ports({"hidden": A, "logits": B}, ["hidden", "mask"])]
    assert names == ["hidden.output", "logits"]
    assert [name for name, _ in output_ports(A, ["output"])] == ["output.output"]


def test_outputs_have_names_of_their_own() -> None:
    result = {1: A, "1": B, "a.b": A, "a": {"b": B}, "": A, "x": B, "x.output": A}
    names = [name for name, _ in output_ports(result, ["x"])]
    assert names == ["1", "1.output", "a.b", "a.b.output", "output", "x.output", "x.output.output"]


def test_results_of_transformers() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    result = outputs.BaseModelOutput(last_hidden_state=A, hidden_states=(B, C))
    assert [name for name, _ in output_ports(result, [])] == ["last_hidden_state", "hidden_states.0", "hidden_states.1"]


def test_leaves_of_types_that_name_no_children() -> None:
    """transformers 4.57 registers its outputs so, and torch's own `tree_flatten_with_path` refuses them."""

    class Outputs(OrderedDict[str, int]):
        pass

    class Both:
        def __init__(self, children: list[int]) -> None:
            self.children = children

    pytree.register_pytree_node(
        Outputs, lambda o: (list(o.values()), list(o)), lambda v, k: Outputs(zip(k, v, strict=True))
    )
    pytree.register_pytree_node(Both, lambda b: (b.children, None), lambda v, _: Both(list(v)))
    found = leaves_with_path((Outputs(state=1, logits=2), Both([3, 4]), {"k": 5}, []))
    assert found == [(("0", "state"), 1), (("0", "logits"), 2), (("1", "0"), 3), (("1", "1"), 4), (("2", "k"), 5)]

"""Axes that shall be dynamic and whose examples have size 1, which exporters take for fixed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hx_sidecar_schema import STRATEGIES
from hx_tracer import ExportError, export


class Asks(nn.Module):
    """Asks whether its batch is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.linear(z[0])[None] if z.shape[0] == 1 else self.linear(z)


class Refused(Asks):
    """Cannot be traced with a batch of 1."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        if z.shape[0] == 1 and torch.compiler.is_exporting():
            raise ValueError("not traced")
        return self.linear(z)


class Alone(Asks):
    """Takes a batch of 1 alone."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.linear(z.view(1, 3, 4))


def shape_of(module: nn.Module, **options: Any) -> tuple[list[Any], Any]:
    exported = export(module.eval(), {"z": torch.ones(1, 3, 4)}, **options)
    (value,) = exported.program.model.graph.inputs
    assert value.shape is not None
    return [dim if isinstance(dim, int) else dim.value for dim in value.shape], exported


@pytest.mark.parametrize("module", [Asks(), Refused()])
def test_the_example_is_repeated(module: nn.Module) -> None:
    told: list[str] = []
    shape, exported = shape_of(module, axes={"z": {0: "batch"}}, tell=told.append)
    assert (shape, exported.static_axes) == (["batch", 3, 4], [])
    assert exported.inputs["z"].shape == exported.arguments[1]["z"].shape == (2, 3, 4)
    assert exported.notes[0] == "The example was repeated to size 2 in z:0: of size 1, the exporter takes it for fixed."
    assert told[0].endswith("exporting with examples of size 2 in z:0")


def test_a_model_that_takes_size_1_alone_keeps_it() -> None:
    shape, exported = shape_of(Alone(), axes={"z": {0: "batch"}})
    assert (shape, exported.static_axes, exported.notes) == ([1, 3, 4], ["z:0"], [])


def test_what_torch_is_given_itself_is_not_changed() -> None:
    shape, exported = shape_of(Asks(), dynamic_shapes={"z": {0: torch.export.Dim("batch")}})
    assert shape == [1, 3, 4]
    assert exported.notes == ["An example of size 1 may be what fixes z:0: give one of size 2 or more."]
    assert shape_of(Asks(), axes={"z": {0: "batch"}}, remedies=False)[0] == [1, 3, 4]
    with pytest.raises(ExportError):
        shape_of(Refused(), axes={"z": {0: "batch"}}, remedies=False)


def test_torchscript_too() -> None:
    shape, exported = shape_of(Alone(), axes={"z": {0: "batch"}}, strategy=STRATEGIES["htp"])
    assert (shape, exported.static_axes) == ([1, 3, 4], ["z:0"])

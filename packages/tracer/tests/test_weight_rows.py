"""What the record of an export says of each weight: the parameter, the parameter transposed, or something computed."""

import numpy as np
import torch
from torch import nn

from hx_sidecar_schema import Initializer
from hx_tracer import export


class Transposing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.second.weight.data.copy_(self.first.weight.data)  # the numbers do not tell whose they are
        self.cube = nn.Parameter(torch.randn(6, 2, 6))
        self.scaled = nn.Parameter(torch.randn(3, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x))
        x = torch.matmul(x, self.cube.permute(2, 1, 0).permute(1, 2, 0))
        return x @ (self.scaled.T * 2)


def _rows(module: nn.Module, x: torch.Tensor) -> tuple[dict[str | None, Initializer], dict[str, np.ndarray]]:
    """Return the rows of an export by parameter, and the arrays of its weights by name."""
    exported = export(module.eval(), {"input": x} if isinstance(module, nn.Sequential) else {"x": x})
    tensors = {name: value.const_value for name, value in exported.program.model.graph.initializers.items()}
    arrays = {name: tensor.numpy() for name, tensor in tensors.items() if tensor is not None}
    return {row.parameter: row for row in exported.context.initializers}, arrays


def test_a_transposed_weight_is_its_parameter_with_its_axes_permuted() -> None:
    module = Transposing()
    rows, weights = _rows(module, torch.randn(2, 4, 6))
    turned = {name: row for name, row in rows.items() if row.permutation}
    assert {name: row.permutation for name, row in turned.items()} == {"first.weight": [1, 0], "cube": [1, 0, 2]}
    assert rows["first.weight"].merged == ["second.weight"]
    assert "second.weight" not in rows
    for name, row in turned.items():
        assert row.transform == "transposed"
        expected = module.get_parameter(str(name)).detach().permute(row.permutation).numpy()
        np.testing.assert_array_equal(weights[row.name], expected)
    assert (rows["scaled"].transform, rows["scaled"].sources, rows["scaled"].permutation) == ("folded", ["scaled"], [])


def test_what_a_fusion_puts_under_the_name_of_a_parameter_is_not_the_parameter() -> None:
    module = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)).eval()
    nn.init.uniform_(module[1].weight, 2.0, 3.0)
    rows, weights = _rows(module, torch.randn(2, 2, 8))
    own = dict(module.state_dict())
    assert "0.weight" in weights
    assert rows["0.weight"].transform == "fused"
    for name, row in rows.items():
        assert name is None or row.transform or np.array_equal(weights[row.name], own[name].numpy())

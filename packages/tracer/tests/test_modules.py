"""Records of modules: names, classes, signatures, parameters; metadata only."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from hx_sidecar_schema import HxError, Module
from hx_tracer import check_torch_nn, module_records


class Block(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.lin = nn.Linear(width, width)
        self.act = nn.ReLU()

    def forward(
        self,
        hidden: torch.Tensor,
        mask: torch.Tensor | None = None,
        *more: torch.Tensor,
        factor: float = 1.5,
        axes: Any = (0, 1),
        dtype: Any = torch.float32,
        limit: Any = float("inf"),
        **options: Any,
    ) -> torch.Tensor:
        return self.act(self.lin(hidden) * self.scale)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.first = self.blocks[0]  # another name of the same module
        self.norm = nn.LayerNorm(3)
        self.register_buffer("table", torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.blocks[1](self.blocks[0](x)))


def records(module: nn.Module, **options: Any) -> dict[str, Module]:
    return {record.fqn: record for record in module_records(module, **options)}


def test_one_record_a_module_parents_first() -> None:
    rows = module_records(Net())
    assert [row.fqn for row in rows] == [
        "",
        "blocks",
        "blocks.0",
        "blocks.0.lin",
        "blocks.0.act",
        "blocks.1",
        "blocks.1.lin",
        "blocks.1.act",
        "norm",
    ]
    for index, row in enumerate(rows):
        assert row.parent == (None if index == 0 else [r.fqn for r in rows].index(row.fqn.rpartition(".")[0]))


def test_aliases_are_the_other_names() -> None:
    known = records(Net())
    assert known["blocks.0"].aliases == ["first"]
    assert known["blocks.0.lin"].aliases == ["first.lin"]
    assert known["blocks.1"].aliases == []
    assert "first" not in known


def test_classes_and_tags() -> None:
    known = records(Net())
    assert known["blocks.0"].class_name == f"{__name__}.Block"
    assert known["norm"].class_name == "torch.nn.modules.normalization.LayerNorm"
    assert known["blocks.1.lin"].tag == "/Net/Block.1/Linear"
    assert [known[name].tagged for name in ("", "blocks", "blocks.0", "blocks.0.lin", "norm")] == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert records(Net(), torch_nn=["Linear"])["blocks.0.lin"].tagged
    assert not records(Net(), torch_nn="none")["norm"].tagged


def test_a_name_that_tags_nothing_is_refused() -> None:
    check_torch_nn(["Linear", "NonDynamicallyQuantizableLinear"])
    with pytest.raises(HxError, match=r"'Linaer' is no module class of torch\.nn; the closest are Linear,") as caught:
        check_torch_nn(["Conv2d", "Linaer"])
    assert (caught.value.code, caught.value.argument) == ("HX406", "torch_nn")


def test_a_root_of_torch_nn_is_tagged() -> None:
    assert records(nn.Sequential(nn.Linear(2, 2)))[""].tagged


def test_signatures() -> None:
    row = records(Net())["blocks.0"]
    assert row.forward_args == ["hidden", "mask", "more", "factor", "axes", "dtype", "limit", "options"]
    assert row.forward_defaults["mask"] is None
    assert row.forward_defaults["factor"] == 1.5
    assert row.forward_defaults["dtype"] == "torch.float32"
    assert row.forward_defaults["limit"] == "inf"
    assert "hidden" not in row.forward_defaults


def test_parameters() -> None:
    row = records(Net())["blocks.0"]
    assert row.parameters == ["scale", "lin.weight", "lin.bias"]
    assert row.direct_parameters == ["scale"]
    assert records(Net())["norm"].direct_parameters == ["weight", "bias"]
    assert records(Net())["blocks.0.act"].parameters == []


def test_children() -> None:
    known = records(Net())
    assert known["blocks.0"].children == {"lin": "Linear", "act": "ReLU"}
    assert known["blocks"].children == {"0": "Block", "1": "Block"}


def test_a_shared_child_is_listed_under_every_name() -> None:
    known = records(Net())
    assert known[""].children == {"blocks": "ModuleList", "first": "Block", "norm": "LayerNorm"}


def test_records_hold_no_tensor_and_are_json() -> None:
    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for child in value.values() for leaf in leaves(child)]
        if isinstance(value, (list, tuple)):
            return [leaf for child in value for leaf in leaves(child)]
        return [value]

    for row in module_records(Net()):
        data = row.model_dump()
        assert all(leaf is None or isinstance(leaf, (str, int, float, bool)) for leaf in leaves(data))
        assert Module.model_validate(json.loads(json.dumps(data, allow_nan=False))) == Module.model_validate_json(
            row.model_dump_json()
        )


def test_the_model_is_left_alone() -> None:
    model = Net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    module_records(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_parametrized_modules_keep_their_class_name() -> None:
    row = records(nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2))))["0"]
    assert row.class_name.rpartition(".")[2].endswith("Linear")


def test_a_script_module_has_a_record() -> None:
    class Scripted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    assert records(Scripted())["inner"].fqn == "inner"


def test_modules_share_settings_where_all_but_tensors_is_equal() -> None:
    unlike = Block()
    unlike.act = nn.GELU()
    found = records(nn.Sequential(Block(), Block(), unlike))
    assert found["0"].settings is not None
    assert found["0"].settings == found["1"].settings != found["2"].settings


def test_modules_may_lie_deep_in_each_other() -> None:
    model: nn.Module = nn.Identity()
    for _ in range(300):
        model = nn.Sequential(model)
    assert len(records(model)) == 301


def test_parameters_are_those_that_torch_names_however_modules_and_weights_are_shared():
    net = nn.Module()
    net.first = net.again = nn.Linear(2, 2)
    net.inner = nn.Sequential(net.first, nn.Linear(2, 2))
    net.listed = nn.ModuleList([net.inner, nn.ModuleDict({"deep": net.inner})])
    net.tied = net.inner[1].weight
    net.inner[1].bias = net.first.bias
    known = records(net)
    assert len(known) > 4
    for name, record in known.items():
        assert record.parameters == [parameter for parameter, _ in net.get_submodule(name).named_parameters()]

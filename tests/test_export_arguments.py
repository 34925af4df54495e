"""The arguments of `torch.onnx.export`: what they do to the graph of a plain export, they do to hx's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.export import Dim

import hx
from hx_projector import structural_digest
from hx_sidecar_schema import STRATEGIES, HxError
from hx_tracer import ExportError, example_inputs, export, load_model, plain_export

X, Y, Z, W = (torch.arange(3.0 * rows).reshape(rows, 3) - 2 for rows in (2, 4, 5, 6))


class Two(nn.Module):
    """Inputs of which the second has another order by name than by position."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor, b: torch.Tensor, *, a: torch.Tensor | None = None) -> Any:
        y = torch.relu(self.lin(x)).sum(0) + b.sum(0)
        return y, (y if a is None else y * a.sum())


class Nested(nn.Module):
    def forward(self, x: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
        left, right = state["pair"]
        return x.sum(0) + left.sum(0) * right.sum(0) + state["one"].sum(0)


class PositionalOnly(nn.Module):
    def forward(self, x: torch.Tensor, /, *rest: torch.Tensor) -> torch.Tensor:
        return sum((torch.tanh(one).sum(0) for one in rest), torch.tanh(x).sum(0))


class Fixed(nn.Module):
    """The second axis is fixed by a reshape."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x.reshape(-1, 3))


def plain(module: nn.Module, args: tuple[Any, ...] = (), **options: Any) -> ir.Model:
    """What `torch.onnx.export` alone makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, args, dynamo=True, verbose=False, **options)
    assert program is not None
    return program.model


def borders(model: ir.Model) -> list[list[tuple[str | None, str]]]:
    return [[(v.name, str(v.shape)) for v in values] for values in (model.graph.inputs, model.graph.outputs)]


def assert_plain(exported: ir.Model, model: ir.Model) -> None:
    assert structural_digest(exported) == structural_digest(model)
    assert borders(exported) == borders(model)


NAMED = {"pair": [{0: "p"}, {0: Dim("q")}], "one": (Dim.DYNAMIC, None)}
STATE = {"pair": [X, Y], "one": Z}


@pytest.mark.parametrize(
    ("module", "args", "kwargs", "shapes", "asked"),
    [
        (Two(), (X, Y), {}, {"x": {0: "n"}, "b": {0: Dim("m")}}, 2),
        (Two(), (X, Y), {}, ({0: Dim.AUTO}, {0: Dim.DYNAMIC}), 2),
        (Two(), (X,), {"b": Y}, ([Dim("n"), None], (4, 3)), 1),
        (Two(), (X,), {"b": Y, "a": Z}, {"x": None, "b": {0: "b"}, "a": {0: Dim.STATIC, 1: "w"}}, 2),
        (Two(), (), {"x": X, "b": Y, "a": Z}, {"x": {0: "n", 1: None}, "b": None, "a": None}, 1),
        (Nested(), (), {"x": W, "state": STATE}, ({0: "n"}, NAMED), 4),
        (Nested(), (W,), {"state": {"one": Z, "pair": [X, Y]}}, {"x": None, "state": NAMED}, 3),
        (PositionalOnly(), (X, Y, Z), {}, ({0: "n"}, ({0: "a"}, {0: "b"})), 3),
    ],
)
def test_dynamic_shapes(module: nn.Module, args: Any, kwargs: Any, shapes: Any, asked: int) -> None:
    exported = export(module.eval(), kwargs, args=args, dynamic_shapes=shapes)
    model = plain(module, args, kwargs=kwargs, dynamic_shapes=shapes)
    assert_plain(exported.program.model, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = plain_export(module, kwargs, args=args, dynamic_shapes=shapes)
    assert (structural_digest(ours), borders(ours)) == (structural_digest(model), borders(model))
    assert exported.static_axes == []
    assert sum(not isinstance(dim, int) for v in model.graph.inputs for dim in v.shape or ()) == asked
    scripted = export(module, kwargs, args=args, dynamic_shapes=shapes, strategy=STRATEGIES["htp"])
    dims = [dim for v in scripted.program.model.graph.inputs for dim in v.shape or ()]
    assert sum(not isinstance(dim, int) for dim in dims) == asked


def test_static_axes_of_dynamic_shapes() -> None:
    shapes = ({0: Dim.AUTO, 1: Dim.AUTO},)
    exported = export(Fixed().eval(), {}, args=(X,), dynamic_shapes=shapes)
    assert_plain(exported.program.model, plain(Fixed().eval(), (X,), dynamic_shapes=shapes))
    inputs = exported.program.model.graph.inputs[0]
    assert [isinstance(dim, int) for dim in inputs.shape or ()] == [
        f"x:{axis}" in exported.static_axes for axis in (0, 1)
    ]


def test_axes_and_dynamic_shapes_exclude_each_other() -> None:
    with pytest.raises(HxError) as caught:
        export(Fixed().eval(), {"x": X}, axes={"x": {0: "n"}}, dynamic_shapes={"x": {0: "n"}})
    assert caught.value.code == "HX112"


def test_shapes_that_fit_no_input_are_refused_as_the_exporter_refuses_them() -> None:
    with pytest.raises(ExportError) as caught:
        export(Fixed().eval(), {"x": X}, dynamic_shapes={"y": {0: "n"}})
    assert "dynamic_shapes" in caught.value.report


def test_axes_are_named_by_input_whatever_the_order_of_the_dict() -> None:
    inputs = example_inputs(Two(), example={"b": Y, "x": X})
    exported = export(Two().eval(), inputs.kwargs, dynamic_shapes={"b": {0: "of_b"}, "x": {0: "of_x"}})
    dims = {v.name: (v.shape or [None])[0] for v in exported.program.model.graph.inputs}
    assert {name: str(dim) for name, dim in dims.items()} == {"x": "of_x", "b": "of_b"}


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
@pytest.mark.parametrize(("inputs", "outputs"), [(["first", "second"], ["mine"]), (["first"], ["mine", "yours"])])
def test_names_of_inputs_and_outputs(strategy: str, inputs: list[str], outputs: list[str]) -> None:
    """Ports, examples and the sidecar follow the names; cut-out calls still run."""
    torch.manual_seed(0)
    module = Two().eval()
    options: dict[str, Any] = {"input_names": inputs, "output_names": outputs}
    exported = hx.export(module, (X,), kwargs={"b": Y}, strategy=strategy, verify=False, **options)
    model, sidecar = exported.model, exported.sidecar
    names = [*inputs, *["x", "b"][len(inputs) :]]
    assert (
        [v.name for v in model.graph.inputs]
        == names
        == list(exported.example_inputs())
        == list(exported.context.examples)
    )
    assert [v.name for v in model.graph.outputs][: len(outputs)] == outputs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = plain_export(module, {"b": Y}, args=(X,), strategy=STRATEGIES[strategy], **options)
    assert (structural_digest(model), borders(model)) == (structural_digest(ours), borders(ours))
    if strategy == "dynamo":
        assert_plain(model, plain(module, (X,), kwargs={"b": Y}, **options))
    assert [info.name for info in sidecar.model.inputs] == names
    assert {port.carrier for port in exported.root.inputs} == set(names)
    assert exported.root.outputs[0].carrier == outputs[0]
    assert not hx.validate(exported).findings


def test_a_name_that_a_removed_value_has() -> None:
    """Between two transposes that cancel, the value is recovered under a name that no output has."""

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.GRU(3, 4, batch_first=True), nn.LSTM(4, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.second(self.first(x)[0])[0])

    torch.manual_seed(0)
    module, x = Turned().eval(), torch.randn(2, 5, 3)
    before = hx.export(module, (x,), verify=False)
    carriers = {port.value for call in before for port in call.outputs}
    lost = next(row.outputs[0] for row in before.context.recovered if row.outputs[0] in carriers)
    exported = hx.export(module, (x,), output_names=[lost], verify=False)
    assert f"{lost}.removed" in {port.value for call in exported for port in call.outputs}
    with torch.no_grad():
        expected = module.first(x)[0]
    extraction = exported["first"].extract()
    given = {port.name: x.numpy() for port in extraction.inputs}
    found = extraction.run(given)
    assert any(np.allclose(value, expected.numpy(), atol=1e-5) for value in found.values())


def test_a_weight_that_is_an_output_stays_the_parameter_that_it_is() -> None:
    """Its initializer gets the output's name."""

    class Returning(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.scale = nn.Linear(3, 3), nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.inner(x) * self.scale, self.scale

    exported = hx.export(Returning().eval(), (torch.ones(2, 3),), output_names=["a", "inner.output"], verify=False)
    assert {row.name: row.parameter for row in exported.sidecar.initializers}["inner.output"] == "scale"


def test_opset() -> None:
    exported = export(Two().eval(), {}, args=(X, Y), opset=20, output_names=["o"])
    assert_plain(exported.program.model, plain(Two().eval(), (X, Y), opset_version=20, output_names=["o"]))
    assert exported.program.model.opset_imports[""] == 20
    assert not exported.notes


@pytest.mark.parametrize("asked", [17, 99])
def test_an_opset_that_the_exporter_does_not_write_is_told(asked: int) -> None:
    """torch 2.13 keeps 18 where it cannot convert, and says so in a log alone."""
    exported = export(Two().eval(), {}, args=(X, Y), opset=asked)
    written = exported.program.model.opset_imports[""]
    assert any(f"opset {written}" in note and f"in {asked}" in note for note in exported.notes) == (written != asked)
    assert asked != 99 or written != 99


@pytest.mark.parametrize(
    ("options", "args", "kwargs"),
    [
        ({"example": (X, Y)}, 0, ["x", "b"]),
        ({"example": (X,), "kwargs": {"a": X, "b": Y}}, 0, ["x", "a", "b"]),
        ({"kwargs": {"b": Y, "x": X}}, 0, ["b", "x"]),
        ({"example": {"b": Y, "x": X}}, 0, ["x", "b"]),
        ({"example": {"b": Y.numpy(), "x": X.numpy()}}, 0, ["x", "b"]),
    ],
)
def test_inputs_by_position_and_by_name(options: Any, args: int, kwargs: list[str]) -> None:
    made = example_inputs(Two(), **options)
    assert (len(made.args), list(made.kwargs)) == (args, kwargs)
    assert torch.equal(made.kwargs["x"], X)
    assert torch.equal(made.kwargs["b"], Y)


def test_a_single_input() -> None:
    for one in (X, X.numpy()):
        made = example_inputs(Fixed(), example=one)
        assert torch.equal(made.kwargs["x"], X)


def test_arrays_at_any_depth() -> None:
    state = {"pair": [X.numpy(), Y.numpy().astype(np.float64)], "one": Y}
    made = example_inputs(nn.Sequential(Nested(), nn.Linear(3, 3))[0], example=(X.numpy(), state))
    found = made.kwargs["state"]
    assert [one.dtype for one in found["pair"]] == [torch.float32] * 2
    assert found["one"] is Y
    assert isinstance(state["pair"][0], np.ndarray)
    strided = np.arange(12, dtype=np.int64).reshape(2, 6)[:, ::-2]
    assert example_inputs(Fixed(), example=strided).kwargs["x"].tolist() == strided.tolist()
    with pytest.raises(HxError) as caught:
        example_inputs(Fixed(), example=np.array(["text"]))
    assert caught.value.code == "HX109"


def test_positional_only_inputs_stay_positional() -> None:
    made = example_inputs(PositionalOnly(), example=(X, Y))
    assert (len(made.args), made.kwargs) == (2, {})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"example": (X, Y, X)}, "3"),
        ({"example": (X,), "kwargs": {"x": Y}}, "'x'"),
        ({"example": (X,), "kwargs": {"c": Y}}, "'c'"),
        ({"example": (X,)}, "'b'"),
    ],
)
def test_inputs_that_do_not_fit(options: Any, named: str) -> None:
    with pytest.raises(HxError) as caught:
        example_inputs(Two(), **options)
    assert caught.value.code == "HX109"
    assert named in caught.value.message


class GPTBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(3), nn.Dropout(0.5)
        self.frozen = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.frozen(self.drop(self.norm(x)))


def state_of(module: nn.Module) -> tuple[list[Any], Mapping[str, torch.Tensor]]:
    flags = [(one.training, dict(one._forward_hooks), set(vars(one))) for one in module.modules()]
    return flags, {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
def test_a_module_in_training_mode_is_exported_as_a_plain_export_does(strategy: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = GPTBlock().train()
    module.frozen.eval()
    ran = SimpleQueue[int]()  # a list would be put back after each run
    module.drop.register_forward_hook(lambda *_: ran.put(1))
    flags, tensors = state_of(module)
    loaded = load_model(module)
    assert (loaded.name, loaded.module, loaded.example) == ("gpt_block", module, None)
    inputs = example_inputs(module)
    exported = export(module, inputs.kwargs, strategy=STRATEGIES[strategy])
    assert any("training mode" in note for note in exported.notes)
    if STRATEGIES[strategy].exporter == "dynamo":
        assert structural_digest(exported.program.model) == structural_digest(plain(module, (), kwargs=inputs.kwargs))
    else:
        again = GPTBlock().train()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(again, (inputs.kwargs["x"],), str(tmp_path / "m.onnx"), dynamo=False)
        operators = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
        assert [n.op_type for n in exported.program.model.graph if n.op_type != "Identity"] == [
            name for name in operators if name != "Identity"
        ]
    after, now = state_of(module)
    assert after == flags
    assert all(torch.equal(now[name], tensor) for name, tensor in tensors.items())
    assert not ran.empty()


def test_a_factory_in_memory() -> None:
    def make_two() -> tuple[nn.Module, Any]:
        return Two(), (X, Y)

    loaded = load_model(make_two, seed=3)
    assert loaded.name == "make_two"
    assert not loaded.module.training
    assert torch.equal(loaded.example[0], X)  # type: ignore[index]
    again = load_model(make_two, seed=3)
    assert torch.equal(loaded.module.lin.weight, again.module.lin.weight)
    assert load_model(Two).name == load_model(lambda: Two()).name == "two"
    with pytest.raises(HxError) as caught:
        load_model(lambda: 3)
    assert caught.value.code == "HX106"


def test_a_module_in_memory_is_not_changed() -> None:
    with pytest.raises(HxError) as caught:
        load_model(Two(), dtype="float16", attn="eager")
    assert caught.value.code == "HX111"
    assert "dtype, attn" in caught.value.message


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor | None = None


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch.compile
@pytest.mark.parametrize("compiled", [False, True])
def test_named_tuples_and_compiled_roots_have_free_axes(compiled: bool) -> None:
    class OfPair(nn.Linear):
        def forward(self, pair: Pair) -> Pair:  # type: ignore[override]
            return Pair(super().forward(pair.left), pair.right)

    class OfTensor(nn.Linear):
        pass

    module: Any = torch.compile(OfTensor(3, 3).eval()) if compiled else OfPair(3, 3).eval()
    exported = hx.export(module, (X if compiled else Pair(X),), dynamic=True)
    (value,) = exported.model.graph.inputs
    assert "batch" in str(value.shape)
    assert exported.verification.status == "match"


class Fills(nn.Module):
    def forward(self, x: torch.Tensor, held: list[torch.Tensor]) -> torch.Tensor:
        held.append(x + 1)
        return x * 2


class FillsList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fills = Fills()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held: list[torch.Tensor] = []
        return self.fills(x, held) + held[0]


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
def test_a_list_that_a_call_fills_is_recorded_as_it_was_before(tmp_path: Path, strategy: str) -> None:
    exported = hx.export(FillsList().eval(), (torch.ones(2, 3),), strategy=strategy, verify=False)
    exported.save(tmp_path / "m.onnx")
    assert hx.load(tmp_path / "m.onnx").sidecar.calls[1].constants == {"held": []}

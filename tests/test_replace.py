"""Another model in the place of module calls: what it computes, what of the graph stays, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch import nn

import hx
from hx_graph import make_session, read_model, run_session
from hx_projector import structural_digest
from hx_surgery import Part, replace

Array = np.ndarray[Any, Any]


class Recurrent(nn.Module):
    """The exporter removes the values between the two: their transposes cancel."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)
        self.lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, state = self.gru(x)
        outputs, _ = self.lstm(hidden)
        return self.head(outputs[:, -1]) + state.sum()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).tanh()


class Branches(nn.Module):
    """Calls in the branches of an If, and one module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.other = Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block(x)
        return self.block(torch.cond(x.sum() > 0, lambda x: self.other(x), lambda x: x * 2, (x,)))


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))


MODELS: dict[str, tuple[nn.Module | str, tuple[torch.Tensor, ...]]] = {
    "tiny:bert": ("tiny:bert", ()),
    "tiny:gpt2": ("tiny:gpt2", ()),
    "tiny:t5": ("tiny:t5", ()),
    "tiny:gemma2": ("tiny:gemma2", ()),
    "recurrent": (Recurrent().eval(), (torch.randn(2, 3, 4),)),
    "branches": (Branches().eval(), (torch.randn(2, 8),)),
    "conv": (Conv().eval(), (torch.randn(2, 3, 6, 6),)),
}


@cache
def exported(name: str, dynamic: bool) -> hx.Exported:
    model, inputs = MODELS[name]
    return hx.export(model, inputs, dynamic=dynamic)


def outputs_of(model: ir.Model, feeds: dict[str, Array]) -> dict[str, Array]:
    return run_session(make_session(model, None), feeds)


def part_of(extraction: hx.Extraction) -> Part:
    """Return what the file of an extraction holds."""
    return Part(ir.from_proto(ir.to_proto(extraction.model)), "part.onnx")


def extractable(model: hx.Hierarchy) -> list[hx.Call]:
    return model.calls(status="extractable")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(MODELS)), st.booleans(), st.data())
def test_calls_replaced_by_themselves_are_the_model(name: str, dynamic: bool, data: st.DataObject) -> None:
    model = exported(name, dynamic)
    call = data.draw(st.sampled_from(extractable(model)))
    replaced = replace(model, [call.row], part_of(call.extract()), file="new.onnx")
    assert structural_digest(replaced.model) == structural_digest(model.model)
    assert not replaced.calls[call.row].added
    feeds = model.example_inputs()
    before, after = outputs_of(model.model, feeds), outputs_of(replaced.model, feeds)
    assert {name: array.tobytes() for name, array in before.items()} == {
        name: array.tobytes() for name, array in after.items()
    }
    assert replaced.sidecar.calls == model.sidecar.calls
    assert [row.owner for row in replaced.sidecar.nodes] == [row.owner for row in model.sidecar.nodes]


FACTOR = 1.25


def scaled(part: Part) -> Part:
    """Return a part whose outputs of floating point are a quarter larger."""
    graph = part.model.graph
    for index, value in enumerate(list(graph.outputs)):
        if value.dtype == ir.DataType.FLOAT and value.name:
            factor = ir.node("Constant", [], {"value": ir.tensor(np.float32(FACTOR))})
            factor.outputs[0].name = f"factor_{index}"
            product = ir.node("Mul", [value, factor.outputs[0]])
            out, value.name = product.outputs[0], f"{value.name}.before"
            out.name, out.type, out.shape = value.name.removesuffix(".before"), value.type, value.shape
            graph.extend([factor, product])
            graph.outputs[index] = out
    return part


def in_pytorch(model: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], call: hx.Call) -> list[Array]:
    """Return the model's outputs where a call's outputs are a quarter larger."""
    seen = 0

    def larger(tensors: Any) -> Any:
        return torch.utils._pytree.tree_map_only(
            torch.Tensor, lambda t: t * FACTOR if t.dtype == torch.float32 else t, tensors
        )

    def hook(_module: nn.Module, _inputs: Any, result: Any) -> Any:
        nonlocal seen
        seen += 1
        return larger(result) if seen - 1 == call.index else result

    handle = model.get_submodule(call.fqn).register_forward_hook(hook)
    with torch.no_grad():
        result = model(*copy.deepcopy(inputs), **copy.deepcopy(kwargs))
    handle.remove()
    return [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


@pytest.mark.parametrize(("name", "refused"), [("tiny:bert", 0), ("tiny:gemma2", 0), ("recurrent", 1), ("conv", 0)])
def test_what_the_part_computes_reaches_every_reader(name: str, refused: int) -> None:
    """PyTorch with a hook on the module is the oracle; values that the exporter removed are among the outputs."""
    model, inputs = MODELS[name]
    loaded = hx.ModelSpec(model).load().module if isinstance(model, str) else model
    kwargs: dict[str, Any] = {}
    export = exported(name, False)
    if isinstance(model, str):
        import hx_tracer

        example = hx_tracer.example_inputs(loaded, example=None)
        export, inputs, kwargs = hx.export(loaded, example.args, kwargs=example.kwargs), example.args, example.kwargs
    feeds = export.example_inputs()
    refusals: list[str] = []
    for call in extractable(export):
        try:
            made = replace(export, [call.row], scaled(part_of(call.extract())), file="new.onnx")
        except hx.HxError as error:
            refusals.append(error.code)
            continue
        expected, actual = in_pytorch(loaded, inputs, kwargs, call), list(outputs_of(made.model, feeds).values())
        for one, other in zip(expected, actual, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4 * np.abs(one).max(), err_msg=call.tag)
    assert refusals == ["HX222"] * refused


@pytest.fixture
def bert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hx.Hierarchy:
    monkeypatch.chdir(tmp_path)
    hx.export("tiny:bert", (), "bert.onnx")
    return hx.load("bert.onnx")


SELF = "encoder.layer.0.attention.self"


def quantised(source: str, target: str, **options: Any) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8, **options)


def in_ort(path: str, feeds: dict[str, Array]) -> list[Array]:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)


def test_a_module_quantised_alone_is_the_model_with_all_else_excluded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hx.export("tiny:distilbert", (), "model.onnx")  # it has no Gemm, which the quantiser rewrites in any case
    module = "transformer.layer.0.attention"
    hx.extract("model.onnx", module, "part.onnx")
    quantised("part.onnx", "part8.onnx")
    report = hx.replace("model.onnx", module, "part8.onnx", "one8.onnx")
    inside = {node.name for node in hx.nodes("model.onnx", module).nodes}
    everything = [str(node.name) for node in hx.load("model.onnx").model.graph]
    quantised("model.onnx", "whole8.onnx", nodes_to_exclude=[name for name in everything if name not in inside])
    assert hx.compare("one8.onnx", "whole8.onnx").same
    feeds = hx.load("model.onnx").example_inputs()
    for one, other in zip(in_ort("one8.onnx", feeds), in_ort("whole8.onnx", feeds), strict=True):
        assert one.tobytes() == other.tobytes()
    assert 0 < (report.relative_error or 0) < 0.1
    assert hx.load("one8.onnx")[module].status == "extractable"


def test_a_replaced_module_is_replaced_back(bert: hx.Hierarchy) -> None:
    hx.extract("bert.onnx", SELF, "part.onnx")
    quantised("part.onnx", "part8.onnx")
    hx.replace("bert.onnx", SELF, "part8.onnx", "bert8.onnx")
    back = hx.replace("bert8.onnx", SELF, "part.onnx", "back.onnx")
    assert back.relative_error
    assert hx.compare("back.onnx", "bert.onnx").same
    feeds = bert.example_inputs()
    assert [a.tobytes() for a in in_ort("back.onnx", feeds)] == [a.tobytes() for a in in_ort("bert.onnx", feeds)]


def test_the_part_of_a_replaced_call_is_the_replacement(bert: hx.Hierarchy) -> None:
    hx.extract("bert.onnx", SELF, "part.onnx")
    quantised("part.onnx", "part8.onnx")
    hx.replace("bert.onnx", SELF, "part8.onnx", "bert8.onnx")
    hx.extract("bert8.onnx", SELF, "again.onnx")
    assert hx.compare("again.onnx", "part8.onnx").same
    new = hx.load("bert8.onnx")
    replaced = new.sidecar.calls[new[SELF].row].replaced
    assert replaced is not None
    assert replaced.file == "part8.onnx"
    assert {row.evidence for row in new[SELF].own_nodes} >= {"replacement"}


def fused_attention(layer: str, weights: dict[str, Array], heads: int) -> onnx.ModelProto:
    """Return self-attention of BERT as ONNX Runtime's fused operator, with weights as its inputs take them."""
    kernel = np.concatenate([weights[f"{layer}.{name}.weight"].T for name in ("query", "key", "value")], axis=1)
    bias = np.concatenate([weights[f"{layer}.{name}.bias"] for name in ("query", "key", "value")])
    make = onnx.helper
    nodes = [
        make.make_node("Cast", ["attention_mask"], ["kept"], to=onnx.TensorProto.FLOAT),
        make.make_node("Sub", ["kept", "one"], ["gone"]),
        make.make_node("Mul", ["gone", "large"], ["added"]),
        make.make_node("Expand", ["added", "mask_shape"], ["mask"]),
        make.make_node(
            "Attention",
            ["hidden_states", "kernel", "bias", "", "", "mask"],
            ["output.0"],
            domain="com.microsoft",
            num_heads=heads,
        ),
    ]
    graph = make.make_graph(
        nodes,
        "fused",
        [
            make.make_tensor_value_info("hidden_states", onnx.TensorProto.FLOAT, [2, 12, 64]),
            make.make_tensor_value_info("attention_mask", onnx.TensorProto.BOOL, [2, 1, 12, 12]),
        ],
        [make.make_tensor_value_info("output.0", onnx.TensorProto.FLOAT, [2, 12, 64])],
        [
            onnx.numpy_helper.from_array(kernel, "kernel"),
            onnx.numpy_helper.from_array(bias, "bias"),
            onnx.numpy_helper.from_array(np.float32(1), "one"),
            onnx.numpy_helper.from_array(np.float32(1e4), "large"),
            onnx.numpy_helper.from_array(np.array([2, heads, 12, 12]), "mask_shape"),
        ],
    )
    opsets = [make.make_opsetid("", 18), make.make_opsetid("com.microsoft", 1)]
    return make.make_model(graph, opset_imports=opsets, ir_version=10)


def test_self_attention_is_replaced_by_the_fused_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = hx.ModelSpec("tiny:bert").load().module
    hx.export(module, (), "bert.onnx")
    weights = {name: value.detach().numpy() for name, value in module.named_parameters()}
    onnx.save(fused_attention(SELF, weights, module.config.num_attention_heads), "fused.onnx")
    report = hx.replace("bert.onnx", SELF, "fused.onnx", "bert_fused.onnx")
    assert report.max_abs_error is not None
    assert report.max_abs_error < 1e-5
    assert [node.op_type for node in hx.load("bert_fused.onnx")[SELF].own_nodes].count("Attention") == 1


def test_a_part_without_weights_takes_those_of_each_call(bert: hx.Hierarchy) -> None:
    part = hx.extract("bert.onnx", SELF, "none.onnx", weights="none")
    assert part.modules[0].file == "none.onnx"
    report = hx.replace("bert.onnx", "BertSelfAttention", "none.onnx", "same.onnx")
    assert report.relative_error == 0
    assert not [name for call in report.calls for name in call.weights_added]


def test_weights_of_a_part_that_stands_for_several_calls_are_there_once(bert: hx.Hierarchy) -> None:
    hx.extract("bert.onnx", SELF, "part.onnx")
    report = hx.replace("bert.onnx", "BertSelfAttention", "part.onnx", "both.onnx")
    assert report.relative_error
    first, second = report.calls
    assert not first.added
    assert second.added
    assert not second.weights_added  # they are those of the first layer
    assert len(second.weights_removed) == 6


def test_a_weight_that_the_model_has_is_not_added_again(bert: hx.Hierarchy) -> None:
    hx.extract("bert.onnx", "encoder.layer.1.attention.self", "part.onnx")
    report = hx.replace("bert.onnx", "BertSelfAttention", "part.onnx", "both.onnx")
    assert [call.weights_added for call in report.calls] == [[], []]


Change = Callable[[ir.Model], None]


def rename_input(model: ir.Model) -> None:
    model.graph.inputs[0].name = "other"


def drop_output(model: ir.Model) -> None:
    model.graph.outputs[0].name = "other"


def other_type(model: ir.Model) -> None:
    model.graph.inputs[0].dtype = ir.DataType.DOUBLE


def other_shape(model: ir.Model) -> None:
    model.graph.inputs[0].shape = ir.Shape([2, 12, 32])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (rename_input, "input 'other' is neither a port of the call, which has 'hidden_states', 'attention_mask'"),
        (drop_output, "output 'output.0' is missing among 'other'"),
        (other_type, "input 'hidden_states' is DOUBLE, not FLOAT"),
        (other_shape, "input 'hidden_states' is [2, 12, 32], not [2, 12, 64]"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(change: Change, says: str) -> None:
    model = exported("tiny:bert", False)
    part = part_of(model[SELF].extract())
    change(part.model)
    with pytest.raises(hx.HxError) as caught:
        replace(model, [model[SELF].row], part, file="new.onnx")
    assert caught.value.code == "HX220"
    assert says in caught.value.message


def test_a_part_for_one_size_is_refused_where_the_call_takes_any() -> None:
    static = part_of(exported("tiny:bert", False)[SELF].extract())
    model = exported("tiny:bert", True)
    with pytest.raises(hx.HxError, match=r"is \[2, 12, 64\], not \['batch', 'sequence', 64\]") as caught:
        replace(model, [model[SELF].row], static, file="new.onnx")
    assert caught.value.code == "HX220"


def test_calls_that_hold_each_other_are_refused() -> None:
    model = exported("tiny:bert", False)
    rows = [model["encoder.layer.0"].row, model[SELF].row]
    with pytest.raises(hx.HxError) as caught:
        replace(model, rows, part_of(model[SELF].extract()), file="new.onnx")
    assert caught.value.code == "HX221"


def test_a_fused_call_is_refused() -> None:
    model = exported("conv", False)
    with pytest.raises(hx.HxError, match="is fused") as caught:
        replace(model, [model["norm"].row], part_of(model["head"].extract()), file="new.onnx")
    assert caught.value.code == "HX205"


def test_a_part_of_a_newer_opset_is_refused_with_both_numbers() -> None:
    model = exported("recurrent", False)
    part = ir.from_onnx_text(
        """
        <ir_version: 11, opset_import: ["" : 24]>
        agraph (float[2, 10] input) => (float[2, 3] output)
        <float[3] bias = {1, 2, 3}> {
            normed = RMSNormalization(input, input)
            output = Add(normed, bias)
        }
        """
    )
    with pytest.raises(hx.HxError, match=r"opset 24 of 'ai.onnx', the model of opset 20") as caught:
        replace(model, [model["head"].row], Part(part, "new.onnx"), file="new.onnx")
    assert caught.value.code == "HX223"


def test_a_part_of_an_older_opset_is_converted() -> None:
    model = exported("recurrent", False)
    part = ir.from_onnx_text(
        """
        <ir_version: 8, opset_import: ["" : 11]>
        agraph (float[2, 10] input) => (float[2, 3] output) {
            sum = ReduceSum <axes = [1], keepdims = 1> (input)
            output = Concat <axis = 1> (sum, sum, sum)
        }
        """
    )
    made = replace(model, [model["head"].row], Part(part, "old.onnx"), file="new.onnx")
    assert made.model.opset_imports[""] == model.model.opset_imports[""]
    values = outputs_of(made.model, model.example_inputs())
    assert len(np.unique(np.concatenate([row - row[:1] for row in next(iter(values.values()))]).round(3))) == 1


def test_functions_of_a_part_come_along_under_free_names() -> None:
    model = exported("recurrent", False)
    text = """
        <ir_version: 10, opset_import: ["" : 18, "mine" : 1]>
        agraph (float[2, 10] input) => (float[2, 3] output) {{
            output = mine.Head(input)
        }}
        <domain: "mine", opset_import: ["" : 18]> Head (x) => (y) {{
            sum = ReduceSum <keepdims = 1> (x)
            three = Constant <value_ints = [2, 3]> ()
            spread = Expand (sum, three)
            y = {operator} (spread)
        }}
    """
    first = replace(
        model, [model["head"].row], Part(ir.from_onnx_text(text.format(operator="Neg")), "a.onnx"), file="a.onnx"
    )
    assert [key[1] for key in first.model.functions] == ["Head"]
    again = hx.Hierarchy(None, first.sidecar, first.model)
    second = replace(
        again, [model["head"].row], Part(ir.from_onnx_text(text.format(operator="Abs")), "b.onnx"), file="b.onnx"
    )
    assert [key[1] for key in second.model.functions] == ["Head_2"]
    assert (
        outputs_of(second.model, model.example_inputs()).keys()
        == outputs_of(first.model, model.example_inputs()).keys()
    )


def test_a_call_in_a_branch_is_replaced() -> None:
    model = exported("branches", False)
    call = model["other"]
    assert call.status == "extractable"
    made = replace(model, [call.row], scaled(part_of(call.extract())), file="new.onnx")
    row = next(row for row in made.sidecar.nodes if row.evidence == "replacement")
    assert row.graph
    module = MODELS["branches"][0]
    assert isinstance(module, Branches)
    with torch.no_grad():
        tried = (torch.randn(2, 8) * 3 for _ in range(1000))
        x = next(x for x in tried if module.block(x).sum() > 0)  # the branch that calls it
        expected = module.block(module.other(module.block(x)) * FACTOR).numpy()
    actual = next(iter(outputs_of(made.model, {"x": x.numpy()}).values()))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_names_of_bodies_do_not_clash() -> None:
    model = exported("recurrent", False)
    taken = next(node.outputs[0].name for node in model.model.graph)
    part = ir.from_onnx_text(
        f"""
        <ir_version: 10, opset_import: ["" : 18]>
        agraph (float[2, 10] input) => (float[2, 3] output)
        <int64[1] zero = {{0}}, int64[1] three = {{3}}, int64[1] one = {{1}}, bool yes = {{1}}> {{
            cut = Slice (input, zero, three, one)
            output = If (yes) <
                then_branch = t () => (float[2, 3] {taken}) {{ {taken} = Neg (cut) }},
                else_branch = e () => (float[2, 3] other) {{ other = Abs (cut) }}
            >
        }}
        """
    )
    made = replace(model, [model["head"].row], Part(part, "part.onnx"), file="new.onnx")
    outputs_of(made.model, model.example_inputs())
    names = [value.name for graph in (made.model.graph,) for node in graph for value in node.outputs]
    assert len(names) == len(set(names))


def test_an_input_is_never_replaced(bert: hx.Hierarchy) -> None:
    hx.extract("bert.onnx", SELF, "part.onnx")
    before = Path("part.onnx").read_bytes()
    for target in ("bert.onnx", "part.onnx"):
        with pytest.raises(hx.HxError) as caught:
            hx.replace("bert.onnx", SELF, "part.onnx", target, overwrite=True)
        assert caught.value.code == "HX408"
    assert Path("part.onnx").read_bytes() == before
    assert read_model(Path("bert.onnx")).graph


class Tanh(nn.Module):
    def __init__(self, factor: float = 1) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.tanh() if self.factor == 1 else x.tanh() * self.factor


class Merged(nn.Module):
    """Two modules that compute the same first: the exporter merges it into one node, which is the first one's output."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.scaled = Tanh(), Tanh(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plain(x) * 2 + self.scaled(x)


class Again(nn.Module):
    """One module on one input twice: the exporter makes one call of the two, and an Identity of the second one's output."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.plain(x).reshape(2, 8), self.plain(x).transpose(0, 1).transpose(0, 1)


@pytest.mark.parametrize("module", [Merged(), Again()])
def test_an_output_that_was_merged_with_what_another_call_computes_is_refused(module: nn.Module) -> None:
    """Else the other call would compute with the part's result, which it never got."""
    model = hx.export(module.eval(), (torch.randn(2, 8),))
    call = model["plain"]
    assert call.status == "extractable"
    with pytest.raises(hx.HxError, match="merged") as caught:
        replace(model, [call.row], scaled(part_of(call.extract())), file="new.onnx")
    assert caught.value.code == "HX222"


def test_functions_that_call_other_functions_of_one_name_are_other_functions() -> None:
    model = exported("recurrent", False)
    text = """
        <ir_version: 10, opset_import: ["" : 18, "mine" : 1]>
        agraph (float[2, 10] input) => (float[2, 3] output) {{
            output = mine.Head(input)
        }}
        <domain: "mine", opset_import: ["" : 18, "mine" : 1]> Head (x) => (y) {{
            sum = ReduceSum <keepdims = 1> (x)
            three = Constant <value_ints = [2, 3]> ()
            spread = Expand (sum, three)
            y = mine.Sign (spread)
        }}
        <domain: "mine", opset_import: ["" : 18]> Sign (x) => (y) {{ y = {operator} (x) }}
    """
    first = replace(
        model, [model["head"].row], Part(ir.from_onnx_text(text.format(operator="Neg")), "a.onnx"), file="a.onnx"
    )
    again = hx.Hierarchy(None, first.sidecar, first.model)
    head = Part(ir.from_onnx_text(text.format(operator="Abs")), "b.onnx")
    second = replace(again, [again["head"].row], head, file="b.onnx")
    [caller] = [node for node in second.model.graph if node.domain == "mine"]
    [called] = [node for node in second.model.functions[caller.op_identifier()] if node.domain == "mine"]
    assert [node.op_type for node in second.model.functions[called.op_identifier()]] == ["Abs"]


class WithoutEffect(nn.Module):
    """What the second module gets is in the graph no more: the exporter removed the addition."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x) + 0)


def test_a_replaced_call_is_what_it_computes_now_where_its_input_was_removed() -> None:
    model = hx.export(WithoutEffect().eval(), (torch.randn(2, 8),))
    call = model["second"]
    made = replace(model, [call.row], scaled(part_of(call.extract())), file="new.onnx")
    now = hx.Hierarchy(None, made.sidecar, made.model)["second"]
    assert now.status == "extractable"
    feeds = {"input": np.ones((2, 8), np.float32)}
    before, after = call.extract().run(feeds)["output"], now.extract().run(feeds)["output"]
    np.testing.assert_allclose(after, before * FACTOR, rtol=1e-5)
    assert now.extract().model.graph.num_nodes() > call.extract().model.graph.num_nodes()


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x * 2)


def test_what_stands_for_a_call_may_read_what_a_call_inside_does(tmp_path: Path) -> None:
    source, made = tmp_path / "m.onnx", tmp_path / "t.onnx"
    model = hx.export(nn.Sequential(Outer(), nn.Linear(8, 8)).eval(), (torch.randn(2, 8),), source)
    part = part_of(model["0"].extract())
    (product,) = (node for node in part.model.graph if node.op_type == "Gemm")
    product.attributes["alpha"] = ir.AttrFloat32("alpha", 0.5)
    ir.save(part.model, tmp_path / "part.onnx")
    hx.replace(source, "0", tmp_path / "part.onnx", made)
    assert hx.load(made)["0.inner"].status == "extractable"
    assert hx.validate(made).findings == []


def test_what_was_before_is_put_back_without_a_trace() -> None:
    """The old output is an inner value of the part that is there: it becomes the output again."""
    model = exported("branches", False)
    rows = [model["block"].row, model["other"].row]
    for row, call in zip(rows, (model["block"], model["other"]), strict=True):
        made = replace(model, [row], scaled(part_of(call.extract())), file="new.onnx")
        there = hx.Hierarchy(None, made.sidecar, made.model)
        back = replace(there, [row], Part(part_of(call.extract()).model, "back.onnx"), file="back.onnx")
        assert structural_digest(back.model) == structural_digest(model.model)
        assert [node.outputs[0].name for node in back.model.graph] == [
            node.outputs[0].name for node in model.model.graph
        ]
        replaced = back.sidecar.calls[row].replaced
        assert replaced is not None
        assert replaced.file == "back.onnx"


def test_weights_do_not_get_the_names_of_values_that_the_exporter_removed() -> None:
    """Records of other calls still make such values; a weight would be taken for one."""
    model = hx.export(WithoutEffect().eval(), (torch.randn(2, 8),))
    kept = {value.name for node in model.model.graph for value in node.outputs}
    lost = {name for row in model.sidecar.recovered for name in row.outputs} - kept
    assert len(lost) >= 2
    for module in ("first", "second"):
        for name in sorted(lost):
            part = ir.from_onnx_text(
                f"""
                <ir_version: 10, opset_import: ["" : 18]>
                agraph (float[2, 8] input) => (float[2, 8] output) <float[1] {name} = {{2}}> {{
                    output = Mul (input, {name})
                }}
                """
            )
            made = replace(model, [model[module].row], Part(part, "part.onnx"), file="new.onnx")
            outputs_of(made.model, model.example_inputs())
            for call in extractable(hx.Hierarchy(None, made.sidecar, made.model)):
                assert call.extract().validate().max_abs_error < 1e-5
            there = hx.Hierarchy(None, made.sidecar, made.model)
            back = replace(there, [model[module].row], part_of(model[module].extract()), file="back.onnx")
            assert back.model.graph.initializers.keys() == model.model.graph.initializers.keys()


def test_calls_that_were_merged_are_replaced_together_in_any_order() -> None:
    module, x = Again().eval(), torch.randn(2, 8)
    model = hx.export(module, (x,))
    rows = [call.row for call in model.calls("plain@*")]
    assert len(rows) == 2
    with torch.no_grad():
        expected = [output.numpy() * FACTOR for output in module(x)]
    for order in (rows, rows[::-1]):
        made = replace(model, order, scaled(part_of(model["plain"].extract())), file="new.onnx")
        actual = outputs_of(made.model, {"x": x.numpy()})
        for one, other in zip(actual.values(), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_functions_of_another_opset_are_inlined_and_converted_or_refused() -> None:
    """ONNX Runtime runs functions with the model's opset, in which Softmax and ReduceSum are other operators."""
    model = exported("recurrent", False)
    text = """
        <ir_version: 10, opset_import: ["" : {0}, "mine" : 1]>
        agraph (float[2, 10] input) => (float[2, 3] output) {{ output = mine.Head (input) }}
        <domain: "mine", opset_import: ["" : 11]> Head (x) => (y) {{
            three = Constant <value = int64[3] {{2, 5, 2}}> ()
            split = Reshape (x, three)
            weighed = Softmax <axis = 1> (split)
            sum = ReduceSum <axes = [2], keepdims = 0> (weighed)
            y = Slice (sum, zero, end, one)
            zero = Constant <value = int64[1] {{0}}> ()
            end = Constant <value = int64[1] {{3}}> ()
            one = Constant <value = int64[1] {{1}}> ()
        }}
    """
    part = ir.from_onnx_text(text.format(11))
    made = replace(model, [model["head"].row], Part(part, "part.onnx"), file="new.onnx")
    assert not made.model.functions
    feeds = {"input": np.ones((2, 10), np.float32)}
    head = hx.Hierarchy(None, made.sidecar, made.model)["head"]
    assert head.extract().run(feeds)["output"].tolist() == outputs_of(part, feeds)["output"].tolist()
    other = Part(ir.from_onnx_text(text.format(18)), "part.onnx")
    with pytest.raises(hx.HxError, match="of its function 'Head' is another operator there") as caught:
        replace(model, [model["head"].row], other, file="new.onnx")
    assert caught.value.code == "HX223"


def test_a_part_that_was_not_read_from_a_file_is_brought_into_order_or_refused() -> None:
    model = exported("recurrent", False)
    text = """
        <ir_version: 10, opset_import: ["" : 18]>
        agraph (float[2, 10] input) => (float[2, 3] output) {
            output = Concat <axis = 1> (first, first, second)
            second = Neg (first)
            first = ReduceSum <keepdims = 1> (input, axes)
            axes = Constant <value_ints = [1]> ()
        }
    """
    made = replace(model, [model["head"].row], Part(ir.from_onnx_text(text), "part.onnx"), file="new.onnx")
    outputs_of(made.model, model.example_inputs())
    broken = ir.from_onnx_text(text.replace("Neg (first)", "Neg (third)"))
    with pytest.raises(hx.HxError, match="reads 'third', which nothing makes") as caught:
        replace(model, [model["head"].row], Part(broken, "part.onnx"), file="new.onnx")
    assert caught.value.code == "HX202"

"""Models that were exported elsewhere: what their nodes and weights say of modules."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
import pytest

from hx_graph import all_nodes, infer_types
from hx_projector import embed, project_file, strip_metadata
from hx_projector.file_metadata.claims import file_claims
from hx_sidecar_schema import Sidecar

W = 'float[3] "{}" = {{1.0, 2.0, 3.0}}'


def model_of(body: str, weights: str = "") -> ir.Model:
    return ir.from_onnx_text(
        f"""
        <ir_version: 10, opset_import: ["": 20]>
        main (float[N,3] x) => (float[N,3] y)
        {f"<{weights}>" if weights else ""}
        {{ {body} }}
        """
    )


def named(model: ir.Model, names: Mapping[str, str]) -> ir.Model:
    """Give names to the nodes that make some values."""
    for node in model.graph:
        node.name = names.get(str(node.outputs[0].name), "")
    return model


def stacked(model: ir.Model, scopes: Mapping[str, list[tuple[str, str]]]) -> ir.Model:
    """Write module stacks as torch does: names and classes, the operation last."""
    for node in model.graph:
        stack = scopes.get(str(node.outputs[0].name))
        if stack is not None:
            node.metadata_props["pkg.torch.onnx.name_scopes"] = str([name for name, _ in stack] + ["op"])
            node.metadata_props["pkg.torch.onnx.class_hierarchy"] = str([c for _, c in stack] + ["aten.op"])
    return model


def owners(sidecar: Sidecar) -> dict[str, tuple[str, int, str, str]]:
    return {
        node.output: (
            sidecar.module_of(sidecar.calls[node.owner]).fqn,
            sidecar.calls[node.owner].index,
            node.evidence,
            node.confidence,
        )
        for node in sidecar.nodes
    }


def test_the_module_stack_of_torch() -> None:
    model = model_of("h = Relu(x)  g = Neg(h)  y = Exp(g)")
    root = ("", "pkg.Net")
    stacks = {"h": [root, ("enc", "pkg.Enc"), ("enc.layer.0", "pkg.Layer")], "y": [root]}
    sidecar = project_file(stacked(model, stacks), file="m.onnx")
    assert owners(sidecar) == {
        "h": ("enc.layer.0", 0, "exporter", "high"),
        "g": ("", 0, "dataflow", "low"),
        "y": ("", 0, "exporter", "high"),
    }
    assert [module.tag for module in sidecar.modules] == ["/Net", "/Net/Enc", "/Net/Enc/ModuleList", "/Net/Enc/Layer.0"]
    call = next(call for call in sidecar.calls if sidecar.module_of(call).fqn == "enc")
    assert ([port.name for port in call.inputs], [port.name for port in call.outputs]) == (["x"], ["h"])
    assert call.status == "extractable"


def test_modules_of_a_file_name_their_children_and_weights() -> None:
    weights = ", ".join(W.format(name) for name in ("enc.layer.0.w", "enc.layer.1.w"))
    body = 'a = Mul(x, "enc.layer.0.w")  y = Mul(a, "enc.layer.1.w")'
    modules = project_file(model_of(body, weights), file="m.onnx").modules
    assert [(m.fqn, m.children, m.parameters, m.direct_parameters) for m in modules] == [
        ("", {"enc": "enc"}, ["enc.layer.0.w", "enc.layer.1.w"], []),
        ("enc", {"layer": "ModuleList"}, ["layer.0.w", "layer.1.w"], []),
        ("enc.layer", {"0": "layer", "1": "layer"}, ["0.w", "1.w"], []),
        ("enc.layer.0", {}, ["w"], ["w"]),
        ("enc.layer.1", {}, ["w"], ["w"]),
    ]


def test_the_stand_in_of_torch_for_a_stack_is_no_module() -> None:
    """torch 2.13 writes it on the sizes of dynamic exports."""
    stand_in = "_empty_nn_module_stack_from_metadata_hook"
    model = model_of("s = Shape(x)  h = Relu(x)  y = Expand(h, s)")
    stacks = {"s": [(stand_in, stand_in)], "h": [("", "pkg.Net"), ("enc", "pkg.Enc")], "y": [("", "pkg.Net")]}
    sidecar = project_file(stacked(model, stacks), file="m.onnx")
    assert [module.fqn for module in sidecar.modules] == ["", "enc"]


def test_scopes_in_node_names_and_second_calls() -> None:
    weights = ", ".join(W.format(name) for name in ("blk.lin.weight", "blk.lin_2.weight"))
    body = 'a = Mul(x, "blk.lin.weight")  b = Mul(a, "blk.lin.weight")  y = Mul(b, "blk.lin_2.weight")'
    names = {"a": "/blk/lin/Mul", "b": "/blk/lin_1/Mul", "y": "/blk/lin_2/Mul"}
    sidecar = project_file(named(model_of(body, weights), names), file="m.onnx")
    assert {key: row[:2] for key, row in owners(sidecar).items()} == {
        "a": ("blk.lin", 0),
        "b": ("blk.lin", 1),
        "y": ("blk.lin_2", 0),
    }
    assert {row[2:] for row in owners(sidecar).values()} == {("exporter", "high")}


@pytest.mark.parametrize(
    ("scope", "weights", "fqn"),
    [
        ("/stages/stages.0", [], "stages.0"),
        ("/stages/stages.2/stages.2.1", [], "stages.2.1"),
        ("/net/stages/stages.1/lin", [], "net.stages.1.lin"),
        ("/stages.0/stages.0.1", [], "stages.0.1"),
        ("/stages.0", [], "stages.0"),
        ("/stages/stages.0", ["stages.stages.0.weight"], "stages.stages.0"),
        ("/stages/stages.0", ["stages.0.weight"], "stages.0"),
        ("/stages/other.0", [], "stages.other.0"),
        ("/stages/stages.norm", [], "stages.stages.norm"),
    ],
)
def test_what_is_numbered_goes_by_the_attribute_around_it(scope: str, weights: list[str], fqn: str) -> None:
    model = named(model_of("y = Relu(x)", ", ".join(map(W.format, weights))), {"y": f"{scope}/Relu"})
    assert file_claims(model.graph)["y"].fqn == fqn


def test_a_sequential_ran_and_its_later_runs_are_told_apart() -> None:
    names = {"h": "/seq/seq.0/Relu", "g": "/seq/seq.1/Neg", "y": "/seq/seq.0_1/Relu"}
    sidecar = project_file(named(model_of("h = Relu(x)  g = Neg(h)  y = Relu(g)"), names), file="m.onnx")
    assert [module.fqn for module in sidecar.modules] == ["", "seq", "seq.0", "seq.1"]
    assert {key: row[:2] for key, row in owners(sidecar).items()} == {
        "h": ("seq.0", 0),
        "g": ("seq.1", 0),
        "y": ("seq.0", 1),
    }
    assert sidecar.module_of(sidecar.calls[1]).fqn == "seq"


def test_a_number_behind_a_gap_is_part_of_a_name() -> None:
    names = {"h": "/act/Relu", "g": "/act_900/Neg", "y": "/act_1/Exp"}
    sidecar = project_file(named(model_of("h = Relu(x)  g = Neg(h)  y = Exp(g)"), names), file="m.onnx")
    assert {key: row[:2] for key, row in owners(sidecar).items()} == {
        "h": ("act", 0),
        "g": ("act_900", 0),
        "y": ("act", 1),
    }


def test_a_file_that_names_no_module_has_the_root_alone() -> None:
    model = named(model_of("h = Relu(x)  y = Neg(h)"), {"h": "Relu_1", "y": "Neg_2"})
    assert file_claims(model.graph) == {}
    sidecar = project_file(model, file="m.onnx")
    assert [(module.fqn, module.class_name, module.tag) for module in sidecar.modules] == [("", "main", "/main")]
    assert {(row.owner, row.evidence, row.confidence, row.known) for row in sidecar.nodes} == {
        (0, "dataflow", "low", False)
    }
    (call,) = sidecar.calls
    assert call.status == "extractable"
    assert ([port.name for port in call.inputs], [port.name for port in call.outputs]) == (["x"], ["y"])
    assert sidecar.summary.covered_percent == 0


def test_the_names_of_weights_alone() -> None:
    weights = ", ".join(W.format(name) for name in ("layer.0.a.weight", "layer.0.b.weight", "layer.1.a.weight"))
    body = """
        h = Mul(x, "layer.0.a.weight")  g = Relu(h)  f = Mul(g, "layer.0.b.weight")
        e = Neg(f)  y = Mul(e, "layer.1.a.weight")
    """
    sidecar = project_file(model_of(body, weights), file="m.onnx")
    known = owners(sidecar)
    assert [known[name] for name in "hfy"] == [
        ("layer.0.a", 0, "parameter", "medium"),
        ("layer.0.b", 0, "parameter", "medium"),
        ("layer.1.a", 0, "parameter", "medium"),
    ]
    assert known["g"] == ("layer.0", 0, "dataflow", "low")  # between two modules of one layer
    assert known["e"] == ("", 0, "dataflow", "low")  # between layers: neither's


@pytest.mark.parametrize(
    "name", ["../x.weight", "a/b.weight", ".weight", "a..weight", "a.weight.", "onnx::a.weight", "w"]
)
def test_what_is_no_name_of_a_parameter_names_no_module(name: str) -> None:
    sidecar = project_file(model_of(f'y = Mul(x, "{name}")', W.format(name)), file="m.onnx")
    assert [module.fqn for module in sidecar.modules] == [""]


def test_weights_that_are_inputs_are_no_data() -> None:
    body = 'h = Relu(x)  k = Neg("act.weight")  y = Mul(h, k)'
    stacks = {name: [("", "pkg.Net"), ("act", "pkg.Act")] for name in "hy"}
    plain, old = (stacked(model_of(body, W.format("act.weight")), stacks) for _ in range(2))
    old.graph.inputs.append(old.graph.initializers["act.weight"])
    first, second = (project_file(model, file="m.onnx") for model in (plain, old))
    assert owners(second) == owners(first)
    assert [call.inputs for call in second.calls] == [call.inputs for call in first.calls]


def test_tags_of_winml() -> None:
    model = model_of("h = Relu(x)  y = Neg(h)")
    tags = {"h": "/Net/Encoder/Layer.0/Act", "y": "/Net"}
    for node in model.graph:
        node.metadata_props["winml.hierarchy.tag"] = tags[str(node.outputs[0].name)]
    sidecar = project_file(model, file="m.onnx")
    assert sidecar.operation_hierarchy["y"] == "/Net"
    assert sidecar.operation_hierarchy["h"].endswith("/Act")
    assert sidecar.modules[0].tag == "/Net"


def test_runs_that_the_file_does_not_tell_apart_are_not_cut_out() -> None:
    body = 'a = Mul(x, "lin.weight")  b = Relu(a)  y = Mul(b, "lin.weight")'
    model = model_of(body, W.format("lin.weight"))
    lin = [("", "pkg.Net"), ("lin", "pkg.Lin")]
    sidecar = project_file(stacked(model, {"a": lin, "b": lin[:1], "y": lin}), file="m.onnx")
    (call,) = [call for call in sidecar.calls if sidecar.module_of(call).fqn == "lin"]
    assert call.status == "fused"
    assert "several times" in call.reason
    assert owners(sidecar)["a"] == ("lin", 0, "exporter", "medium")


def test_what_hx_embedded_is_read_again() -> None:
    model = model_of("h = Relu(x)  y = Exp(h)")
    stacks = {"h": [("", "pkg.Net"), ("act", "pkg.Act")], "y": [("", "pkg.Net")]}
    first = project_file(stacked(model, stacks), file="m.onnx")
    embed(model, first)
    strip_metadata(model)
    assert not any(key.startswith("pkg.torch") for node in model.graph for key in node.metadata_props)
    again = project_file(ir.from_proto(ir.to_proto(model)), file="m.onnx")
    assert owners(again) == owners(first)


def test_functions_are_embedded_and_stripped_too() -> None:
    model = ir.from_onnx_text(
        """<ir_version: 10, opset_import: ["": 20, "local": 1]>
        m (float[2,3] x) => (float[2,3] y) { h = Relu(x)  y = local.f(h) }
        <domain: "local", opset_import: ["": 20]> f (a) => (r) { r = Neg(a) }"""
    )
    (function,) = model.functions.values()
    for holder in (function, *function):
        holder.metadata_props["pkg.torch.onnx.stack_trace"] = "/home/someone/model.py"
    sidecar = project_file(stacked(model, {"h": [("", "pkg.Net"), ("act", "pkg.Act")]}), file="m.onnx")
    embed(model, sidecar)
    strip_metadata(model)
    (node,) = function
    assert node.metadata_props["pkg.hx.tag"] == "/Net"
    assert not any(key.startswith("pkg.torch") for holder in (function, node) for key in holder.metadata_props)


def test_weights_that_are_inputs_too_are_no_inputs_of_the_model() -> None:
    model = ir.from_onnx_text(
        """<ir_version: 10, opset_import: ["": 20]>
        m (float[2,3] x, float[3] enc.w) => (float[2,3] y) <float[3] enc.w = {1, 2, 3}> { y = Mul(x, enc.w) }""".replace(
            "enc.w", '"enc.w"'
        )
    )
    assert [info.name for info in project_file(model, file="m.onnx").model.inputs] == ["x"]


BRANCHES = """
<ir_version: 10, opset_import: ["": 20]>
main (float[N,3] x, bool c) => (float[N,3] y)
<float[3] "dec.a.weight" = {1.0, 2.0, 3.0}>
{
  h = Relu(x)
  k = If (c) <
    then_branch = yes () => (float[N,3] t) { s = Mul(h, "dec.a.weight")  t = Tanh(s) },
    else_branch = no () => (float[N,3] e)
      <float[3] "dec.b.weight" = {1.0, 2.0, 3.0}>
      { r = Mul(h, "dec.b.weight")  q = Relu(r)  e = Neg(q) }
  >
  y = Exp(k)
}
"""


def test_nodes_and_weights_of_bodies_name_modules_too() -> None:
    model = ir.from_onnx_text(BRANCHES)
    names = {"h": "/enc/Relu", "k": "/dec/If", "t": "/dec/a/Tanh", "e": "/dec/b/Neg"}
    for _, node in all_nodes(model):
        node.name = names.get(str(node.outputs[0].name), "")
    sidecar = project_file(model, file="m.onnx")
    assert [module.fqn for module in sidecar.modules] == ["", "enc", "dec", "dec.a", "dec.b"]
    found = {key: (row[0], *row[2:]) for key, row in owners(sidecar).items()}
    assert found == {
        "h": ("enc", "exporter", "high"),
        "k": ("dec", "exporter", "high"),
        "s": ("dec.a", "parameter", "medium"),
        "t": ("dec.a", "exporter", "high"),
        "r": ("dec.b", "parameter", "medium"),
        "q": ("dec", "dataflow", "medium"),
        "e": ("dec.b", "exporter", "high"),
        "y": ("", "dataflow", "low"),
    }
    calls = {sidecar.module_of(call).fqn: call for call in sidecar.calls}
    assert {call.status for call in calls.values()} == {"extractable"}
    assert [port.name for port in calls["dec.a"].inputs] == ["h"]
    assert [port.name for port in calls["dec.a"].outputs] == ["t"]
    assert [port.name for port in calls["dec"].outputs] == ["k"]


def test_the_module_stack_of_torch_in_a_body() -> None:
    """Two bodies may use one name for their values."""
    model = ir.from_onnx_text(BRANCHES.replace("(float[N,3] e)", "(float[N,3] t)").replace("e = Neg", "t = Neg"))
    for path, node in all_nodes(model):
        scope = {"k.then_branch": "dec.a", "k.else_branch": "dec.b"}.get(path, "")
        node.metadata_props["pkg.torch.onnx.name_scopes"] = str(["", *([scope] if scope else []), "op"])
        node.metadata_props["pkg.torch.onnx.class_hierarchy"] = str(["Net", *(["Part"] if scope else []), "op"])
    sidecar = project_file(model, file="m.onnx")
    fqns = {node.key: sidecar.module_of(sidecar.calls[node.owner]).fqn for node in sidecar.nodes}
    assert (fqns["k.then_branch", "t"], fqns["k.else_branch", "t"], fqns["", "k"]) == ("dec.a", "dec.b", "")


def test_the_cell_of_a_loop_has_the_state_as_its_port() -> None:
    model = ir.from_onnx_text(
        """
        <ir_version: 10, opset_import: ["": 20]>
        main (float[3] x, int64 n, bool c) => (float[3] y)
        <float[3] "rnn.cell.weight" = {1.0, 2.0, 3.0}>
        {
          y = Loop (n, c, x) <
            body = step (int64 i, bool go, float[3] state) => (bool still, float[3] next)
            { still = Identity(go)  next = Mul(state, "rnn.cell.weight") }
          >
        }
        """
    )
    (loop,) = model.graph
    loop.name = "/rnn/Loop"
    sidecar = project_file(model, file="m.onnx")
    assert owners(sidecar)["next"] == ("rnn.cell", 0, "parameter", "medium")
    cell = next(call for call in sidecar.calls if sidecar.module_of(call).fqn == "rnn.cell")
    assert ([port.value for port in cell.inputs], [port.value for port in cell.outputs]) == (["state"], ["next"])


def ports(sidecar: Sidecar, fqn: str) -> tuple[list[str], list[str]]:
    (call,) = (call for call in sidecar.calls if sidecar.module_of(call).fqn == fqn)
    return [port.name for port in call.inputs], [port.name for port in call.outputs]


SIZES = "s = Shape(x)  zero = Constant<value_int = 0>()  one = Constant<value_int = 1>()  n = Gather(s, zero)"
ENCODED = (
    f"{SIZES}  r = Range(zero, n, one)  c = Cast<to = 1>(r)  o = Constant<value_ints = [1]>()  p = Unsqueeze(c, o)"
)


def test_a_weight_in_a_body_overrules_what_names_the_node_around_it() -> None:
    """The node belongs to the call that it has in common with its body then, and sources disagree on nothing else."""
    model = ir.from_onnx_text(
        """
        <ir_version: 10, opset_import: ["": 20]>
        main (bool c, float[N,3] x) => (float[N,3] y) <float[3,3] "cell.weight" = {1, 0, 0, 0, 1, 0, 0, 0, 1}> {
          y = If (c) <then_branch = t () => (float[N,3] q) { q = MatMul(x, "cell.weight") },
                      else_branch = e () => (float[N,3] r) { r = Relu(x) }>
        }
        """
    )
    sidecar = project_file(named(model, {"y": "/rnn/If", "q": "/cell/MatMul"}), file="m.onnx")
    assert owners(sidecar)["y"][0] == ""
    owner = {row.output: row.owner for row in sidecar.nodes}
    assert all(owner[row.output] == row.owner != row.other for row in sidecar.disagreements)


def test_an_input_that_is_an_output_too_crosses_the_root_alone() -> None:
    model = ir.from_onnx_text(
        """
        <ir_version: 10, opset_import: ["": 20]>
        main (float[3] x, float[3] mask) => (float[3] y, float[3] mask) { y = Relu(x) }
        """
    )
    (root,) = project_file(model, file="m.onnx").calls
    assert [port.name for port in root.inputs] == ["x", "mask"]
    assert [port.name for port in root.outputs] == ["y", "mask"]


def test_a_tensor_made_of_sizes_is_a_port() -> None:
    names = dict.fromkeys(("s", "zero", "one", "n", "r", "c", "o", "p"), "/pos/Op") | {
        "h": "/emb/Relu",
        "a": "/attn/Add",
        "y": "/attn/act/Relu",
    }
    model = named(model_of(f"{ENCODED}  h = Relu(x)  a = Add(h, p)  y = Relu(a)"), names)
    infer_types(model)
    sidecar = project_file(model, file="m.onnx")
    assert ports(sidecar, "pos") == (["x"], ["p"])
    assert ports(sidecar, "attn") == (["h", "p"], ["y"])
    assert ports(sidecar, "attn.act") == (["a"], ["y"])
    assert {call.status for call in sidecar.calls} == {"extractable"}


def test_a_tensor_that_the_caller_made_of_sizes_is_a_port_and_a_size_is_none() -> None:
    names = dict.fromkeys(("s", "zero", "one", "n", "r", "c", "o", "p"), "/Op") | {
        "h": "/emb/Relu",
        "a": "/attn/Add",
        "q": "/attn/Expand",
        "y": "/attn/act/Relu",
    }
    model = named(model_of(f"{ENCODED}  h = Relu(x)  a = Add(h, p)  q = Expand(a, s)  y = Relu(q)"), names)
    infer_types(model)
    assert ports(project_file(model, file="m.onnx"), "attn") == (["h", "p"], ["y"])


def test_a_tensor_that_a_call_with_other_results_made_is_recomputed() -> None:
    """Exporters merge the equal ones of two modules, and the first one has it then."""
    names = dict.fromkeys(("s", "zero", "one", "n", "r", "c", "o", "p", "h"), "/first/Op") | {"y": "/second/Add"}
    model = named(model_of(f"{ENCODED}  h = Mul(x, p)  y = Add(h, p)"), names)
    infer_types(model)
    assert "p" not in ports(project_file(model, file="m.onnx"), "second")[0]


def test_scopes_without_a_leading_slash() -> None:
    names = {"h": "model/dense/MatMul", "g": "model/dense_1/MatMul", "y": "model/Relu"}
    sidecar = project_file(named(model_of("h = Neg(x)  g = Exp(h)  y = Relu(g)"), names), file="m.onnx")
    assert {key: row[:2] for key, row in owners(sidecar).items()} == {
        "h": ("model.dense", 0),
        "g": ("model.dense_1", 0),
        "y": ("model", 0),
    }


def test_the_root_has_one_call_whatever_a_node_says() -> None:
    model = model_of("y = Relu(x)")
    model.graph[0].metadata_props.update({"pkg.hx.module": "", "pkg.hx.call": "3", "pkg.hx.confidence": "high"})
    assert owners(project_file(model, file="m.onnx")) == {"y": ("", 0, "exporter", "high")}


def test_scopes_below_modules_that_did_not_run_themselves() -> None:
    """TorchScript leaves out of a scope what was not called: the weights tell it; a scope that could be of two says nothing."""
    readers = {
        "a": ("/conv/Conv", "backbone.conv.weight"),
        "b": ("/blocks.0/blocks.0.0/Conv", "backbone.blocks.0.0.weight"),
        "c": ("/conv_1/Conv", "head.conv.weight"),
        "d": ("/blocks.0/blocks.0.0_1/Conv", "head.blocks.0.0.weight"),
        "e": ("/one/one.0/Conv", "parts.one.0.weight"),
        "f": ("/conv_2/Conv", "backbone.conv.weight"),
    }
    body = [f'{new} = Mul({old}, "{readers[new][1]}")' for old, new in zip("xabcde", "abcdef", strict=True)]
    names = {value: name for value, (name, _) in readers.items()} | {
        "g": "/blocks.0/blocks.0.1/Relu",
        "y": "/one/one.1/Neg",
    }
    weights = ", ".join(W.format(name) for name in dict.fromkeys(weight for _, weight in readers.values()))
    model = named(model_of("  ".join([*body, "g = Relu(f)  y = Neg(g)"]), weights), names)
    claims = file_claims(model.graph)
    assert {key: (claim.fqn, claim.index) for key, claim in claims.items()} == {
        "a": ("backbone.conv", 0),
        "b": ("backbone.blocks.0.0", 0),
        "c": ("head.conv", 0),
        "d": ("head.blocks.0.0", 0),
        "e": ("parts.one.0", 0),
        "f": ("backbone.conv", 1),
        "y": ("parts.one.1", 0),
    }
    sidecar = project_file(model, file="m.onnx")
    statuses = {module.fqn: call.status for call in sidecar.calls for module in [sidecar.module_of(call)]}
    assert {name for name, status in statuses.items() if status == "not_called"} == {"backbone", "head", "parts"}

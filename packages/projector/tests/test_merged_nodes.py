"""Nodes that an exporter's optimiser made of nodes of several modules: what their file says of that."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from hx_graph import infer_types
from hx_projector import project_file
from hx_sidecar_schema import ModuleCall, Sidecar

RULE = "pkg.onnxscript.rewriter.rule_name"


def merged_model(weight: str, bias: str) -> ir.Model:
    """A node before a convolution, of the module `blk` or outside, and the convolution."""
    model = ir.from_onnx_text(
        f"""
        <ir_version: 10, opset_import: ["": 20]>
        main (float[1,1,4] x) => (float[1,1,4] y)
        <float[1,1,1] "{weight}" = {{2.0}}, float[1] "{bias}" = {{1.0}}>
        {{ h = Relu(x)  c = Conv(h, "{weight}", "{bias}")  y = Neg(c) }}
        """
    )
    infer_types(model)
    return model


def by_torch(model: ir.Model, scopes: dict[str, str], rule: str = "") -> ir.Model:
    for node in model.graph:
        parts = scopes[str(node.outputs[0].name)].split(".")
        names = ["", *(".".join(parts[: depth + 1]) for depth in range(len(parts)) if parts[0])]
        node.metadata_props["pkg.torch.onnx.name_scopes"] = str([*names, "op"])
        node.metadata_props["pkg.torch.onnx.class_hierarchy"] = str([*(f"net.C{i}" for i in range(len(names))), "aten"])
        if node.op_type == "Conv" and rule:
            node.metadata_props[RULE] = rule
    return model


def owner(sidecar: Sidecar, output: str = "c") -> tuple[str, str]:
    (node,) = (node for node in sidecar.nodes if node.output == output)
    return sidecar.module_of(sidecar.calls[node.owner]).fqn, node.confidence


def call(sidecar: Sidecar, fqn: str) -> ModuleCall:
    (found,) = (call for call in sidecar.calls if sidecar.module_of(call).fqn == fqn)
    return found


def test_weights_tell_what_a_rule_merged() -> None:
    model = merged_model("blk.conv.weight", "blk.conv.weight_bias")
    scopes = {"h": "blk.act", "c": "blk.bn", "y": ""}
    sidecar = project_file(by_torch(model, scopes, "FuseBatchNormIntoConv, RemoveOptionalBiasFromConv"), file="m.onnx")
    assert owner(sidecar) == ("blk", "high")
    assert [call(sidecar, fqn).status for fqn in ("blk", "blk.act", "blk.bn", "blk.conv")] == [
        *["extractable"] * 2,
        *["fused"] * 2,
    ]
    assert call(sidecar, "blk.bn").reason == "An optimiser merged it with nodes of '/C0/C1/conv'."


@pytest.mark.parametrize(
    ("before", "rule", "expected"),
    [
        ("blk.act", "FuseConvPad", ("blk", "medium")),  # the padding may have been a module of its own
        ("blk.conv", "FuseConvPad", ("blk.conv", "high")),  # it was made where the data before it was made
        ("blk.act", "RemoveOptionalBiasFromConv", ("blk.conv", "high")),
        ("blk.act", "", ("blk.conv", "high")),
    ],
)
def test_a_merged_module_without_a_name(before: str, rule: str, expected: tuple[str, str]) -> None:
    model = merged_model("blk.conv.weight", "blk.conv.bias")
    sidecar = project_file(by_torch(model, {"h": before, "c": "blk.conv", "y": ""}, rule), file="m.onnx")
    assert owner(sidecar) == expected
    assert call(sidecar, "blk.conv").status == ("extractable" if expected[0] == "blk.conv" else "fused")


@pytest.mark.parametrize(
    ("weight", "bias", "expected"),
    [
        ("onnx::Conv_28", "onnx::Conv_29", ("blk", "medium")),
        ("28", "29", ("blk", "medium")),
        ("onnx::Conv_28", "blk.conv.bias", ("blk.conv", "high")),  # computed of parameters
        ("blk.conv.weight", "blk.conv.bias", ("blk.conv", "high")),
    ],
)
def test_a_normalisation_that_torchscript_folded_in(weight: str, bias: str, expected: tuple[str, str]) -> None:
    model = merged_model(weight, bias)
    for node, name in zip(model.graph, ("/blk/act/Relu", "/blk/conv/Conv", "/Neg"), strict=True):
        node.name = name
    assert owner(project_file(model, file="m.onnx")) == expected


def test_a_call_that_shares_a_node_cannot_be_cut_out_by_the_rest_of_its_nodes() -> None:
    model = merged_model("blk.conv.weight", "blk.conv.bias")
    scopes = {"h": "blk.conv.act", "c": "blk.bn", "y": ""}
    sidecar = project_file(by_torch(model, scopes, "FuseBatchNormIntoConv"), file="m.onnx")
    assert owner(sidecar) == ("blk", "high")
    assert call(sidecar, "blk.conv").status == "fused"
    assert call(sidecar, "blk.conv.act").status == "extractable"

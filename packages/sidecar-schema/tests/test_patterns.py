"""Naming calls on the command line."""

from __future__ import annotations

import pytest

from hx_sidecar_schema import HxError, ModelInfo, Module, ModuleCall, Provenance, Sidecar, build_tags, find_calls

TREE = {
    "": "bert.BertModel",
    "encoder": "bert.BertEncoder",
    "encoder.layer": "torch.nn.modules.container.ModuleList",
    "encoder.layer.0": "bert.BertLayer",
    "encoder.layer.0.attention": "bert.BertAttention",
    "encoder.layer.0.attention.self": "bert.BertSelfAttention",
    "encoder.layer.1": "bert.BertLayer",
    "encoder.layer.1.attention": "bert.BertAttention",
    "encoder.layer.1.attention.self": "bert.BertSelfAttention",
    "encoder.layer.10": "bert.BertLayer",
    "pooler": "bert.BertPooler",
}
CALLED = [name for name in TREE if name != "encoder.layer"]


def sidecar() -> Sidecar:
    """Every module was called once, layer 1 and all in it three times."""
    names = list(TREE)
    tags = build_tags(names, list(TREE.values()))
    calls = [(name, 0) for name in CALLED]
    calls += [
        (name, index)
        for index in (1, 2)
        for name in CALLED
        if name.startswith("encoder.layer.1.") or name == "encoder.layer.1"
    ]
    return Sidecar(
        generator=Provenance(),
        model=ModelInfo(file="m.onnx", opset_imports={}, ir_version=10, graph_digest="", inputs=[], outputs=[]),
        modules=[
            Module(fqn=name, class_name=class_name, tag=tag, tagged=True, aliases=["tied"] if name == "pooler" else [])
            for (name, class_name), tag in zip(TREE.items(), tags, strict=True)
        ],
        calls=[ModuleCall(module=names.index(name), index=index) for name, index in calls],
    )


def found(pattern: str) -> list[str]:
    known = sidecar()
    rows = find_calls(known, pattern)
    assert rows == sorted(rows)
    return [f"{known.module_of(known.calls[row]).fqn}@{known.calls[row].index}" for row in rows]


SELF = ["encoder.layer.0.attention.self@0", "encoder.layer.1.attention.self@0"]
LAYERS = ["encoder.layer.0@0", "encoder.layer.1@0", "encoder.layer.10@0"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/BertModel", ["@0"]),
        ("/BertModel/BertEncoder/BertLayer.0", ["encoder.layer.0@0"]),
        ("/BertModel/BertEncoder/BertLayer.1", ["encoder.layer.1@0"]),
        ("/BertModel/BertEncoder/BertLayer.*", LAYERS),
        ("/BertModel/*/BertLayer.0", ["encoder.layer.0@0"]),
        ("/BertModel/.../BertSelfAttention", SELF),
        ("/.../BertSelfAttention", SELF),
        ("/BertModel/.../BertEncoder", ["encoder@0"]),
        (
            "/BertModel/BertEncoder/.../Bert*Attention",
            ["encoder.layer.0.attention@0", SELF[0], "encoder.layer.1.attention@0", SELF[1]],
        ),
        ("encoder.layer.0", ["encoder.layer.0@0"]),
        ("encoder.layer.*", LAYERS),
        ("encoder.layer.*.attention.self", SELF),
        ("encoder.layer.1*", ["encoder.layer.1@0", "encoder.layer.10@0"]),
        ("pooler", ["pooler@0"]),
        ("tied", ["pooler@0"]),
        ("BertLayer", LAYERS),
        ("BertSelfAttention", SELF),
        ("BertModel", ["@0"]),
        ("", ["@0"]),
        ("BertPooler@0", ["pooler@0"]),
        ("BertLayer@2", ["encoder.layer.1@2"]),
        ("/BertModel/BertEncoder/BertLayer.1@1", ["encoder.layer.1@1"]),
        ("encoder.layer.1@*", ["encoder.layer.1@0", "encoder.layer.1@1", "encoder.layer.1@2"]),
        ("/BertModel/.../BertSelfAttention@1", ["encoder.layer.1.attention.self@1"]),
    ],
)
def test_patterns(pattern: str, expected: list[str]) -> None:
    assert found(pattern) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "BertLayr",
        "bertlayer",
        "/BertModel/BertLayer.0",
        "/BertModel/BertEncoder/BertLayer",
        "encoder.layer",
        "encoder.*.attention",
        "encoder.layer.0.attention.sel",
        "layer.0",
        "BertPooler@1",
        "BertPooler@x",
        "BertPooler@-1",
        "encoder.layer.(0|1)",
        "[",
        "/",
    ],
)
def test_what_matches_nothing_is_refused_with_the_closest(pattern: str) -> None:
    with pytest.raises(HxError) as caught:
        found(pattern)
    assert caught.value.code == "HX401"
    assert repr(pattern) in caught.value.message
    assert "hx tree" in caught.value.hint


def test_the_three_closest_are_named() -> None:
    with pytest.raises(HxError) as caught:
        found("encoder.layer.2")
    message = caught.value.message
    assert sum(repr(name) in message for name in TREE) == 3
    assert "'encoder.layer.1'" in message


def test_a_list_of_modules_is_told_from_a_name_that_is_none() -> None:
    for pattern in ("encoder.layer", "ModuleList", "encoder.layer@1"):
        with pytest.raises(HxError) as caught:
            found(pattern)
        assert "'encoder.layer' is a ModuleList, which was not called itself" in caught.value.message
        assert "'encoder.layer.*'" in caught.value.hint
    assert found("encoder.layer.*") == LAYERS


def test_an_index_beyond_the_calls_says_that_indices_count_from_0() -> None:
    with pytest.raises(HxError) as caught:
        found("BertLayer@3")
    assert "from 0" in caught.value.hint


def test_shares_are_all_calls_each_once() -> None:
    known = sidecar()
    shares = [find_calls(known, f"{part}/3") for part in (1, 2, 3)]
    assert shares[1] == list(range(1, len(known.calls), 3))
    assert sorted(row for share in shares for row in share) == list(range(len(known.calls)))
    for pattern in ("4/3", "0/3", "1/", f"{len(known.calls) + 1}/{len(known.calls) + 1}"):
        with pytest.raises(HxError):
            find_calls(known, pattern)

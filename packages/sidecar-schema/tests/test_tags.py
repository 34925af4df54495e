"""Tags: class paths that name exactly one module."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from hx_sidecar_schema import CONTAINERS, build_tags, is_tagged

LIST = "torch.nn.modules.container.ModuleList"
DICT = "torch.nn.modules.container.ModuleDict"
SEQUENTIAL = "torch.nn.modules.container.Sequential"
LINEAR = "torch.nn.modules.linear.Linear"
NORM = "torch.nn.modules.normalization.LayerNorm"
EMBEDDING = "torch.nn.modules.sparse.Embedding"


def tags(tree: dict[str, str]) -> dict[str, str]:
    """Return the tags of a tree of names and classes."""
    made = build_tags(list(tree), list(tree.values()))
    assert len(set(made)) == len(made)
    return dict(zip(tree, made, strict=True))


def bert() -> dict[str, str]:
    layer = {
        "": "BertLayer",
        ".attention": "BertAttention",
        ".attention.self": "BertSdpaSelfAttention",
        ".attention.self.query": LINEAR,
        ".attention.self.key": LINEAR,
        ".attention.self.value": LINEAR,
        ".attention.output": "BertSelfOutput",
        ".attention.output.dense": LINEAR,
        ".attention.output.LayerNorm": NORM,
        ".intermediate": "BertIntermediate",
        ".intermediate.dense": LINEAR,
        ".intermediate.intermediate_act_fn": "transformers.activations.GELUActivation",
        ".output": "BertOutput",
        ".output.dense": LINEAR,
        ".output.LayerNorm": NORM,
    }
    layers = {f"encoder.layer.{i}{name}": cls for i in range(2) for name, cls in layer.items()}
    tree = {
        "": "BertModel",
        "embeddings": "BertEmbeddings",
        "embeddings.word_embeddings": EMBEDDING,
        "embeddings.position_embeddings": EMBEDDING,
        "embeddings.LayerNorm": NORM,
        "embeddings.dropout": "torch.nn.modules.dropout.Dropout",
        "encoder": "BertEncoder",
        "encoder.layer": LIST,
        **layers,
        "pooler": "BertPooler",
        "pooler.dense": LINEAR,
        "pooler.activation": "torch.nn.modules.activation.Tanh",
    }
    return {name: cls if "." in cls else f"bert.modeling.{cls}" for name, cls in tree.items()}


def test_a_bert() -> None:
    expected: dict[str, str] = json.loads((Path(__file__).parent / "data" / "expected_tags_bert.json").read_text())
    made = tags(bert())
    assert {made[fqn]: fqn for fqn in expected.values()} == expected
    assert made["embeddings.word_embeddings"] == "/BertModel/BertEmbeddings/Embedding.word_embeddings"


def test_the_root_alone() -> None:
    assert tags({"": "net.Net"}) == {"": "/Net"}


def test_an_only_child_of_its_class_needs_no_attribute() -> None:
    assert tags({"": "net.Net", "lin": LINEAR, "norm": NORM}) == {
        "": "/Net",
        "lin": "/Net/Linear",
        "norm": "/Net/LayerNorm",
    }


def test_siblings_of_one_class_have_their_attribute() -> None:
    made = tags({"": "n.Net", "a": LINEAR, "b": LINEAR, "c": NORM, "c.x": LINEAR})
    assert made["a"] == "/Net/Linear.a"
    assert made["b"] == "/Net/Linear.b"
    assert made["c.x"] == "/Net/LayerNorm/Linear"


def test_two_classes_of_one_name_are_siblings() -> None:
    made = tags({"": "n.Net", "a": "one.Block", "b": "two.Block"})
    assert (made["a"], made["b"]) == ("/Net/Block.a", "/Net/Block.b")


@pytest.mark.parametrize("container", [LIST, DICT, SEQUENTIAL])
def test_a_container_is_no_segment(container: str) -> None:
    made = tags({"": "n.Net", "blocks": container, "blocks.0": "n.Block", "blocks.1": "n.Block"})
    assert made["blocks.0"] == "/Net/Block.0"
    assert made["blocks.1"] == "/Net/Block.1"


def test_a_single_child_of_a_container_has_its_key() -> None:
    assert tags({"": "n.Net", "blocks": LIST, "blocks.0": "n.Block"})["blocks.0"] == "/Net/Block.0"


def test_nested_containers_give_nested_keys() -> None:
    tree = {
        "": "n.Net",
        "stages": LIST,
        "stages.0": SEQUENTIAL,
        "stages.0.0": "n.Block",
        "stages.0.1": "n.Block",
        "stages.1": SEQUENTIAL,
        "stages.1.0": "n.Block",
    }
    made = tags(tree)
    assert [made[name] for name in ("stages.0.0", "stages.0.1", "stages.1.0")] == [
        "/Net/Block.0.0",
        "/Net/Block.0.1",
        "/Net/Block.1.0",
    ]


def test_a_container_as_root_is_a_segment() -> None:
    made = tags({"": SEQUENTIAL, "0": LINEAR, "1": "torch.nn.modules.activation.ReLU", "2": LINEAR})
    assert made == {
        "": "/Sequential",
        "0": "/Sequential/Linear.0",
        "1": "/Sequential/ReLU.1",
        "2": "/Sequential/Linear.2",
    }


def test_two_containers_under_one_parent_are_told_apart() -> None:
    made = tags(
        {
            "": "n.Net",
            "encoder": SEQUENTIAL,
            "encoder.0": LINEAR,
            "decoder": SEQUENTIAL,
            "decoder.0": LINEAR,
            "decoder.1": NORM,
        }
    )
    assert made["encoder.0"] == "/Net/Linear.encoder.0"
    assert made["decoder.0"] == "/Net/Linear.decoder.0"
    assert made["decoder.1"] == "/Net/LayerNorm.1"


def test_a_subclass_of_a_container_is_a_segment() -> None:
    made = tags({"": "n.Net", "blocks": "n.Blocks", "blocks.0": "n.Block"})
    assert made["blocks.0"] == "/Net/Blocks/Block"


def test_a_container_and_a_module_of_one_name() -> None:
    """Attribute `0` of a module and key `0` of its container would both be Block.0."""
    made = tags({"": "n.Net", "0": "n.Block", "1": "n.Block", "blocks": LIST, "blocks.0": "n.Block"})
    assert made["0"] != made["blocks.0"]


def test_a_dots_in_class_names_of_local_classes() -> None:
    assert tags({"": "tests.make.<locals>.Net"})[""] == "/Net"


@pytest.mark.parametrize(
    ("class_name", "default", "every", "none", "named"),
    [
        ("net.Net", True, True, True, True),
        (NORM, True, True, False, False),
        ("torch.nn.modules.batchnorm.BatchNorm2d", True, True, False, False),
        (EMBEDDING, True, True, False, False),
        (LINEAR, False, True, False, True),
        (LIST, False, False, False, False),
        (SEQUENTIAL, False, False, False, False),
        ("torchvision.ops.misc.Conv2dNormActivation", True, True, True, True),
    ],
)
def test_which_modules_are_tagged(class_name: str, default: bool, every: bool, none: bool, named: bool) -> None:
    assert is_tagged(class_name) is default
    assert is_tagged(class_name, "all") is every
    assert is_tagged(class_name, "none") is none
    assert is_tagged(class_name, ["Linear"]) is named


@st.composite
def trees(draw: st.DrawFn) -> dict[str, str]:
    """A tree of up to 30 modules with few names and classes, so that many could collide."""
    classes = ["n.A", "m.A", "n.B", LINEAR, *sorted(CONTAINERS)]
    tree = {"": draw(st.sampled_from(classes))}
    for _ in range(draw(st.integers(0, 30))):
        parent = draw(st.sampled_from(list(tree)))
        attribute = draw(st.sampled_from(["0", "1", "a", "A", "b", "layer", "blocks"]))
        name = f"{parent}.{attribute}" if parent else attribute
        tree.setdefault(name, draw(st.sampled_from(classes)))
    # `named_modules` goes down before it goes on.
    order: list[str] = []

    def visit(name: str) -> None:
        order.append(name)
        for other in tree:
            if other and other.rpartition(".")[0] == name:
                visit(other)

    visit("")
    return {name: tree[name] for name in order}


@given(trees())
def test_a_tag_names_one_module(tree: dict[str, str]) -> None:
    made = build_tags(list(tree), list(tree.values()))
    assert len(set(made)) == len(tree)
    assert all(tag.startswith("/") for tag in made)


@given(trees())
def test_a_tag_continues_the_tag_of_the_nearest_parent_that_is_no_container(tree: dict[str, str]) -> None:
    made = tags(tree)
    for name, tag in made.items():
        if name:
            parent = name.rpartition(".")[0]
            while parent and tree[parent] in CONTAINERS:
                parent = parent.rpartition(".")[0]
            assert tag.rpartition("/")[0] == made[parent]
            segment = tag.rpartition("/")[2]
            assert segment.split(".")[0] == tree[name].rpartition(".")[2]

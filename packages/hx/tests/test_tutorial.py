"""The whole way in Python, on a module that has no file. It reads from top to bottom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import hx


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        scores = self.query(hidden) @ self.key(hidden).transpose(1, 2)
        weights = scores.masked_fill(mask[:, None] == 0, -1e4).softmax(-1)
        return weights @ self.value(hidden)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = Attention(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.norm(hidden + self.attention(hidden, mask))


class Encoder(nn.Module):
    def __init__(self, width: int = 8, act: type[nn.Module] = nn.GELU) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.head = nn.Sequential(nn.Linear(width, 4), act())

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            hidden = block(hidden, mask)
        return self.head(hidden)


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"hidden": torch.randn(2, 5, 8), "mask": torch.ones(2, 5, dtype=torch.int64)}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder().eval()


def test_from_a_module_in_memory_to_a_profile(
    tmp_path: Path, encoder: Encoder, inputs: dict[str, torch.Tensor]
) -> None:
    # Export. Nothing is written; weights are the module's own tensors.
    length = {name: {1: "sequence"} for name in inputs}
    exported = hx.export(encoder, inputs, dynamic=True, dynamic_axes=length)
    assert exported.report.verification is not None
    assert exported.report.verification.status == "match"
    assert exported.report.exact_percent == 100

    # Look at it: calls in the order in which they ran, each with its place in the tree.
    assert exported.tree().calls[0].tag == "/Encoder"
    attention = exported["blocks.1.attention"]
    assert attention.tag == "/Encoder/Block.1/Attention"
    assert attention.parent == exported["blocks.1"]
    assert [call.fqn for call in attention.children] == [f"blocks.1.attention.{n}" for n in ("query", "key", "value")]
    assert [port.name for port in attention.inputs] == ["hidden", "mask"]
    assert "Softmax" in [node.op_type for node in attention.nodes]
    assert [call.fqn for call in exported.calls("Attention")] == ["blocks.0.attention", "blocks.1.attention"]
    assert len(list(exported)) == len(exported.sidecar.calls)

    # Cut that call out, and run it at sizes that the export never saw, beside the module itself.
    part = attention.extract()
    hidden, mask = torch.randn(3, 9, 8), torch.ones(3, 9, dtype=torch.int64)
    mask[0, 4:] = 0
    result = part.run({"hidden": hidden.numpy(), "mask": mask.numpy()})["output"]
    with torch.no_grad():
        expected = encoder.blocks[1].attention(hidden, mask).numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)

    # Every call beside PyTorch, alone and in the whole model.
    verification = hx.verify(exported)
    assert not verification.failed
    assert verification.compared > 10
    wrong = Encoder().eval()
    wrong.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        wrong.blocks[1].attention.value.weight[0, 0] += 1
    found = hx.verify(exported, against=wrong)
    assert found.failed
    assert found.culprit is not None
    assert found.calls[found.culprit].fqn == "blocks.1.attention.value"

    # What it costs.
    cost = hx.analyze(exported).cost
    assert cost is not None
    linear, scores = 2 * 5 * 8 * 8, 2 * 5 * 5 * 8
    assert cost.total.macs == 2 * (3 * linear + 2 * scores) + 2 * 5 * 8 * 4

    # Where it differs from another export.
    other = hx.export(Encoder(act=nn.ReLU).eval(), inputs, dynamic=True, dynamic_axes=length)
    assert hx.compare(exported, exported).same
    difference = hx.compare(exported, other)
    assert not difference.same
    assert {group.module for group in difference.removed} == {"head.1"}

    # Write it; a tool of yours makes something of it; the hierarchy is carried over.
    path = tmp_path / "encoder.onnx"
    assert [file.path for file in exported.save(path).files] == [str(path), str(tmp_path / "encoder_hierarchy.json")]
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fast.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options)
    relinked = hx.relink(tmp_path / "fast.onnx", exported)
    assert relinked.covered_percent == 100
    fast = hx.load(tmp_path / "fast.onnx")
    assert not hx.verify(fast, against=encoder).failed

    # Where the time goes, in what really runs.
    profile = hx.profile(fast, runs=3)
    assert profile.kernels_us == sum(call.self_us for call in profile.calls) + profile.unattributed_us
    assert profile.unattributed_us == 0


def test_export_and_file_are_one_thing(tmp_path: Path, encoder: Encoder, inputs: dict[str, torch.Tensor]) -> None:
    exported = hx.export(encoder, inputs, tmp_path / "encoder.onnx")
    loaded = hx.load(tmp_path / "encoder.onnx")
    assert [(call.tag, call.status) for call in loaded] == [(call.tag, call.status) for call in exported]
    assert loaded.tree().calls == exported.tree().calls
    assert hx.compare(loaded, exported).same
    assert hx.validate(loaded).valid
    assert hx.validate(exported).valid
    assert hx.modules(loaded).operation_hierarchy == hx.modules(exported).operation_hierarchy
    assert hx.nodes(loaded, "head").nodes == hx.nodes(exported, "head").nodes
    assert hx.analyze(loaded).calls == hx.analyze(exported).calls


class Recurrent(nn.Module):
    """Two transposes between the cells cancel: the GRU's output is in no graph, and recovered."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 8, batch_first=True)
        self.lstm = nn.LSTM(8, 8, batch_first=True)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.lstm(self.gru(hidden)[0])[0]


def test_calls_of_an_export_in_memory_are_cut_like_those_of_its_file(tmp_path: Path) -> None:
    exported = hx.export(Recurrent().eval(), (torch.randn(2, 5, 8),), tmp_path / "recurrent.onnx")
    loaded = hx.load(tmp_path / "recurrent.onnx")
    assert exported.sidecar.calls[exported["gru"].row].recovered
    for call in loaded.calls(status="extractable"):
        part, same = exported[call.fqn].extract(), call.extract()
        assert (part.operations, part.external_inputs) == (same.operations, same.external_inputs)
        assert part.validate().relative_error == 0


@pytest.mark.parametrize("form", ["mapping", "tuple", "arrays", "kwargs", "file"])
def test_inputs_in_any_form(form: str, tmp_path: Path, encoder: Encoder, inputs: dict[str, torch.Tensor]) -> None:
    hidden, mask = inputs.values()
    np.savez(tmp_path / "inputs.npz", hidden=hidden.numpy(), mask=mask.numpy())
    args, kwargs = {
        "mapping": (inputs, None),
        "tuple": ((hidden, mask), None),
        "arrays": ({"hidden": hidden.numpy(), "mask": mask.numpy()}, None),
        "kwargs": ((hidden,), {"mask": mask}),
        "file": (tmp_path / "inputs.npz", None),
    }[form]
    exported = hx.export(encoder, args, kwargs=kwargs)
    assert exported.report.inputs == {"hidden": [2, 5, 8], "mask": [2, 5]}
    given = args if kwargs is None else inputs
    assert not hx.verify(exported, inputs=given).failed


@pytest.mark.filterwarnings("ignore:.*The axis name")  # the plain export's own, of a shared Dim
def test_one_word_changes(tmp_path: Path, encoder: Encoder, inputs: dict[str, torch.Tensor]) -> None:
    """A call of torch.onnx.export is a call of hx.export, and gives the same graph."""
    batch = torch.export.Dim("n", max=64)
    settings = {
        "kwargs": {"mask": inputs["mask"]},
        "input_names": ["tokens", "seen"],
        "output_names": ["logits"],
        "opset_version": 18,
        "dynamic_shapes": {"hidden": {0: batch}, "mask": {0: batch}},
    }
    torch.onnx.export(encoder, (inputs["hidden"],), tmp_path / "plain.onnx", **settings, verbose=False)
    exported = hx.export(encoder, (inputs["hidden"],), tmp_path / "hx.onnx", **settings)
    assert exported.report.inputs == {"tokens": ["n", 5, 8], "seen": ["n", 5]}
    assert list(exported.report.outputs) == ["logits"]
    assert hx.compare(tmp_path / "plain.onnx", tmp_path / "hx.onnx").same
    assert not hx.verify(exported).failed


def test_the_module_is_as_before(inputs: dict[str, torch.Tensor]) -> None:
    encoder = Encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    hx.verify(hx.export(encoder, inputs))
    assert encoder.training
    assert all(module.training for module in encoder.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_progress_is_told(encoder: Encoder, inputs: dict[str, torch.Tensor]) -> None:
    told: list[tuple[str, int, int]] = []
    hx.verify(hx.export(encoder, inputs, progress=lambda *step: told.append(step)), progress=lambda *s: told.append(s))
    assert "Exporting with torch.onnx.export" in [text for text, _, _ in told]
    comparing = [(done, total) for text, done, total in told if text == "Comparing"]
    assert comparing == [(done, len(comparing)) for done in range(len(comparing))]


def test_what_a_notebook_shows(inputs: dict[str, torch.Tensor]) -> None:
    """Tables that hold no script, and show what a model's names contain as it is."""
    encoder = Encoder().eval()
    encoder.add_module("<script>", nn.Identity())
    exported = hx.export(encoder, inputs)
    profile = hx.profile(exported, runs=2)
    shown = (
        exported,
        hx.verify(exported),
        hx.compare(exported, exported),
        profile,
        hx.compare_profiles(profile, profile),
    )
    for one in shown:
        html = one._repr_html_()
        assert html.startswith("<div><b>")
        assert "<script>" not in html
        assert len(html) < 50_000
        assert str(one)
    assert "blocks.1.attention" in exported._repr_html_()


def test_arguments_by_position_and_by_name_are_verified_again() -> None:
    class Sum(nn.Module):
        def forward(self, *terms: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return sum(terms) * scale

    first, second, scale = torch.randn(3), torch.randn(3), torch.tensor(2.0)
    exported = hx.export(Sum().eval(), (first, second), kwargs={"scale": scale})
    assert not hx.verify(exported).failed


@pytest.mark.parametrize("against", [False, True])
def test_a_part_runs_by_itself(
    against: bool, tmp_path: Path, encoder: Encoder, inputs: dict[str, torch.Tensor]
) -> None:
    """It knows what it was cut out of, and what it got there."""
    whole, path = tmp_path / "whole.onnx", tmp_path / "part.onnx"
    hx.export(encoder, inputs, whole)
    hx.extract(whole, "blocks.1", path, against=encoder if against else None)
    part = hx.load(path)
    assert part.sidecar.cut_from is not None
    assert part.sidecar.cut_from.model_dump(exclude={"graph_digest"}) == {
        "file": "whole.onnx",
        "fqn": "blocks.1",
        "index": 0,
    }
    assert part.sidecar.cut_from.graph_digest == hx.load(whole).sidecar.model.graph_digest
    with torch.no_grad():
        expected = encoder.blocks[0](**inputs).numpy()
    np.testing.assert_allclose(part.example_inputs()["hidden"], expected, rtol=1e-4, atol=1e-5)
    assert hx.profile(path, runs=2).unattributed_us == 0
    assert hx.analyze(path).cost is not None
    assert hx.validate(path).valid

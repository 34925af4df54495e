"""Models whose weights are not made: their exports have the nodes, owners and ports of those that hold their weights."""

from pathlib import Path

import pytest
import torch
import transformers
from configurations import CONFIGURATIONS

import hx
from hx_sidecar_schema import HxError, Sidecar
from hx_tracer import is_unread
from hx_tracer.models import unheld


def _spec(arch: str, folder: Path) -> hx.ModelSpec:
    transformers.AutoConfig.for_model(arch, **CONFIGURATIONS[arch]).save_pretrained(folder / arch)
    return hx.ModelSpec(str(folder / arch), random_weights=True)


def _known(sidecar: Sidecar) -> dict[str, object]:
    """Return all that a sidecar says but when it was made, and which weights were not."""
    left = {"generator": True, "model": {"file_digest"}, "initializers": {"__all__": {"unmade"}}}
    return sidecar.model_dump(exclude=left)


@pytest.mark.parametrize(("arch", "dynamic"), [("gpt2", False), ("llama", True)])
def test_a_model_without_weights_has_the_sidecar_of_one_with_weights(
    arch: str, dynamic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, path = _spec(arch, tmp_path), tmp_path / "m.onnx"
    held = hx.export(spec, dynamic=dynamic, f=path)
    assert not is_unread(held.module)
    monkeypatch.setattr(unheld, "HELD_BYTES", 0)  # as if the model was too large
    exported = hx.export(spec, dynamic=dynamic, f=path, overwrite=True)
    assert is_unread(exported.module)
    assert _known(exported.sidecar) == _known(held.sidecar)
    assert not any(row.unmade for row in held.sidecar.initializers)
    unmade = {row.name for row in exported.sidecar.initializers if row.unmade}
    assert unmade == {row.name for row in held.sidecar.initializers if row.parameter and (row.elements or 0) > 1 << 16}
    assert str(exported.report.verification) == "not checked: the weights were not made"
    assert any("zeros in a sparse file" in note for note in exported.report.notes)


def test_a_long_bias_is_in_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporters leave a bias of zeros out, however long."""

    def make() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
        return torch.nn.Sequential(torch.nn.Linear(4, 70_000)), (torch.ones(2, 4),)

    monkeypatch.setattr(unheld, "HELD_BYTES", 0)
    exported = hx.export(hx.ModelSpec(make, random_weights=True), f=tmp_path / "m.onnx")
    assert exported.lacks_weights
    assert {row.parameter: row.unmade for row in exported.sidecar.initializers} == {"0.weight": True, "0.bias": False}


def test_what_is_made_of_a_model_without_weights_reads_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unheld, "HELD_BYTES", 0)
    monkeypatch.setattr("hx_graph._weights.LARGE_BYTES", 0)
    path = tmp_path / "m.onnx"
    hx.export(_spec("llama", tmp_path), f=path)
    data = tmp_path / "m.onnx.data"
    weights = sum(weight.elements or 0 for weight in hx.load(path).sidecar.initializers) * 4
    assert data.stat().st_size > weights
    assert data.stat().st_blocks * 512 < weights / 4  # small weights alone
    assert hx.validate(path).valid
    assert hx.compare(path, path).same
    part = tmp_path / "part.onnx"
    assert hx.extract(path, "layers.1", part).compared_with is None
    assert hx.validate(part).valid
    hx.functionize(path, tmp_path / "functions.onnx")
    split = hx.split(path, 2, tmp_path / "stages")
    assert split.compared is None
    assert any("were not made" in note for note in split.notes)
    for made in (tmp_path / "part.onnx.data", tmp_path / "functions.onnx.data", tmp_path / "stages/m_stages.data"):
        assert made.stat().st_blocks * 512 < made.stat().st_size / 4
    with pytest.raises(HxError, match="weights were not made") as caught:
        hx.load(path).run(hx.load(path).example_inputs())
    assert caught.value.code == "HX217"
    with pytest.raises(HxError, match="weights were not made"):
        hx.profile(path)
    with pytest.raises(HxError, match="too large to be made"):
        hx.project(path, against=_spec("llama", tmp_path), overwrite=True)


def test_zeros_in_place_of_weights_are_known_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file system tells of holes in a small part, which holds its weights, or in a copy that wrote them."""
    monkeypatch.setattr(unheld, "HELD_BYTES", 0)
    hx.export(_spec("llama", tmp_path), f=tmp_path / "m.onnx")
    hx.extract(tmp_path / "m.onnx", "layers.1.mlp", tmp_path / "part.onnx")
    assert not (tmp_path / "part.onnx.data").exists()
    with (tmp_path / "m.onnx.data").open("rb+") as file:
        zeros = file.read()
        file.seek(0)
        file.write(zeros)
    for name in ("m.onnx", "part.onnx"):
        with pytest.raises(HxError, match="weights were not made") as caught:
            hx.profile(tmp_path / name)
        assert caught.value.code == "HX217"
    hx.extract(tmp_path / "m.onnx", "layers.1.mlp", tmp_path / "inputs.onnx", weights="none")
    assert not hx.load(tmp_path / "inputs.onnx").lacks_weights
    (tmp_path / "m.onnx.data").write_bytes(bytes([1]) * len(zeros))  # somebody made them
    assert not hx.load(tmp_path / "m.onnx").lacks_weights


def test_a_strategy_that_compares_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unheld, "HELD_BYTES", 0)
    with pytest.raises(HxError, match="weights were not made") as caught:
        hx.export(_spec("gpt2", tmp_path), strategy="htp")
    assert caught.value.code == "HX123"

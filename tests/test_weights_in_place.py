"""Exports whose weights stay in the safetensors files that they were loaded from."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from test_weights_from import LAYER, saved

import hx
from hx_projector import first_difference
from hx_sidecar_schema import HxError
from hx_tracer.watch.uncompiled import set_eval_mode


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shards of a base model, exported in place."""
    folder = tmp_path_factory.mktemp("shards") / request.param
    saved(request.param, folder, "AutoModel")
    report = hx.export(str(folder), f=folder / "m.onnx", weights="in-place").report
    assert report.verification is not None
    assert report.verification.status == "match"
    assert "stay in the files" in report.notes[0]
    return folder


def _external(model: ir.Model) -> dict[str, ir.ExternalTensor]:
    tensors = {str(value.name): value.const_value for value in model.graph.initializers.values()}
    return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, ir.ExternalTensor)}


def test_weights_are_the_shards_own_bytes(folder: Path) -> None:
    stored = {name: tensor for shard in folder.glob("*.safetensors") for name, tensor in load_file(shard).items()}
    hierarchy = hx.load(folder / "m.onnx")
    rows = {row.name: row for row in hierarchy.sidecar.initializers}
    tensors = _external(hierarchy.model)
    kept = {name for name, tensor in tensors.items() if str(tensor.location).endswith(".safetensors")}
    assert kept
    for name, tensor in tensors.items():
        row = rows[name]
        weight = stored.get(str(row.parameter))
        assert (name in kept) == (weight is not None and row.transform is None), (
            row
        )  # no more is written than was changed
        if weight is not None and row.transform in (None, "transposed"):
            expected = weight.permute(row.permutation) if row.permutation else weight
            np.testing.assert_array_equal(tensor.numpy(), expected.numpy())


def test_graph_and_sidecar_are_those_of_an_export_that_copies(folder: Path, tmp_path: Path) -> None:
    copied = hx.export(str(folder), f=tmp_path / "m.onnx")
    kept = hx.load(folder / "m.onnx")
    assert not first_difference(copied.model, kept.model)
    left = {"generator": True, "model": {"file_digest"}}
    assert kept.sidecar.model_dump(exclude=left) == copied.sidecar.model_dump(exclude=left)


def test_commands_read_the_weights_where_they_are(folder: Path, tmp_path: Path) -> None:
    path, layer = folder / "m.onnx", LAYER[folder.name]
    assert hx.validate(path).valid
    assert not hx.verify(path, str(folder)).failed
    assert not hx.extract(path, layer, tmp_path / "part.onnx").failed
    shared = hx.extract(path, layer, folder / "shared.onnx", weights="share", overwrite=True)
    assert not shared.failed
    assert not (folder / "shared.onnx.data").exists()


def test_the_folder_may_be_moved_and_the_model_may_lie_above_it(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved / "inner")
    inputs = hx.load(folder / "m.onnx").example_inputs()
    expected = hx.load(folder / "m.onnx").run(inputs)
    found = hx.load(moved / "inner" / "m.onnx").run(inputs)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    hx.export(str(moved / "inner"), f=moved / "above.onnx", weights="in-place")
    locations = {str(tensor.location) for tensor in _external(hx.load(moved / "above.onnx").model).values()}
    assert any(location.startswith("inner/model-") for location in locations)


def test_a_weight_that_was_changed_since_it_was_loaded_does_not_stay(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a forward may do: it would be another number than the model computes with."""
    shutil.copytree(folder, tmp_path / "changed")
    changed: list[str] = []

    def change(module: torch.nn.Module) -> None:
        name, largest = max(module.named_parameters(), key=lambda one: one[1].numel())
        largest.data.mul_(2)
        changed.append(name)
        set_eval_mode(module)

    monkeypatch.setattr("hx_tracer.models.spec.set_eval_mode", change)
    path = tmp_path / "changed" / "m.onnx"
    report = hx.export(str(path.parent), f=path, weights="in-place", overwrite=True).report
    assert report.verification is not None
    assert report.verification.status == "match"
    rows = {row.name: row for row in hx.load(path).sidecar.initializers}
    external = _external(hx.load(path).model)
    assert {
        name for name, one in external.items() if rows[name].parameter in changed and one.location != "m.onnx.data"
    } == set()
    assert any(str(one.location).endswith(".safetensors") for one in external.values())


def _refusal(model: object, path: Path | None, strategy: str = "dynamo", **spec: object) -> HxError:
    with pytest.raises(HxError) as caught:
        hx.export(hx.ModelSpec(model, **spec), f=path, weights="in-place", strategy=strategy)  # type: ignore[arg-type]
    return caught.value


def test_what_cannot_stay_in_place_is_refused(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("gpt2", n_embd=16, n_layer=1, n_head=2, vocab_size=20, n_positions=16)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "model")
    model, inside = str(tmp_path / "model"), tmp_path / "model" / "m.onnx"
    assert _refusal("tiny:gpt2", inside).code == "HX130"
    random = _refusal(model, inside, random_weights=True)
    assert (random.code, random.message[:14]) == ("HX130", "Random weights")
    elsewhere = _refusal(model, tmp_path / "other" / "m.onnx")
    assert (elsewhere.code, "model.onnx" in elsewhere.hint) == ("HX130", True)
    assert _refusal(model, None).code == "HX130"
    copied = _refusal(model, inside, "htp")
    assert (copied.code, "copies all" in copied.message) == ("HX130", True)
    (tmp_path / "empty").mkdir()
    assert _refusal(str(tmp_path / "empty"), tmp_path / "empty" / "m.onnx").code == "HX219"
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "config.json").write_bytes((tmp_path / "model" / "config.json").read_bytes())
    (tmp_path / "linked" / "model.safetensors").symlink_to(tmp_path / "model" / "model.safetensors")
    assert _refusal(str(tmp_path / "linked"), tmp_path / "linked" / "m.onnx").code == "HX204"


def test_weights_that_would_be_converted_are_refused_until_a_type_is_chosen(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("gpt2", n_embd=64, n_layer=1, n_head=2, vocab_size=20, n_positions=16)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    written = json.loads((tmp_path / "config.json").read_text())
    for key in written.keys() & {"dtype", "torch_dtype"} or {"torch_dtype"}:
        written[key] = "float32"
    (tmp_path / "config.json").write_text(json.dumps(written))
    refused = _refusal(str(tmp_path), tmp_path / "m.onnx")
    assert refused.code == "HX130"
    assert "is float16, and the configuration says float32" in refused.message
    kept = hx.export(hx.ModelSpec(str(tmp_path), dtype="float16"), f=tmp_path / "m.onnx", weights="in-place")
    assert kept.module.dtype == torch.float16
    assert any(
        str(one.location) == "model.safetensors" for one in _external(hx.load(tmp_path / "m.onnx").model).values()
    )
    hx.export(hx.ModelSpec(str(tmp_path), dtype="float32"), f=tmp_path / "wide.onnx", weights="in-place")
    locations = {str(tensor.location) for tensor in _external(hx.load(tmp_path / "wide.onnx").model).values()}
    assert locations == {"wide.onnx.data"}

"""Parts of an exported model with the weights of safetensors files: they compute what PyTorch's modules with these weights do."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import transformers
from configurations import CONFIGURATIONS
from safetensors.torch import load_file, save_file

import hx
from hx_sidecar_schema import HxError
from hx_tracer.models import unheld

LAYER = {"gpt2": "h.1", "llama": "layers.1", "vit": "layers.1"}
SAVED_AS = {"vit": "AutoModel"}


def saved(arch: str, folder: Path, task: str = "AutoModelForCausalLM") -> torch.nn.Module:
    """Write a model with random weights in shards, and return it."""
    torch.manual_seed(3)
    config = transformers.AutoConfig.for_model(arch, **CONFIGURATIONS[arch])
    model = getattr(transformers, task).from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.1)
    model.save_pretrained(folder, max_shard_size="1MB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return model


def without_weights(folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Export the base model of a folder's configuration, without weights."""
    with monkeypatch.context() as patch:
        patch.setattr(unheld, "HELD_BYTES", 0)
        patch.setattr("hx_graph._weights.LARGE_BYTES", 0)
        assert hx.export(hx.ModelSpec(str(folder), random_weights=True), f=path).lacks_weights
    return path


@pytest.mark.parametrize("arch", LAYER)
def test_a_layer_with_stored_weights_is_pytorchs(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(
        arch, tmp_path / "shards", SAVED_AS.get(arch, "AutoModelForCausalLM")
    )  # of a model with a head where there is one; its base model is exported
    path = without_weights(tmp_path / "shards", tmp_path / "m.onnx", monkeypatch)
    report = hx.extract(
        path,
        LAYER[arch],
        tmp_path / "layer.onnx",
        weights_from=tmp_path / "shards",
        against=hx.ModelSpec(str(tmp_path / "shards")),
    )
    assert report.compared_with == "pytorch"
    assert report.modules[0].relative_error is not None
    assert report.modules[0].relative_error < 1e-5
    assert (report.failed, hx.validate(tmp_path / "layer.onnx").valid) == (False, True)
    # It was given PyTorch's inputs, which it keeps: those of the export are of other weights.
    alone = hx.verify(tmp_path / "layer.onnx", hx.ModelSpec(str(tmp_path / "shards")))
    assert alone.culprit is None
    assert alone.calls[0].local is not None
    assert alone.calls[0].local.relative_error == report.modules[0].relative_error


def test_all_calls_get_their_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved("gpt2", tmp_path / "shards", "AutoModel")
    path = without_weights(tmp_path / "shards", tmp_path / "m.onnx", monkeypatch)
    report = hx.extract(
        path, output=tmp_path / "all", weights_from=tmp_path / "shards", against=hx.ModelSpec(str(tmp_path / "shards"))
    )
    assert not report.failed
    assert len([entry for entry in report.modules if entry.max_abs_error is not None]) > 15


def test_what_was_cut_out_knows_the_names_in_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers 5 renames modules of ViT, and keeps the names in its files."""
    model = saved("vit", tmp_path / "shards", "AutoModel")
    path = without_weights(tmp_path / "shards", tmp_path / "m.onnx", monkeypatch)
    hx.extract(path, "layers.1", tmp_path / "layer.onnx", verify=False)
    stages = hx.split(path, at="layers.1", output=tmp_path / "stages").stages
    x = torch.randn(2, 5, model.config.hidden_size)
    expected = model.get_submodule("layers.1.mlp")(x).detach().numpy()
    for part in (tmp_path / "layer.onnx", tmp_path / "stages" / stages[1].file):
        extraction = hx.load(part)["layers.1.mlp"].extract(weights_from=tmp_path / "shards")
        (found,) = extraction.run({"hidden_states": x.numpy()}).values()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


class Computing(torch.nn.Module):
    """Its exporter computes weights of weights: two that it fuses, and one that it scales."""

    def __init__(self) -> None:
        super().__init__()
        self.fused = torch.nn.Sequential(torch.nn.Conv1d(2, 4, 3), torch.nn.BatchNorm1d(4))
        self.scaled = torch.nn.Parameter(torch.randn(6, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fused(x) @ (self.scaled * 2)


def test_weights_that_the_exporter_computed_are_refused(tmp_path: Path) -> None:
    module = Computing().eval()
    exported = hx.export(module, (torch.randn(1, 2, 8),))
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(HxError) as caught:
        exported.root.extract(weights_from=tmp_path / "w.safetensors")
    assert caught.value.code == "HX218"
    assert "of scaled" in caught.value.message
    assert "fused.0.weight of what is not known" in caught.value.message


class Gains(torch.nn.Module):
    """Weights that an exporter leaves out while they are 0 or 1."""

    def __init__(self, bias: float, gain: float) -> None:
        super().__init__()
        self.conv, self.head, self.plain = torch.nn.Conv2d(3, 4, 1), torch.nn.Linear(4, 5), torch.nn.Linear(5, 2)
        self.gain = torch.nn.Parameter(torch.tensor(gain))
        for layer in (self.conv, self.head):
            torch.nn.init.constant_(layer.bias, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plain(self.head(self.conv(x).mean((2, 3))) * self.gain)


def test_weights_that_the_exporter_left_out_for_their_numbers_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example, trained = (torch.randn(2, 3, 4, 4),), Gains(0.5, 2.0).eval()
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    fresh = hx.export(Gains(0.0, 1.0).eval(), example, f=tmp_path / "fresh.onnx")
    lost = {"": "gain", "conv": "conv.bias", "head": "head.bias"}
    for call in fresh.calls():
        if call.fqn in lost:
            with pytest.raises(HxError, match=lost[call.fqn]) as caught:
                call.extract(weights_from=tmp_path / "w.safetensors")
            assert caught.value.code == "HX218"
        else:
            call.extract(weights_from=tmp_path / "w.safetensors")
    again = hx.export(Gains(0.25, 3.0).eval(), example, f=tmp_path / "again.onnx")
    assert not any(module.dropped for module in again.sidecar.modules)
    report = hx.extract(
        tmp_path / "again.onnx",
        output=tmp_path / "all",
        weights_from=tmp_path / "w.safetensors",
        against=lambda: (trained, example),
    )
    assert (len(report.modules), report.mismatches) == (4, 0)


def test_only_the_weights_of_the_part_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved("llama", tmp_path / "shards")
    path = without_weights(tmp_path / "shards", tmp_path / "m.onnx", monkeypatch)
    part = hx.load(path)["layers.1.mlp"]
    kept = part.extract(weights_from=tmp_path / "shards")
    feeds = {"x": np.ones((2, 12, 320), np.float32)}
    expected = kept.run(feeds)
    for shard in (tmp_path / "shards").glob("*.safetensors"):  # all other numbers are spoiled
        tensors = load_file(shard)
        own = {name: t.clone() if "layers.1.mlp" in name else t * torch.nan for name, t in tensors.items()}
        save_file(own, shard)
    found = hx.load(path)["layers.1.mlp"].extract(weights_from=tmp_path / "shards").run(feeds)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """An export of a tiny model with its own weights, of which small ones are equal, and other weights for it."""
    folder = tmp_path_factory.mktemp("exported")
    module = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    hx.export(module, (torch.randn(1, 3, 8),), folder / "m.onnx")
    return folder / "m.onnx", {name: torch.randn_like(t) for name, t in module.state_dict().items()}


def test_what_does_not_fit_is_refused(exported: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    path, weights = exported
    file = tmp_path / "w.safetensors"

    def refusal(tensors: dict[str, torch.Tensor], call: str = "linear1") -> str:
        save_file({name: t.clone() for name, t in tensors.items()}, file)
        with pytest.raises(HxError) as caught:
            hx.load(path)[call].extract(weights_from=file)
        assert caught.value.code == "HX218"
        return caught.value.message

    name = "linear1.weight"
    assert "lack 1 of the weights" in refusal({k: v for k, v in weights.items() if k != name})
    assert "the shape [16, 9], and the model in [16, 8]" in refusal({**weights, name: torch.ones(16, 9)})
    assert f"{name!r} in DOUBLE, of which FLOAT" in refusal({**weights, name: torch.ones(16, 8, dtype=torch.float64)})
    eight = {**weights, name: weights[name].to(torch.float8_e4m3fn), f"{name}_scale_inv": torch.ones(1)}
    assert f"{name!r} in FLOAT8E4M3FN, which is quantised" in refusal(eight)
    assert f"{name!r} in INT32" in refusal({**weights, name: torch.ones(16, 8, dtype=torch.int32)})
    twice = {f"{tower}.{k}": v for k, v in weights.items() for tower in ("encoder", "decoder")}
    assert "below 'decoder.', 'encoder.'" in refusal(twice)
    assert "no weight that the model names" in refusal({"other": torch.ones(1)})
    assert "are one weight in it" in refusal(weights, "norm1")  # as norm2 at the export: ones and zeros


def test_random_weights_of_a_folder_are_equal_in_nothing_and_a_factorys_are_its_own(tmp_path: Path) -> None:
    def merged(spec: hx.ModelSpec) -> list[str]:
        return [name for row in hx.export(spec, verify=False).sidecar.initializers for name in row.merged]

    transformers.AutoConfig.for_model("gpt2", **CONFIGURATIONS["gpt2"]).save_pretrained(tmp_path)
    (tmp_path / "made.py").write_text(
        "import torch, transformers\ndef gpt2():\n"
        f"    config = transformers.AutoConfig.from_pretrained({str(tmp_path)!r}, use_cache=False)\n"
        "    return transformers.AutoModel.from_config(config)\n"
    )
    assert "h.1.ln_1.weight" in merged(hx.ModelSpec(f"{tmp_path}/made.py:gpt2", random_weights=True))
    assert merged(hx.ModelSpec(str(tmp_path), random_weights=True)) == []


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu())


def test_tied_weights_with_other_numbers_are_refused(tmp_path: Path) -> None:
    exported, x = hx.export(Tied().eval(), (torch.randn(2, 8),)), torch.randn(2, 8)
    own = Tied().eval()
    file = tmp_path / "w.safetensors"
    save_file({name: own.first.weight.clone() for name in ("first.weight", "second.weight")}, file)
    (found,) = exported.root.extract(weights_from=file).run({"x": x.numpy()}).values()
    np.testing.assert_allclose(found, own(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    save_file({"first.weight": own.first.weight.clone(), "second.weight": torch.ones(8, 8)}, file)
    with pytest.raises(HxError, match="which are tied in the model") as caught:
        hx.Hierarchy(None, exported.sidecar, exported.model).root.extract(weights_from=file)
    assert caught.value.code == "HX218"


def test_a_folder_has_the_weights_that_transformers_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`save_pretrained` leaves the index of earlier shards there, and an earlier whole file beside new shards."""
    model = saved("llama", tmp_path / "shards")
    path = without_weights(tmp_path / "shards", tmp_path / "m.onnx", monkeypatch)
    for folder, sizes in {"index": ("1MB", "1GB"), "whole": ("1GB", "1MB")}.items():
        for size in sizes:
            torch.nn.init.normal_(model.get_parameter("model.layers.1.mlp.up_proj.weight"))
            model.save_pretrained(tmp_path / folder, max_shard_size=size)
        taken = transformers.AutoModel.from_pretrained(tmp_path / folder).layers[1].mlp
        x = torch.randn(2, 12, 320)
        (found,) = hx.load(path)["layers.1.mlp"].extract(weights_from=tmp_path / folder).run({"x": x.numpy()}).values()
        np.testing.assert_allclose(found, taken(x).detach().numpy(), rtol=1e-4, atol=1e-4)


def test_tensors_of_types_that_onnx_has_not_are_no_missing_ones(
    exported: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path, weights = exported
    save_file({**weights, "other": torch.zeros(2, dtype=torch.complex64)}, tmp_path / "w.safetensors")
    index = {"weight_map": dict.fromkeys([*weights, "other"], "w.safetensors")}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps(index))
    assert hx.load(path)["linear1"].extract(weights_from=tmp_path)


class Merged(torch.nn.Module):
    """Two calls that are one node of the graph, which belongs to the first: a part of the second has no node of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) + torch.relu(self.b(x))


def halve_a_weight(path: Path, target: Path) -> None:
    """Write a model that computes the same with half of its last weight, under the old name: as a tool that scales weights does."""
    model = onnx.load(path)
    weight = model.graph.initializer[-1]
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) / 2, weight.name))
    (place,) = [number for number, node in enumerate(model.graph.node) if weight.name in node.input]
    halved = model.graph.node[place]
    doubled = onnx.helper.make_node("Add", ["half", "half"], halved.output)
    doubled.metadata_props.extend(halved.metadata_props)  # so it is known to be the module's too
    halved.output[0] = "half"
    model.graph.node.insert(place + 1, doubled)
    onnx.save(model, target)


@pytest.mark.parametrize("told", ["relinked", "projected", "projected against", "joined"])
def test_a_file_of_another_tool_may_have_other_weights_under_the_names(told: str, tmp_path: Path) -> None:
    module, inputs = torch.nn.Sequential(torch.nn.Linear(8, 8), Merged()).eval(), (torch.randn(2, 8),)
    path, other, stages = tmp_path / "m.onnx", tmp_path / "other.onnx", tmp_path / "stages"
    hx.export(module, inputs, path)
    save_file({name: t.clone() for name, t in module.state_dict().items()}, tmp_path / "w.safetensors")
    if told == "joined":  # a stage was changed, and given a sidecar by what its file says
        stage = stages / hx.split(path, at="1", output=stages, verify=False).stages[1].file
        halve_a_weight(stage, stage)
        hx.project(stage, overwrite=True)
        hx.join(stages, other)
    else:
        halve_a_weight(path, other)
        if told == "relinked":
            hx.relink(other, path)
        elif told == "projected":
            hx.project(other)
        else:
            hx.project(other, module, inputs=inputs)
    calls = hx.load(other).calls(status="extractable")
    assert calls
    for number, call in enumerate(calls):
        hx.extract(other, call.tag, tmp_path / f"{number}.onnx", verify=False)
        for model in (call, hx.load(tmp_path / f"{number}.onnx").root):
            with pytest.raises(HxError, match="another tool wrote") as caught:
                model.extract(weights_from=tmp_path / "w.safetensors")
            assert caught.value.code == "HX218"


def test_torchscript_merges_without_a_record(tmp_path: Path) -> None:
    module = torch.nn.BatchNorm1d(8).eval()  # its weight and its variance are one weight of the graph
    exported = hx.export(module, (torch.randn(2, 8),), f=tmp_path / "m.onnx", strategy="htp")
    save_file(torch.nn.BatchNorm1d(8).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(HxError, match="TorchScript") as caught:
        exported.root.extract(weights_from=tmp_path / "w.safetensors")
    assert caught.value.code == "HX218"


def test_narrower_numbers_are_widened(exported: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    path, weights = exported
    weights = {f"model.{name}": t.to(torch.bfloat16) for name, t in weights.items()}
    save_file(weights, tmp_path / "w.safetensors")
    part = hx.load(path)["linear1"].extract(weights_from=tmp_path / "w.safetensors")
    x = torch.randn(1, 3, 8)
    expected = torch.nn.functional.linear(
        x, weights["model.linear1.weight"].float(), weights["model.linear1.bias"].float()
    )
    (found,) = part.run({"input": x.numpy()}).values()
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_files_that_are_no_safetensors_are_refused(
    exported: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path, weights = exported
    call = hx.load(path)["linear1"]
    save_file(weights, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "m.safetensors.index.json").write_text('{"weight_map": {"a": "../w.safetensors"}}')
    header = json.dumps({"linear1.weight": {"dtype": "F32", "shape": [16.0, 8], "data_offsets": [0, 512]}}).encode()
    sizes = len(header).to_bytes(8, "little") + header + whole
    files = {"cut": whole[:-1], "empty": b"", "long": b"\xff" * 8 + whole, "text": b"12345678{", "sizes": sizes}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for name in (*files, "other", "missing", "index"):
        with pytest.raises(HxError) as caught:
            call.extract(weights_from=tmp_path / name)
        assert caught.value.code == "HX219", name

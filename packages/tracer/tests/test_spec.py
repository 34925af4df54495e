"""Model specs: what each kind loads, and what the user reads where one does not."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hx_sidecar_schema import HxError
from hx_tracer import load_model, module_records


def write(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def code_of(spec: str, **options: object) -> tuple[str, str]:
    with pytest.raises(HxError) as caught:
        load_model(spec, **options)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.code, caught.value.message


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local Hub folder with the weights of a tiny BERT, nested so that its name is its own."""
    target = tmp_path_factory.mktemp("hub") / "my-bert"
    load_model("tiny:bert", seed=3).module.save_pretrained(target)
    return target


def test_a_folder_loads_the_weights_that_were_saved(folder: Path) -> None:
    saved, loaded = load_model("tiny:bert", seed=3), load_model(str(folder))
    assert loaded.name == "my-bert"
    assert not loaded.module.training
    for name, value in saved.module.state_dict().items():
        assert torch.equal(value, loaded.module.state_dict()[name]), name


def test_loading_writes_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(str(folder))
    load_model("tiny:gpt2")
    assert capfd.readouterr() == ("", "")


def test_a_task_picks_the_auto_class(folder: Path) -> None:
    assert type(load_model(str(folder), task="fill-mask", random_weights=True).module).__name__ == "BertForMaskedLM"
    by_class = load_model(str(folder), task="AutoModelForTokenClassification", random_weights=True).module
    assert type(by_class).__name__ == "BertForTokenClassification"
    assert type(load_model("tiny:bert", task="text-classification").module).__name__ == "BertForSequenceClassification"


def test_a_task_of_several_auto_classes_takes_the_one_that_fits() -> None:
    made = load_model("tiny:whisper", task="automatic-speech-recognition").module
    assert type(made).__name__ == "WhisperForConditionalGeneration"


def test_random_weights_take_the_configuration_alone(folder: Path) -> None:
    (only := folder.parent / "config-only").mkdir()
    (only / "config.json").write_text((folder / "config.json").read_text())
    first, second = (load_model(str(only), random_weights=True, seed=5).module for _ in range(2))
    other = load_model(str(only), random_weights=True, seed=6).module
    a, b, c = (m.get_parameter("embeddings.word_embeddings.weight") for m in (first, second, other))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert code_of(str(only))[0] == "HX101"


@pytest.mark.parametrize(("name", "says"), [("net.py", "net.py:NAME"), ("m.onnx", "an ONNX file is no PyTorch model")])
def test_a_file_is_no_model(tmp_path: Path, name: str, says: str) -> None:
    """transformers reads it as a configuration, and says that it is no JSON."""
    (tmp_path / name).touch()
    with pytest.raises(HxError, match="is a file") as caught:
        load_model(str(tmp_path / name))
    assert caught.value.code == "HX101"
    assert says in caught.value.hint


def test_no_cache_by_default(folder: Path) -> None:
    assert load_model(str(folder)).module.config.use_cache is False
    assert load_model("tiny:llama").module.config.use_cache is False


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_dtype(name: str) -> None:
    module = load_model("tiny:bert", dtype=name).module
    assert {p.dtype for p in module.parameters()} == {getattr(torch, name)}


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    load_model("tiny:bert", seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_factory_in_a_file(tmp_path: Path) -> None:
    write(tmp_path, "WIDTH = 5\n", "neighbour.py")
    spec = write(
        tmp_path,
        "import torch\nfrom neighbour import WIDTH\n\n"
        "def make():\n    return torch.nn.Linear(WIDTH, 2), {'input': torch.ones(1, WIDTH)}\n\n"
        "def bare():\n    return torch.nn.Dropout(0.5)\n",
    )
    path = list(sys.path)
    loaded = load_model(f"{spec}:make")
    assert (loaded.name, loaded.module.in_features) == ("make", 5)
    assert isinstance(loaded.example, dict)
    assert loaded.example["input"].shape == (1, 5)
    bare = load_model(f"{spec}:bare")
    assert bare.example is None
    assert not bare.module.training
    assert sys.path == path


def test_a_factory_with_inputs_by_position(tmp_path: Path) -> None:
    spec = write(tmp_path, "import torch\ndef make():\n    return torch.nn.Identity(), (torch.ones(2),)\n")
    assert isinstance(load_model(f"{spec}:make").example, tuple)


def test_two_files_of_one_name_do_not_shadow_each_other(tmp_path: Path) -> None:
    specs = []
    for width in (3, 4):
        (tmp_path / str(width)).mkdir()
        text = f"import torch\nclass Net(torch.nn.Linear): pass\ndef make():\n    return Net({width}, 1)\n"
        specs.append(write(tmp_path / str(width), text, "nets.py") + ":make")
    modules = [load_model(spec).module for spec in specs]
    assert [module.in_features for module in modules] == [3, 4]
    assert {module_records(module)[0].class_name for module in modules} == {"nets.Net"}


def test_a_factory_of_an_installed_package() -> None:
    assert isinstance(load_model("torch.nn:Identity").module, torch.nn.Identity)


def test_factories_are_seeded(tmp_path: Path) -> None:
    spec = write(tmp_path, "import torch\ndef make():\n    return torch.nn.Linear(4, 4)\n") + ":make"
    first, second, other = (load_model(spec, seed=seed).module.weight for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_unknown_hub_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, message = code_of(str(tmp_path / "absent"))
    assert code == "HX101"
    assert "absent" in message


def test_missing_file_or_module_of_a_factory(tmp_path: Path) -> None:
    assert code_of(str(tmp_path / "absent.py") + ":make")[0] == "HX103"
    code, message = code_of("no_such_package_here.models:make")
    assert code == "HX103"
    assert "ModuleNotFoundError" in message


def test_a_file_that_does_not_import(tmp_path: Path) -> None:
    code, message = code_of(write(tmp_path, "x = 1\nraise RuntimeError('at import')\n") + ":make")
    assert code == "HX103"
    assert "mine.py:2" in message
    assert "RuntimeError: at import" in message
    code, message = code_of(write(tmp_path, "def make(:\n", "syntax.py") + ":make")
    assert code == "HX103"
    assert "syntax.py:1" in message


def test_unknown_factory_names_the_closest(tmp_path: Path) -> None:
    spec = write(tmp_path, "import torch\ndef make_model():\n    pass\ndef other():\n    pass\nvalue = 3\n")
    code, message = code_of(f"{spec}:make_modle")
    assert code == "HX104"
    assert "make_model" in message
    assert code_of(f"{spec}:value")[0] == "HX104"


def test_a_factory_that_takes_arguments_has_no_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def net(width): return width\n")
    code, message = code_of(f"{tmp_path / 'net.py'}:net")
    assert code == "HX105"
    assert message.endswith("argument: 'width'.")


def test_a_factory_that_raises_shows_its_own_line(tmp_path: Path) -> None:
    spec = write(tmp_path, "def make():\n    return helper()\ndef helper():\n    raise ValueError('no weights')\n")
    code, message = code_of(f"{spec}:make")
    assert code == "HX105"
    assert "mine.py:4" in message
    assert "ValueError: no weights" in message


def test_a_factory_that_returns_something_else(tmp_path: Path) -> None:
    spec = write(tmp_path, "import torch\ndef make():\n    return 3\ndef pair():\n    return torch.nn.Identity(), 3\n")
    assert code_of(f"{spec}:make")[0] == "HX106"
    assert code_of(f"{spec}:pair")[0] == "HX106"


def test_unknown_task_and_dtype() -> None:
    code, message = code_of("tiny:bert", task="fill-maks")
    assert code == "HX111"
    assert "fill-mask" in message
    assert code_of("tiny:bert", dtype="float8")[0] == "HX111"


@pytest.fixture
def with_code(folder: Path, tmp_path: Path) -> Path:
    """A folder whose configuration is made by code of its own, which leaves a trace where it runs."""
    place = tmp_path / "custom"
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}, "model_type": "own"}
    (place / "config.json").write_text(json.dumps(config))
    (place / "own.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "from transformers import BertConfig as OwnConfig, BertModel as OwnModel\n"
    )
    return place


@pytest.mark.parametrize("random_weights", [False, True])
def test_code_that_a_folder_brings_runs_only_if_allowed(
    with_code: Path, random_weights: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    with pytest.raises(HxError) as caught:
        load_model(str(with_code), random_weights=random_weights)
    assert (caught.value.code, caught.value.argument) == ("HX101", "trust_remote_code")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("change", ["removed", "renamed", "other shape"])
def test_weights_that_are_not_there_are_named(folder: Path, tmp_path: Path, change: str) -> None:
    place = tmp_path / "lacking"
    shutil.copytree(folder, place)
    weights = load_file(place / "model.safetensors")
    name = next(name for name in weights if name.endswith("query.weight"))
    tensor = weights.pop(name)
    if change == "renamed":
        weights["elsewhere.weight"] = tensor
    elif change == "other shape":
        weights[name] = tensor[:1].clone()
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HxError) as caught:
        load_model(str(place))
    assert caught.value.code == "HX101"
    assert "query.weight" in caught.value.message
    load_model(str(place), random_weights=True)


def test_weights_that_nothing_takes_are_told(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "head"
    shutil.copytree(folder, place)
    weights = load_file(place / "model.safetensors") | {"classifier.bias": torch.zeros(2)}
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    (note,) = load_model(str(place)).notes
    assert "'classifier.bias'" in note
    assert load_model(str(folder)).notes == []


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("damage", [{"dtype": "float13"}, {"hidden_size": "a"}, {"num_attention_heads": 0}, "pickle"])
def test_a_folder_that_is_damaged_is_told(folder: Path, tmp_path: Path, damage: dict[str, object] | str) -> None:
    """transformers and torch raise many kinds: AttributeError, ZeroDivisionError, UnpicklingError."""
    place = tmp_path / "damaged"
    shutil.copytree(folder, place)
    if isinstance(damage, dict):
        (place / "config.json").write_text(json.dumps(json.loads((place / "config.json").read_text()) | damage))
    else:
        (place / "model.safetensors").unlink()
        torch.save({"x": Bomb(tmp_path / "ran")}, place / "pytorch_model.bin")
    assert code_of(str(place))[0] == "HX101"
    assert not (tmp_path / "ran").exists()

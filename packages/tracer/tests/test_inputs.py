"""Example inputs: where they come from, that they fit, and what the user reads where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hx_sidecar_schema import HxError
from hx_tracer import example_inputs, load_model


class Add(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, left: torch.Tensor, right: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return self.linear(left + right) * scale


class Variadic(nn.Module):
    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return sum(tensors[1:], tensors[0])


def error_of(module: nn.Module, **options: Any) -> HxError:
    with pytest.raises(HxError) as caught:
        example_inputs(module, **options)
    assert "\n" not in caught.value.message
    return caught.value


def test_text_inputs_have_ids_and_a_padded_mask() -> None:
    module = load_model("tiny:bert").module
    made = example_inputs(module).kwargs
    assert list(made) == ["input_ids", "attention_mask"]
    ids, mask = made["input_ids"], made["attention_mask"]
    assert ids.shape == mask.shape == (2, 12)
    assert ids.dtype == mask.dtype == torch.int64
    assert 0 <= ids.min() <= ids.max() < module.config.vocab_size
    assert ids[0].unique().numel() > 6
    assert mask[0].all()
    assert mask[1, :9].all()
    assert not mask[1, 9:].any()


def test_the_mask_counts() -> None:
    module = load_model("tiny:bert").module
    made = example_inputs(module).kwargs
    full = {**made, "attention_mask": torch.ones_like(made["attention_mask"])}
    with torch.no_grad():
        assert not torch.allclose(module(**made)[0][1, :9], module(**full)[0][1, :9], atol=1e-5)


def test_the_same_seed_gives_the_same_inputs() -> None:
    module = load_model("tiny:clip").module
    first, second, other = (example_inputs(module, seed=seed).kwargs for seed in (7, 7, 8))
    assert list(first) == ["input_ids", "pixel_values", "attention_mask"]
    for name, value in first.items():
        assert torch.equal(value, second[name])
    assert not torch.equal(first["pixel_values"], other["pixel_values"])
    assert not torch.equal(first["input_ids"], other["input_ids"])


def test_generated_inputs_are_in_signature_order_and_have_samplings() -> None:
    made = example_inputs(load_model("tiny:whisper").module)
    assert list(made.kwargs) == ["input_features", "decoder_input_ids"]
    assert made.kwargs["decoder_input_ids"].shape[1] != made.kwargs["input_features"].shape[-1] // 2
    assert {name: r.kind for name, r in made.samplings.items()} == {
        "input_features": "normal",
        "decoder_input_ids": "ids",
    }


def test_image_tokens_match_image_features() -> None:
    module = load_model("tiny:llava").module
    made = example_inputs(module).kwargs
    assert "pixel_values" in made
    placeholders = (made["input_ids"] == module.config.image_token_id).sum(dim=1)
    assert placeholders[0] == placeholders[1] > 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_float_inputs_have_the_dtype_of_the_module(dtype: str) -> None:
    module = load_model("tiny:vit", dtype=dtype).module
    assert example_inputs(module).kwargs["pixel_values"].dtype == getattr(torch, dtype)
    given = {"pixel_values": torch.ones(1, 3, 64, 64)}
    assert example_inputs(module, example=given).kwargs["pixel_values"].dtype == getattr(torch, dtype)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Sequential(nn.Linear(5, 4), nn.ReLU()), (2, 5)),
        (nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU()), (2, 4, 32, 32)),
        (nn.Conv1d(7, 8, 3), (2, 7, 128)),
        (nn.GRU(8, 16, batch_first=True), (2, 12, 8)),
        (nn.Embedding(11, 4), (2, 12)),
        (Add(), (2, 6)),
    ],
    ids=["linear", "conv2d", "conv1d", "gru", "embedding", "two inputs"],
)
def test_plain_modules(module: nn.Module, shape: tuple[int, ...]) -> None:
    made = example_inputs(module.eval()).kwargs
    assert {tuple(v.shape) for v in made.values()} == {shape}
    module(**made)


def test_a_module_that_says_nothing_needs_shapes() -> None:
    class Free(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    error = error_of(Free())
    assert error.code == "HX108"
    assert "'x'" in error.hint
    assert error.argument == "input_shapes"
    made = example_inputs(Free(), input_shapes={"x": (2, 9)}).kwargs
    assert made["x"].shape == (2, 9)
    assert made["x"].unique().numel() > 9


def test_shapes_replace_generated_ones() -> None:
    module = load_model("tiny:resnet").module
    made = example_inputs(module, input_shapes={"pixel_values": (1, 3, 96, 80)}).kwargs
    assert made["pixel_values"].shape == (1, 3, 96, 80)
    ids = example_inputs(load_model("tiny:bert").module, input_shapes={"input_ids": (3, 20)}).kwargs["input_ids"]
    assert ids.shape == (3, 20)
    assert ids.dtype == torch.int64


class Cached(nn.Module):
    def forward(self, x: torch.Tensor, past: tuple[dict[str, torch.Tensor], ...]) -> torch.Tensor:
        return x + sum(layer["k"].sum() + layer["v"].sum() for layer in past)


def cached() -> dict[str, Any]:
    return {"x": torch.ones(2), "past": tuple({"k": torch.ones(2, 3), "v": torch.ones(2, 3)} for _ in range(2))}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("past.0.k", ["0.k"]),
        ("past_1_v", ["1.v"]),
        ("past.*.k", ["0.k", "1.k"]),
        ("past_*", ["0.k", "0.v", "1.k", "1.v"]),
    ],
)
def test_shapes_of_tensors_in_containers(name: str, changed: list[str]) -> None:
    past = example_inputs(Cached(), example=cached(), input_shapes={name: (4, 5)}).kwargs["past"]
    shapes = {
        f"{index}.{key}": tuple(tensor.shape) for index, layer in enumerate(past) for key, tensor in layer.items()
    }
    assert shapes == {path: (4, 5) if path in changed else (2, 3) for path in shapes}
    assert error_of(Cached(), example=cached(), input_shapes={"past.2": (4, 5)}).code == "HX109"


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_names_tensors_in_containers_by_path(tmp_path: Path, suffix: str) -> None:
    values = {f"past.{index}.{key}": torch.rand(2, 3) for index in range(2) for key in "kv"}
    given = example_inputs(Cached(), inputs_file=save(tmp_path / f"i{suffix}", {"x": torch.ones(2), **values})).kwargs
    assert [[*layer] for layer in given["past"]] == [["k", "v"]] * 2
    assert torch.equal(given["past"][1]["v"], values["past.1.v"])


def test_a_factory_gives_inputs_by_position_or_name() -> None:
    left, right = torch.ones(2, 6), torch.zeros(2, 6)
    by_position = example_inputs(Add(), example=(left, right))
    by_name = example_inputs(Add(), example={"right": right, "left": left})
    assert list(by_position.kwargs) == list(by_name.kwargs) == ["left", "right"]
    assert torch.equal(by_position.kwargs["right"], by_name.kwargs["right"])
    assert by_position.args == ()


def test_variadic_inputs_stay_positional() -> None:
    made = example_inputs(Variadic(), example=(torch.ones(2), torch.ones(2)))
    assert made.kwargs == {}
    assert len(made.args) == 2


def test_containers_are_kept_and_converted() -> None:
    class Nested(nn.Linear):
        def forward(self, state: dict[str, list[torch.Tensor]]) -> torch.Tensor:  # type: ignore[override]
            return super().forward(state["a"][0])

    made = example_inputs(Nested(3, 3).half(), example=({"a": [torch.ones(2, 3)]},)).kwargs
    assert made["state"]["a"][0].dtype == torch.float16


def test_what_a_module_runs_on_keeps_its_dtype() -> None:
    """As a plain export has it: of weights in several types the first is not that of every input."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3).half(), nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x.half()).float())

    for given in (torch.ones(2, 3), np.ones((2, 3), np.float32)):
        assert example_inputs(Mixed(), example=(given,)).kwargs["x"].dtype == torch.float32


def save(path: Path, values: dict[str, torch.Tensor]) -> Path:
    if path.suffix == ".pt":
        torch.save(values, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in values.items()})
    else:
        save_file(values, path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".safetensors"])
def test_inputs_from_a_file(tmp_path: Path, suffix: str) -> None:
    values = {"right": torch.rand(2, 6), "left": torch.rand(2, 6)}
    made = example_inputs(Add(), inputs_file=save(tmp_path / f"inputs{suffix}", values)).kwargs
    assert list(made) == ["left", "right"]
    assert all(torch.equal(made[name], values[name]) for name in values)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("absent.pt", "absent.npz", "absent.safetensors", "inputs.csv"):
        assert error_of(Add(), inputs_file=tmp_path / name).code == "HX110"
    for name in ("broken.pt", "broken.npz", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"no such format at all")
        error = error_of(Add(), inputs_file=tmp_path / name)
        assert (error.code, name in error.message) == ("HX110", True)
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    assert error_of(Add(), inputs_file=tmp_path / "list.pt").code == "HX110"


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"left": Bomb()}, tmp_path / "bomb.pt")
    assert error_of(Add(), inputs_file=tmp_path / "bomb.pt").code == "HX110"
    assert not (tmp_path / "ran").exists()


def test_given_inputs_that_do_not_fit() -> None:
    unknown = error_of(Add(), example={"left": torch.ones(1), "wrong": torch.ones(1)})
    assert unknown.code == "HX109"
    assert "'wrong'" in unknown.message
    assert "'right'" in unknown.message
    missing = error_of(Add(), example={"left": torch.ones(1)})
    assert missing.code == "HX109"
    assert "'right'" in missing.message
    assert error_of(Add(), example=(torch.ones(1),) * 4).code == "HX109"
    assert error_of(Add(), input_shapes={"wrong": (1, 2)}).code == "HX109"

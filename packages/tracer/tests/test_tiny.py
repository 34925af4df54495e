"""Tiny models: small, deterministic, running, and without equal values that hide a mistake."""

from __future__ import annotations

import pytest
import torch

from hx_sidecar_schema import HxError
from hx_tracer import example_inputs, load_model

ARCHITECTURES = [
    "bert", "gpt2", "llama", "albert", "distilbert", "roberta", "t5", "bart",
    "vit", "deit", "resnet", "convnext", "swin", "sam", "clip", "whisper", "wav2vec2", "mamba",
]  # fmt: skip


def floats(output: object) -> list[torch.Tensor]:
    values = output.values() if isinstance(output, dict) else output
    return [v for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_builds_small_and_runs(arch: str) -> None:
    module = load_model(f"tiny:{arch}").module
    assert sum(p.numel() for p in module.parameters()) < 3_000_000
    assert not module.training
    inputs = example_inputs(module)
    with torch.no_grad():
        output = module(**inputs.kwargs)
    outputs = floats(output)
    assert outputs
    for value in outputs:
        assert value.isfinite().all()
        assert value.std() > 1e-4
    assert output.get("past_key_values") is None


@pytest.mark.parametrize("arch", ["bert", "llama"])
def test_sizes(arch: str) -> None:
    config = load_model(f"tiny:{arch}").module.config
    assert config.num_hidden_layers == 2
    assert 32 <= config.hidden_size <= 64
    assert config.num_attention_heads in (2, 4)
    assert config.max_position_embeddings >= 64
    assert config.vocab_size <= 1000


@pytest.mark.parametrize("arch", ["whisper", "bart", "clip", "roberta"])
def test_special_tokens_stay_inside_the_vocabulary(arch: str) -> None:
    config = load_model(f"tiny:{arch}").module.config
    text = config.get_text_config()
    ids = [v for k, v in text.to_dict().items() if k.endswith("token_id") and v is not None]
    assert ids
    assert all(0 <= i < text.vocab_size for i in ids)


def test_the_seed_decides_the_weights() -> None:
    first, second, other = (load_model("tiny:resnet", seed=seed).module.state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    weights = [name for name, value in first.items() if value.is_floating_point()]
    assert not any(torch.equal(first[name], other[name]) for name in weights)


@pytest.mark.parametrize("arch", ["vit", "resnet", "convnext"])
def test_no_parameter_or_statistic_is_constant(arch: str) -> None:
    state = load_model(f"tiny:{arch}").module.state_dict()
    for name, value in state.items():
        if value.is_floating_point() and value.numel() > 1:
            assert value.unique().numel() > 1, name
        if name.endswith("running_var"):
            assert (value > 0).all()


def test_unknown_architecture_names_the_closest() -> None:
    with pytest.raises(HxError) as caught:
        load_model("tiny:brt")
    assert caught.value.code == "HX102"
    assert "bert" in caught.value.message


def test_an_architecture_that_cannot_be_built_says_why() -> None:
    with pytest.raises(HxError) as caught:
        load_model("tiny:timm_backbone")
    assert caught.value.code == "HX107"
    assert "timm" in caught.value.message

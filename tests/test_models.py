"""Whole models of several kinds against PyTorch and against plain exports; benchmarks/models.py runs more."""

import pytest
from truth import examine

import hx

STATIC = ["bert", "llama", "vit", "resnet", "swin", "t5", "mamba"]
DYNAMIC = ["albert", "gpt2", "clip", "whisper", "bart", "wav2vec2", "segformer", "deberta"]


@pytest.mark.parametrize(
    ("name", "dynamic"), [*((name, False) for name in STATIC), *((name, True) for name in DYNAMIC)]
)
def test_every_node_is_owned_and_every_call_computes_what_its_module_does(name: str, dynamic: bool) -> None:
    verdict = examine(hx.ModelSpec(f"tiny:{name}").load().module, None, dynamic=dynamic)
    assert verdict.problems == []
    assert verdict.difference is None
    assert verdict.covered_percent == 100
    assert verdict.exact_percent >= 97
    assert verdict.extracted == verdict.statuses["extractable"] > 0

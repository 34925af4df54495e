"""A sample of ONNX's own backend tests through project, tree, validate, extract and compare; `benchmarks/backend.py` takes all."""

from __future__ import annotations

from pathlib import Path

import pytest
from backend_models import models, run_commands

SAMPLE = sorted(models())[::60]


@pytest.mark.parametrize("name", SAMPLE)
def test_every_valid_model_ends_well(name: str, tmp_path: Path) -> None:
    runs = list(run_commands(name, models()[name], tmp_path))
    assert runs
    assert [(run.command, run.fault) for run in runs if run.fault] == []

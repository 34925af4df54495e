"""Names of files that no option gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from hx_cli._paths import export_path


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("tiny:bert", "bert"),
        ("models.py:make", "make"),
        ("package.models:make", "make"),
        ("org/name", "name"),
        ("org/name@v1.0", "name"),
    ],
)
def test_name_of_a_spec(spec, name):
    assert export_path(None, spec) == Path(f"{name}.onnx")

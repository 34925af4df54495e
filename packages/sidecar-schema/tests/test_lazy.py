"""Public names that are imported when they are used first."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hx_sidecar_schema


def test_every_public_name_is_there() -> None:
    names = hx_sidecar_schema.__all__
    assert dir(hx_sidecar_schema) == sorted(names)
    assert all(getattr(hx_sidecar_schema, name) is not None for name in names)


def test_a_name_that_is_not_public_is_missed() -> None:
    with pytest.raises(AttributeError, match="'hx_sidecar_schema' has no attribute 'sidecar'"):
        hx_sidecar_schema.sidecar  # noqa: B018


def test_errors_and_tags_need_no_pydantic() -> None:
    code = "import sys, hx_sidecar_schema as s; s.HxError, s.build_tags, s.atomic_folder; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

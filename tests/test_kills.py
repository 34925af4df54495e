"""A command that is killed at a system call mixes no files; `benchmarks/kills.py` is the long run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from killing import CAN_TRACE, SCENES, kills


@pytest.mark.skipif(not CAN_TRACE, reason="system calls are counted on Linux, x86-64")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_kill_mixes_no_files(tmp_path: Path, scene: Callable[[Path], Callable[[], object]]) -> None:
    found = kills(scene, tmp_path, most=12)
    assert sum(found.values()) == 12
    assert "ended" not in found

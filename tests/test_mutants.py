"""Broken sidecars and models give a result or an error with a code; `benchmarks/fuzz.py` is the long run."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import bases, run_mutants


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return bases(tmp_path_factory.mktemp("bases"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", range(0, 200, 50))
def test_no_mutant_is_a_bug_of_hx(exports: list[Path], tmp_path: Path, first: int) -> None:
    outcomes = list(run_mutants(exports, tmp_path, range(first, first + 50)))
    assert len(outcomes) == 100
    assert [outcome for outcome in outcomes if outcome.is_failure] == []

"""The whole suite runs in two processes, each test file in one of them; what is named on the command line in this one."""

from __future__ import annotations

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, which is later


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Set what `-n 2 --dist loadfile` would set, where neither tests nor workers are asked for."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and config.getoption("numprocesses", "absent") is None and not config.option.usepdb:
        config.option.numprocesses = 2
        config.option.dist = "loadfile"

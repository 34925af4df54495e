"""Packages whose public names are imported when they are used first."""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from hx_sidecar_schema._collector import collector_paused


def lazy_package(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package (https://peps.python.org/pep-0562/).

    The arguments are its `__name__` and `__file__`. Its public names are those that the stub beside it imports,
    `__init__.pyi`: type checkers read that file too.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    home_of = {
        alias.name: str(node.module) for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    names = sorted(home_of)

    def getattribute(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with collector_paused():  # modules are no garbage: walking them is a tenth of the import of torch
            value = getattr(import_module(home_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return getattribute, lambda: list(names), names

"""Private names of torch stand in one file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGES = Path(__file__).parents[2]
INTERNALS = PACKAGES / "tracer/src/hx_tracer/_torch_internals.py"
USES = re.compile(r"^\s*(import|from) (torch|hx_tracer)\b", re.MULTILINE)
NOT_OF_TORCH = {"_asdict", "_exit", "_fields", "_make", "_model_mapping", "_replace"}
"""Of the standard library's `os`, named tuples and enumerations, and of transformers' auto classes."""
PUBLISHED = ("torch.fx.experimental", "torch.onnx._internal")
"""Packages of torch that are documented as without promises."""


def private_names(path: Path) -> Iterator[str]:
    """Yield what a file imports from private places of torch, and private attributes that are not its own object's."""
    own = {"self", "cls"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in names if is_private(name))
        elif isinstance(node, ast.Attribute) and is_underscored(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in own) and node.attr not in NOT_OF_TORCH:
                yield node.attr
        elif isinstance(node, ast.Constant) and node.value in ("_call_impl", "_modules", "_schema", "_jit_onnx_log"):
            yield node.value


def is_underscored(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_private(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "torch" and (name.startswith(PUBLISHED) or any(map(is_underscored, parts)))


def test_private_names_of_torch_are_in_one_file() -> None:
    sources = [path for package in PACKAGES.iterdir() for path in (package / "src").rglob("*.py")]
    users = [path for path in sources if USES.search(path.read_text(encoding="utf-8")) and path != INTERNALS]
    assert len(users) > 20
    assert {str(path): names for path in users if (names := list(private_names(path)))} == {}


def test_what_counts_as_private(tmp_path: Path) -> None:
    """The file of the internals itself is full of them, and so is this one."""
    assert {"torch.utils._pytree", "_root", "_call_impl", "_version"} <= set(private_names(INTERNALS))
    path = tmp_path / "uses.py"
    path.write_text(
        "import torch._dynamo\nfrom torch.utils import _pytree as pytree\nfrom torch.fx.experimental import proxy_tensor\n"
        "class A:\n    def f(self, x):\n        return self._own, x._version, x._replace(), torch._C, x.__dict__['_modules']\n"
    )
    assert list(private_names(path)) == [
        "torch._dynamo",
        "torch.utils._pytree",
        "torch.fx.experimental.proxy_tensor",
        "_version",
        "_C",
        "_modules",
    ]

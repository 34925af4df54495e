"""Tags: the class path of a module, one tag for one module."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

CONTAINERS = frozenset(f"torch.nn.modules.container.{name}" for name in ("ModuleList", "ModuleDict", "Sequential"))
"""Containers give no segment of their own: exactly these types, not their subclasses."""

_DEFAULT_NN_MODULES = ("torch.nn.modules.normalization.", "torch.nn.modules.batchnorm.")
_DEFAULT_NN_CLASSES = ("Embedding",)

TorchNN = Literal["default", "all", "none"] | Collection[str]


def simple_name(class_name: str) -> str:
    """Return `Class` of `package.module.Class`."""
    return class_name.rsplit(".", 1)[-1]


def is_tagged(class_name: str, torch_nn: TorchNN = "default") -> bool:
    """Say whether nodes of this class show its tag: classes outside `torch.nn`, and a configurable list.

    Args:
        class_name: Qualified class name.
        torch_nn: `default` (normalisation layers and Embedding), `all`, `none`, or simple class names.
    """
    if not class_name.startswith("torch.nn."):
        return True
    if class_name in CONTAINERS or torch_nn == "none":
        return False
    if torch_nn == "all":
        return True
    if torch_nn == "default":
        return class_name.startswith(_DEFAULT_NN_MODULES) or simple_name(class_name) in _DEFAULT_NN_CLASSES
    return simple_name(class_name) in torch_nn


def build_tags(fqns: Sequence[str], class_names: Sequence[str]) -> list[str]:
    """Return the tag of every module, in their order; no two are equal.

    Args:
        fqns: One name a module, parents before children, the root as the empty string first.
        class_names: Qualified class names, in the same order.
    """
    rows = {fqn: row for row, fqn in enumerate(fqns)}
    families: dict[int, list[_Child]] = {}
    for row, fqn in enumerate(fqns[1:], 1):
        parent, path, keys = fqn, list[str](), list[str]()
        while True:
            parent, _, attribute = parent.rpartition(".")
            path.insert(0, attribute)
            if parent in rows:
                if class_names[rows[parent]] not in CONTAINERS:
                    break
                keys.insert(0, attribute)
            if not parent:
                break
        families.setdefault(rows[parent], []).append(_Child(row, simple_name(class_names[row]), path, keys))

    tags = ["/" + simple_name(class_names[0]), *[""] * (len(fqns) - 1)]
    for parent_row in sorted(families):  # a parent's row is smaller than its children's
        children = families[parent_row]
        for child, segment in zip(children, _segments(children), strict=True):
            tags[child.row] = f"{tags[parent_row]}/{segment}"
    return tags


class _Child(NamedTuple):
    row: int
    name: str
    path: list[str]  # attribute names below the nearest ancestor that has a segment
    keys: list[str]  # those of them that are keys of a container


def _segments(children: Sequence[_Child]) -> list[str]:
    """Name siblings: `Class`, `Class.key` in a container, longer where two would be equal."""
    direct = Counter(child.name for child in children if not child.keys)
    full = [".".join((name, *path)) for _, name, path, _ in children]
    short = [".".join((name, *(keys or (path[-1:] if direct[name] > 1 else ())))) for _, name, path, keys in children]
    counts = Counter(short)
    segments = [long if counts[name] > 1 else name for name, long in zip(short, full, strict=True)]
    # A short name of one may be the long name of another.
    return segments if len(set(segments)) == len(segments) else full

"""What an ONNX file itself says of the modules behind its nodes, whoever wrote it.

Four writers leave a word in a node: `torch.onnx.export` its module stack (metadata), the TorchScript exporter its
scopes (`/encoder/layer.0/attention/MatMul`, the node's name), winml-cli a tag (metadata), and hx a module (metadata,
`--embed`). Where none did, the names of the weights are what is left.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from hx_graph import output_of

Path = tuple[str, ...]
"""Names of modules from the root, each a qualified name; the root's own is not among them."""


@dataclass(frozen=True)
class Written:
    """What one node says."""

    fqn: str
    """Of the innermost module."""
    index: int | None = None
    """Of its call; None where the writer does not tell calls apart."""
    classes: Mapping[str, str] | None = None
    """Class names by qualified names, where they are written."""


def written_on(nodes: Iterable[ir.Node], weights: Iterable[str]) -> dict[str, Written]:
    """Return what nodes say, by their first outputs; silent ones are left out.

    Args:
        nodes: Of the main graph, in order.
        weights: Names of initializers, which tell a module named `lin_1` from the second call of `lin`.
    """
    nodes = list(nodes)
    scoped = _Scopes(nodes, weights)
    found: dict[str, Written] = {}
    for node in nodes:
        said = _from_hx(node) or _from_stack(node) or _from_tag(node) or scoped.of(node)
        if said is not None:
            found[output_of(node)] = said
    return found


def _from_hx(node: ir.Node) -> Written | None:
    fqn = node.metadata_props.get("pkg.hx.module")
    if fqn is None or node.metadata_props.get("pkg.hx.confidence") != "high":
        return None
    call = node.metadata_props.get("pkg.hx.call", "0")
    return Written(fqn, int(call)) if call.isdecimal() and len(call) < 7 else None


def _from_stack(node: ir.Node) -> Written | None:
    """torch 2.6 to 2.13 write lists as Python does; the last entry is the operation, not a module.

    On sizes of dynamic exports torch writes a stand-in that names itself as its own class.
    """
    scopes = _list(node.metadata_props.get("pkg.torch.onnx.name_scopes"))
    classes = _list(node.metadata_props.get("pkg.torch.onnx.class_hierarchy"))
    if len(scopes) < 2 or len(scopes) != len(classes) or scopes[:-1] == classes[:-1]:
        return None
    named = {_fqn(scope): name for scope, name in zip(scopes[:-1], classes[:-1], strict=True)}
    return Written(_fqn(scopes[-2]), None, named)


def _list(text: str | None) -> list[str]:
    if text is None:
        return []
    malformed = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)  # as literal_eval documents
    try:
        value = ast.literal_eval(text)
    except malformed:
        return []
    return [str(entry) for entry in value] if isinstance(value, list) else []  # pyright: ignore


def _fqn(scope: str) -> str:
    """`blk@1` is the second call of `blk` under that name; aliases count apart, so the number says nothing."""
    return re.sub(r"@\d+", "", scope)


def _from_tag(node: ir.Node) -> Written | None:
    tag = node.metadata_props.get("winml.hierarchy.tag")
    if not tag or not tag.startswith("/"):
        return None
    root, *names = tag.strip("/").split("/")
    classes = {"": root}
    for depth in range(len(names)):
        classes[".".join(names[: depth + 1])] = names[depth].partition(".")[0]
    return Written(".".join(names), None, classes)


class _Scopes:
    """Node names of the TorchScript exporter: the modules' attributes, then the operator.

    A scope that comes again is `NAME_1`, `NAME_2`, without gaps; its parents' names stay as they are (torch 2.13). A
    module may be named so too, and then has weights of that name, or `NAME` is no scope, or a number is missing.
    """

    def __init__(self, nodes: Iterable[ir.Node], weights: Iterable[str]) -> None:
        names = [node.name or "" for node in nodes]
        scopes = {name.rpartition("/")[0] for name in names if name.startswith("/")}
        modules: set[str] = set()
        """Modules with weights of their own or below them."""
        for weight in weights:
            module = weight.rpartition(".")[0]
            while module and module not in modules:
                modules.add(module)
                module = module.rpartition(".")[0]
        self._calls: dict[str, Written] = {}
        for scope in scopes:
            fqn, index = scope.strip("/").replace("/", "."), 0
            again = re.fullmatch(r"(.+)_([1-9]\d*)", scope)
            if again and fqn not in modules and _without_gaps(again[1], int(again[2]), scopes):
                fqn, index = again[1].strip("/").replace("/", "."), int(again[2])
            self._calls[scope] = Written(fqn, index)

    def of(self, node: ir.Node) -> Written | None:
        name = node.name or ""
        return self._calls.get(name.rpartition("/")[0]) if name.startswith("/") else None


def _without_gaps(scope: str, last: int, scopes: set[str]) -> bool:
    return last < len(scopes) and {scope, *(f"{scope}_{number}" for number in range(1, last))} <= scopes

"""What an ONNX file itself says of the modules behind its nodes, whoever wrote it.

Four writers name modules in nodes, read in this order: hx (metadata, by `embed`), `torch.onnx.export` (the stack of
modules, in the metadata), winml-cli (a tag in the metadata), and the TorchScript exporter (scopes in the node's name,
`/encoder/layer.0/attention/MatMul`). Where none did, the names of the weights are what is left.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from hx_graph import bodies_in, nodes_in, output_of
from hx_sidecar_schema import node_name


@dataclass(frozen=True)
class FileClaim:
    """What a file says of one node."""

    fqn: str
    """Qualified name of the innermost module that ran it."""
    index: int | None = None
    """Index of that module's call; None where the writer does not tell calls apart."""
    classes: Mapping[str, str] | None = None
    """Class names by qualified names, where they are written."""


def file_claims(graph: ir.Graph) -> dict[str, FileClaim]:
    """Return what a file says of the nodes of its main graph and of the bodies in it, by `node_name`.

    Nodes that it says nothing of are left out.
    """
    nodes = list(nodes_in(graph))
    # The names of weights tell a module named `lin_1` from the second call of `lin`.
    scopes = _scope_claims({scope for _, node in nodes if (scope := _scope(node)) is not None}, weight_names(graph))
    found: dict[str, FileClaim] = {}
    for path, node in nodes:
        claim = _by_hx(node) or _by_torch(node) or _by_winml(node) or scopes.get(_scope(node))
        if claim is not None:
            found[node_name(path, output_of(node))] = claim
    return found


def weight_names(graph: ir.Graph) -> list[str]:
    """Return the names of the initializers of a graph, then of those of its bodies, each once."""
    return list(dict.fromkeys(name for each in (graph, *bodies_in(graph)) for name in each.initializers))


def _by_hx(node: ir.Node) -> FileClaim | None:
    fqn = node.metadata_props.get("pkg.hx.module")
    if fqn is None or node.metadata_props.get("pkg.hx.confidence") != "high":
        return None
    call = node.metadata_props.get("pkg.hx.call", "0")
    return FileClaim(fqn, int(call)) if call.isdecimal() and len(call) < 7 else None


def _by_torch(node: ir.Node) -> FileClaim | None:
    """Return the innermost module of the stack that torch 2.6 to 2.13 write, as Python lists.

    The last entry is the operation, not a module. On sizes of dynamic exports torch writes a stand-in that names itself as
    its own class.
    """
    scopes = _list(node.metadata_props.get("pkg.torch.onnx.name_scopes"))
    classes = _list(node.metadata_props.get("pkg.torch.onnx.class_hierarchy"))
    if len(scopes) < 2 or len(scopes) != len(classes) or scopes[:-1] == classes[:-1]:
        return None
    named = {_fqn(scope): name for scope, name in zip(scopes[:-1], classes[:-1], strict=True)}
    return FileClaim(_fqn(scopes[-2]), None, named)


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
    """Return a scope without `@1`: that is the second call under one name, and aliases of a module count apart."""
    return re.sub(r"@\d+", "", scope)


def _by_winml(node: ir.Node) -> FileClaim | None:
    tag = node.metadata_props.get("winml.hierarchy.tag")
    if not tag or not tag.startswith("/"):
        return None
    root, *names = tag.strip("/").split("/")
    classes = {"": root}
    for depth in range(len(names)):
        classes[".".join(names[: depth + 1])] = names[depth].partition(".")[0]
    return FileClaim(".".join(names), None, classes)


def _scope(node: ir.Node) -> str | None:
    name = node.name or ""
    return name.rpartition("/")[0] if name.startswith("/") else None


def _scope_claims(scopes: set[str], weights: Iterable[str]) -> dict[str | None, FileClaim]:
    """Return claims by the scopes that the TorchScript exporter puts into names of nodes: the modules' attributes.

    The scopes of later calls are `NAME_1`, `NAME_2`, without gaps, and those of their parents stay the same (torch 2.13).
    `NAME_1` is a module of its own where it has weights, where `NAME` is no scope, or where a number is missing.
    """
    modules: set[str] = set()
    """Modules with weights of their own or below them."""
    for weight in weights:
        module = weight.rpartition(".")[0]
        while module and module not in modules:
            modules.add(module)
            module = module.rpartition(".")[0]
    claims: dict[str | None, FileClaim] = {}
    for scope in scopes:
        index, around = 0, _modules_of_scope(scope, modules)
        fqn = around[-1]
        again = re.fullmatch(r"(.+)_([1-9]\d{0,8})", scope)
        last = int(again[2]) if again else 0
        if again and fqn not in modules and last < len(scopes):
            earlier = (again[1], *(f"{again[1]}_{number}" for number in range(1, last)))
            if scopes.issuperset(earlier):
                index, around = last, _modules_of_scope(again[1], modules)
                fqn = around[-1]
        # Each of them ran: none is a list, even where all its children are numbered.
        names = {name: re.sub(r"(\.\d+)+$", "", name).rpartition(".")[2] for name in around if name}
        claims[scope] = FileClaim(fqn, index, names)
    return claims


def _modules_of_scope(scope: str, modules: Container[str]) -> list[str]:
    """Return the qualified names of the modules that a scope names, each within the one before it.

    The exporter names a module by its attribute, and what is numbered by the last attribute that is no number (torch 2.13):
    `/features/features.0` is the first of a Sequential `features`. Only weights tell it from a list `features` in
    a module `features`.
    """
    found, last = [""], ""
    for segment in scope.strip("/").split("/"):
        number = segment.removeprefix(f"{last}.")
        outer = f"{found[-1]}.{segment.partition('.')[0]}"
        if last and number != segment and number.replace(".", "").isdecimal() and outer not in modules:
            segment_name = number
        else:
            segment_name = segment
        found.append(f"{found[-1]}.{segment_name}".strip("."))
        last = segment
    return found

"""What an ONNX file itself says of the modules behind its nodes, whoever wrote it.

Four writers name modules in nodes, read in this order: hx (metadata, by `embed`), `torch.onnx.export` (the stack of
modules, in the metadata), winml-cli (a tag in the metadata), and exporters that put scopes into the node's name
(TorchScript's `/encoder/layer.0/attention/MatMul`, TensorFlow's `model/dense/MatMul`). Where none did, the names of the
weights are what is left.

An exporter's optimiser merges nodes of several modules, and its node names only one of them: a convolution with the
normalisation folded in. The file tells so in the name of the rewriting rule, or in weights that no parameter gave a name.
"""

import ast
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import onnx_ir as ir

from hx_graph import bodies_in, nodes_in, output_of, reads
from hx_sidecar_schema import node_name


@dataclass(frozen=True)
class FileClaim:
    """What a file says of one node."""

    fqn: str
    """Qualified name of the innermost module that ran it."""
    index: int | None = None
    """Index of that module's call; None where the writer does not tell calls apart."""
    classes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Class names by qualified names, where they are written."""
    others: tuple[str, ...] = ()
    """Further modules whose operations the node stands for: an optimiser merged them."""
    is_certain: bool = True
    """False where the file does not name the module that it was merged with, and `others` is the module around."""


_RULES_FOR_ONE_NODE = ("RemoveOptionalBias", "Flatten2Reshape", "MaterializeReshape", "NormalizePad", "Scatter")
"""How names of rewriting rules begin (onnxscript 0.7) that replace one node by one. All others merge several."""


def file_claims(graph: ir.Graph) -> dict[str, FileClaim]:
    """Return what a file says of nodes of its main graph and of its bodies, by `node_name`; of some it says nothing."""
    nodes = list(nodes_in(graph))
    # The names of weights tell a module named `lin_1` from the second call of `lin`.
    named = {scope for _, node in nodes if (scope := _scope(node)) is not None}
    absolute, weights = {scope for scope in named if not scope or scope.startswith("/")}, weight_names(graph)
    # Names without scopes, as of a module that was scripted twice (torch 2.13), say nothing.
    nameless = absolute == {""} and any(map(is_parameter, weights))
    read: dict[str, set[str]] = {}
    for _, node in nodes if named else ():
        read.setdefault(_scope(node) or "", set()).update(
            parent_name(name) for name in reads(node) if is_parameter(name)
        )
    scopes = {} if nameless else _scope_claims(absolute or named, weights, read)
    found = {
        node: claim
        for _, node in nodes
        if (claim := _by_hx(node) or _by_torch(node) or _by_winml(node) or scopes.get(_scope(node)))
    }
    return {
        node_name(path, output_of(node)): _with_merged(node, found[node], found)
        for path, node in nodes
        if node in found
    }


def parent_name(name: str) -> str:
    """Return the qualified name of the module that a module or parameter belongs to; empty for the root."""
    return name.rpartition(".")[0]


def is_parameter(name: str) -> bool:
    """Say whether a weight goes by the name of a parameter; those that exporters make are `onnx::MatMul_12`, `val_3`."""
    return "." in name and "::" not in name and "/" not in name and all(name.split("."))


def _with_merged(node: ir.Node, claim: FileClaim, claims: Mapping[ir.Node, FileClaim]) -> FileClaim:
    """Add to a claim the modules whose operations an optimiser merged into the node.

    The weights tell them. Where they do not, and the node's data comes from outside the claimed module, an operation of
    another module may have stood between.
    """
    rules = node.metadata_props.get("pkg.onnxscript.rewriter.rule_name", "").split(", ")
    merging = any(rule and not rule.startswith(_RULES_FOR_ONE_NODE) for rule in rules)
    merged_by_torch = merging and "pkg.torch.onnx.name_scopes" in node.metadata_props
    if not claim.fqn or not (merged_by_torch or _is_folded_by_torchscript(node)):
        return claim
    read = [value for value in node.inputs if value is not None]
    weights = [str(value.name) for value in read if value.is_initializer()]
    others = {parent_name(name) for name in weights if is_parameter(name)} - {claim.fqn}
    if others:
        return replace(claim, others=tuple(sorted(others)))
    makers = [value.producer() for value in read if not value.is_initializer()]
    sources = [claims.get(maker) if maker is not None else None for maker in makers]
    if all(source is not None and f"{source.fqn}.".startswith(f"{claim.fqn}.") for source in sources):
        return claim
    return replace(claim, others=(parent_name(claim.fqn),), is_certain=False)


def _is_folded_by_torchscript(node: ir.Node) -> bool:
    """Say whether the TorchScript exporter folded a normalisation into a convolution.

    It alone makes a weight and a bias of its own there (torch 2.13), called `onnx::Conv_28` or `28`. Weights that are
    computed of parameters, as by weight_norm, leave the bias its name.
    """
    made = [value.name for value in node.inputs[1:] if value is not None and value.is_initializer()]
    return node.op_type == "Conv" and len(made) == 2 and all(re.fullmatch(r"(onnx::\w+_)?\d+", str(n)) for n in made)


def weight_names(graph: ir.Graph) -> list[str]:
    """Return the names of the initializers of a graph, then of those of its bodies, each once."""
    return list(dict.fromkeys(name for each in (graph, *bodies_in(graph)) for name in each.initializers))


def _by_hx(node: ir.Node) -> FileClaim | None:
    fqn = node.metadata_props.get("pkg.hx.module")
    if fqn is None or node.metadata_props.get("pkg.hx.confidence") != "high":
        return None
    call = node.metadata_props.get("pkg.hx.call", "0")
    if not call.isdecimal() or len(call) > 6:
        return None
    return FileClaim(fqn, int(call) if fqn else 0)  # the root is called once


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
    return FileClaim(_fqn(scopes[-2]), classes=named)


def _list(text: str | None) -> list[str]:
    if not text:
        return []
    try:
        value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # as it documents
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
    fqns = list(accumulate(names, "{}.{}".format))
    classes = {"": root} | {fqn: name.partition(".")[0] for fqn, name in zip(fqns, names, strict=True)}
    return FileClaim(".".join(names), classes=classes)


def _scope(node: ir.Node) -> str | None:
    scope, slash, _ = (node.name or "").rpartition("/")
    return scope if slash else None


def _scope_claims(
    scopes: set[str], weights: Iterable[str], read: Mapping[str, set[str]]
) -> dict[str | None, FileClaim]:
    """Return claims by the scopes that the TorchScript exporter puts into names of nodes: the modules' attributes.

    The scopes of later calls are `NAME_1`, `NAME_2`, without gaps, and those of their parents stay the same (torch 2.13).
    `NAME_1` is a module of its own where it has weights, where `NAME` is no scope, or where a number is missing; and in
    scopes without a leading slash, which other exporters write. Given are the modules whose weights nodes of a scope read.
    """
    modules = {module for weight in weights for module in accumulate(weight.split(".")[:-1], "{}.{}".format)}
    """Modules with weights of their own or below them."""
    chains = {scope: _modules_of_scope(scope, modules) for scope in scopes}
    below = _below_uncalled_modules(chains, modules, read)
    runs: Counter[str] = Counter()
    claims: dict[str | None, FileClaim] = {}
    for scope, chain in sorted(chains.items(), key=lambda item: _numbered(item[0])):
        index, around = 0, below.get(scope, chain)
        base, last = _numbered(scope)
        if not around:
            continue
        may_be_later = scope.startswith("/") and around[-1] not in modules and 0 < last < len(scopes)
        if scope in below:
            index = runs[around[-1]]
            runs[around[-1]] += 1
        elif may_be_later and scopes.issuperset((base, *(f"{base}_{number}" for number in range(1, last)))):
            index, around = last, _modules_of_scope(base, modules)
        # Each of them ran: none is a list, even where all its children are numbered.
        names = {name: re.sub(r"(\.\d+)+$", "", name).rpartition(".")[2] for name in around if name}
        claims[scope] = FileClaim(around[-1], index, names)
    return claims


def _numbered(scope: str) -> tuple[str, int]:
    """Return a scope without the number that a later call of a name has, and the number, 0 for none."""
    again = re.fullmatch(r"(.+)_([1-9]\d{0,8})", scope)
    return (again[1], int(again[2])) if again else (scope, 0)


def _below_uncalled_modules(
    chains: Mapping[str, list[str]], modules: Container[str], read: Mapping[str, set[str]]
) -> dict[str, list[str]]:
    """Return the modules that scopes name below a module that did not run itself, each within the one before it.

    What a ModuleDict holds, and what a method other than `forward` calls, has no name of what is around it in its scope
    (torch 2.13): `/conv` is `backbone.conv`, and `/conv_1` may be `head.conv`. The weights that are read tell it, and
    for modules without weights those of modules beside them; none are returned where these leave several.
    """
    named = {chain[-1] for chain in chains.values()}
    found: dict[str, list[str]] = {}
    outer: dict[str, dict[str, list[str]]] = {}
    """What the scopes around those found can stand for, by the qualified name of the innermost."""
    for scope, chain in chains.items():
        weighted, base = read.get(scope, set()), _modules_of_scope(_numbered(scope)[0], modules)
        fits = [fit for module in weighted - named for form in (chain, base) if (fit := _fit(form, module))]
        if chain[-1] not in weighted and len({fit[-1] for fit in fits}) == 1:
            found[scope] = fits[0]
            for depth in range(2, len(chain)):
                around = fits[0][:depth]
                outer.setdefault("/".join(scope.split("/")[:depth]), {})[around[-1]] = around
    for scope in chains.keys() - found.keys():
        base = _modules_of_scope(_numbered(scope)[0], modules)
        for depth in range(len(base), 1, -1):
            around = outer.get("/".join(scope.split("/")[:depth]), {})
            if around and base[-1] not in modules:
                start = next(iter(around.values()))
                rest = [start[-1] + name.removeprefix(base[depth - 1]) for name in base[depth:]]
                found[scope] = start + rest if len(around) == 1 else []
                break
    return found


def _fit(chain: list[str], module: str) -> list[str]:
    """Return the modules on the way to a module that the names in a chain can stand for, others left out between; or none."""
    found: list[str] = []
    end = f".{module}."
    for outer, inner in reversed(list(pairwise(chain))):
        own = f"{inner.removeprefix(outer).strip('.')}."
        at = end.rfind(f".{own}")
        if at < 0 or (not found and not end.endswith(f".{own}")):
            return []
        found.insert(0, end[1 : at + len(own)])
        end = end[: at + 1]
    return ["", *found]


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
        is_numbered = last and number != segment and number.replace(".", "").isdecimal() and outer not in modules
        found.append(f"{found[-1]}.{number if is_numbered else segment}".strip("."))
        last = segment
    return found

"""The module tree that names in a file imply, and the calls of these modules.

`encoder.layer.0.weight` is a weight of a module in a list in another. How often each module ran, and which call ran inside
which, follows from what nodes say and from the weights that they read.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import accumulate

import onnx_ir as ir

from hx_graph import nodes_in, output_of, reads
from hx_projector._graph_index import grouped, preorder
from hx_projector.file_metadata.claims import FileClaim, parent_name
from hx_sidecar_schema import Module, ModuleCall, build_tags, node_name, simple_name

MODULE_LIST = "torch.nn.modules.container.ModuleList"
_SEVERAL = "It ran several times, and the file does not say which node belongs to which run."

CallKey = tuple[str, int]
"""Qualified name of the module, and index of the call."""


def with_ancestors(names: Iterable[str]) -> list[str]:
    """Return qualified names of modules with all modules above them: the root first, parents before children."""
    children: dict[str, dict[str, None]] = {}
    for fqn in names:
        for name in filter(None, accumulate(fqn.split("."), "{}.{}".format)):
            children.setdefault(parent_name(name), {})[name] = None
    return list(preorder("", lambda name: children.get(name, ())))


def modules_of(
    fqns: list[str],
    classes: Mapping[str, str],
    module_of_weight: Mapping[str, str],
    called: Collection[str],
    root_class: str,
) -> list[Module]:
    """Return the modules of a tree by their qualified names, parents before children; called are those that the file names.

    A module whose class is not known is a ModuleList where it was not called and its children are numbered; another one
    goes by its attribute's name, the root by a name that is given.
    """
    children = grouped((parent_name(fqn), fqn) for fqn in fqns[1:])

    def class_of(fqn: str) -> str:
        if fqn in classes or not fqn:
            return classes.get(fqn, root_class)
        below = children.get(fqn, [])
        if below and fqn not in called and all(_attribute(child).isdigit() for child in below):
            return MODULE_LIST
        parts = fqn.split(".")
        return next((part for part in reversed(parts) if not part.isdigit()), parts[-1])

    rows = {fqn: row for row, fqn in enumerate(fqns)}
    names = [class_of(fqn) for fqn in fqns]
    own = grouped((owner, _attribute(weight)) for weight, owner in module_of_weight.items())
    paths = [weight.split(".") for weight in module_of_weight]
    below = grouped((".".join(path[:end]), ".".join(path[end:])) for path in paths for end in range(len(path)))
    return [
        Module(
            fqn=fqn,
            class_name=name,
            tag=tag,
            tagged=True,
            parent=rows[parent_name(fqn)] if fqn else None,
            parameters=below.get(fqn, []),
            direct_parameters=own.get(fqn, []),
            children={_attribute(child): simple_name(names[rows[child]]) for child in children.get(fqn, [])},
        )
        for fqn, name, tag in zip(fqns, names, build_tags(fqns, names), strict=True)
    ]


def _attribute(name: str) -> str:
    return name.rpartition(".")[2]


def indistinct_modules(
    graph: ir.Graph, claims: Mapping[str, FileClaim], module_of_weight: Mapping[str, str], fqns: list[str]
) -> set[str]:
    """Return the modules that ran several times without the file telling the runs apart.

    These read a weight of their own more than once. So ran all modules above them, up to the first one below which some
    module reads its weights once. Qualified names of modules have parents before children.
    """
    uses: Counter[str] = Counter()
    for path, node in nodes_in(graph):
        claim = claims.get(node_name(path, output_of(node)))
        if claim is not None and claim.index is None:
            uses.update(name for name in set(reads(node)) if module_of_weight.get(name) == claim.fqn)
    fewest: dict[str, int] = {}
    """Runs of a module, and of those below it."""
    for name, count in uses.items():
        fewest[module_of_weight[name]] = max(fewest.get(module_of_weight[name], 0), count)
    for fqn in reversed(fqns):
        if fqn and fqn in fewest:
            above = parent_name(fqn)
            fewest[above] = min(fewest[fqn], fewest.get(above, fewest[fqn]))
    return {fqn for fqn in fqns if fqn and fewest.get(fqn, 0) > 1}


def calls_of(
    fqns: list[str], counts: Mapping[str, int], indistinct: set[str]
) -> tuple[dict[CallKey, int], list[ModuleCall]]:
    """Return the rows of calls, and the calls in pre-order. A later call of a child lies in a later call of its parent.

    How often modules were called is given, the root once. Calls of indistinct modules stand for several runs: they are
    `fused`.
    """
    modules = {fqn: row for row, fqn in enumerate(fqns)}
    callers: dict[str, str] = {}
    children: dict[str, list[str]] = {}
    for fqn in fqns:
        if fqn and fqn in counts:
            caller = parent_name(fqn)
            while caller not in counts:
                caller = parent_name(caller)
            callers[fqn] = caller
            children.setdefault(caller, []).append(fqn)

    def caller_of(fqn: str, index: int) -> CallKey:
        return callers[fqn], index * counts[callers[fqn]] // counts[fqn]

    def made_by(key: CallKey) -> list[CallKey]:
        below = [(child, index) for child in children.get(key[0], ()) for index in range(counts[child])]
        return [call for call in below if caller_of(*call) == key]

    rows = {key: row for row, key in enumerate(preorder(("", 0), made_by))}
    return rows, [
        ModuleCall(
            module=modules[fqn],
            index=index,
            parent=rows[caller_of(fqn, index)] if fqn else None,
            status="fused" if fqn in indistinct else "extractable",
            reason=_SEVERAL if fqn in indistinct else "",
        )
        for fqn, index in rows
    ]

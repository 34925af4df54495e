"""The calls, modules and nodes of an export as records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from hx._models import AnyHierarchy, name_of, opened
from hx.records.modules import ModuleRecord, ModulesReport, NamedNode, NodesReport
from hx_extractor import TreeReport
from hx_sidecar_schema import Module, depths, find_calls


def tree(
    model: AnyHierarchy, modules: str | Sequence[str] = (), *, depth: int | None = None, everything: bool = False
) -> TreeReport:
    """Return the calls of an export, a parent before its children, with the nodes and weights of each.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> [(call.tag, call.weights) for call in hx.tree(exported, everything=True).calls]
        [('/Sequential', 15), ('/Sequential/Linear.0', 15)]

    Args:
        model: An export, or the file of one.
        modules: Patterns: these calls and what is below them; empty for the whole model.
        depth: Levels below each of them; None for all.
        everything: Untagged modules too, which are shown in any case where there are no others. What a call that is not shown
            holds counts for the nearest one that is.

    Returns:
        A row for each call; the fields are told in `hx.records.tree`.

    Raises:
        HxError: HX401 if a pattern matches nothing; else as `load`.
    """
    return opened(model).tree(modules, depth=depth, everything=everything)


def modules(model: AnyHierarchy, patterns: str | Sequence[str] = ()) -> ModulesReport:
    """Return what is known of every module: class, signature, parameters, children, and its nodes.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> [module.direct_parameters for module in hx.modules(exported, "0").modules]
        [['weight', 'bias']]

    Args:
        model: An export, or the file of one.
        patterns: These modules and all below them; empty for all.

    Returns:
        A row for each module; the fields are told in `hx.records.modules`.

    Raises:
        HxError: HX401 if a pattern matches nothing; else as `load`.
    """
    sidecar = opened(model).sidecar
    levels = depths([module.parent for module in sidecar.modules])
    tags: list[str] = []
    for module in sidecar.modules:
        tags.append(module.tag if module.tagged or module.parent is None else tags[module.parent])
    named = {sidecar.calls[row].module for row in find_calls(sidecar, patterns)}
    shown: dict[int, Module] = {}
    for row, module in enumerate(sidecar.modules):
        if not patterns or row in named or module.parent in shown:
            shown[row] = module
    ran = Counter(call.module for call in sidecar.calls if call.status != "not_called")
    operations = {
        key: tag
        for node, (key, tag) in zip(sidecar.nodes, sidecar.operation_hierarchy.items(), strict=True)
        if sidecar.calls[node.owner].module in shown
    }
    by_tag: defaultdict[str, list[str]] = defaultdict(list)
    for key, tag in operations.items():
        by_tag[tag].append(key)
    return ModulesReport(
        model=name_of(model),
        hierarchy_depth=max(levels, default=0),
        modules=[
            ModuleRecord(
                **module.model_dump(exclude={"parent"}),
                parent=None if module.parent is None else sidecar.modules[module.parent].fqn,
                depth=levels[row],
                calls=ran[row],
            )
            for row, module in shown.items()
        ],
        expected_hierarchy={module.fqn: tags[row] for row, module in shown.items()},
        module_to_operations=by_tag,
        operation_hierarchy=operations,
    )


def nodes(model: AnyHierarchy, modules: str | Sequence[str], *, own: bool = False) -> NodesReport:
    """Return the nodes of module calls, for tools that take names of nodes.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> [node.op_type for node in hx.nodes(exported, "0").nodes]
        ['Gemm']

    Args:
        model: An export, or the file of one.
        modules: Patterns of calls.
        own: Without the nodes of the calls inside them.

    Returns:
        A row for each node; the fields are told in `hx.records.modules`.

    Raises:
        HxError: HX401 if a pattern matches nothing; else as `load`.
    """
    hierarchy = opened(model)
    sidecar = hierarchy.sidecar
    rows = find_calls(sidecar, modules)
    owners = {inner for row in rows for inner in range(row, row + 1 if own else sidecar.subtree_end[row])}
    names = [node.name for node in sidecar.nodes]
    if not hierarchy.is_unchanged:  # the nodes of the file may have been given other names since the export
        from hx_graph import nodes_in, output_of

        found: defaultdict[str, list[str]] = defaultdict(list)
        for _, node in nodes_in(hierarchy.model.graph):
            found[output_of(node)].append(node.name or "")
        names = [found[row.output][0] if len(found[row.output]) == 1 else row.name for row in sidecar.nodes]
    named = [
        NamedNode(
            name=name,
            op_type=node.op_type,
            graph=node.graph,
            output=node.output,
            tag=sidecar.tag(sidecar.calls[node.owner]),
        )
        for node, name in zip(sidecar.nodes, names, strict=True)
        if node.owner in owners
    ]
    everywhere, here = Counter(names), Counter(node.name for node in named)
    return NodesReport(
        model=name_of(model),
        calls=[sidecar.tag(sidecar.calls[row]) for row in rows],
        own=own,
        nodes=named,
        shared=[name for name, count in here.items() if name and count < everywhere[name]],
    )

"""What is known of every module, and which nodes belong to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hx._open import AnyHierarchy, name_of, opened
from hx.records.modules import ModuleRecord, ModulesReport
from hx_sidecar_schema import Module, Sidecar, depths, find_calls


def modules(model: AnyHierarchy, patterns: str | Sequence[str] = ()) -> ModulesReport:
    """Return what is known of every module: class, signature, parameters, children, and its nodes.

    Example:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> [module.direct_parameters for module in hx.modules(exported, "0").modules]
        [['weight', 'bias']]

    Args:
        model: An export, or the file of one.
        patterns: These modules and all below them; empty for all.

    Raises:
        HxError: HX401 if a pattern matches nothing; else as `load`.
    """
    sidecar = opened(model).sidecar
    levels = depths([module.parent for module in sidecar.modules])
    shown = _shown(sidecar, patterns)
    ran = Counter(call.module for call in sidecar.calls if call.status != "not_called")
    keys = sidecar.operation_hierarchy
    operations = {
        key: tag
        for node, (key, tag) in zip(sidecar.nodes, keys.items(), strict=True)
        if sidecar.calls[node.owner].module in shown
    }
    by_tag: dict[str, list[str]] = {}
    for key, tag in operations.items():
        by_tag.setdefault(tag, []).append(key)
    return ModulesReport(
        model=name_of(model),
        hierarchy_depth=max(levels, default=0),
        modules=[_record(sidecar, row, levels[row], ran[row]) for row in shown],
        expected_hierarchy={sidecar.modules[row].fqn: _shown_tag(sidecar.modules, row) for row in shown},
        module_to_operations=by_tag,
        operation_hierarchy=operations,
    )


def _shown(sidecar: Sidecar, patterns: str | Sequence[str]) -> dict[int, None]:
    """Return the rows of the modules to show, in order; a parent stands before its children."""
    named = {sidecar.calls[row].module for row in find_calls(sidecar, patterns)}
    rows: dict[int, None] = {}
    for row, module in enumerate(sidecar.modules):
        if not patterns or row in named or module.parent in rows:
            rows[row] = None
    return rows


def _shown_tag(modules: Sequence[Module], row: int) -> str:
    module = modules[row]
    while not module.tagged and module.parent is not None:
        module = modules[module.parent]
    return module.tag


def _record(sidecar: Sidecar, row: int, depth: int, calls: int) -> ModuleRecord:
    module = sidecar.modules[row]
    return ModuleRecord(
        **module.model_dump(exclude={"parent"}),
        parent=None if module.parent is None else sidecar.modules[module.parent].fqn,
        depth=depth,
        calls=calls,
    )

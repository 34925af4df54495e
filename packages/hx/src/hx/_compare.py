"""`hx compare`: whether two models have the same topology, and what differs, by module."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hx._paths import sidecar_path
from hx.records.reports import CompareReport, Divergence, NodeGroup
from hx_sidecar_schema import HxError, Sidecar, collector_paused, graph_digest

if TYPE_CHECKING:
    import onnx_ir as ir

    from hx_cli._output import Output


def compare_models(left: Path, right: Path, output: Output) -> CompareReport:
    """Compare two models; sidecars beside them, where they fit, name the modules of what differs.

    Raises:
        HxError: HX202, HX204 if a file cannot be read.
    """
    from hx_graph import read_model

    with output.working("Comparing the graphs"), collector_paused():
        models = read_model(left), read_model(right)
        return compare_loaded(
            models, (str(left), str(right)), lambda side: _modules((left, right)[side], models[side])
        )


def compare_loaded(
    models: tuple[ir.Model, ir.Model], names: tuple[str, str], modules: Callable[[int], Mapping[str, str]]
) -> CompareReport:
    """Compare two models that are read already.

    Args:
        models: Not changed.
        names: Of their files.
        modules: Of the first (0) or second (1) returns nodes with the modules that own them; asked where they differ.
    """
    from hx_projector import graph_difference, structural_digest

    digests = structural_digest(models[0]), structural_digest(models[1])
    found = graph_difference(*models, digests=digests)
    report = CompareReport(
        left=names[0],
        right=names[1],
        same=found is None,
        digests=digests,
        nodes=(len(models[0].graph), len(models[1].graph)),
    )
    if found is None:
        return report
    owners = modules(0), modules(1)
    from hx_graph import output_of

    ops = tuple({output_of(node): node.op_type for node in model.graph} for model in models)
    differences = {
        "inputs": found.inputs,
        "outputs": found.outputs,
        "elsewhere": found.elsewhere,
        "operators": found.operators,
        "divergence": [
            Divergence(
                node=node,
                op_type=ops[0][node],
                module=owners[0].get(node),
                other=other,
                other_op_type=ops[1].get(other) if other else None,
            )
            for node, other in found.divergence
        ],
        "removed": _groups(found.only_left, ops[0], owners[0]),
        "added": _groups(found.only_right, ops[1], owners[1]),
        "rewired": _groups(found.rewired, ops[0], owners[0]),
    }
    return report.model_copy(update=differences)


def modules_of(sidecar: Sidecar) -> dict[str, str]:
    """Return the nodes of the main graph with the modules that own them."""
    return {
        node.output: sidecar.module_of(sidecar.calls[node.owner]).fqn
        for node in sidecar.nodes
        if not node.graph
    }


def _modules(path: Path, model: ir.Model) -> dict[str, str]:
    """Return nodes with the modules that own them; nothing where no sidecar of this very graph lies beside it."""
    try:
        sidecar = Sidecar.load(sidecar_path(path))
    except HxError:
        return {}
    if sidecar.model.graph_digest != graph_digest(model):
        return {}
    return modules_of(sidecar)


def _groups(nodes: Iterable[str], ops: Mapping[str, str], modules: Mapping[str, str]) -> list[NodeGroup]:
    """Return nodes by module; modules that differ in numbers alone, and lack or have the same, together."""
    by_module: dict[str | None, list[str]] = {}
    for node in nodes:
        by_module.setdefault(modules.get(node), []).append(node)
    alike: dict[tuple[str | None, tuple[tuple[str, int], ...]], list[str | None]] = {}
    for module, own in by_module.items():
        counts = tuple(sorted(Counter(ops[node] for node in own).items()))
        general = module and re.sub(r"\d+", "*", module)
        alike.setdefault((general, counts), []).append(module)
    return [
        NodeGroup(
            module=names[0] if len(names) == 1 else general,
            modules=len(names),
            operators=dict(counts),
            nodes=[node for name in names for node in by_module[name]],
        )
        for (general, counts), names in alike.items()
    ]

"""Whether two models have the same topology, and what differs, by module."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import onnx_ir as ir

from hx._models import AnyHierarchy, name_of
from hx._progress import Progress, silent
from hx.files import sidecar_path
from hx.records.compare import AttributeChange, CompareReport, Divergence, NodeGroup
from hx_extractor import Hierarchy
from hx_graph import output_of, read_model
from hx_projector import graph_difference, structural_digest
from hx_sidecar_schema import HxError, Sidecar, collector_paused, graph_digest


def compare(left: AnyHierarchy, right: AnyHierarchy, *, progress: Progress = silent) -> CompareReport:
    """Say whether two models have the same topology, whatever their nodes are called, and what differs by module.

    Sidecars beside the files, where they fit, name the modules.

    Examples:
        >>> import torch, hx
        >>> first, second = (hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),)) for _ in range(2))
        >>> hx.compare(first, second).same
        True

    Args:
        left: Any ONNX file, or a hierarchy.
        right: Another one.
        progress: Told what goes on.

    Returns:
        `same`, and what differs; the fields are told in `hx.records.compare`.

    Raises:
        HxError: HX202, HX204 if a file cannot be read.
    """
    progress("Comparing the graphs", 0, 0)
    with collector_paused():
        sides, names = (left, right), (name_of(left), name_of(right))
        graphs = _graph(left), _graph(right)
        return compare_graphs(graphs, names, lambda side: _modules(sides[side], graphs[side]))


def compare_graphs(
    models: tuple[ir.Model, ir.Model], names: tuple[str, str], modules: Callable[[int], Mapping[str, str]]
) -> CompareReport:
    """Compare two models that are read already, and have files of these names.

    Where they differ, `modules` is asked for the nodes of the first (0) and second (1) with the modules that own them.
    """
    digests = structural_digest(models[0]), structural_digest(models[1])
    found = graph_difference(*models, digests=digests)
    sizes = len(models[0].graph), len(models[1].graph)
    report = CompareReport(left=names[0], right=names[1], same=found is None, digests=digests, nodes=sizes)
    if found is None:
        return report
    owners = modules(0), modules(1)
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
        "attributes": [
            AttributeChange(
                node=node, other=other, op_type=ops[0][node], module=owners[0].get(node), name=name, left=one, right=two
            )
            for node, other, changes in found.attributes
            for name, (one, two) in changes.items()
        ],
        "removed": _groups(found.only_left, ops[0], owners[0]),
        "added": _groups(found.only_right, ops[1], owners[1]),
        "rewired": _groups(found.rewired, ops[0], owners[0]),
    }
    return report.model_copy(update=differences)


def modules_of(sidecar: Sidecar) -> dict[str, str]:
    """Return the nodes of the main graph with the modules that own them."""
    return {node.output: sidecar.module_of(sidecar.calls[node.owner]).fqn for node in sidecar.nodes if not node.graph}


def _graph(side: AnyHierarchy) -> ir.Model:
    return side.model if isinstance(side, Hierarchy) else read_model(Path(side))


def _modules(side: AnyHierarchy, model: ir.Model) -> dict[str, str]:
    """Return nodes with the modules that own them; nothing where no sidecar of this very graph lies beside a file."""
    if isinstance(side, Hierarchy):
        return modules_of(side.sidecar)
    try:
        sidecar = Sidecar.load(sidecar_path(Path(side)))
    except HxError:  # it names no modules then
        return {}
    return modules_of(sidecar) if sidecar.model.graph_digest == graph_digest(model) else {}


def _groups(nodes: Iterable[str], ops: Mapping[str, str], modules: Mapping[str, str]) -> list[NodeGroup]:
    """Return nodes by module; modules that differ in numbers alone, and lack or have the same, together."""
    by_module: defaultdict[str | None, list[str]] = defaultdict(list)
    for node in nodes:
        by_module[modules.get(node)].append(node)
    alike: defaultdict[tuple[str | None, tuple[tuple[str, int], ...]], list[str | None]] = defaultdict(list)
    for module, own in by_module.items():
        counts = tuple(sorted(Counter(ops[node] for node in own).items()))
        general = module and re.sub(r"\d+", "*", module)
        alike[general, counts].append(module)
    return [
        NodeGroup(
            module=names[0] if len(names) == 1 else general,
            modules=len(names),
            operators=dict(counts),
            nodes=[node for name in names for node in by_module[name]],
        )
        for (general, counts), names in alike.items()
    ]

"""How well nodes are attributed, and what they cost, by operator category and module call."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from hx._file_inputs import Shapes, with_inputs
from hx._models import AnyHierarchy, name_of, opened
from hx._progress import Progress, silent
from hx._tensors import Inputs
from hx.files import sidecar_path
from hx.records.analyze import AnalyzeReport, CallEntry, CategoryEntry, NodeEntry, TagEntry
from hx_extractor import Hierarchy, shown_calls
from hx_projector import CATEGORIES, UNCATEGORISED, category_of
from hx_sidecar_schema import HxError, Node, Sidecar, check_choice, collector_paused, find_calls

if TYPE_CHECKING:
    from hx_projector import CallCost, ModelCost

NAMES = [*(category.name for category in CATEGORIES), UNCATEGORISED]

logger = logging.getLogger(__name__)


@collector_paused()
def analyze(
    model: AnyHierarchy,
    modules: str | Sequence[str] = (),
    *,
    category: str | None = None,
    depth: int | None = None,
    sort: str | None = None,
    detailed: bool = False,
    thresholds: Mapping[str, float] | None = None,
    fail_under: float | None = None,
    inputs: Inputs | None = None,
    input_shapes: Shapes | None = None,
    progress: Progress = silent,
) -> AnalyzeReport:
    """Say how well nodes are attributed by operator category, and what each module costs: weights, MACs, results.

    Without the .onnx file, its sidecar tells of coverage alone.

    Examples:
        >>> import torch, hx
        >>> found = hx.analyze(hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),)))
        >>> found.covered_percent, found.cost.total.macs
        (100.0, 24)

    Args:
        model: An export, or the file of one.
        modules: Patterns: only nodes of these calls and of what is below them. Empty for all.
        category: Only nodes of this operator category.
        depth: Levels of calls below the root, or below those that `modules` name; None for all.
        sort: `macs`, `params` or `nodes`: order of calls below one parent, most first. None for that of execution.
        detailed: List all nodes.
        thresholds: Percent by category, instead of the default ones, below which it is marked.
        fail_under: Percent of nodes that must be covered, else `passed` is False.
        inputs: Count for these arrays or tensors by the names of the ONNX model's inputs, or a file of them. None: the
            recorded ones.
        input_shapes: Other sizes of recorded inputs, or sizes of inputs that were not recorded.
        progress: Told what goes on.

    Returns:
        Coverage by category, cost by call; the fields are told in `hx.records.analyze`.

    Raises:
        HxError: HX401 if a pattern matches nothing, HX406 if there is no such category or order; HX110, HX409 or HX207 for
            inputs that the model does not take; else as `load`.
    """
    if sort is not None:
        check_choice("sort", sort, ("macs", "params", "nodes"))
    progress(f"Reading {name_of(model)}", 0, 0)
    sidecar, hierarchy = _open(model)
    if hierarchy is not None:
        hierarchy = with_inputs(hierarchy, inputs, input_shapes)
        sidecar = hierarchy.sidecar
    category = _category(category) if category is not None else None
    roots = find_calls(sidecar, modules)
    rows = {row for root in roots or [0] for row in range(root, sidecar.subtree_end[root])}

    def wanted(node: Node) -> bool:
        return node.owner in rows and category in (None, category_of(node.op_type))

    nodes = [node for node in sidecar.nodes if wanted(node)]
    categories = _category_entries(nodes, thresholds or {})
    total, cost, costs = None, None, None
    if hierarchy is not None:
        progress("Counting what nodes compute", 0, 0)
        from hx_projector import call_costs, model_cost, total_cost

        shapes = {info.name: info.example.shape for info in sidecar.model.inputs if info.example is not None}
        given = {name: shapes[name] for name in input_shapes or {}}
        cost = model_cost(hierarchy.model, given, shapes, partial(measured_shapes, hierarchy))
        costs = call_costs(sidecar, cost, wanted)
        total = total_cost(sidecar, cost, nodes)
    tags = [sidecar.display_tag(row) for row in range(len(sidecar.calls))]
    shown = Counter(tags[node.owner] for node in nodes)
    covered = _share(sum(entry.covered for entry in categories), len(nodes))
    return AnalyzeReport(
        model=name_of(model),
        graph_digest=sidecar.model.graph_digest,
        modules=[modules] if isinstance(modules, str) else list(modules),
        category=category,
        nodes=len(nodes),
        exact_percent=_share(sum(entry.exact for entry in categories), len(nodes)),
        covered_percent=covered,
        unique_tags=len(shown),
        tags=[TagEntry(tag=tag, nodes=amount) for tag, amount in shown.most_common()],
        evidence=dict(Counter(node.known_by for node in nodes).most_common()),
        categories=categories,
        cost=total,
        calls=_call_entries(sidecar, nodes, costs, roots, depth, sort),
        node_list=_node_entries(sidecar, nodes, tags, cost) if detailed else None,
        fail_under=fail_under,
        passed=fail_under is None or covered >= fail_under,
    )


def _open(model: AnyHierarchy) -> tuple[Sidecar, Hierarchy | None]:
    if not isinstance(model, Hierarchy) and not Path(model).exists():
        beside = sidecar_path(Path(model))
        if beside.exists():
            return Sidecar.load(beside), None
    hierarchy = opened(model)
    return hierarchy.sidecar, hierarchy


def _category(name: str) -> str:
    """Return a category's name, however it is capitalised; HX406 if there is none."""
    wanted = " ".join(name.lower().split())
    if wanted not in NAMES:
        raise HxError(
            f"There is no category {name!r}.", code="HX406", hint=f"Take one of {', '.join(map(repr, NAMES))}."
        )
    return wanted


def _share(part: int, whole: int) -> float:
    """Return a share in percent; of nothing, all."""
    return round(100.0 * part / whole, 2) if whole else 100.0


def _category_entries(nodes: Sequence[Node], thresholds: Mapping[str, float]) -> list[CategoryEntry]:
    """Count nodes by category; `thresholds` stand instead of the default ones."""
    limits = {category.name: category.threshold for category in CATEGORIES}
    limits |= {_category(name): value for name, value in thresholds.items()}
    critical = {category.name for category in CATEGORIES if category.critical}
    by_category: dict[str, list[Node]] = {name: [] for name in NAMES}
    for node in nodes:
        by_category[category_of(node.op_type)].append(node)

    def entry(name: str, own: Sequence[Node]) -> CategoryEntry:
        covered, exact = sum(node.known for node in own), sum(node.confidence == "high" for node in own)
        percent, threshold = _share(covered, len(own)), limits.get(name)
        return CategoryEntry(
            name=name,
            total=len(own),
            covered=covered,
            exact=exact,
            covered_percent=percent,
            exact_percent=_share(exact, len(own)),
            threshold=threshold,
            critical=name in critical,
            below=threshold is not None and percent < threshold,
            operators=dict(Counter(node.op_type for node in own).most_common()),
        )

    return [entry(name, own) for name, own in by_category.items() if own]


def measured_shapes(
    model: Hierarchy, names: Sequence[str], inputs: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int, ...]]:
    """Run the model once and return how large values of its main graph are; nothing where it does not run.

    Where the sizes of the inputs are not those of the recorded ones, recorded numbers are repeated.
    """
    import numpy as np
    import onnx_ir as ir

    from hx_graph import make_session, run_session, values_by_name

    copy = model.model.clone()
    values = values_by_name(copy.graph)
    copy.graph.outputs.clear()
    for position, name in enumerate(names):
        shape = ir.node("Shape", [values[name]])
        shape.outputs[0].name = f"hx.shape.{position}"
        shape.outputs[0].dtype = ir.DataType.INT64
        copy.graph.append(shape)
        copy.graph.outputs.append(shape.outputs[0])
    try:
        examples = model.example_inputs()
        feeds = {name: np.resize(array, inputs.get(name, array.shape)) for name, array in examples.items()}
        arrays = run_session(make_session(copy, model.folder), feeds)
    except HxError as error:  # a model that does not run can still be counted, in part
        logger.info("sizes of %d values stay unknown: %s", len(names), error.message)
        return {}
    return {name: tuple(int(size) for size in array) for name, array in zip(names, arrays.values(), strict=True)}


def _call_entries(
    sidecar: Sidecar,
    nodes: Sequence[Node],
    costs: Sequence[CallCost] | None,
    roots: Sequence[int],
    depth: int | None,
    sort: str | None,
) -> list[CallEntry]:
    """Return calls with what their nodes cost, a parent before its children: all below `roots`.

    Without roots, the tagged calls of the whole model: what another one holds is in the nearest call that is shown. Where
    costs are not known, calls are sorted by nodes.
    """
    owned = Counter(node.owner for node in nodes)
    before = [0, *accumulate(owned[row] for row in range(len(sidecar.calls)))]
    held = [before[end] - before[row] for row, end in enumerate(sidecar.subtree_end)]

    def size(row: int) -> int:
        if costs is None or sort == "nodes":
            return held[row]
        return costs[row].total.macs if sort == "macs" else costs[row].total.parameters

    def entry(row: int, parent: int | None, depth: int) -> CallEntry:
        call = sidecar.calls[row]
        module = sidecar.module_of(call)
        return CallEntry(
            fqn=module.fqn,
            call=call.index,
            tag=sidecar.tag(call),
            class_name=module.class_name,
            tagged=module.tagged,
            parent=parent,
            depth=depth,
            nodes=held[row],
            own_nodes=owned[row],
            total=costs[row].total if costs is not None else None,
            own=costs[row].own if costs is not None else None,
        )

    by = size if sort is not None else None
    return [entry(*shown) for shown in shown_calls(sidecar, roots or [0], depth=depth, everything=bool(roots), size=by)]


def _node_entries(
    sidecar: Sidecar, nodes: Sequence[Node], tags: Sequence[str], cost: ModelCost | None
) -> list[NodeEntry]:
    rows = {(row.graph, row.output): row for row in cost.nodes} if cost is not None else {}

    def entry(node: Node) -> NodeEntry:
        call, found = sidecar.calls[node.owner], rows.get(node.key)
        return NodeEntry(
            graph=node.graph,
            output=node.output,
            op_type=node.op_type,
            category=category_of(node.op_type),
            fqn=sidecar.module_of(call).fqn,
            call=call.index,
            tag=tags[node.owner],
            evidence=node.evidence,
            confidence=node.confidence,
            known=node.known,
            macs=found.arithmetic.macs if found is not None and not found.arithmetic.unknown else None,
            other=found.arithmetic.other if found is not None and not found.arithmetic.uncounted else None,
            activation_bytes=found.activation_bytes if found is not None and not found.unsized_values else None,
        )

    return [entry(node) for node in nodes]

"""`hx analyze`: how well nodes are attributed, and what they cost, by category and module call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hx._analysis.calls import call_entries, selected_rows
from hx._analysis.measured_shapes import sizes_in_a_run
from hx._paths import find_model, sidecar_path
from hx.records.analyze import (
    AnalyzeReport,
    CategoryEntry,
    NodeEntry,
    TagEntry,
)
from hx_projector import CATEGORIES, UNCATEGORISED, category_of
from hx_sidecar_schema import Node, Sidecar, find_calls

if TYPE_CHECKING:
    from hx_cli._output import Output
    from hx_extractor import Hierarchy
    from hx_projector import ModelCost


@dataclass(frozen=True)
class AnalyzeRequest:
    """What is asked for.

    Attributes:
        model: The ONNX file; None for the only export in the current folder.
        patterns: Only nodes of these calls and of what is below them.
        category: Only nodes of this category.
        depth: Levels of calls below the root, or below those that `patterns` name; None for all.
        sort: `macs`, `params` or `nodes`: order of calls below one parent, most first. Else that of execution.
        detailed: List all nodes.
        thresholds: Percent by category.
        fail_under: Percent of nodes that must be covered.
        shapes: Of inputs.
    """

    model: Path | None
    patterns: Sequence[str] = ()
    category: str | None = None
    depth: int | None = None
    sort: str | None = None
    detailed: bool = False
    thresholds: Mapping[str, float] = field(default_factory=dict[str, float])
    fail_under: float | None = None
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])


def analyze_model(request: AnalyzeRequest, output: Output) -> AnalyzeReport:
    """Count nodes and cost.

    Without the .onnx file, its sidecar tells of coverage alone.

    Raises:
        HxError: HX403 if there is no single export, HX301 if the model has no sidecar, HX401 if a pattern matches
            nothing, HX409 if an input shape is none that the model takes, else as `hx_extractor.load`.
    """
    path = find_model(request.model)
    with output.working(f"Reading {path}"):
        sidecar, model = _open(path)
    roots = sorted({row for pattern in request.patterns for row in find_calls(sidecar, pattern)})
    rows = selected_rows(sidecar, roots)

    def wanted(node: Node) -> bool:
        return node.owner in rows and request.category in (None, category_of(node.op_type))

    nodes = [node for node in sidecar.nodes if wanted(node)]
    total, cost, costs = None, None, None
    if model is not None:
        with output.working("Counting what nodes compute"):
            from hx_projector import call_costs, total_cost

            cost = _cost(model, request.shapes)
            costs = call_costs(sidecar, cost, wanted)
            total = total_cost(sidecar, cost, nodes)
    categories = _category_entries(nodes, request.thresholds)
    tags = [sidecar.display_tag(row) for row in range(len(sidecar.calls))]
    shown = Counter(tags[node.owner] for node in nodes)
    covered = _share(sum(entry.covered for entry in categories), len(nodes))
    return AnalyzeReport(
        model=str(path),
        modules=list(request.patterns),
        category=request.category,
        nodes=len(nodes),
        exact_percent=_share(sum(entry.exact for entry in categories), len(nodes)),
        covered_percent=covered,
        unique_tags=len(shown),
        tags=[TagEntry(tag=tag, nodes=amount) for tag, amount in shown.most_common()],
        evidence=dict(Counter(f"{node.evidence}, {node.confidence}" for node in nodes).most_common()),
        categories=categories,
        cost=total,
        calls=call_entries(
            sidecar,
            nodes,
            costs,
            roots or [0],
            everything=bool(roots),
            depth=request.depth,
            sort=request.sort,
        ),
        node_list=_node_entries(sidecar, nodes, tags, cost) if request.detailed else None,
        fail_under=request.fail_under,
        passed=request.fail_under is None or covered >= request.fail_under,
    )


def _open(path: Path) -> tuple[Sidecar, Hierarchy | None]:
    beside = sidecar_path(path)
    if not path.exists() and beside.exists():
        return Sidecar.load(beside), None
    from hx_extractor import load

    model = load(path)
    return model.sidecar, model


def _cost(model: Hierarchy, shapes: Mapping[str, Sequence[int]]) -> ModelCost:
    from hx_projector import model_cost

    recorded = {
        info.name: info.example.shape for info in model.sidecar.model.inputs if info.example is not None
    }
    return model_cost(
        model.model, shapes, recorded, lambda names, inputs: sizes_in_a_run(model, names, inputs)
    )


def _category_entries(
    nodes: Sequence[Node],
    thresholds: Mapping[str, float],
) -> list[CategoryEntry]:
    """Count nodes by category."""
    critical = {category.name for category in CATEGORIES if category.critical}
    operators: dict[str, Counter[str]] = {}
    exact: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for node in nodes:
        kind = category_of(node.op_type)
        operators.setdefault(kind, Counter())[node.op_type] += 1
        exact[kind] += node.confidence == "high"
        known[kind] += node.known
    entries: list[CategoryEntry] = []
    for name in (*(category.name for category in CATEGORIES), UNCATEGORISED):
        if name not in operators:
            continue
        total = operators[name].total()
        percent, threshold = _share(known[name], total), thresholds.get(name)
        entries.append(
            CategoryEntry(
                name=name,
                total=total,
                covered=known[name],
                exact=exact[name],
                covered_percent=percent,
                exact_percent=_share(exact[name], total),
                threshold=threshold,
                critical=name in critical,
                below=threshold is not None and percent < threshold,
                operators=dict(operators[name].most_common()),
            )
        )
    return entries


def _share(part: int, whole: int) -> float:
    return round(100.0 * part / whole, 2) if whole else 100.0


def _node_entries(
    sidecar: Sidecar,
    nodes: Sequence[Node],
    tags: Sequence[str],
    cost: ModelCost | None,
) -> list[NodeEntry]:
    rows = {(row.graph, row.output): row for row in cost.nodes} if cost is not None else {}
    entries: list[NodeEntry] = []
    for node in nodes:
        call, found = sidecar.calls[node.owner], rows.get((node.graph, node.output))
        entries.append(
            NodeEntry(
                graph=node.graph,
                output=node.output,
                op_type=node.op_type,
                category=category_of(node.op_type),
                fqn=sidecar.module_of(call).fqn,
                call=call.index,
                tag=tags[node.owner],
                evidence=node.evidence,
                confidence=node.confidence,
                macs=found.arithmetic.macs if found is not None and not found.arithmetic.unknown else None,
                other=found.arithmetic.other
                if found is not None and not found.arithmetic.uncounted
                else None,
                activation_bytes=found.activation_bytes
                if found is not None and not found.unsized_values
                else None,
            )
        )
    return entries

"""From nodes with owners to the sidecar: statuses and ports of calls, consumers of nodes, counts."""

from collections.abc import Iterable, Mapping

import onnx_ir as ir

from hx_graph import CallTree, CutGraph, consumer_calls, dims_of, dtype_name, initializer_rows
from hx_projector._categories import summary_of
from hx_projector.attribution.owners import Attribution
from hx_projector.attribution.status import judge_calls
from hx_sidecar_schema import (
    Confidence,
    CutFrom,
    Example,
    ModelInfo,
    ModuleContext,
    Sidecar,
    TensorInfo,
    graph_digest,
    lean,
)

RANK: dict[Confidence, int] = {"low": 0, "medium": 1, "high": 2}

UNKNOWN: dict[str, object] = {"owner": 0, "evidence": "dataflow", "confidence": "low", "known": False, "covers": []}


def assemble(
    model: ir.Model,
    context: ModuleContext,
    attribution: Attribution,
    *,
    file: str,
    min_confidence: Confidence = "low",
    merger: str = "The exporter",
    cut_from: CutFrom | None = None,
) -> Sidecar:
    """Return the sidecar of a model whose nodes, all of them, have owners.

    Nodes that are known with less than `min_confidence` are left to the root, and are not known. Reasons of calls name
    `merger` as what merges nodes of several modules; `cut_from` is that of the sidecar before, where a part was changed.
    """
    tree, (owned, disagreements) = CallTree(context.calls), attribution
    graph = CutGraph(model.graph, {row.key: row.owner for row in owned.values()}, context.sizes)
    calls = judge_calls(context, graph, tree, merger)
    del graph
    rows = [
        row if RANK[row.confidence] >= RANK[min_confidence] else row.model_copy(update=UNKNOWN)
        for row in owned.values()
    ]
    consumers = consumer_calls(list(owned), [row.owner for row in rows], tree.end)
    return Sidecar(
        generator=context.generator,
        cut_from=cut_from,
        model=ModelInfo(
            file=file,
            opset_imports=dict(model.opset_imports),
            ir_version=model.ir_version,
            graph_digest=graph_digest(model),
            inputs=tensor_infos([v for v in model.graph.inputs if not v.is_initializer()], context.examples),
            outputs=tensor_infos(model.graph.outputs, context.examples),
        ),
        modules=context.modules,
        calls=calls,
        nodes=[
            row if row.consumers == readers else lean(row.model_copy(update={"consumers": readers}))
            for row, readers in zip(rows, consumers, strict=True)
        ],
        initializers=initializer_rows(model.graph, context.initializers, {row.key: row.owner for row in rows}),
        recovered=context.recovered,
        sizes=context.sizes,
        stored_names=context.stored_names,
        disagreements=disagreements,
        summary=summary_of(rows),
    )


def tensor_infos(values: Iterable[ir.Value], examples: Mapping[str, Example | None]) -> list[TensorInfo]:
    """Return the records of inputs or outputs of a model, with the examples that some have by name."""
    return [
        TensorInfo(name=name, dtype=dtype_name(value), shape=dims_of(value.shape), example=examples.get(name))
        for value in values
        for name in [value.name or ""]
    ]

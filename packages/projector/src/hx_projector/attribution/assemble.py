"""From nodes with owners to the sidecar: statuses and ports of calls, consumers of nodes, counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

from hx_graph import CallTree, CutGraph, consumer_calls, dims_of, dtype_name, initializer_rows
from hx_projector._categories import summary_of
from hx_projector.attribution.owners import OwnedNode
from hx_projector.attribution.status import judge_calls
from hx_sidecar_schema import (
    Confidence,
    Disagreement,
    Example,
    ModelInfo,
    ModuleContext,
    Node,
    Sidecar,
    TensorInfo,
    graph_digest,
)

RANK: dict[Confidence, int] = {"low": 0, "medium": 1, "high": 2}


def weakest(confidences: Iterable[Confidence]) -> Confidence:
    """Return the lowest of one or more confidences."""
    return min(confidences, key=lambda confidence: RANK[confidence])


def assemble(
    model: ir.Model,
    context: ModuleContext,
    owned: Sequence[OwnedNode],
    disagreements: Sequence[Disagreement] = (),
    *,
    file: str,
    min_confidence: Confidence = "low",
    merger: str = "The exporter",
) -> Sidecar:
    """Return the sidecar of a model whose nodes have owners.

    Args:
        model: Not changed.
        context: Modules, calls and their ports, weights.
        owned: All nodes of the model.
        disagreements: Of sources about owners.
        file: Name of the ONNX file.
        min_confidence: Nodes that are known with less confidence are left to the root, and are not known.
        merger: What merges nodes of several modules, as the reasons of calls name it.
    """
    tree = CallTree(context.calls)
    owners = {(row.graph, row.output): row.owner for row in owned}
    calls = judge_calls(context, CutGraph(model.graph, owners, context.sizes), tree, merger)
    owned = [
        row
        if RANK[row.confidence] >= RANK[min_confidence]
        else row._replace(owner=0, evidence="dataflow", confidence="low", known=False, spanned_calls=())
        for row in owned
    ]
    consumers = consumer_calls([row.node for row in owned], [row.owner for row in owned], tree.end)
    nodes = [
        Node(
            graph=row.graph,
            output=row.output,
            name=row.node.name or "",
            op_type=row.node.op_type,
            owner=row.owner,
            evidence=row.evidence,
            confidence=row.confidence,
            known=row.known,
            consumers=readers,
            originals=list(row.originals),
            covers=list(row.spanned_calls),
        )
        for row, readers in zip(owned, consumers, strict=True)
    ]
    return Sidecar(
        generator=context.generator,
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
        nodes=nodes,
        initializers=initializer_rows(
            model.graph, context.initializers, {row.output: row.owner for row in owned if not row.graph}
        ),
        recovered=context.recovered,
        sizes=context.sizes,
        disagreements=list(disagreements),
        summary=summary_of((row.node.op_type, row.known, row.confidence == "high") for row in owned),
    )


def tensor_infos(values: Iterable[ir.Value], examples: Mapping[str, Example | None]) -> list[TensorInfo]:
    """Return the records of inputs or outputs of a model, with the examples that some have by name."""
    return [
        TensorInfo(
            name=value.name or "",
            dtype=dtype_name(value),
            shape=dims_of(value.shape),
            example=examples.get(value.name or ""),
        )
        for value in values
    ]

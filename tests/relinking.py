"""Relinking judged by an eager run in PyTorch, of which it knows nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx_ir as ir
import torch
from transforming import TRANSFORMATIONS
from truth import array, quiet

import hx_projector
import hx_tracer
from hx_graph import CallTree, infer_types, read_model
from hx_projector.witness.run import match_values
from hx_sidecar_schema import STRATEGIES, Sidecar

LOSSY = {"float16": 1e-2, "static quantisation, 16 bit": 2e-3}
"""How far values may be from PyTorch's and still be the same, of their largest magnitude; else 1e-4.

With 8 bits they are so far apart that others are as near: there is nothing to judge by.
"""


class Relinked(NamedTuple):
    """What became of a model by one tool."""

    tool: str
    refused: str = ""
    """Why the tool itself failed."""
    nodes: int = 0
    owned: int = 0
    high: int = 0
    spanning: int = 0
    before: int = 0
    """Calls of the export that can be cut out."""
    extractable: int = 0
    judged: int = 0
    """Nodes whose result equals that of one call's operation, and of no other."""
    wrong: Sequence[str] = ()
    """Of these, nodes that are given to another call with high confidence."""


def relinked_by_every_tool(spec: str, tools: Sequence[str] = tuple(TRANSFORMATIONS)) -> Iterator[Relinked]:
    """Export a model, transform it by each tool, relink the result and judge it.

    Args:
        spec: Of the model.
        tools: Names of transformations.
    """
    torch.manual_seed(0)
    with quiet():
        loaded = hx_tracer.load_model(spec)
        inputs = hx_tracer.example_inputs(loaded.module, example=loaded.example)
        strategy = STRATEGIES["dynamo"].model_copy(update={"observer": "eager"})
        exported = hx_tracer.export(loaded.module, inputs.kwargs, args=inputs.args, strategy=strategy)
    feeds = {name: array(tensor) for name, tensor in exported.inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.onnx"
        ir.save(exported.program.model, source)
        original = read_model(source)
        sidecar = hx_projector.project(original, exported.context, file=source.name)
        for tool in tools:
            target = Path(folder) / f"{tool.replace(' ', '_')}.onnx"
            try:
                with quiet():
                    TRANSFORMATIONS[tool](source, target, feeds)
            except Exception as error:  # noqa: BLE001 - tools raise what they like; the row says it
                yield Relinked(tool, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}")
                continue
            made = read_model(target)
            infer_types(made)
            relinked = hx_projector.relink(made, original, sidecar, file=target.name)
            yield Relinked(
                tool=tool,
                nodes=relinked.summary.nodes,
                owned=sum(node.known for node in relinked.nodes),
                high=sum(node.confidence == "high" for node in relinked.nodes),
                spanning=sum(bool(node.covers) for node in relinked.nodes),
                before=sum(call.status == "extractable" for call in sidecar.calls),
                extractable=sum(call.status == "extractable" for call in relinked.calls),
                **_judge(made, exported, relinked, feeds, LOSSY.get(tool, 1e-4)),
            )


def _judge(
    made: ir.Model, exported: hx_tracer.Exported, relinked: Sidecar, feeds: dict[str, Any], tolerance: float
) -> dict[str, Any]:
    """Compare the owners of a transformed graph with the operations of an eager run whose results are equal."""
    seen = exported.context.observation
    assert seen is not None
    matches = match_values(made, seen, feeds, CallTree(exported.context.calls), tolerance=tolerance)
    constants = matches.graph.input_independent
    # A converter's copy of a constant is nobody's result.
    truth = {output: call for output, call in matches.certain().items() if output not in constants}
    nodes = {node.output: node for node in relinked.nodes if not node.graph}
    wrong: list[str] = []
    for output, call in truth.items():
        node = nodes[output]
        # The operation with this result, and those before it that have no value of their own in the graph.
        calls = {call, *matches.spanned_calls(output)}
        if node.confidence == "high" and not calls & {node.owner, *node.covers}:
            tags = [relinked.tag(relinked.calls[row]) for row in (node.owner, call)]
            wrong.append(f"{node.op_type} {output}: {tags[0]}, by its value {tags[1]}")
    return {"judged": len(truth), "wrong": wrong}

"""Relinking judged by an eager run in PyTorch, of which it knows nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transforming import TRANSFORMATIONS
from truth import quiet

import hx
from hx_graph import CallTree
from hx_projector.witness.matches import ValueMatches

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
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.onnx"
        exported = hx.export(spec, f=source, cross_check=True, verify=False)
        assert not any(node.evidence == "witness" for node in exported.sidecar.nodes)  # the judge has no say
        feeds = exported.example_inputs()
        for tool in tools:
            target = Path(folder) / f"{tool.replace(' ', '_')}.onnx"
            try:
                with quiet():
                    TRANSFORMATIONS[tool](source, target, feeds)
            except Exception as error:  # noqa: BLE001 - tools raise what they like; the row says it
                yield Relinked(tool, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}")
                continue
            hx.relink(target, exported)
            relinked = hx.load(target)
            nodes = relinked.sidecar.nodes
            yield Relinked(
                tool=tool,
                nodes=len(nodes),
                owned=sum(node.known for node in nodes),
                high=sum(node.confidence == "high" for node in nodes),
                spanning=sum(bool(node.covers) for node in nodes),
                before=sum(call.status == "extractable" for call in exported),
                extractable=sum(call.status == "extractable" for call in relinked),
                **_judge(relinked, exported, feeds, LOSSY.get(tool, 1e-4)),
            )


def _judge(relinked: hx.Hierarchy, exported: hx.Export, feeds: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """Compare the owners of a transformed graph with the operations of an eager run whose results are equal."""
    seen = exported.context.observation
    assert seen is not None
    tree = CallTree(exported.context.calls)
    matches = ValueMatches(relinked.model, seen, feeds, tree, tolerance=tolerance)
    data = matches.run.index.data
    # A converter's copy of a constant is nobody's result.
    truth = {output: call for output, call in matches.certain().items() if output in data}
    nodes = {node.output: node for node in relinked.sidecar.nodes if not node.graph}
    wrong: list[str] = []
    for output, call in truth.items():
        node = nodes[output]
        # The operation with this result, and those before it that have no value of their own in the graph.
        calls = {call, *matches.spanned_calls(output)}
        if node.confidence == "high" and not calls & {node.owner, *node.covers}:
            tags = [relinked.sidecar.tag(relinked.sidecar.calls[row]) for row in (node.owner, call)]
            wrong.append(f"{node.op_type} {output}: {tags[0]}, by its value {tags[1]}")
    return {"judged": len(truth), "wrong": wrong}

"""Weights of a graph: which calls read them, and other tensors in their place."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager

import onnx_ir as ir

from hx_graph._identity import output_of
from hx_graph._reads import reads
from hx_sidecar_schema import Initializer


def initializer_rows(graph: ir.Graph, known: Iterable[Initializer], owners: Mapping[str, int]) -> list[Initializer]:
    """Return a row for every initializer of a graph, with its size and the calls that read it.

    Args:
        graph: The main graph of a model.
        known: What is known of its initializers; a row is added for one that has none, and one of another name is
            returned as it is.
        owners: First output of each node of the graph to the row of its call.
    """
    rows = {row.name: row for row in known}
    rows |= {name: Initializer(name=name) for name in graph.initializers if name not in rows}
    readers: dict[str, set[int]] = {}
    for node in graph:
        for name in reads(node):
            if name in graph.initializers:
                readers.setdefault(name, set()).add(owners[output_of(node)])
    return [
        row.model_copy(update={"elements": _elements(value), "readers": sorted(readers.get(name, ()))})
        if (value := graph.initializers.get(name)) is not None
        else row
        for name, row in rows.items()
    ]


def _elements(value: ir.Value) -> int:
    return 0 if value.shape is None else math.prod(dim for dim in value.shape if isinstance(dim, int))


@contextmanager
def replaced_tensors(graph: ir.Graph, tensors: Mapping[str, ir.TensorProtocol]) -> Generator[None]:
    """Let initializers have other tensors for a while: a copy of the graph would take its nodes away.

    Args:
        graph: The graph; on exit its initializers have their tensors again.
        tensors: By the names of the initializers.
    """
    kept = {name: graph.initializers[name].const_value for name in tensors}
    try:
        for name, tensor in tensors.items():
            graph.initializers[name].const_value = tensor
        yield
    finally:
        for name, tensor in kept.items():
            graph.initializers[name].const_value = tensor

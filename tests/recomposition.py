"""A call put together again from the calls that it makes: each cut out, run, and joined by the values between them.

What runs is a list of extracted models over arrays; no graphs are merged. The parent's own nodes are cut out as any
call is: a piece that takes what is known so far and returns what the next one needs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from hx_extractor import Extraction, Hierarchy
from hx_sidecar_schema import HxError, Port

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Step:
    """One of the pieces."""

    piece: Extraction
    row: int | None = None
    """Of the call that it is; None for nodes of the parent's own."""


@dataclass(frozen=True)
class Recomposition:
    """A call of an exported model and the pieces that should compute the same."""

    whole: Extraction
    """The call in one piece."""
    steps: list[Step]
    """In the order of execution; each reads what those before it made."""

    @property
    def children(self) -> list[int]:
        """Rows of the calls among the pieces."""
        return [step.row for step in self.steps if step.row is not None]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the pieces one after the other.

        Args:
            feeds: An array for every input port of the call.

        Returns:
            Outputs by port name.
        """
        sizes: dict[str, int] = {}
        values: dict[str, Array] = {}
        for port in self.whole.inputs:
            values[port.carrier] = feeds[port.name]
            bind(port, feeds[port.name], sizes)
        for step in self.steps:
            piece = step.piece
            results = piece.run({port.name: carried(port, values, sizes) for port in piece.inputs})
            for port in piece.outputs:
                result = results[port.name]
                bind(port, result, sizes)
                assert_same_bits(values.setdefault(port.carrier, result), result)
        return {port.name: values[port.carrier] for port in self.whole.outputs}


def carried(port: Port, values: Mapping[str, Array], sizes: Mapping[str, int]) -> Array:
    """Return the array of a port; zeros where the graph knows its size alone."""
    if in_graph(port):
        return values[port.carrier]
    shape = [dim if isinstance(dim, int) else sizes[dim] for dim in port.shape]
    return np.zeros(shape, ir.DataType[port.dtype].numpy())


def in_graph(port: Port) -> bool:
    """Say whether a value carries the port."""
    return bool(port.value or port.initializer)


def bind(port: Port, array: Array, sizes: dict[str, int]) -> None:
    """Note the sizes that symbols stand for: equal symbols are equal sizes."""
    for dim, size in zip(port.shape, array.shape, strict=True):
        if dim not in ("?", "None"):
            assert size == (dim if isinstance(dim, int) else sizes.setdefault(dim, size)), (port, array.shape)


def assert_same_bits(expected: Array, actual: Array) -> None:
    """Compare arrays as bytes: NaN equals NaN, and 0.0 is not -0.0."""
    assert (expected.dtype, expected.shape) == (actual.dtype, actual.shape)
    if expected.tobytes() != actual.tobytes():
        np.testing.assert_array_equal(actual, expected)
        raise AssertionError("zeros or NaNs differ in their bits")


def recompose(model: Hierarchy, row: int) -> Recomposition:
    """Find the pieces of a call: the largest calls below it, and its own nodes between them.

    A call that can be no piece gives way to those below it, and what they leave are nodes of the parent: where it is
    not extractable, where the exporter removed a value that leads to it, and where nothing reads what it returns,
    because the exporter found that equal to a value inside it.
    """
    left_out: set[int] = set()
    while True:
        pieces = _pieces(model, row, left_out)
        unread = _unread(pieces)
        if not unread:
            return pieces
        left_out |= unread


def _pieces(model: Hierarchy, row: int, left_out: Collection[int]) -> Recomposition:
    whole = model.extract(row)
    known = {port.carrier: port for port in whole.inputs}
    values = _values(model) | {out for node in model.sidecar.recovered for out in node.outputs}
    end = model.sidecar.subtree_end
    steps: list[Step] = []
    at = row + 1
    while at < end[row]:
        call = model.sidecar.calls[at]
        # In the body of an If or Loop a call is part of a node, which is one of the parent's own.
        outside = all(port.carrier in values for port in call.outputs if not port.unused)
        added: list[Step] = []
        if call.status == "extractable" and outside and at not in left_out:
            piece = model.extract(at)
            needed = [port for port in piece.inputs if in_graph(port)]
            with suppress(HxError):
                added = [*_own_nodes(model, row, known, needed), Step(piece, at)]
        known.update((port.carrier, port) for step in added for port in step.piece.outputs)
        steps += added
        at = end[at] if added else at + 1
    return Recomposition(whole, [*steps, *_own_nodes(model, row, known, whole.outputs)])


def _unread(pieces: Recomposition) -> set[int]:
    """Return the calls among the pieces of which no result is read."""
    read = {port.carrier for port in pieces.whole.outputs}
    unread: set[int] = set()
    for step in reversed(pieces.steps):
        if step.row is not None and read.isdisjoint(port.carrier for port in step.piece.outputs):
            unread.add(step.row)
        else:
            read |= _reads(step.piece)
    return unread


def _reads(step: Extraction) -> set[str]:
    pairs = zip(step.inputs, step.model.graph.inputs, strict=True)
    return {port.carrier for port, value in pairs if value.uses() or value.is_graph_output()}


def _values(model: Hierarchy) -> set[str]:
    """Return the names of the values of the main graph, without those in bodies."""
    graph = model.model.graph
    made = (out for node in graph for out in node.outputs)
    return {value.name for value in (*graph.inputs, *graph.initializers.values(), *made) if value.name}


def _own_nodes(model: Hierarchy, row: int, known: Mapping[str, Port], needed: Sequence[Port]) -> list[Step]:
    """Return what computes values from known ones: the call at `row` with other ports. Nothing if all are known.

    Raises:
        HxError: HX201 if the exporter removed a value and none leads to it.
    """
    missing = {port.carrier: port for port in needed if port.carrier not in known}
    if not missing:
        return []
    sidecar = model.sidecar
    values = _values(model)
    call = sidecar.calls[row]
    # A value between two calls that the exporter removed is recovered, as it is for the calls.
    lost = {n for n, node in enumerate(sidecar.recovered) if not values.issuperset(filter(None, node.outputs))}
    own = call.model_copy(
        update={
            "inputs": [port.model_copy(update={"name": f"known.{n}"}) for n, port in enumerate(known.values())],
            "outputs": [port.model_copy(update={"name": f"own.{n}"}) for n, port in enumerate(missing.values())],
            "recovered": sorted({*call.recovered, *lost}),
        }
    )
    calls = [own if index == row else other for index, other in enumerate(sidecar.calls)]
    changed = sidecar.model_copy(update={"calls": calls})
    return [Step(Hierarchy(model.path, changed, model.model).extract(row))]

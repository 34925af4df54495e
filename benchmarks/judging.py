"""What is right about an attribution, by two records of a graph's nodes that do not know of each other.

The exporter's own record says which call ran each operation. The witness says it where a value of the graph equals
the result of one call of an eager run, and no other.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import NamedTuple

import onnx_ir as ir

import hx
from hx_graph import CallTree, output_of, reads
from hx_projector.witness.matches import ValueMatches
from hx_sidecar_schema import ModuleContext, Node, Sidecar

CallKey = tuple[str, int]
"""Fqn and index of a call."""


class Record(NamedTuple):
    """Owners of nodes of the main graph, by their first outputs."""

    name: str
    owners: dict[str, CallKey]
    shared: set[str]
    """Nodes made of constants and sizes alone that, as the exporter has it, no node of their own call reads."""


class Offence(NamedTuple):
    """A node whose owner is another one than a record has."""

    node: str
    op_type: str
    evidence: str
    confidence: str
    owner: str
    """Tag, as the sidecar has it."""
    truth: str
    """Tag, as the record has it."""
    record: str
    nested: bool
    """Whether one of the two calls lies in the other."""
    shared: bool
    """As in the record."""


class Judged(NamedTuple):
    """How the owners of nodes compare with one record."""

    known: int
    """Nodes that the record knows."""
    right: int
    """Of these, with the same owner, however surely."""
    sure: int
    """Of the known ones, with high confidence."""
    wrong: list[Offence]
    """Of the sure ones, with another owner."""
    contaminated: list[Offence]
    """Of the known ones, with an owner in a sibling layer, or in another run of the same module."""


def records_of(exported: hx.Export) -> tuple[Record, Record]:
    """Return the exporter's own record, of a merged node the calls' common one, and the witness's.

    Args:
        exported: With the observation of an eager run.

    Raises:
        HxError: HX121 if ONNX Runtime cannot run the model.
    """
    model, context = exported.model, exported.context
    seen = context.observation
    assert seen is not None
    tree = CallTree(context.calls)
    matches = ValueMatches(model, seen, exported.example_inputs(), tree)
    written = {output: tree.common(rows) for output, rows in context.origins.items() if rows}
    shared = _shared(model, matches.run.index.data, written, tree)
    return (
        Record("exporter", {output: _key(context, row) for output, row in written.items()}, shared),
        Record("witness", {output: _key(context, row) for output, row in matches.certain().items()}, shared),
    )


def _shared(model: ir.Model, data: Container[str], written: Mapping[str, int], tree: CallTree) -> set[str]:
    found: set[str] = set()
    readers: dict[str, list[str]] = {}
    for node in reversed(model.graph):
        key = output_of(node)
        for name in reads(node):
            readers.setdefault(name, []).append(key)
        if key not in data and key in written:
            elsewhere = [
                reader in found or (reader in written and not tree.contains(written[key], written[reader]))
                for reader in readers.get(key, ())
            ]
            if elsewhere and all(elsewhere):
                found.add(key)
    return found


def judge(sidecar: Sidecar, record: Record, new: Mapping[str, str]) -> Judged:
    """Compare the owners of the main graph's nodes with a record.

    Args:
        sidecar: Whose owners are judged.
        record: With what.
        new: The sidecar's names of values by those that the record has; others are the same.
    """
    rows = {_key(sidecar, row): row for row in range(len(sidecar.calls))}
    nodes = {node.output: node for node in sidecar.nodes if not node.graph}
    pairs = [(name, nodes.get(new.get(name, name)), rows.get(key)) for name, key in record.owners.items()]
    known = [(name, node, row) for name, node, row in pairs if node is not None and row is not None]
    differing = [(name, node, row) for name, node, row in known if node.owner != row]

    def offence(name: str, node: Node, row: int) -> Offence:
        tags = [sidecar.tag(sidecar.calls[call]) for call in (node.owner, row)]
        nested = node.owner in _path(sidecar, row) or row in _path(sidecar, node.owner)
        return Offence(
            name,
            node.op_type,
            node.evidence,
            node.confidence,
            *tags,
            record=record.name,
            nested=nested,
            shared=name in record.shared,
        )

    return Judged(
        known=len(known),
        right=len(known) - len(differing),
        sure=sum(node.confidence == "high" for _, node, _ in known),
        wrong=[offence(*entry) for entry in differing if entry[1].confidence == "high"],
        contaminated=[offence(*entry) for entry in differing if is_sibling(sidecar, entry[1].owner, entry[2])],
    )


def is_sibling(sidecar: Sidecar, one: int, other: int) -> bool:
    """Say whether two calls lie in different layers of one list, or in different runs of one module.

    Names that are numbers are those of children of a ModuleList or Sequential.
    """
    for first, second in zip(_path(sidecar, one), _path(sidecar, other), strict=False):
        if first == second:
            continue
        calls = sidecar.calls[first], sidecar.calls[second]
        if calls[0].module == calls[1].module:
            return True
        names = [sidecar.module_of(call).fqn.split(".") for call in calls]
        parts = next((pair for pair in zip(*names, strict=False) if pair[0] != pair[1]), ("", ""))
        return parts[0].isdigit() and parts[1].isdigit()
    return False


def asides(model: ir.Model) -> set[str]:
    """Return the nodes of the main graph that make literals, sizes, and what depends on no input of the model.

    Sizes are known by their type: integers in at most one dimension.
    """
    variable = set(model.graph.inputs)
    found: set[str] = set()
    for node in model.graph:
        made = node.outputs[0]
        size = made.dtype == ir.DataType.INT64 and made.shape is not None and len(made.shape) < 2
        if any(value in variable for value in node.inputs):
            variable.update(node.outputs)
        if size or made not in variable:
            found.add(output_of(node))
    return found


def _key(record: ModuleContext | Sidecar, row: int) -> CallKey:
    call = record.calls[row]
    return record.modules[call.module].fqn, call.index


def _path(sidecar: Sidecar, row: int) -> list[int]:
    rows: list[int] = []
    current: int | None = row
    while current is not None:
        rows.insert(0, current)
        current = sidecar.calls[current].parent
    return rows

"""A number of nodes and calls that a viewer shows: time, error, cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hx_sidecar_schema import Sidecar


@dataclass(frozen=True)
class Column:
    """A number of nodes and calls, by their rows in the sidecar. What has no number has no entry; zero is a number.

    Of a number that `adds_up`, `total` of a call is the sum of `own` over the call and all calls below it, and `own` the sum of
    `nodes` over the call's own nodes and of `elsewhere`. Others, as errors, are of calls alone, in `total`.
    """

    name: str
    """What tells it from others and names files: `time`, `error_local`."""
    title: str
    """What people read, with the unit."""
    unit: str
    """`us`, `bytes`; empty where the number has none."""
    adds_up: bool = True
    of_outputs: bool = False
    """A call's number is of its outputs, as an error is: who shows nodes alone shows it at the node that makes them."""
    nodes: Mapping[int, float] = field(default_factory=dict[int, float])
    own: Mapping[int, float] = field(default_factory=dict[int, float])
    total: Mapping[int, float] = field(default_factory=dict[int, float])
    remarks: Mapping[int, str] = field(default_factory=dict[int, str])
    """What is said of a call beside its number: `wrong`, or why it is infinite."""
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences."""

    @classmethod
    def of_nodes(
        cls,
        sidecar: Sidecar,
        name: str,
        title: str,
        unit: str,
        nodes: Mapping[int, float],
        *,
        notes: tuple[str, ...] = (),
    ) -> Column:
        """Return a column that adds up, of numbers of nodes alone."""
        own: dict[int, float] = {}
        for row, number in nodes.items():
            owner = sidecar.nodes[row].owner
            own[owner] = own.get(owner, 0) + number
        total = dict(own)
        for row in range(len(sidecar.calls) - 1, 0, -1):  # a parent stands before its children
            parent = sidecar.calls[row].parent
            if parent is not None and row in total:
                total[parent] = total.get(parent, 0) + total[row]
        return cls(name, title, unit, nodes=nodes, own=own, total=total, notes=notes)

    def elsewhere(self, sidecar: Sidecar) -> dict[int, float]:
        """Return for each call the part of its `own` that is of none of the model's nodes, where there is any.

        Such is the time of what ONNX Runtime made of several nodes.
        """
        left = dict(self.own)
        for row, number in self.nodes.items():
            owner = sidecar.nodes[row].owner
            if owner in left:
                left[owner] -= number
        return {row: number for row, number in left.items() if number}

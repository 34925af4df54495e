"""A number of nodes and calls that a viewer shows: time, error, cost."""

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
    nodes: Mapping[int, float] = field(default_factory=dict[int, float])
    own: Mapping[int, float] = field(default_factory=dict[int, float])
    total: Mapping[int, float] = field(default_factory=dict[int, float])
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences."""

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

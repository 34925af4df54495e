"""Which function each node of a graph goes to: that of the innermost call that ran it and is to be a function.

Two things are in the way. Optimisers merge nodes of several calls: what one of them owns, others read, though it is no output
of that module. And a function is one node: what it reads must not depend on what it gives.
"""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import onnx_ir as ir

from hx_graph import operands
from hx_sidecar_schema import Sidecar


class Regions:
    """Nodes of one graph by the call whose function they go to.

    Args:
        owners: All nodes of the graph, in topological order, with the rows of the calls that ran them.
        outputs: The outputs of the graph.
        sidecar: Of the model.
        rows: Calls that are to be functions.
        base: The call that the graph is of: its nodes stay.
    """

    def __init__(
        self,
        owners: Mapping[ir.Node, int],
        outputs: Iterable[ir.Value],
        sidecar: Sidecar,
        rows: Iterable[int],
        base: int,
    ) -> None:
        """Place the nodes."""
        self._sidecar, self._base = sidecar, base
        end = sidecar.subtree_end[base]
        self._functions = {row for row in rows if base < row < end}
        self._nodes = nodes = list(owners)
        self._reads = {node: [value for value in operands(node) if value is not None] for node in nodes}
        self._outputs = set(outputs)
        self._readers: dict[ir.Value, list[ir.Node]] = {}
        for node, values in self._reads.items():
            for value in values:
                self._readers.setdefault(value, []).append(node)
        self.torn: list[int] = []
        """Calls that cannot be functions: what they read depends on what they give."""
        self._owners = {node: owner if base <= owner < end else base for node, owner in owners.items()}
        self._place()

    def _place(self) -> None:
        self.place = {node: self.function_of(self._owners[node]) for node in self._nodes}
        """The call whose function each node goes to; `base` for what stays."""
        self._move_merged_nodes()
        while (torn := self._torn()) is not None:
            self.torn.append(torn)
            self._functions.discard(torn)
            around = self.function_of(torn)
            self.place.update({node: around for node, row in self.place.items() if row == torn})

    def function_of(self, row: int | None) -> int:
        """Return the innermost call around a row, or itself, that is to be a function; `base` where none is."""
        while row is not None and row not in self._functions:
            row = self._sidecar.calls[row].parent
        return self._base if row is None else row

    def around(self, row: int) -> int:
        """Return the call whose function calls that of a row."""
        return self.function_of(self._sidecar.calls[row].parent)

    def _inside(self, node: ir.Node | None, row: int) -> bool:
        return node in self.place and row <= self.place[node] < self._sidecar.subtree_end[row]

    def _move_merged_nodes(self) -> None:
        """Move nodes out of calls that are read outside and are nothing that a module hands over: sizes, masks, positions.

        The nodes that they are computed of move too, or, where they are computed of what the call gives, stay.
        """
        calls = self._sidecar.calls
        ports = {port.carrier for call in calls for port in (*call.inputs, *call.outputs) if not port.implicit}
        for node in reversed(self._nodes):
            here = self.place[node]
            read = [out for out in node.outputs if out in self._readers or out in self._outputs]
            if here == self._base or any(out.name in ports or out in self._outputs for out in read):
                continue
            left = here
            readers = [reader for out in read for reader in self._readers[out]]
            if all(self._inside(reader, here) for reader in readers):
                continue
            while (around := self.around(left)) != self._base and not all(
                self._inside(reader, around) for reader in readers
            ):
                left = around
            for moved in self._movable(node, left):
                self.place[moved] = around

    def _movable(self, node: ir.Node, row: int) -> Iterable[ir.Node]:
        """Return a node with those inside the call that it is computed of; none where they are the call's own work."""
        given = {port.carrier for port in self._sidecar.calls[row].outputs}
        parameters = {weight.name for weight in self._sidecar.initializers if weight.parameter is not None}
        found = {node: None}
        pending, of_outputs, of_parameters = [node], False, False
        while pending:
            for value in self._reads[pending.pop()]:
                maker = value.producer()
                of_parameters |= maker is None and value.name in parameters
                if maker is None or not self._inside(maker, row):
                    continue
                if value.name in given:
                    of_outputs = True
                elif maker not in found:
                    found[maker] = None
                    pending.append(maker)
        read_inside = (
            reader
            for one in found
            for out in one.outputs
            for reader in self._readers.get(out, ())
            if reader not in found
        )
        stays = any(self._inside(reader, row) for reader in read_inside) if of_outputs else of_parameters
        return () if stays else found

    def _torn(self) -> int | None:
        """Return a call that cannot be one node; None where all can."""
        pending: list[tuple[int, Sequence[ir.Node]]] = [(self._base, self._nodes)]
        while pending:
            around, nodes = pending.pop()
            parts = {node: self._part(node, around) for node in nodes}
            before: dict[ir.Node | int, set[ir.Node | int]] = {}
            inside: dict[int, list[ir.Node]] = {}
            for node, part in parts.items():
                makers = (parts.get(maker) for value in self._reads[node] if (maker := value.producer()) is not None)
                before.setdefault(part, set()).update(maker for maker in makers if maker not in (None, part))
                if isinstance(part, int):
                    inside.setdefault(part, []).append(node)
            try:
                TopologicalSorter(before).prepare()
            except CycleError as error:
                circle = {part for part in error.args[1] if isinstance(part, int)}
                alone = {part for part in circle if self._reads_itself(part, parts)}
                return min(alone or circle, key=lambda row: (len(inside[row]), row))
            pending += inside.items()
        return None

    def _reads_itself(self, row: int, parts: Mapping[ir.Node, ir.Node | int]) -> bool:
        """Say whether nodes of a call read what others compute of its results."""
        behind: set[ir.Node] = set()
        for node in self._nodes:
            makers = [maker for value in self._reads[node] if (maker := value.producer()) is not None]
            inside = parts.get(node) == row
            if inside and not behind.isdisjoint(makers):
                return True
            if not inside and any(maker in behind or parts.get(maker) == row for maker in makers):
                behind.add(node)
        return False

    def _part(self, node: ir.Node, around: int) -> ir.Node | int:
        """Return the function that a node goes to, directly below a call; the node itself where it goes to none."""
        part: ir.Node | int = node
        row = self.place[node]
        while row != around:
            part, row = row, self.around(row)
        return part

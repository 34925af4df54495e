"""Whether nodes stand where their owners ran: nothing is read before it is made, and what a call computes is its own."""

from collections.abc import Iterator, Sequence

from hx_projector._graph_index import grouped, reachable
from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import CallCut, ModelAndSidecar
from hx_sidecar_schema import Node, node_name


def places(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that owners fit the order in which calls ran, and what their ports enclose (V47).

    Only data counts: sizes and constants are made once for all who need them. Nor does what was carried over from another
    graph, where one node stands for many, or what nothing is known of. In which order calls ran is known where PyTorch ran them.
    """
    if not pair.sidecar.calls or pair.sidecar.calls[0].constants is None:
        return
    graph = _Places(pair)
    for value, later in graph.made_too_early():
        yield from graph.problem(value, f"it is made of what {pair.call_name(later)!r} computes, which began later.")
    for found in pair.cuts:
        if found.row:
            name = pair.call_name(found.row)
            for value in graph.enclosed(found):
                yield from graph.problem(value, f"it lies between the ports of {name!r}, and nobody else reads it.")
            for value in graph.behind(found):
                yield from graph.problem(value, f"it is made of what {name!r} hands out, which ended before.")


class _Places:
    def __init__(self, pair: ModelAndSidecar) -> None:
        self._pair, self._tree, self._data = pair, pair.tree, pair.data
        self._owner, self._reads = pair.cut_graph.owners, pair.cut_graph.reads
        rows = {row.key: row for row in pair.sidecar.nodes}
        made = ((out.name, rows[key]) for key, node in pair.nodes for out in node.outputs)
        self._rows = {name: row for name, row in made if name in self._owner}
        self._readers = grouped((name, reader) for reader, names in self._reads.items() for name in names)
        makers = {str(value.name): value.producer() for value in pair.model.graph.outputs}
        copies = [name for name, node in makers.items() if node is not None and node.op_type == "Identity"]
        self._copies = {name for name in copies if not makers.keys().isdisjoint(self._reads.get(name, ()))}
        """What the model hands out a second time, of which exporters (torch 2.13) may make what the result was a copy of."""

    def problem(self, value: str, text: str) -> Iterator[Problem]:
        """Yield what is wrong with the owner of a node, where it is known."""
        row: Node = self._rows[value]
        if row.known and row.confidence != "low" and row.evidence != "lineage":
            yield "V47", node_name(*row.key), f"{self._pair.call_name(row.owner)!r} owns it; {text}"

    def made_too_early(self) -> Iterator[tuple[str, int]]:
        """Yield what a call owns that is made of what another one computes, which began when that had ended."""
        latest: dict[str, int] = {}
        for value, names in self._reads.items():
            if value not in self._data:
                continue
            owner = self._owner[value]
            before = max((latest.get(name, 0) for name in names), default=0)
            if before >= self._tree.end[owner] and not self._stands_for_several(owner):
                yield value, before
                before = owner
            latest[value] = max(owner, before)

    def _stands_for_several(self, row: int | None) -> bool:
        """Say whether a call, or one around it, stands for several runs that a file does not tell apart."""
        return any(self._pair.sidecar.calls[around].status == "fused" for around in self._tree.leaving(row, None))

    def enclosed(self, found: CallCut) -> Iterator[str]:
        """Yield what a call computes of its arguments for itself alone, and a call outside it owns.

        What is made of arguments alone, the module may have read through a closure, beside these arguments; not what is
        made of its own results.
        """
        others = {value for value in found.taken if not self._is_inside(found, value)}
        if found.recovered or others.isdisjoint(self._data):
            return

        def is_shared(value: str) -> bool:
            readers = self._readers.get(value, ())
            return any(reader not in others and not self._is_inside(found, reader) for reader in readers)

        shared = set(
            reachable(filter(is_shared, others), lambda value: others.intersection(self._reads.get(value, ())))
        )
        taken, reads_arguments = set(found.taken), found.arguments <= found.read
        for value in found.taken:
            if value in others - shared and value in self._data and value not in found.outputs:
                data = (name for name in self._reads[value] if name in self._data and name in taken)
                own = any(self._is_inside(found, name) for name in data)
                if own or not (reads_arguments or self._tree.contains(self._owner[value], found.row)):
                    yield value

    def behind(self, found: CallCut) -> Iterator[str]:
        """Yield what a call owns and makes of its own outputs, and none of its outputs derives from.

        Between them may lie what the call around it owns.
        """
        taken, around = set(found.taken), self._tree.parent[found.row]

        def later(value: str) -> Sequence[str]:
            readers = (
                reader for reader in self._readers.get(value, ()) if reader in self._data and reader not in taken
            )
            return [reader for reader in readers if self._owner[reader] == around or self._is_inside(found, reader)]

        for value in reachable(found.outputs, later):
            own = self._is_inside(found, value) and value not in self._copies
            if own and value in self._data and value not in taken:
                yield value

    def _is_inside(self, found: CallCut, value: str) -> bool:
        return self._tree.contains(found.row, self._owner.get(value, -1))

"""Who reads what a call returns: where the exporter removed or merged an output, its readers read something else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

import onnx_ir as ir

from hx_extractor import Extraction, Source, recovered_sources
from hx_graph import is_size_query, nested_graphs
from hx_sidecar_schema import HxError, Node, Port, Sidecar
from hx_surgery.replacing.graft import Graft, derived, led_to, read_values

_NEUTRAL = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}
"""The second operand with which an operator returns its first."""


class Readers:
    """Readers of one call's outputs.

    Args:
        call: The call at a row of the sidecar.
        sidecar: Of the model as it is now.
        row: Of the call.
        values: Of the model, by name.
        owned: Rows of the model's nodes.
    """

    def __init__(
        self,
        call: Extraction,
        sidecar: Sidecar,
        row: int,
        values: Mapping[str, ir.Value],
        owned: Mapping[ir.Node, Node],
    ) -> None:
        """Know nothing yet."""
        self._call, self._sidecar, self._row, self._values, self._owned = call, sidecar, row, values, owned
        self._end = sidecar.subtree_end[row]

    def is_ours(self, node: ir.Node | None) -> bool:
        """Say whether a node belongs to the call."""
        return node is not None and node in self._owned and self._row <= self._owned[node].owner < self._end

    def refused(self, reason: str) -> HxError:
        """Return the error for a call that cannot be replaced."""
        message = f"Call {self._call.tag!r} cannot be replaced: {reason}."
        return HxError(message, code="HX222", hint="Replace the module around it.")

    def are_none(self, port: Port) -> bool:
        """Say whether nobody reads an output that is an argument or a constant: all who read that run before the call ends."""
        value, carrier = self._values.get(port.carrier), port.carrier
        if value is None or value.is_graph_output() or self.is_ours(value.producer()):
            return False
        if value.producer() is not None and carrier not in {given.carrier for given in self._call.inputs}:
            return False
        calls = self._sidecar.calls
        over = {each for row, call in enumerate(calls) if self._is_over(row) for each in call.recovered}
        for row, call in enumerate(calls):
            ports = () if row < self._end else (given.carrier for given in call.inputs if not given.unused)
            reads = (
                name for each in call.recovered if each not in over for name in self._sidecar.recovered[each].inputs
            )
            if not self._is_over(row) and carrier in {*ports, *reads}:
                return False
        uses = (node for node, _ in value.uses() if node in self._owned and not is_size_query(node))
        return all(self._is_over(self._owned[node].owner) or node in self._before for node in uses)

    def _is_over(self, row: int) -> bool:
        """Say whether the call at a row has ended when this one ends."""
        return row < self._row >= self._sidecar.subtree_end[row] or self._row <= row < self._end

    @cached_property
    def _before(self) -> set[ir.Node]:
        """Nodes whose results the call reads."""
        found = {node for node in self._owned if self.is_ours(node)}
        pending = [*found]
        while pending:
            made = (value.producer() for value in read_values(pending.pop()))
            pending += {node for node in made if node is not None} - found
            found.update(pending)
        return found

    def check(self, ports: Sequence[Port], alike: Collection[int]) -> None:
        """Refuse outputs of which it is not known who reads them; `alike` are rows of calls that get the same part.

        Raises:
            HxError: HX222 if an output is an argument or a constant, or another call's output too.
        """
        given = {port.carrier for port in self._call.inputs}
        carriers = {port.carrier: port.name for port in ports}
        for carrier, name in carriers.items():
            value = self._values.get(carrier)
            if carrier in given:
                raise self.refused(f"its output {name!r} is an argument, unchanged, which others read too")
            if value is not None and value.producer() is None:
                raise self.refused(f"its output {name!r} is a constant in the graph, which others may read too")
        ends = self._sidecar.subtree_end
        for row, other in enumerate(self._sidecar.calls):
            if row <= self._row < ends[row] or self._row <= row < self._end or row in alike:
                continue
            # What a call returns as it got it may be this one's.
            own = {port.carrier for port in other.outputs} - {port.carrier for port in other.inputs}
            if common := next(iter(own & carriers.keys()), None):
                tag = self._sidecar.tag(other)
                raise self.refused(f"its output {carriers[common]!r} is that of call {tag!r} too")
        for other in self._call.call.merged:
            if not any(row <= other < ends[row] for row in alike):
                tag = self._sidecar.tag(self._sidecar.calls[other])
                raise self.refused(
                    f"call {tag!r} computes the same as one of its outputs, the exporter merged the two, and who reads which is not known"
                )
        self._check_merged(carriers, alike)

    def _check_merged(self, carriers: Iterable[str], alike: Collection[int]) -> None:
        """Refuse outputs that another call computes with and did not get: it computed the same, and the exporter merged the two.

        Raises:
            HxError: HX222 if so.
        """
        starts = {name: value for name in carriers if (value := self._values.get(self.standing_in(name))) is not None}
        after = {str(value.name) for value in led_to(starts.values(), self._around)} | {*carriers}
        sources = recovered_sources(self._sidecar.recovered, self._values, {})
        after |= derived(sources, after)
        ends = self._sidecar.subtree_end
        for row, other in enumerate(self._sidecar.calls):
            holds = any(row <= each < ends[row] for each in (self._row, *alike))
            if holds or self._row <= row < self._end or other.status != "extractable":
                continue
            given = {port.carrier for port in other.inputs if not port.unused}
            is_known = given.isdisjoint(after) and all(name in self._values or name in sources for name in given)
            if is_known and not after.isdisjoint(port.carrier for port in other.outputs):
                tag = self._sidecar.tag(other)
                raise self.refused(
                    f"in the graph call {tag!r} computes with its output and did not get it: they were merged"
                )

    def standing_in(self, carrier: str) -> str:
        """Return the value of the graph that an output is, behind operations without effect that the exporter removed."""
        name = carrier
        while name not in self._values and (source := self._recovered.get(name)) is not None:
            before = self._handed_on(source)
            if before is None:
                return carrier
            name = before
        value = self._values.get(name)
        return name if value is not None and self.is_ours(value.producer()) else carrier

    def _handed_on(self, source: Source) -> str | None:
        """Return the value that a recovered node returns as it is; None if there is none."""
        node, reads = source.node, source.reads
        if node.domain or not reads:
            return None
        first, *others = (self._values.get(read) for read in reads)
        neutral = _NEUTRAL.get(node.op_type)
        if node.op_type == "Cast":
            is_copy = first is not None and first.dtype == node.attributes["to"].as_int()
        elif node.op_type == "CastLike":
            is_copy = first is not None and others[0] is not None and first.dtype == others[0].dtype
        elif neutral is not None:
            number = self._scalar(reads[1])
            is_copy = number is not None and number == neutral
        else:
            is_copy = node.op_type == "Identity"
        return reads[0] if is_copy else None

    def _scalar(self, name: str) -> float | None:
        """Return the number that a value always is; None for others."""
        value = self._values.get(name)
        tensor = value.const_value if value is not None else None
        if value is None and (source := self._recovered.get(name)) is not None:
            attribute = source.node.attributes.get("value") if source.node.op_type == "Constant" else None
            tensor = attribute.as_tensor() if attribute is not None else None
        return float(tensor.numpy()) if tensor is not None and not tensor.shape.rank() else None

    def behind_recovered(self, graft: Graft, made: Mapping[str, ir.Value]) -> list[tuple[ir.Node, int, ir.Value]]:
        """Return who reads what the exporter made of an output, in calls that take it, with what to read instead.

        Args:
            graft: Gets the nodes that make it of the new output.
            made: The new outputs, by the value that carried the old one.

        Raises:
            HxError: HX222 if an output is in the graph no more, others computed with it, and none of them is found.
        """
        found: list[tuple[ir.Node, int, ir.Value]] = []
        done: set[tuple[ir.Node, int]] = set()
        everything = recovered_sources(self._sidecar.recovered, self._values, {})
        between = derived(everything, made) - self._values.keys()
        for row, other in enumerate(self._sidecar.calls):
            taken = {port.carrier for port in other.inputs if not port.unused} & (made.keys() | between)
            if not taken or not other.recovered or self._row <= row < self._end:
                continue
            sources = recovered_sources((self._sidecar.recovered[n] for n in other.recovered), self._values, {})
            here = {name: made.get(name) or graft.recover(name, everything, self._values, made) for name in taken}
            given = {name: value for name, value in here.items() if value is not None}
            inside = range(row, self._sidecar.subtree_end[row])
            for name in sorted(derived(sources, given) & self._values.keys()):
                uses = [
                    use
                    for use in self._values[name].uses()
                    if use not in done and use.node in self._owned and self._owned[use.node].owner in inside
                ]
                value = graft.recover(name, sources, self._values, given) if uses else None
                if value is not None:
                    done.update(uses)
                    found += [(node, index, value) for node, index in uses]
        lost = [name for name in made if name not in self._values and self.standing_in(name) == name]
        others = {name: source for name, source in everything.items() if name not in self._recovered}
        if not found and (name := next((name for name in lost if derived(others, {name})), None)):
            raise self.refused(f"its output {name!r} is in the graph no more, and who reads it is not known")
        return found

    def check_reached(self, made: Iterable[str]) -> None:
        """Refuse where others still read what led to an output that the exporter had removed.

        Raises:
            HxError: HX222 if so.
        """
        given = {port.carrier for port in self._call.inputs}
        pending = [name for name in made if name not in self._values and self.standing_in(name) == name]
        seen: set[str] = set()
        while pending:
            for name in self._recovered[pending.pop()].reads:
                if name in seen:
                    continue
                seen.add(name)
                value = self._values.get(name)
                if value is None and name in self._recovered:
                    pending.append(name)
                elif name in given:
                    raise self.refused(f"its output leads straight to its argument {name!r}, which others read too")
                elif value is not None and self.is_ours(value.producer()) and self._is_read_by_others(value):
                    raise self.refused(f"an output is in the graph no more, and others read {name!r}, which led to it")

    def computing_too(self, replaced: Mapping[str, ir.Value]) -> set[ir.Node]:
        """Return those of the call's nodes that other calls need computed of the new outputs: they got these, and computed the same.

        All else that the call makes of its outputs it makes of what they were.

        Args:
            replaced: The old outputs that get new ones, by their carriers.

        Raises:
            HxError: HX222 if others read what the call makes of an output, and it is not known to be theirs too.
        """
        made_of: dict[ir.Value, set[str]] = {}
        for carrier, was in replaced.items():
            for value in self._own_results(was):
                made_of.setdefault(value, set()).add(carrier)
        outputs = {self.standing_in(port.carrier) for port in self._call.outputs}
        side = {value for value in made_of if value.name not in outputs and self._is_read_by_others(value)}
        for value in side:
            readers = (node for node, _ in value.uses() if not self.is_ours(node))
            if value.is_graph_output() or not all(self._got(node, made_of[value]) for node in readers):
                raise self.refused(f"others read {value.name!r}, which it makes of an output and which is none itself")
        found = _makers(side, made_of)
        unchanged = {value for value in made_of if value.name in outputs and value not in {*replaced.values()}}
        if not found.isdisjoint(_makers(unchanged, made_of)):
            raise self.refused("others compute with an output as it does for another one, and they were merged")
        return found

    def _own_results(self, value: ir.Value) -> dict[ir.Value, None]:
        """Return what the call computes with a value."""
        pending, found = [value], dict[ir.Value, None]()
        while pending:
            for node in (node for node, _ in pending.pop().uses() if not is_size_query(node)):
                around = self._around.get(node.graph) if isinstance(node.graph, ir.Graph) else None
                results = [out for each in (node, around) if each and self.is_ours(each) for out in each.outputs]
                pending += [out for out in results if out not in found]
                found |= dict.fromkeys(results)
        return found

    def _got(self, node: ir.Node, carriers: Collection[str]) -> bool:
        """Say whether a node belongs to another call that got some values."""
        row = self._owned[node].owner if node in self._owned else None
        while row is not None and not row <= self._row < self._sidecar.subtree_end[row]:
            call = self._sidecar.calls[row]
            if {port.carrier for port in call.inputs if not port.unused}.issuperset(carriers):
                return True
            row = call.parent
        return False

    @cached_property
    def _around(self) -> dict[ir.Graph, ir.Node]:
        return {body: node for node in self._owned if node.attributes for _, body in nested_graphs(node)}

    @cached_property
    def _recovered(self) -> dict[str, Source]:
        rows = self._call.call.recovered
        return recovered_sources((self._sidecar.recovered[row] for row in rows), self._values, {})

    def _is_read_by_others(self, value: ir.Value) -> bool:
        readers = (node for node, _ in value.uses() if node in self._owned)
        return value.is_graph_output() or not all(map(self.is_ours, readers))


def _makers(values: Iterable[ir.Value], among: Collection[ir.Value]) -> set[ir.Node]:
    """Return the nodes that make values, of other values or of some."""
    pending, found = [*values], set[ir.Node]()
    while pending:
        node = pending.pop().producer()
        if node is not None and node not in found:
            found.add(node)
            pending += [value for value in read_values(node) if value in among]
    return found

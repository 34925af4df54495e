"""Whether ports stand where a call begins and ends, and parameters with the modules that read them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from hx_graph import nested_graphs, reads
from hx_projector._graph_index import grouped, reachable
from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import CallCut, ModelAndSidecar, listed
from hx_sidecar_schema import ModuleCall


def borders(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that extractable calls make their outputs, nobody in them their inputs, and that these are all they take (V39, V45).

    And that what calls hand out that are `folded` or `unused` is made of no input, or not in the graph (V24).
    """
    graph = _Borders(pair)
    for row, call in enumerate(pair.sidecar.calls):
        yield from graph.contradicted_fate(row, call)
    for found in pair.cuts:
        for code, message in (*graph.misplaced_ports(found), *graph.other_needs(found)):
            yield code, pair.call_name(found.row), message


class _Borders:
    def __init__(self, pair: ModelAndSidecar) -> None:
        self._pair, self._tree, self._graph, self._index = pair, pair.tree, pair.cut_graph, pair.index
        self._owner = self._graph.owners
        self._parameters = {row.name: row.parameter for row in pair.sidecar.initializers}
        self._covers = {row.output: row.covers for row in pair.sidecar.nodes if row.covers and not row.graph}
        self._put_in = {row.output for row in pair.sidecar.nodes if row.evidence == "replacement"}
        self._runs = Counter(call.module for call in pair.sidecar.calls)

    @cached_property
    def _leaving(self) -> list[set[str]]:
        """Of each call, the values that are made in it and read outside, or handed out by their graph."""
        leaving: list[set[str]] = [set() for _ in self._pair.sidecar.calls]
        owner = self._owner
        edges = [(name, owner.get(reader)) for reader, names in self._graph.reads.items() for name in names]
        edges += [(name, None) for name, value in self._graph.values.items() if value.is_graph_output()]
        for name, reader in edges:
            if (maker := owner.get(name)) != reader:
                for row in self._tree.leaving(maker, reader):
                    leaving[row].add(name)
        return leaving

    @cached_property
    def _handed_out(self) -> dict[str, list[int]]:
        """The calls that have a value as an output."""
        calls = enumerate(self._pair.sidecar.calls)
        return grouped((port.carrier, row) for row, call in calls for port in call.outputs)

    def contradicted_fate(self, row: int, call: ModuleCall) -> Iterator[Problem]:
        """Yield outputs that a call has in the graph though its status says that they are not there, or are constants."""
        for port in call.outputs:
            maker = self._owner.get(port.carrier)
            if (
                port.unused
                or port.carrier not in self._pair.data
                or maker is None
                or not self._tree.contains(row, maker)
            ):
                continue
            # What is made of no input in a whole model, a part may get as one.
            folded = call.status == "folded" and not self._pair.is_part
            if folded or (call.status == "unused" and port.carrier in self._leaving[row]):
                what = "depends on inputs of the model" if folded else "others read"
                message = f"It is `{call.status}`, and its output {port.name!r} is {port.carrier!r}, which {what}."
                yield "V24", self._pair.call_name(row), message

    def misplaced_ports(self, found: CallCut) -> Iterator[tuple[str, str]]:
        """Yield ports whose values are made on the wrong side of the call's border (V39)."""
        row, call, recovered = found.row, found.call, found.recovered
        given, carriers = ({port.carrier for port in ports} for ports in (call.inputs, call.outputs))
        # Others may read what a recovered output is made of: that output is none in the graph any more.
        handed = carriers.union(reachable(carriers & recovered.keys(), lambda name: recovered.get(name, ())))
        lost = {
            name
            for name in (self._leaving[row] & self._index.data) - recovered.keys()
            if handed.isdisjoint(self._index.forms(name))
        }
        used = {port.value for port in call.outputs if not port.unused}
        # An output that was not found in the graph may be what they read.
        leaving = {form for name in self._leaving[row] for form in self._index.forms(name)}
        handed_out = any(port.unused or port.carrier in leaving for port in call.outputs)
        for port in call.outputs:
            maker = self._owner.get(port.carrier)
            if port.unused and port.value in self._leaving[row] and port.value not in used:
                yield (
                    "V39",
                    f"Output {port.name!r} is {port.value!r}, which is said to be unused; calls outside read it.",
                )
            if not port.unused and port.carrier in self._graph.inputs - given:
                yield "V39", f"Output {port.name!r} is {port.carrier!r}, an input of the model and none of the call."
            if port.unused or maker is None or port.carrier in recovered or port.carrier in given:
                continue
            name, made_by = f"Output {port.name!r} is {port.carrier!r}", self._pair.call_name(maker)
            if self._tree.contains(row, maker):
                if row and lost and not handed_out:
                    yield "V39", f"{name}, which nobody outside the call reads; they read {listed(sorted(lost))}."
            # A node that was merged of several calls hands out what each of them does.
            elif lost and row not in self._covers.get(self._index.producer.get(port.carrier, ""), ()):
                yield "V39", f"{name}, which {made_by!r} makes; the call itself hands out {listed(sorted(lost))}."
            # The one around it may own what the optimiser merged, an earlier one what both compute, of equal weights too.
            elif maker >= self._tree.end[row]:
                yield "V39", f"{name}, which {made_by!r} makes."
        for port in call.inputs:
            maker = self._owner.get(port.carrier)
            inside = maker is not None and self._tree.contains(row, maker)
            # TorchScript (torch 2.13) makes a constant argument in the name of the call that gets it
            if inside and port.carrier not in recovered and self._index.operands_of(port.carrier):
                yield "V39", f"Input {port.name!r} is {port.carrier!r}, which is made in the call."

    def other_needs(self, found: CallCut) -> Iterator[tuple[str, str]]:
        """Yield how what the outputs of a call derive from differs from its inputs (V45)."""
        row, call, cut, used = found.row, found.call, found.cut, found.arguments
        implicit = {port.carrier for port in call.inputs if port.implicit}
        if missing := sorted((cut.reached - used) | (set(cut.implicit) - implicit)):
            yield "V45", f"It needs {listed(missing)}, which is none of its inputs."
        if idle := sorted((used - cut.reached) | (implicit - set(cut.implicit))):
            yield "V45", f"No output of it derives from its input {listed(idle)}."
        # Several calls of a module may share nodes, which the call around them owns; what was put in a call's place is all its own.
        runs_once = call.index == 0 and self._runs[call.module] == 1
        theirs = found.recovered.keys() | self._put_in
        for name in found.taken:
            maker = self._owner.get(name, row)
            around = maker != row and self._tree.contains(maker, row) and name not in theirs
            if around and runs_once and name in self._index.data and self._is_parametric(call, name):
                owner = self._pair.call_name(maker)
                yield "V45", f"{name!r} lies between its ports and reads its parameters; {owner!r} owns it."
        # What a module reads through a closure may be computed of its arguments by others; it reads these too.
        foreign = not used <= found.read and self._reads_weights_of_others(row, call, found.taken)
        for name in found.taken if foreign else ():
            makers = self._handed_out.get(name, ())
            near = any(self._tree.contains(row, other) or self._tree.contains(other, row) for other in makers)
            if makers and not near and name in self._index.data:
                yield "V45", f"It takes in {name!r}, a result of {self._pair.call_name(makers[0])!r}."

    def _own_names(self, call: ModuleCall) -> tuple[str, ...]:
        """Return how the names of a call's module and of those below it begin."""
        module = self._pair.sidecar.modules[call.module]
        return tuple(f"{name}." for name in (module.fqn, *module.aliases) if name)

    def _parameters_of(self, value: str) -> list[str]:
        return list(filter(None, map(self._parameters.get, self._graph.reads.get(value, ()))))

    def _is_parametric(self, call: ModuleCall, value: str) -> bool:
        """Say whether the node behind a value reads parameters, all of a call's own module or those below it."""
        found = self._parameters_of(value)
        return bool(found) and all(parameter.startswith(self._own_names(call)) for parameter in found)

    def _reads_weights_of_others(self, row: int, call: ModuleCall, values: Iterable[str]) -> bool:
        """Say whether nodes of other calls read parameters of modules that are not in a call's own.

        What several modules compute alike without weights is merged: there a result of another call may be the call's own.
        """
        others = (value for value in values if not self._tree.contains(row, self._owner.get(value, row)))
        for parameter in (parameter for value in others for parameter in self._parameters_of(value)):
            holder = self._pair.module_rows.get(parameter.rpartition(".")[0])
            if holder is not None:
                module = self._pair.sidecar.modules[holder]
                if not any(f"{name}.".startswith(self._own_names(call)) for name in (module.fqn, *module.aliases)):
                    return True
        return False


def parameter_readers(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that a weight goes by its own name, and that its module, or one around or below it, reads it (V46).

    A tied parameter goes by one of its names, as equal ones do that the exporter merged, and modules of the others read it too;
    so one reader is enough. Where no call of its module made a node that is left, the module around it counts. What a module
    hands out without an input, such as a weight, the exporter computes further for those who get it: they alone read that.
    """
    sidecar, tree = pair.sidecar, pair.tree
    owners = sorted({node.owner for node in sidecar.nodes})
    called = grouped(
        (call.module, row)
        for row, call in enumerate(sidecar.calls)
        if bisect_left(owners, row) < bisect_left(owners, tree.end[row])
    )
    names = {f"{module.fqn}.{name}".lstrip(".") for module in sidecar.modules for name in module.direct_parameters}
    readers: dict[str, set[int]] = {}
    weights = [row for row in sidecar.initializers if row.parameter]

    def nearest_calls(holder: int) -> Sequence[int]:
        module: int | None = holder
        while module is not None and module not in called:
            module = sidecar.modules[module].parent
        return called.get(module or 0, ())

    by_module = grouped((call.module, call) for call in sidecar.calls)
    recovered = {name: node.inputs for node in sidecar.recovered for name in node.outputs}

    def hands_out_constants(module: int) -> bool:
        ports = (port for call in by_module.get(module, ()) for port in call.outputs if not port.unused)
        sources = (reachable([port.carrier], lambda name: recovered.get(name, ())) for port in ports)
        return any(pair.data.isdisjoint(names) for names in sources)

    owner = {row.key: row.owner for row in sidecar.nodes}
    # What has bodies reads what these capture: there the nodes of the bodies count.
    simple = ((node, owner[key]) for key, node in pair.nodes if not any(nested_graphs(node)))
    by_weight = grouped((name, owner) for node, owner in simple for name in reads(node))
    for row in weights:
        readers.setdefault(str(row.parameter), set()).update(by_weight.get(row.name, ()))
    for row in weights:
        parameter = str(row.parameter)
        if row.name in names and row.name != parameter:
            yield "V46", row.name, f"It is said to be {parameter!r}, and has the name of another parameter."
            continue
        own, *tied = (pair.module_rows.get(name.rpartition(".")[0]) for name in (parameter, *row.aliases, *row.merged))
        if own is None:
            continue  # V37 says so
        holders = (own, *(module for module in tied if module is not None))
        found, calls = readers[parameter], [call for module in holders for call in nearest_calls(module)]
        near = (tree.contains(a, b) or tree.contains(b, a) for a in found for b in calls)
        if found and not any(near) and not any(map(hands_out_constants, holders)):
            yield "V46", row.name, f"It is said to be {parameter!r}; only {pair.call_names(sorted(found))} reads it."

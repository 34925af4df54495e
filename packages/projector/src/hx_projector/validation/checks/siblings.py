"""Whether calls of one class that compute alike have their ports in the same places.

Names of ports come from `forward()`, and one call alone does not tell whether two of them were exchanged, or one left out.
Another call of the same class, given the same arguments beside tensors, does: one code made both.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import onnx_ir as ir

from hx_graph import dims_of, nodes_below
from hx_projector._graph_index import grouped
from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import CallCut, ModelAndSidecar
from hx_sidecar_schema import Module

_SMALL = 64
"""A constant of so many elements is told by them, as axes and shapes are; a larger one by its size alone."""

Structure = tuple[tuple[str, str], ...]
"""Names of outputs, each with a digest of all that computes it: operators, edges, names of inputs."""


def siblings(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that no call has two ports exchanged, or lacks an output, beside the other calls of its class (V28).

    Nothing is said where two calls or more differ from the most in one way: then the class computes in several. Nor of
    modules whose attributes are not known, or differ, and of inputs of other types: by them `forward()` may exchange what it got.
    """
    graph = _Structures(pair)
    cuts = (
        found for found in pair.cuts if found.row and not found.recovered and _module(pair, found).settings is not None
    )
    for calls in grouped((_kind(pair, found), found) for found in cuts).values():
        if len(calls) < 2 or max(max(len(found.arguments), len(found.outputs)) for found in calls) < 2:
            continue
        structures = [graph.of(found) for found in calls]
        (common, most), *others = Counter(structures).most_common()
        example = calls[structures.index(common)]
        for found, structure in zip(calls, structures, strict=True):
            if (structure, 1) in others:
                text = graph.difference(found, example)
                name, like = pair.call_name(found.row), pair.call_name(example.row)
                if not text and most == 1:
                    text, name, like = graph.difference(example, found), like, name
                if text:
                    text += f" in {like!r}, of the same class: one of the two is wrong."
                    yield "V28", name, text


def _module(pair: ModelAndSidecar, found: CallCut) -> Module:
    return pair.sidecar.module_of(found.call)


def _kind(pair: ModelAndSidecar, found: CallCut) -> tuple[object, ...]:
    """Return what calls have in common that may be compared: attributes of the modules, types of inputs, other arguments."""
    types = sorted((port.name, port.dtype, *map(str, port.shape)) for port in found.call.inputs if not port.implicit)
    return _module(pair, found).settings, repr(types), json.dumps(found.call.constants, sort_keys=True)


class _Structures:
    def __init__(self, pair: ModelAndSidecar) -> None:
        self._pair, self._graph = pair, pair.cut_graph
        self._nodes = {out.name: node for _, node in pair.nodes for out in node.outputs if out.name}
        self._parameters = {row.name: row.parameter or "" for row in pair.sidecar.initializers}

    def of(self, found: CallCut, names: Mapping[str, str] | None = None) -> Structure:
        """Return what a call computes, its inputs under their own names or others."""
        digests = self._digests(found, _names(found) if names is None else names)
        return tuple((port.name, digests[port.carrier]) for port in found.call.outputs if not port.unused)

    def difference(self, found: CallCut, other: CallCut) -> str:
        """Say which exchange of two ports of a call, or which output more, makes it compute what another does; else nothing."""
        own, wanted = dict(self.of(found)), dict(self.of(other))
        for one, two in combinations(own, 2):
            if own[one] != own[two] and {**own, one: own[two], two: own[one]} == wanted:
                return f"Its outputs {one!r} and {two!r} stand where {two!r} and {one!r} stand"
        names = _names(found)
        if own.keys() == wanted.keys():
            for one, two in combinations(names, 2):
                if dict(self.of(found, {**names, one: names[two], two: names[one]})) == wanted:
                    one, two = names[one], names[two]
                    return f"Its inputs {one!r} and {two!r} stand where {two!r} and {one!r} stand"
        more = sorted(wanted.keys() - own.keys())
        if len(more) == 1 and own.items() < wanted.items():
            leaving = self._leaving(found)
            digests = self._digests(found, names, leaving)
            if value := next((name for name in leaving if digests[name] == wanted[more[0]]), ""):
                return f"It hands out {value!r}, which is the output {more[0]!r}"
        return ""

    def _is_inside(self, found: CallCut, value: str) -> bool:
        return self._pair.tree.contains(found.row, self._graph.owners.get(value, -1))

    def _leaving(self, found: CallCut) -> list[str]:
        """Return what is computed in a call, is none of its outputs, and is read outside."""
        reads = self._graph.reads.items()
        outside = {name for reader, names in reads if not self._is_inside(found, reader) for name in names}
        outside |= {name for name, value in self._graph.values.items() if value.is_graph_output()}
        return [name for name in sorted(outside) if self._is_inside(found, name) and name not in found.outputs]

    def _digests(self, found: CallCut, names: Mapping[str, str], ends: Sequence[str] = ()) -> dict[str, str]:
        """Return a digest of all values that the outputs of a call, or other ends, are computed of; inputs go by names."""
        known = {stop: names.get(stop, "?") for stop in (*found.stops, *names)}
        pending = [*found.outputs, *ends]
        while pending:
            name = pending[-1]
            reads = self._graph.reads.get(name, ()) if name not in known else ()
            if missing := [read for read in reads if read not in known]:
                pending += missing
                continue
            pending.pop()
            if name not in known:
                text = repr((self._label(found, name), [known[read] for read in reads]))
                known[name] = hashlib.sha256(text.encode()).hexdigest()
        return known

    def _label(self, found: CallCut, name: str) -> object:
        """Return what a value is beside what it reads: a node's operator, attributes and module, a weight, a constant."""
        node = self._nodes.get(name)
        if node is not None:
            owner = self._pair.sidecar.calls[self._graph.owners[name]] if self._is_inside(found, name) else found.call
            inner = self._pair.sidecar.module_of(owner).fqn.removeprefix(self._pair.sidecar.module_of(found.call).fqn)
            attributes = sorted((key, _attribute(value)) for key, value in node.attributes.items())
            bodies = [below.op_type for _, below in nodes_below(node)]
            given = [value is not None for value in node.inputs]
            output = [out.name for out in node.outputs].index(name)
            return inner, node.domain, node.op_type, output, attributes, bodies, given
        value = self._graph.values.get(name)
        if parameter := self._parameters.get(name):
            return parameter.rpartition(".")[2], dims_of(value.shape) if value is not None else ()
        return _constant(value.const_value) if value is not None and value.const_value is not None else ""


def _names(found: CallCut) -> dict[str, str]:
    """Return the names of the used inputs by what carries them."""
    return {port.carrier: port.name for port in found.call.inputs if not port.unused and not port.implicit}


def _attribute(attribute: ir.Attr) -> str:
    if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
        return _constant(attribute.as_tensor())
    return "" if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) else str(attribute.value)


def _constant(tensor: ir.TensorProtocol) -> str:
    return f"{tensor.dtype} {dims_of(tensor.shape)} {tensor.numpy().tolist() if tensor.size <= _SMALL else ''}"
